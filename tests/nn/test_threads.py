"""Forked processes: torch's threads stay behind in the parent, and waiting for them would never end."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skbsq import BitwiseRegressor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

# A fork that waits for its parent's threads waits forever, on a machine of any speed. At first the parent uses torch
# without the package, of which it imports only the name: one child loads a model, the other has no guard. Then the
# parent trains with two threads, and each further case runs in a fork.
PROGRAM = """
import os, pickle, signal, sys, time
import torch
import skbsq

assert "skbsq.nn" not in sys.modules
torch.set_num_threads(2)
torch.ones(2000, 2000) @ torch.ones(2000, 2000)


def report(name, case, seconds=60):
    pid = os.fork()
    if pid == 0:
        try:
            before = torch.get_num_threads()
            case()
            os._exit(0 if torch.get_num_threads() == before else 4)
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(3)
    end = time.monotonic() + seconds
    while not (done := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.01)
    if not done[0]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(name, done[1] if done[0] else "hangs", sep=": ", flush=True)


def load_and_predict():
    import numpy as np
    with open(sys.argv[1], "rb") as file:
        pickle.load(file).predict(np.ones((9, 10), dtype=np.float32))


report("without the guard", lambda: torch.ones(2000, 256) @ torch.ones(256, 256), 2)
report("parent without the package", load_and_predict)

import numpy as np
from skbsq.export import to_onnx
from skbsq.model_selection import bits_path
from skbsq.persistence import load, save
from skbsq import BitwiseClassifier, BitwiseRegressor, LSQQuantizer
from skbsq.codec import dumps


class Head(torch.nn.Sequential):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(torch.nn.Linear(n_inputs, 64), torch.nn.ReLU(), torch.nn.Linear(64, n_outputs))


X = np.random.default_rng(0).normal(size=(400, 10)).astype(np.float32)
y = X[:, 0] + X[:, 1]
quick = dict(max_epochs=1, hidden_sizes=(64, 64), random_state=0)
models = {
    "table": BitwiseRegressor(4, missing="code", **quick),
    "values": BitwiseRegressor(quantizer=LSQQuantizer(3), **quick),
    "floats": BitwiseRegressor(quantizer="passthrough", **quick),
}
for name, model in models.items():
    model.fit(X, y)
    report(f"{name}, a row", lambda: model.predict(X[:1]))
    report(f"{name}, all rows", lambda: model.predict(X))
classifier = BitwiseClassifier(3, **quick).fit(X, y > 0)
book = classifier.codebook_
message = dumps(book, book.encode(X[:9]))
report("probabilities", lambda: classifier.predict_proba(X[:9]))
report("log probabilities", lambda: classifier.predict_log_proba(X[:9]))
report("bytes", lambda: classifier.predict_proba_packed(message))
report("labels of all rows", lambda: classifier.predict(X))
report("fit", lambda: BitwiseRegressor(3, **quick).fit(X[:300], y[:300]))
report("budget", lambda: BitwiseRegressor(bit_budget=12, **quick).fit(X[:300], y[:300]))
other = BitwiseRegressor(3, head=Head, max_epochs=1, random_state=0).fit(X, y)
text = pickle.dumps(other)
path = sys.argv[1] + ".safetensors"
save(other, path)
report("pickle", lambda: pickle.dumps(other))
report("unpickle", lambda: pickle.loads(text))
report("save", lambda: save(other, path + ".2"))
report("load", lambda: load(path, head=Head))
report("onnx", lambda: to_onnx(models["table"]))
report("path of bits", lambda: bits_path(BitwiseRegressor(**quick), X[:300], y[:300], [2, 1], cv=2))
report("encode", lambda: book.encode(np.tile(X, (250, 1))))
"""


def test_forked_processes_predict_and_fit(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    model = BitwiseRegressor(3, max_epochs=1, random_state=0).fit(X, X[:, 0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "model.pkl")],
        # The process of pytest has one thread, and nothing to wait for.
        env={**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    without_guard, *outcomes = done.stdout.splitlines()
    assert len(outcomes) == 20, done.stderr
    assert [outcome for outcome in outcomes if not outcome.endswith(": 0")] == [], done.stderr
    if without_guard != "without the guard: hangs":
        pytest.skip("torch does not hang in a forked process here, so this test shows nothing")
