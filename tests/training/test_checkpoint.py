"""Fits that are interrupted and go on: equal, to the byte, to fits that are not."""

import json
import os
import pickle
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors
import safetensors.numpy
import torch
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    Unfreezer,
)
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
)
from skbsq.persistence import load, save
from skbsq.training import learner, length
from skbsq.training.batches import TensorBatches
from skbsq.training.identity import digest
from skbsq.training.loop import FlushSubnormals

ROOT = Path(__file__).parent.parent.parent
TRAINING = dict(n_bits=2, max_epochs=5, hidden_sizes=(8,), batch_size=32, random_state=0)


class Centred(nn.Module):
    """Keeps a mean where no state dict has it, a buffer whose shape changes, and a number that is no tensor."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8), persistent=False)
        self.register_buffer("ones", torch.ones(1, 1), persistent=False)
        self.calls = 0

    def forward(self, x):
        if self.training:
            self.calls += 1
            self.ones = torch.ones(len(x), 1)
            self.mean.lerp_(x.detach().mean(0), 1 / (10 + self.calls))
        return x - self.mean

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


class Head(nn.Sequential):
    """Draws random numbers in training, and has more state than weights."""

    def __init__(self, n_inputs, n_outputs):
        layers = nn.Linear(n_inputs, 8), nn.BatchNorm1d(8), nn.ReLU(), Centred(), nn.Dropout(0.3)
        super().__init__(*layers, nn.Linear(8, n_outputs))


def net(kind=NeuralNet, *, criterion=nn.MSELoss, **given):
    return kind(Head, criterion=criterion, **{"max_epochs": 5, "batch_size": 32, "lr": 0.05, **given})


SCHEDULES = [
    LRScheduler(torch.optim.lr_scheduler.MultiStepLR, milestones=[2, 4]),
    LRScheduler(torch.optim.lr_scheduler.ReduceLROnPlateau, monitor="train_loss", patience=0),
]
ESTIMATORS = [
    BitwiseQuantizer(**TRAINING),
    BitwiseQuantizer(**TRAINING | {"n_bits": 8}, dropout=0.3, init="quantile"),
    BitwiseQuantizer(**TRAINING, missing="code", early_stopping=True, validation_fraction=ShuffleSplit(2)),
    BitwiseQuantizer(**TRAINING | {"n_bits": 5}, bit_budget=6),
    BitwiseQuantizer(**TRAINING, init=QuantileQuantizer(), lr_schedule="constant", space="standard"),
    SoftQuantizer(**TRAINING, learn_values=True),
    LSQQuantizer(**TRAINING, early_stopping=True, patience=2),
    LLTQuantizer(**TRAINING, temperature_schedule="cosine"),
    BitwiseRegressor(**TRAINING, early_stopping=True),
    BitwiseRegressor(**TRAINING, bit_budget=4),
    BitwiseRegressor(**TRAINING, quantizer=QuantileQuantizer(2), dropout=0.3),
    BitwiseRegressor(**TRAINING, quantizer=SoftQuantizer(2, init="tree")),
    BitwiseRegressor(**TRAINING, quantizer="passthrough"),
    BitwiseRegressor(**TRAINING, head=Head),
    BitwiseRegressor(
        **TRAINING, head=net(optimizer=torch.optim.Adam, callbacks=[*SCHEDULES, GradientNormClipping(1.0)])
    ),
    BitwiseRegressor(**TRAINING, head=net(callbacks=[Freezer("head.0*"), Unfreezer("head.0*", at=4)])),
    BitwiseRegressor(**TRAINING, quantizer="passthrough", head=net(optimizer=torch.optim.LBFGS)),
    BitwiseClassifier(**TRAINING, class_weight="balanced"),
    BitwiseClassifier(
        **TRAINING,
        early_stopping=True,
        head=net(
            NeuralNetClassifier,
            criterion=nn.CrossEntropyLoss,
            optimizer__momentum=0.9,
            callbacks=[EarlyStopping(patience=2, load_best=True, sink=str), EpochScoring("f1", lower_is_better=False)],
        ),
    ),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "fit.checkpoint"


@pytest.fixture
def data(rng):
    X = rng.normal(size=(150, 3)).astype(np.float32)
    return X, X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=150)


def target_for(estimator, y):
    return np.where(y > 0, "high", "low") if is_classifier(estimator) else y


@pytest.fixture
def interrupt(monkeypatch):
    """Has training get Ctrl-C, or raise an exception, in the middle of its n-th epoch, counted over all rounds."""
    passes = TensorBatches.__iter__
    # A process that a script starts in the background ignores it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt(epoch, error=None):
        left = epoch

        def iterate(batches):
            nonlocal left
            left -= batches.generator is not None  # a pass for training, not for validation
            for number, batch in enumerate(passes(batches)):
                if left == 0 and number == 1:
                    if error is not None:
                        raise error
                    signal.raise_signal(signal.SIGINT)
                yield batch

        monkeypatch.setattr(TensorBatches, "__iter__", iterate)

    yield interrupt
    signal.signal(signal.SIGINT, before)


def fit_in_pieces(estimator, X, y, interrupt, epochs):
    """Interrupted in some epochs, counted from where it goes on; each fit in a new estimator."""
    for epoch in epochs:
        interrupt(epoch)
        with pytest.raises(KeyboardInterrupt):
            clone(estimator).fit(X, y)
    interrupt(0)
    return clone(estimator).fit(X, y)


def to_bytes(value):
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)


def everything(estimator):
    """All that is learned, in bytes."""
    book = getattr(estimator, "codebook_", None) if getattr(estimator, "quantizer_", "") is not None else None
    history = estimator.history_.drop(columns="dur")
    module = estimator.net_.module_
    state = {**dict(module.named_buffers()), **module.state_dict()}
    return {
        "codebook": book and book.to_json(),
        "weights": {name: to_bytes(value) for name, value in state.items()},
        "history": {name: history[name].to_numpy().tobytes() for name in history},
        "best": estimator.best_epoch_,
        "moments": (estimator.target_mean_.tobytes(), estimator.target_scale_.tobytes()),
        "start": [t.tobytes() for t in getattr(estimator, "initial_thresholds_", [])],
        "init": str(getattr(estimator, "init_", None)),
        "rates": {
            rate: (found.codebook.to_json(), [to_bytes(value) for value in found.module.state_dict().values()])
            for rate, found in getattr(estimator, "rates_", {}).items()
        },
        "allocation": estimator.allocation_.to_csv() if hasattr(estimator, "allocation_") else None,
    }


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=range(len(ESTIMATORS)))
def test_goes_on_to_the_same_result(estimator, data, path, interrupt):
    X, y = data
    y = target_for(estimator, y)
    whole = everything(clone(estimator).fit(X, y))
    pieces = fit_in_pieces(clone(estimator).set_params(checkpoint=path), X, y, interrupt, [1, 2, 2])
    assert everything(pieces) == whole
    assert not path.exists()
    assert path not in vars(pieces.net_).values()


def test_the_search_for_the_length_goes_on(data, path, interrupt, monkeypatch):
    """In the first cycle, in a later one of several parts, and after the search."""
    for name, steps in {"_FIRST_CYCLE_STEPS": 16, "_MIN_STEPS_SEVERAL": 32, "_MAX_STEPS_SEVERAL": 320}.items():
        monkeypatch.setattr(length, name, steps)
    estimator = BitwiseRegressor(**TRAINING | {"max_epochs": "auto"}).set_params(batch_size=16)
    X, y = data[0][:40], data[1][:40]
    whole = clone(estimator).fit(X, y)
    found = fit_in_pieces(clone(estimator).set_params(checkpoint=path), X, y, interrupt, [5, 60, 110])
    pd.testing.assert_frame_equal(found.length_search_, whole.length_search_)
    np.testing.assert_array_equal(found.predict(X), whole.predict(X))
    assert not path.exists()


@pytest.mark.parametrize("given", [{"bit_budget": 4}, {"rates": (1, 2, 4)}], ids=str)
def test_every_round_of_a_budget_and_every_rate(data, path, interrupt, given):
    X, y = data
    estimator = BitwiseQuantizer(**TRAINING | {"n_bits": 5, "max_epochs": 3}, **given)
    whole = everything(clone(estimator).fit(X, y))
    passes = 0
    while True:
        passes += 1
        interrupt(2)
        try:
            pieces = clone(estimator).set_params(checkpoint=path).fit(X, y)
        except KeyboardInterrupt:
            continue
        break
    assert passes > 3
    assert everything(pieces) == whole


def test_weights_and_classes_of_rows(data, path, interrupt, rng):
    X, y = data
    weights = rng.integers(0, 3, size=150)
    estimator = BitwiseClassifier(**TRAINING, early_stopping=True)
    y = np.digitize(y, [-0.3, 0.3])
    whole = clone(estimator).fit(X, y, sample_weight=weights)
    estimator.set_params(checkpoint=path)
    interrupt(4)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y, sample_weight=weights)
    interrupt(0)
    assert everything(estimator.fit(X, y, sample_weight=weights)) == everything(whole)


def test_steps_count_towards_rounding(rng, path, interrupt):
    """Means of gradients are rounded every 64 steps: of the whole fit, and not since it went on."""
    seen = []
    after = FlushSubnormals._after_step

    def record(self, *args):
        after(self, *args)
        seen.append(self.steps)

    X = rng.normal(size=(150, 2))
    estimator = BitwiseQuantizer(**TRAINING | {"batch_size": 10}, checkpoint=path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FlushSubnormals, "_after_step", record)
        fit_in_pieces(estimator, X, X[:, 0], interrupt, [3])
    assert seen == [*range(1, 32), *range(31, 76)]


@pytest.mark.parametrize("estimator", [BitwiseQuantizer(**TRAINING), LLTQuantizer(**TRAINING)], ids=str)
def test_without_a_random_state_the_drawn_one_holds(estimator, data, path, interrupt):
    drawn = []
    own = learner.own_randomness
    estimator = clone(estimator).set_params(random_state=None, checkpoint=path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learner, "own_randomness", lambda seed, device: drawn.append(seed) or own(seed, device))
        pieces = fit_in_pieces(estimator, *data, interrupt, [2, 2])
        assert len(drawn) == 6  # each of three fits has one training in its own block
        assert len(set(drawn)) == 1
        clone(estimator).fit(*data)
        assert drawn[-1] != drawn[0]
    assert pieces.n_iter_ == 5


def test_a_random_state_that_is_drawn_from(data, path, interrupt):
    given = {**TRAINING, "random_state": np.random.RandomState(3)}
    whole = BitwiseQuantizer(**given | {"random_state": np.random.RandomState(3)}).fit(*data)
    estimator = BitwiseQuantizer(**given, checkpoint=path)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*data)
    interrupt(0)
    assert everything(estimator.fit(*data)) == everything(whole)


def test_epochs_are_not_repeated(data, path, interrupt):
    fit_in_pieces(BitwiseQuantizer(**TRAINING, checkpoint=path), *data, interrupt, [5])  # 4 are done
    interrupt(5)
    with pytest.raises(KeyboardInterrupt):
        BitwiseQuantizer(**TRAINING, checkpoint=path).fit(*data)
    interrupt(2)  # of the one epoch that is left
    assert BitwiseQuantizer(**TRAINING, checkpoint=path).fit(*data).n_iter_ == 5


def test_interrupted_after_training(data, path, monkeypatch):
    X, y = data
    estimator = BitwiseRegressor(**TRAINING, checkpoint=path)
    with monkeypatch.context() as patch:
        patch.setattr(BitwiseRegressor, "_keep", lambda self, learned, rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            estimator.fit(X, y)
    assert path.exists()
    monkeypatch.setattr(TensorBatches, "__iter__", None)  # nothing is trained any more
    pieces = clone(estimator).fit(X, y)
    monkeypatch.undo()
    assert everything(pieces) == everything(clone(estimator).fit(X, y))


KILLED = """
import os, signal, sys
import numpy as np
from skbsq import BitwiseRegressor
from skbsq.training.batches import TensorBatches

