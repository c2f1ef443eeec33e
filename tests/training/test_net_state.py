"""What pickle and skops get is arrays and plain values, and makes the same estimator."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from skorch import NeuralNet
from torch import nn

from skbsq import BitwiseClassifier, BitwiseRegressor, QuantileQuantizer, SoftQuantizer
from skbsq.training.net_state import checked

TRAINING = dict(n_bits=2, max_epochs=2, hidden_sizes=(6,), batch_size=32, random_state=0)


class Gated(nn.Linear):
    """A head of somebody's own."""

    def forward(self, x):
        return super().forward(x).sin()


def make_gated(n_inputs, n_outputs):
    return nn.Sequential(nn.Linear(n_inputs, 4), nn.BatchNorm1d(4), Gated(4, n_outputs))


@pytest.fixture
def data(rng):
    X = rng.normal(size=(70, 3))
    return X, X[:, 0] ** 2 + X[:, 1]


class Watcher(pickle.Unpickler):
    def find_class(self, module, name):
        self.found.add(module.partition(".")[0])
        return super().find_class(module, name)


def packages_in(pickled):
    """Top packages of all that a pickle names."""
    watcher = Watcher(io.BytesIO(pickled))
    watcher.found = set()
    watcher.load()
    return watcher.found


DUPLICATES = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "skops": lambda e: skops.io.loads(b := skops.io.dumps(e), trusted=skops.io.get_untrusted_types(data=b)),
}


@pytest.mark.parametrize("quantizer", [None, SoftQuantizer(2), QuantileQuantizer(), "passthrough"], ids=str)
def test_a_pickle_names_nothing_of_torch_or_skorch(quantizer, data):
    X, y = data
    fitted = BitwiseClassifier(quantizer=quantizer, **TRAINING).fit(X, y > 0)
    assert packages_in(pickle.dumps(fitted)) <= {"skbsq", "numpy"}


def test_packages_in_a_pickle_are_seen():
    assert packages_in(pickle.dumps(nn.Linear(1, 1))) >= {"torch", "collections"}


@pytest.mark.parametrize("duplicate", DUPLICATES.values(), ids=DUPLICATES)
@pytest.mark.parametrize("head", [None, Gated, make_gated], ids=["default", "class", "function"])
def test_copies_share_nothing(head, duplicate, data):
    if head is not None and duplicate is DUPLICATES["skops"]:
        pytest.skip("skops cannot write a net of torch")
    X, y = data
    fitted = BitwiseRegressor(head=head, **TRAINING).fit(X, y)
    expected = fitted.predict(X)
    other = duplicate(fitted)
    np.testing.assert_array_equal(other.predict(X), expected)
    assert other.net_ is other.quantizer_.net_
    assert isinstance(other.net_, NeuralNet)
    assert other.net_.initialized_
    assert not other.head_.training
    assert all(p.requires_grad for p in other.head_.parameters())
    pd.testing.assert_frame_equal(other.history_, fitted.history_)
    if duplicate is not copy.copy:  # which shares the quantizer, and so its net
        with torch.no_grad():
            for parameter in other.head_.parameters():
                parameter.zero_()
        assert (other.predict(X) != expected).any()
    np.testing.assert_array_equal(fitted.predict(X), expected)


def test_pickling_calls_no_code_of_the_users(data):
    X, y = data
    calls = []

    class Counted(nn.Linear):
        def __init__(self, n_inputs, n_outputs):
            calls.append("init")
            super().__init__(n_inputs, n_outputs)

        def forward(self, x):
            calls.append("forward")
            return super().forward(x)

    fitted = BitwiseRegressor(head=Counted, **TRAINING).fit(X, y)
    calls.clear()
    state = fitted.quantizer_.__getstate__()
    assert state["net_"] is fitted.net_
    assert not calls


