"""A forked process predicts: torch's threads stay behind in the parent, and waiting for them would never end."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skbsq import BitwiseRegressor

# Two threads train in the parent. Each case then runs in a fork, which is killed when it takes too long: on a machine
# of any speed a fork that waits for its parent's threads waits for ever.
PROGRAM = """
import os, pickle, signal, sys, time
import numpy as np
import torch
from skbsq.export import to_onnx
from skbsq.model_selection import bits_path
from skbsq.persistence import load, save
from skbsq import BitwiseClassifier, BitwiseRegressor, LSQQuantizer, QuantileQuantizer
from skbsq.codec import dumps

torch.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(2000, 10)).astype(np.float32)
y = X[:, 0] + X[:, 1]
quick = dict(max_epochs=1, hidden_sizes=(256, 256), random_state=0)
models = {
    "learned": BitwiseRegressor(3, **quick),
    "8 bits": BitwiseRegressor(8, **quick),
    "missing": BitwiseRegressor(3, missing="code", **quick),
    "fixed": BitwiseRegressor(quantizer=QuantileQuantizer(3), **quick),
    "values": BitwiseRegressor(quantizer=LSQQuantizer(3), **quick),
    "floats": BitwiseRegressor(quantizer="passthrough", **quick),
}
cases = {}
for name, model in models.items():
    model.fit(X, y)
    cases[f"{name}, a row"] = lambda model=model: model.predict(X[:1])
    cases[f"{name}, all rows"] = lambda model=model: model.predict(X)
classifier = BitwiseClassifier(3, **quick).fit(X, y > 0)
book = classifier.codebook_
message = dumps(book, book.encode(X[:9]))
cases["probabilities"] = lambda: classifier.predict_proba(X[:9])
cases["log probabilities"] = lambda: classifier.predict_log_proba(X[:9])
cases["bytes"] = lambda: classifier.predict_proba_packed(message)
cases["labels of all rows"] = lambda: classifier.predict(X)
cases["fit"] = lambda: BitwiseRegressor(3, **quick).fit(X[:600], y[:600])
cases["budget"] = lambda: BitwiseRegressor(bit_budget=12, **quick).fit(X[:600], y[:600])
class Head(torch.nn.Sequential):
    def __init__(self, n_inputs, n_outputs):
        super().__init__(torch.nn.Linear(n_inputs, 512), torch.nn.ReLU(), torch.nn.Linear(512, n_outputs))


own = BitwiseRegressor(6, head=Head, max_epochs=1, random_state=0).fit(X, y)
text = pickle.dumps(own)
path = os.path.join(sys.argv[2], "own.safetensors")
save(own, path)
cases["pickle"] = lambda: pickle.dumps(own)
cases["unpickle"] = lambda: pickle.loads(text)
cases["save"] = lambda: save(own, path + ".2")
cases["load"] = lambda: load(path, head=Head)
cases["onnx"] = lambda: to_onnx(models["8 bits"])
cases["path of bits"] = lambda: bits_path(BitwiseRegressor(**quick), X[:600], y[:600], [2, 1], cv=2)
cases["encode"] = lambda: book.encode(np.tile(X, (50, 1)))

for name, case in cases.items():
    pid = os.fork()
    if pid == 0:
        try:
            before = torch.get_num_threads()
            case()
            os._exit(0 if torch.get_num_threads() == before else 4)
        except BaseException as error:
            print(name, repr(error), flush=True)
            os._exit(3)
    end = time.monotonic() + float(sys.argv[1])
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            status = -1
            break
        time.sleep(0.01)
    if status:
        print("hangs" if status == -1 else f"status {status}", name, flush=True)
print("done", len(cases))
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


# The parent uses torch on its own, and no more of the package than its name; the child loads a model, or uses torch
# without the package.
LATE = """
import os, signal, sys, time
import torch
import skbsq
assert "skbsq.nn" not in sys.modules
torch.set_num_threads(2)
torch.ones(2000, 2000) @ torch.ones(2000, 2000)
pid = os.fork()
if pid == 0:
    if sys.argv[2:]:
        import pickle
        import numpy as np
        with open(os.path.join(sys.argv[2], "model.pkl"), "rb") as file:
            pickle.load(file).predict(np.ones((9, 10), dtype=np.float32))
    else:
        torch.ones(2000, 256) @ torch.ones(256, 256)
    os._exit(0)
end = time.monotonic() + float(sys.argv[1])
while not (found := os.waitpid(pid, os.WNOHANG))[0]:
    if time.monotonic() > end:
        os.kill(pid, signal.SIGKILL)
        sys.exit(print("hangs"))
    time.sleep(0.01)
print("status", found[1])
"""


def run(*arguments, program=PROGRAM):
    # pytest's own process has one thread, and nothing to wait for.
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    root = Path(__file__).parent.parent.parent
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True, timeout=600)
    return done.stdout.splitlines()


def test_forked_workers_predict_and_fit(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("safetensors")
    assert run(60, tmp_path) == ["done 25"]


def test_forks_of_a_parent_that_only_imports_the_package(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 10)).astype(np.float32)
    model = BitwiseRegressor(3, max_epochs=1, random_state=0).fit(X, X[:, 0])
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    assert run(60, tmp_path, program=LATE) == ["status 0"]


def test_a_fork_without_the_guard_hangs():
    """So the test above can fail. Some builds of torch wait for no thread, and need no guard."""
    if run(5, program=LATE) != ["hangs"]:
        pytest.skip("torch does not hang in a forked process here")