path, epoch = sys.argv[1], int(sys.argv[2])
passes = TensorBatches.__iter__

def iterate(batches):
    global epoch
    epoch -= 1
    if epoch == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return passes(batches)

TensorBatches.__iter__ = iterate
X = np.random.default_rng(0).normal(size=(150, 3))
BitwiseRegressor(n_bits=2, max_epochs=5, hidden_sizes=(8,), random_state=0, checkpoint=path).fit(X, X[:, 0])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process can be killed here")
def test_a_killed_process_goes_on_in_another(path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"}
    command = [sys.executable, "-c", KILLED, path, "4"]
    killed = subprocess.run(command, env=environment, cwd=ROOT, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL
    X = np.random.default_rng(0).normal(size=(150, 3))
    estimator = BitwiseRegressor(n_bits=2, max_epochs=5, hidden_sizes=(8,), random_state=0, checkpoint=path)
    pieces = everything(estimator.fit(X, X[:, 0]))
    assert not path.exists()
    assert pieces == everything(estimator.fit(X, X[:, 0]))


def test_other_estimators_are_untouched_by_an_interrupt(data, path, interrupt):
    X, y = data
    estimator = BitwiseQuantizer(**TRAINING, checkpoint=path)
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, y)
    assert not hasattr(estimator, "net_")
    assert not hasattr(estimator, "n_features_in_")


@pytest.fixture
def interrupted(data, path, interrupt):
    """A quantizer whose fit was interrupted, and its rows."""
    estimator = BitwiseQuantizer(**TRAINING, checkpoint=str(path))
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        clone(estimator).fit(*data)
    interrupt(0)
    return estimator, *data


OTHER_PARAMETERS = [
    ({"lr": 0.1}, r"lr differs \(it was 0.002, and is 0.1\)"),
    ({"random_state": 1}, r"random_state differs \(it was 0, and is 1\)"),
    ({"n_bits": [2, 2, 3]}, r"n_bits differs \(it was 2, and is \[2, 2, 3\]\)"),
    ({"head": nn.Linear}, r"head differs \(it was None, and is torch.nn.modules.linear.Linear\)"),
    ({"init": QuantileQuantizer()}, r"init differs \(it was 'auto', and is QuantileQuantizer {"),
]


@pytest.mark.parametrize(("changed", "message"), OTHER_PARAMETERS)
def test_other_parameters_are_refused(changed, message, interrupted):
    estimator, X, y = interrupted
    with pytest.raises(ValueError, match=message) as caught:
        clone(estimator).set_params(**changed).fit(X, y)
    assert "Delete it to start again, or name another file." in str(caught.value)
    assert str(estimator.checkpoint) in str(caught.value)
    assert estimator.fit(X, y).n_iter_ == 5  # the file is still good


def test_other_rows_are_refused(interrupted):
    estimator, X, y = interrupted
    other = X.copy()
    other[7, 1] += 1
    weights = np.ones(150)
    weights[3] = 2
    for given, name in [((other, y), "X"), ((X, y + 1e-9), "y"), ((X, y, weights), "sample_weight")]:
        with pytest.raises(ValueError, match=f"{name} differs\\."):
            clone(estimator).fit(*given)
    assert estimator.fit(X, y).n_iter_ == 5


def test_other_categories_are_refused(data, path, interrupt):
    """Their numbers are those of the interrupted fit."""
    X = pd.DataFrame({"t": data[0][:, 0], "kind": np.where(data[0][:, 1] > 0, "a", "b")})
    model = BitwiseRegressor(**TRAINING, checkpoint=path)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        clone(model).fit(X, data[1])
    interrupt(0)
    with pytest.raises(ValueError, match="categories differ"):
        clone(model).fit(X.assign(kind=X["kind"].replace("b", "c")), data[1])
    resumed, whole = clone(model).fit(X, data[1]), clone(model).set_params(checkpoint=None).fit(X, data[1])
    assert everything(resumed) == everything(whole)


def test_another_estimator_is_refused(interrupted):
    estimator, X, y = interrupted
    with pytest.raises(ValueError, match="it was BitwiseQuantizer, and is SoftQuantizer"):
        SoftQuantizer(**TRAINING, checkpoint=estimator.checkpoint).fit(X, y)


def test_another_version_is_refused(interrupted, monkeypatch):
    estimator, X, y = interrupted
    monkeypatch.setattr("skorch.__version__", "99.0")
    with pytest.raises(ValueError, match=r"skorch differs \(it was .*, and is 99.0\)"):
        estimator.fit(X, y)


@pytest.mark.parametrize("changed", [{"verbose": 1}, {"encode": "packed"}, {"hidden_sizes": [8]}, {"device": "auto"}])
def test_what_the_result_does_not_depend_on(changed, interrupted):
    estimator, X, y = interrupted
    if changed == {"device": "auto"} and torch.cuda.is_available():
        pytest.skip("there it is another device")
    pieces = clone(estimator).set_params(**changed).fit(X, y)
    assert everything(pieces) == everything(clone(estimator).fit(X, y))


def make_head(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.Tanh(), nn.Linear(4, n_outputs))


def test_a_head_that_is_made_otherwise_is_refused(data, path, interrupt, monkeypatch):
    estimator = BitwiseRegressor(**TRAINING, head=make_head, checkpoint=path)
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*data)
    interrupt(0)
    for activation, size in [(nn.ReLU, 4), (nn.Tanh, 5)]:

        def make(n_inputs, n_outputs, activation=activation, size=size):
            return nn.Sequential(nn.Linear(n_inputs, size), activation(), nn.Linear(size, n_outputs))

        make.__qualname__ = "make_head"
        with pytest.raises(ValueError, match=r"delete it to start again: (it holds another net|Error)"):
            clone(estimator).set_params(head=make).fit(*data)


