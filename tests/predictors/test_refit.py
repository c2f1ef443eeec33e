"""A new head for the codebook in the field: what stays, what changes, and what an error leaves."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError
from skorch import NeuralNet
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c, to_onnx
from skbsq.nn.heads import MLP
from skbsq.persistence import load, save
from skbsq.training import loop

QUICK = {"max_epochs": 3, "hidden_sizes": (8,), "batch_size": 32, "random_state": 0}
NAN = float("nan")


def linear(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


CASES = {
    "default": BitwiseRegressor(3, **QUICK),
    "few rows": BitwiseRegressor(2, max_epochs=3, random_state=0),
    "uneven": BitwiseRegressor([3, 0, 2], **QUICK),
    "budget": BitwiseRegressor(bit_budget=6, **QUICK),
    "rates": BitwiseRegressor(4, rates=(0, 1, 3), missing="code", **QUICK),
    "rates in a budget": BitwiseRegressor(bit_budget=9, rates=(3, 6), **QUICK),
    "missing": BitwiseRegressor(2, missing="seen", **QUICK),
    "quantile": BitwiseRegressor(quantizer=QuantileQuantizer(2), **QUICK),
    "rates of quantile": BitwiseRegressor(rates=(1,), quantizer=QuantileQuantizer(2), **QUICK),
    "inner": BitwiseRegressor(quantizer=BitwiseQuantizer(3, rates=(1, 2)), **QUICK),
    "soft": BitwiseRegressor(quantizer=SoftQuantizer(2), missing="seen", **QUICK),
    "lsq": BitwiseRegressor(quantizer=LSQQuantizer(2), **QUICK),
    "llt": BitwiseClassifier(quantizer=LLTQuantizer(2), **QUICK),
    "linear": BitwiseRegressor(2, head=linear, **QUICK),
    "instance": BitwiseRegressor(2, head=MLP(9, 1, hidden_sizes=(8,)), **QUICK),
    "skorch": BitwiseRegressor(2, head=NeuralNet(linear, nn.L1Loss, max_epochs=3), random_state=0),
    "poisson": BitwiseRegressor(2, loss="poisson", **QUICK),
    "classifier": BitwiseClassifier(3, rates=(1,), class_weight="balanced", **QUICK),
}
each_case = pytest.mark.parametrize("case", CASES)
# What belongs to the codebook. A refit leaves it as it is.
OF_CODEBOOK = (
    "codebook_",
    "codebooks_",
    "thresholds_",
    "allocation_",
    "init_",
    "initial_thresholds_",
    "n_features_in_",
)


def data_of(case):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)).astype(np.float32)
    y = X[:, 0] + X[:, 1] ** 2
    if case in ("rates", "missing", "soft"):
        X[::5, 1] = NAN
    if case == "poisson":
        y = np.abs(y)
    return X, (np.array(["no", "yes"])[(y > 1).astype(int)] if case in ("classifier", "llt") else y)


@pytest.fixture(scope="module")
def fitted_bytes():
    fits = {}

    def bytes_of(case):
        if case not in fits:
            fits[case] = pickle.dumps(clone(CASES[case]).fit(*data_of(case)))
        return fits[case]

    return bytes_of


@pytest.fixture
def fresh(fitted_bytes):
    """Fitted once per case, and copied, because a refit changes the estimator."""
    return lambda case: pickle.loads(fitted_bytes(case))


def kept(estimator):
    """What a refit must not change, as bytes."""
    parts = [getattr(estimator, name, None) for name in OF_CODEBOOK] + [estimator.quantizer_.codebook_]
    return pickle.dumps([part.to_dict() if isinstance(part, pd.DataFrame) else part for part in parts])


def outputs(estimator, X):
    rates = [None, *(estimator.codebooks_ if hasattr(estimator, "rates_") else [])]
    names = ["predict", *(["predict_proba"] if hasattr(estimator, "predict_proba") else [])]
    return [getattr(estimator, name)(X, rate=rate) for name in names for rate in rates]


def assert_same(one, other, X):
    for found, expected in zip(outputs(one, X), outputs(other, X), strict=True):
        assert_array_equal(found, expected)


def interrupt(monkeypatch, k):
    """Interrupt call number k of the loop over the epochs."""
    calls, run_epochs = [], loop._run_epochs

    def interrupted(*args, **given):
        calls.append(args)
        if len(calls) == k:
            raise KeyboardInterrupt
        return run_epochs(*args, **given)

    monkeypatch.setattr(loop, "_run_epochs", interrupted)


def drifted(y):
    return np.where(y == "no", "yes", "no") if y.dtype.kind == "U" else y[::-1] * 2 + 10


# -- what stays and what changes -----------------------------------------------------------------------------


@each_case
def test_the_codebook_stays_and_the_head_is_new(case, fresh):
    (X, y), fitted = data_of(case), fresh(case)
    codes, before, predicted = fitted.codebook_.encode(X), kept(fitted), fitted.predict(X)
    n_inputs = fitted.net_.module_.column_map
    assert fitted.refit_head(codes, drifted(y)) is fitted
    assert kept(fitted) == before
    assert fitted.get_params(deep=False).keys() == CASES[case].get_params(deep=False).keys()
    assert not np.array_equal(fitted.predict(X), predicted)
    if n_inputs is not None:
        assert fitted.net_.module_.column_map.numel() == n_inputs.numel()
    if hasattr(fitted.quantizer_, "net_"):
        assert fitted.quantizer_.net_ is fitted.net_
        assert fitted.quantizer_.target_mean_ is fitted.target_mean_
        assert getattr(fitted.quantizer_, "rates_", None) is getattr(fitted, "rates_", None)


@each_case
def test_one_path_for_floats_codes_bytes_and_copies(case, fresh, tmp_path):
    (X, y), fitted = data_of(case), fresh(case)
    book = fitted.codebook_
    fitted.refit_head(book.encode(X), drifted(y), sample_weight=np.linspace(0, 2, len(y)))
    for rate, of_rate in fitted.codebooks_.items() if hasattr(fitted, "rates_") else [(None, book)]:
        codes, expected = of_rate.encode(X), fitted.predict(X, rate=rate)
        assert_array_equal(fitted.predict_codes(codes, rate=rate), expected)
        assert_array_equal(fitted.predict_packed(RowCodec(of_rate).pack(codes), rate=rate), expected)
        assert_array_equal(fitted.predict_packed(dumps(of_rate, codes)), expected)
        if rate is not None:
            assert_array_equal(fitted.at(rate).predict(X), expected)
    assert_same(pickle.loads(pickle.dumps(fitted)), fitted, X)
    save(fitted, tmp_path / "model")
    assert_same(load(tmp_path / "model", **({} if fitted.head is None else {"head": fitted.head})), fitted, X)


@each_case
def test_a_seed_determines_the_head(case, fresh):
    (X, y), one, other = data_of(case), fresh(case), fresh(case)
    codes = one.codebook_.encode(X)
    one.refit_head(codes, drifted(y))
    other.refit_head(codes, y).refit_head(codes, drifted(y))  # the old head leaves no trace
    assert_same(one, other, X)
    for name in ("target_mean_", "target_scale_", "feature_importances_", "target_range_"):
        assert_array_equal(getattr(one, name, None), getattr(other, name, None))


def test_thresholds_at_zero():
    """The next float above 0 is subnormal, and training flushes it to 0."""
    X = np.tile([[0.0], [1.0]], (60, 1))
    fitted = BitwiseRegressor(quantizer=ThresholdQuantizer([0]), **QUICK).fit(X, X[:, 0])
    fitted.set_params(max_epochs=20, lr=0.05).refit_head(fitted.codebook_.encode(X), 5 - X[:, 0])
    assert fitted.predict([[0.0], [1.0]]) == pytest.approx([5, 4], abs=0.1)


def test_float_targets_of_the_new_rows(fresh):
    (X, y), fitted = data_of("default"), fresh("default")
    fitted.refit_head(fitted.codebook_.encode(X), np.column_stack([y, 100 + y]))
    assert fitted.predict(X).shape == (120, 2)
    assert fitted.target_ndim_ == 2
    assert_array_equal(fitted.target_range_[0], np.float32([y.min(), 100 + y.min()]))
    assert fitted.target_mean_ == pytest.approx([y.mean(), 100 + y.mean()])
    assert fitted.n_iter_ == 3


def test_new_labels(fresh):
    (X, _), fitted = data_of("classifier"), fresh("classifier")
    labels = np.array(["a", "b", "c"])[np.arange(120) % 3]
    fitted.refit_head(fitted.codebook_.encode(X), labels)
    assert fitted.classes_.tolist() == ["a", "b", "c"]
    assert fitted.predict_proba(X, rate=1).shape == (120, 3)
    assert set(fitted.predict(X)) <= set(labels)


def test_present_parameters_hold(fresh):
    (X, y), fitted = data_of("default"), fresh("default")
    fitted.set_params(max_epochs=5, hidden_sizes=(4,), n_bits=1).refit_head(fitted.codebook_.encode(X), y)
    assert (fitted.n_iter_, fitted.head_[0].out_features, fitted.codebook_.row_bits) == (5, 4, 9)


@pytest.mark.parametrize("case", ["rates", "classifier", "rates of quantile", "inner"])
def test_a_predictor_at_a_rate(case, fresh):
    (X, y), fitted = data_of(case), fresh(case)
    expected, model = outputs(fitted, X), fitted.at(1)
    before = kept(model)
    model.refit_head(model.codebook_.encode(X), drifted(y))
    assert kept(model) == before
    assert_array_equal(model.predict_codes(model.codebook_.encode(X)), model.predict(X))
    for found, old in zip(outputs(fitted, X), expected, strict=True):  # the other predictor keeps its head
        assert_array_equal(found, old)


def test_equal_rates_stay_equal(fresh):
    """No feature loses bits at rate 3 of a codebook with up to 2 bits, so that both share a net."""
    (X, y), fitted = data_of("rates"), fresh("rates")
    X = np.round(X)  # few distinct values, so that 4 and 3 bits give equal codebooks
    fitted = clone(fitted).fit(np.clip(X, -2, 2), y)
    assert fitted.codebooks_[3] == fitted.codebooks_[4]
    fitted.refit_head(fitted.codebook_.encode(X), y)
    assert fitted.rates_[3].module is fitted.rates_[4].module is fitted.net_.module_
    assert fitted.rates_[1].module is not fitted.net_.module_


def test_exports(fresh):
    runtime = pytest.importorskip("onnxruntime")
    (X, y), fitted = data_of("default"), fresh("default")
    header = to_c(fitted, "device")
    fitted.refit_head(fitted.codebook_.encode(X), y + 100)
    session = runtime.InferenceSession(to_onnx(fitted).SerializeToString())
    (found,) = session.run(["prediction"], {"X": X})
    np.testing.assert_allclose(found, fitted.predict(X), rtol=1e-5)
    assert to_c(fitted, "device") == header


# -- what it is for ------------------------------------------------------------------------------------------


def test_error_of_a_refit():
    """On the same rows it is about that of the fit; after a drift it is far below that of the old head."""
    X, y = make_friedman1(1200, noise=0.5, random_state=0)
    given = {"max_epochs": 30, "hidden_sizes": (32,), "random_state": 0}
    fitted = BitwiseRegressor(3, rates=(1,), **given).fit(X[:800], y[:800])
    codes, book = fitted.codebook_.encode(X), fitted.codebook_
    first = {rate: fitted.score(X[800:], y[800:], rate=rate) for rate in (3, 1)}
    fitted.refit_head(codes[:800], y[:800])
    for rate, score in first.items():
        assert fitted.score(X[800:], y[800:], rate=rate) > score - 0.03
    now = y + 10 * X[:, 9]  # a feature that did not matter before
    old = {rate: fitted.score(X[800:], now[800:], rate=rate) for rate in (3, 1)}
    fitted.refit_head(codes[:800], now[:800])
    for rate, score in old.items():
        assert fitted.score(X[800:], now[800:], rate=rate) > score + 0.1
    assert fitted.codebook_.fingerprint == book.fingerprint


# -- errors --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "y", "weights", "message"),
    [
        ([[9, 0, 0]] * 3, [1, 2, 3], None, "Code 9 of feature 0"),
        ([[0, 0]] * 3, [1, 2, 3], None, "codes has 2 features"),
        ([[0.5, 0, 0]] * 3, [1, 2, 3], None, "codes must be whole numbers"),
        ([[0, 0, 0]] * 3, [1, 2], None, "inconsistent numbers of samples"),
        ([[0, 0, 0]] * 3, None, None, "requires y to be passed"),
        ([[0, 0, 0]] * 3, [1, NAN, 3], None, "contains NaN"),
        ([[0, 0, 0]] * 3, [1, 2, 3], [1, 0, 0], "At least 2 rows"),
        ([[0, 0, 0]] * 3, [1, 2, 3], [1, -1, 0], "must not be negative"),
    ],
)
def test_wrong_rows(codes, y, weights, message, fresh):
    X, fitted = data_of("default")[0], fresh("default")
    with pytest.raises(ValueError, match=message):
        fitted.refit_head(codes, y, weights)
    assert_same(fitted, fresh("default"), X)


def test_one_class(fresh):
    with pytest.raises(ValueError, match="one class only"):
        fresh("classifier").refit_head([[0, 0, 0]] * 3, ["a"] * 3)


def test_without_codes_or_fit():
    X, y = data_of("default")
    floats = BitwiseRegressor(quantizer="passthrough", **QUICK)
    with pytest.raises(NotFittedError):
        floats.refit_head([[0, 0, 0]], [1])
    with pytest.raises(ValueError, match=r'quantizer="passthrough" there are none: .* Use fit'):
        floats.fit(X, y).refit_head([[0, 0, 0]] * 2, [1, 2])


@pytest.mark.parametrize("case", ["rates", "inner", "classifier"])
@pytest.mark.parametrize("training", [1, 2])
def test_all_or_nothing(case, training, fresh, monkeypatch):
    """An interrupt in the training of the head, or in that of a rate behind it."""
    (X, y), fitted = data_of(case), fresh(case)
    attributes, of_quantizer = dict(vars(fitted)), dict(vars(fitted.quantizer_))
    interrupt(monkeypatch, training)
    with pytest.raises(KeyboardInterrupt):
        fitted.refit_head(fitted.codebook_.encode(X), drifted(y))
    assert vars(fitted).keys() == attributes.keys()
    assert all(vars(fitted)[name] is value for name, value in attributes.items())
    assert all(vars(fitted.quantizer_)[name] is value for name, value in of_quantizer.items())
    assert_same(fitted, fresh(case), X)


def test_checkpoint(fresh, tmp_path, monkeypatch):
    """An interrupted refit resumes, and the file of another fit is refused."""
    (X, y), fitted, expected = data_of("rates"), fresh("rates"), fresh("rates")
    codes, path = fitted.codebook_.encode(X), tmp_path / "state"
    expected.refit_head(codes, y)
    with monkeypatch.context() as patch:
        interrupt(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            fitted.set_params(checkpoint=path).refit_head(codes, y)
    assert path.exists()
    with pytest.raises(ValueError, match="belongs to a different fit"):
        fresh("rates").set_params(checkpoint=path).fit(X, y)
    fitted.refit_head(codes, y)
    assert not path.exists()
    assert_same(fitted, expected, X)


def test_names_of_features():
    X, y = data_of("default")
    frame = pd.DataFrame(X, columns=list("abc"))
    fitted = BitwiseRegressor(2, **QUICK).fit(frame, y)
    codes = pd.DataFrame(fitted.codebook_.encode(frame), columns=list("abc"))
    fitted.refit_head(codes, y)
    with pytest.raises(ValueError, match="Column 0 of codes is 'c'"):
        fitted.refit_head(codes[list("cba")], y)
    with pytest.raises(ValueError, match="Code 4 of feature 'b'"):
        fitted.refit_head(codes.assign(b=4), y)