@pytest.mark.parametrize("bit_budget", [0, 4])
def test_allocation_is_plain(bit_budget, data):
    X, y = data
    fitted = BitwiseRegressor(bit_budget=bit_budget, **TRAINING).fit(pd.DataFrame(X, columns=["a", "b", "c"]), y)
    assert packages_in(pickle.dumps(fitted)) <= {"skbsq", "numpy"}
    other = DUPLICATES["skops"](fitted)
    pd.testing.assert_frame_equal(other.quantizer_.allocation_, fitted.quantizer_.allocation_)


def test_hashes_are_those_of_the_content(data):
    X, y = data
    fitted = BitwiseRegressor(quantizer=SoftQuantizer(2), **TRAINING).fit(X, y)
    found = joblib.hash(fitted)
    assert joblib.hash(pickle.loads(pickle.dumps(fitted))) == found
    with torch.no_grad():
        fitted.head_[0].bias[0] += 1
    assert joblib.hash(fitted) != found


def test_memory_maps(data, tmp_path):
    """Arrays that cannot be written to, as workers of joblib get them."""
    X, y = data
    fitted = BitwiseRegressor(**TRAINING).fit(X, y)
    joblib.dump(fitted, tmp_path / "fitted")
    other = joblib.load(tmp_path / "fitted", mmap_mode="r")
    np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
    other.fit(X, y)


def test_a_head_that_was_changed_is_kept(data):
    X, y = data
    fitted = BitwiseRegressor(**TRAINING).fit(X, y)
    fitted.head_[1] = nn.Tanh()
    other = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(other.predict(X), fitted.predict(X))
    assert isinstance(other.head_[1], nn.Tanh)


def test_no_parameter_is_asked_for_what_the_net_was(data):
    X, y = data
    fitted = BitwiseRegressor(dropout=0.25, **TRAINING).fit(X, y)
    fitted.set_params(hidden_sizes=(3,), dropout=0.0, lr=1.0, device="cuda")
    other = pickle.loads(pickle.dumps(fitted))
    assert repr(other.head_) == repr(fitted.head_)
    assert (other.net_.lr, other.net_.device) == (2e-3, "cpu")


def test_a_pickle_with_the_net_itself_is_read(data):
    """As versions before this one wrote them."""
    X, y = data
    fitted = BitwiseRegressor(quantizer="passthrough", **TRAINING).fit(X, y)
    net = pickle.loads(pickle.dumps(fitted.net_))
    other = BitwiseRegressor()
    other.__setstate__({**vars(fitted), "net_": net})
    assert other.net_ is net


def test_unfitted():
    other = pickle.loads(pickle.dumps(BitwiseRegressor(head=Gated, lr=0.5)))
    assert vars(other) == vars(BitwiseRegressor(head=Gated, lr=0.5))


def test_checked():
    array = np.arange(6, dtype=">f4").reshape(2, 3)[:, ::2]
    array.flags.writeable = False
    copied = checked(array, "f4", (2, None), "array")
    np.testing.assert_array_equal(copied, array)
    assert copied.dtype.isnative
    assert copied.flags.c_contiguous
    assert copied.flags.writeable
    for value, message in [
        ([1.0], "must be an array, got list"),
        (np.zeros((2, 2), "f8"), r"must be float32 of shape \(2, \*\), got float64 of shape \(2, 2\)"),
        (np.zeros(2, "f4"), r"got float32 of shape \(2,\)"),
        (np.full((2, 1), np.inf, "f4"), "must be finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            checked(value, "f4", (2, None), "array")
    with pytest.raises(ValueError, match="must be numbers of shape"):
        checked(np.array(["a"]), None, (None,), "array")


def test_a_file_object_of_skops(data):
    X, y = data
    fitted = BitwiseRegressor(**TRAINING).fit(X, y)
    buffer = io.BytesIO()
    skops.io.dump(fitted, buffer)
    assert b"torch" not in buffer.getvalue()
    assert b"skorch" not in buffer.getvalue()