def test_instances_of_heads_are_told_apart_by_their_weights(data, path, interrupt):
    torch.manual_seed(0)
    heads = [nn.Linear(9, 1) for _ in range(2)]
    estimator = BitwiseRegressor(**TRAINING, head=heads[0], checkpoint=path)
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(*data)
    interrupt(0)
    with pytest.raises(ValueError, match="head differs"):
        clone(estimator).set_params(head=heads[1]).fit(*data)
    assert clone(estimator).fit(*data).n_iter_ == 5


def test_callbacks_with_more_than_values_are_refused(data, path):
    class Remembers(Callback):
        def on_train_begin(self, net, **kwargs):
            self.seen_ = iter([])

    estimator = BitwiseRegressor(**TRAINING, head=net(callbacks=[Remembers()]), checkpoint=path)
    with pytest.raises(ValueError, match="cannot hold 'seen_' of the callback 'Remembers', of type list_iterator"):
        estimator.fit(*data)
    assert estimator.set_params(checkpoint=None).fit(*data).n_iter_ == 5


def test_corrupt_files_are_refused(interrupted, path):
    estimator, X, y = interrupted
    good = path.read_bytes()
    flipped = bytearray(good)
    flipped[-5] ^= 1  # in a weight, or the state of a generator
    for bad, message in [
        (flipped, "it is corrupt: the digest of its content differs"),
        (good[:-9], "not a safetensors file"),
        (b"", "not a safetensors file"),
        (pickle.dumps(print), "not a safetensors file"),
        (safetensors.numpy.save({"x": np.zeros(2)}), "not a checkpoint"),
    ]:
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=f"{message}.*Delete it to start again"):
            clone(estimator).fit(X, y)
        assert path.read_bytes() == bytes(bad)
    path.write_bytes(good)
    assert estimator.fit(X, y).n_iter_ == 5


def test_every_changed_byte_of_the_text_is_seen(interrupted, path):
    estimator, X, y = interrupted
    good = path.read_bytes()
    for place in np.random.default_rng(0).integers(8, len(good), size=25):
        bad = bytearray(good)
        bad[place] ^= 1
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="is refused"):
            clone(estimator).fit(X, y)


def test_a_saved_model_is_no_checkpoint(data, path):
    model = BitwiseRegressor(**TRAINING).fit(*data)
    save(model, path)
    written = path.read_bytes()
    with pytest.raises(ValueError, match="not a checkpoint"):
        model.set_params(checkpoint=path).fit(*data)
    assert path.read_bytes() == written


def test_a_crafted_file_is_refused(interrupted, path):
    """With digests that are right, and content that no training writes."""
    estimator, X, y = interrupted
    with safetensors.safe_open(path, framework="numpy") as file:
        document = json.loads(file.metadata()["skbsq-checkpoint"])
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def refuse(value, message, name="training 1"):
        text = np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)
        forged = kept | {name: np.frombuffer(safetensors.numpy.save({"": text}), dtype=np.uint8)}
        document["digests"] = {name: digest(array) for name, array in forged.items()}
        path.write_bytes(safetensors.numpy.save(forged, {"skbsq-checkpoint": json.dumps(document)}))
        with pytest.raises(ValueError, match=message):
            clone(estimator).fit(X, y)

    refuse({"code": "print(1)"}, "is refused: it holds a 'code'")
    refuse({"array": "nowhere"}, "is refused: There is no array 'nowhere'")
    refuse({"dict": []}, "does not match this fit")
    refuse({"tensor": {"set": []}}, "is refused")
    refuse({"set": [[]]}, "is refused")
    document["work"] = []
    refuse(None, "is refused: fit writes other fields", name="seed")


def test_the_file_appears_before_the_first_epoch(data, tmp_path):
    with pytest.raises(FileNotFoundError):
        BitwiseQuantizer(**TRAINING, checkpoint=tmp_path / "nowhere" / "file").fit(*data)


def test_nothing_but_the_file_is_left_of_an_interrupt(interrupted, path):
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_two_fits_with_one_file(data, path):
    class FitsAnother(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                path.unlink()  # as if both had begun at the same time
                with pytest.raises(ZeroDivisionError):
                    BitwiseRegressor(**TRAINING, head=net_that_fails, checkpoint=path).fit(*data)

    class Fails(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                raise ZeroDivisionError

    net_that_fails = net(callbacks=[Fails()])
    with pytest.raises(ValueError, match="was written by another fit while this one ran: give each fit its own file"):
        BitwiseRegressor(**TRAINING, head=net(callbacks=[FitsAnother()]), checkpoint=path).fit(*data)
    assert path.exists()  # of the other


def test_fits_of_the_same_work_may_share_a_folder(data, tmp_path):
    """As those of a search, which differ in what comes after them."""

    class FitsTheSame(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2 and not here:
                here.append(True)
                (file,) = tmp_path.iterdir()
                file.unlink()  # as if both had begun at the same time
                fitted.append(clone(estimator).fit(*data))

    here, fitted = [], []
    estimator = BitwiseRegressor(**TRAINING, head=net(callbacks=[FitsTheSame()]), checkpoint=tmp_path)
    whole = clone(estimator).set_params(checkpoint=None, head=net()).fit(*data)
    np.testing.assert_array_equal(estimator.fit(*data).predict(data[0]), whole.predict(data[0]))
    np.testing.assert_array_equal(fitted[0].predict(data[0]), whole.predict(data[0]))
    assert not list(tmp_path.iterdir())


def test_a_folder_has_a_file_for_each_work(data, tmp_path, interrupt):
    X, y = data
    estimators = [BitwiseQuantizer(**{**TRAINING, "lr": lr}, checkpoint=tmp_path) for lr in (0.001, 0.01)]
    for estimator in estimators:
        interrupt(3)
        with pytest.raises(KeyboardInterrupt):
            clone(estimator).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 2
    interrupt(0)
    for estimator in estimators:
        whole = clone(estimator).set_params(checkpoint=None).fit(X, y)
        assert everything(estimator.fit(X, y)) == everything(whole)
    assert not list(tmp_path.iterdir())


def test_a_search_is_interrupted_and_goes_on(data, tmp_path, interrupt):
    X, y = data
    search = GridSearchCV(BitwiseRegressor(**TRAINING, checkpoint=tmp_path), {"n_bits": [1, 2]}, cv=2)
    interrupt(8)
    with pytest.raises(KeyboardInterrupt):
        clone(search).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 1
    interrupt(0)
    pieces, whole = clone(search).fit(X, y), search.set_params(estimator__checkpoint=None).fit(X, y)
    for key in ("mean_test_score", "split0_test_score"):
        np.testing.assert_array_equal(pieces.cv_results_[key], whole.cv_results_[key])


def test_bfloat16_is_refused(data, path):
    class Half(nn.Module):
        def __init__(self, n_inputs, n_outputs):
            super().__init__()
            self.linear = nn.Linear(n_inputs, n_outputs, dtype=torch.bfloat16)

        def forward(self, x):
            return self.linear(x.bfloat16()).float()

    with pytest.raises(ValueError, match="a tensor of a type that NumPy lacks"):
        BitwiseRegressor(**TRAINING, head=Half, checkpoint=path).fit(*data)


@pytest.mark.parametrize("as_path", [False, True])
def test_saved_with_its_checkpoint(data, path, tmp_path, as_path):
    model = BitwiseRegressor(**TRAINING, checkpoint=path if as_path else str(path)).fit(*data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(model, tmp_path / "model")
    assert load(tmp_path / "model").checkpoint == str(path)


def test_without_safetensors(data, path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"checkpoint needs safetensors: pip install 'skbsq\[save\]'"):
        BitwiseQuantizer(**TRAINING, checkpoint=path).fit(*data)
    assert BitwiseQuantizer(**TRAINING).fit(*data).n_iter_ == 5


def test_what_a_checkpoint_is(data):
    with pytest.raises(ValueError, match="'checkpoint' parameter of BitwiseQuantizer must be"):
        BitwiseQuantizer(**TRAINING, checkpoint=3).fit(*data)


def test_a_learned_quantizer_in_a_predictor_leaves_the_file_to_it(data, tmp_path, interrupt):
    X, y = data
    own, outer = tmp_path / "own", tmp_path / "outer"
    estimator = BitwiseRegressor(**TRAINING, quantizer=SoftQuantizer(2, checkpoint=own), checkpoint=outer)
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        clone(estimator).fit(X, y)
    assert outer.exists()
    assert not own.exists()
    interrupt(0)
    estimator.set_params(quantizer__checkpoint=None)  # which is nothing to the result
    assert estimator.fit(X, y).n_iter_ == 5


def test_dropout_of_an_instance_is_told_apart(data, path, interrupt):
    torch.manual_seed(0)
    heads = [nn.Sequential(nn.Dropout(p), nn.Linear(9, 1)) for p in (0.1, 0.2)]
    heads[1][1].load_state_dict(heads[0][1].state_dict())
    interrupt(2)
    with pytest.raises(KeyboardInterrupt):
        BitwiseRegressor(**TRAINING, head=heads[0], checkpoint=path).fit(*data)
    interrupt(0)
    with pytest.raises(ValueError, match="head differs"):
        BitwiseRegressor(**TRAINING, head=heads[1], checkpoint=path).fit(*data)


class Fixed(BitwiseRegressor):
    """Sets parameters that its constructor does not take."""

    def __init__(self, checkpoint=None):
        super().__init__(**TRAINING, dropout=0.2, checkpoint=checkpoint)


def test_a_subclass_resumes_and_its_fixed_parameters_are_compared(data, path, interrupt):
    X, y = data
    interrupt(3)
    with pytest.raises(KeyboardInterrupt):
        Fixed(path).fit(X, y)
    interrupt(0)
    other = Fixed(path)
    other.dropout = 0.5
    with pytest.raises(ValueError, match="dropout differs"):
        other.fit(X, y)
    np.testing.assert_array_equal(Fixed(path).fit(X, y).predict(X), Fixed().fit(X, y).predict(X))


def test_long_series_are_compared_whole(data, path, interrupt):
    """Their text is shortened in the middle."""
    X = np.tile(data[0], 30)
    interrupt(2)
    bits = pd.Series(np.ones(90, dtype=int))
    with pytest.raises(KeyboardInterrupt):
        BitwiseRegressor(**TRAINING | {"n_bits": bits}, checkpoint=path).fit(X, data[1])
    interrupt(0)
    others = bits.copy()
    others[45] = 2
    assert repr(others) == repr(bits)
    with pytest.raises(ValueError, match="n_bits differs"):
        BitwiseRegressor(**TRAINING | {"n_bits": others}, checkpoint=path).fit(X, data[1])
