"""Predictions at several rates: one path for floats, codes, packed rows and messages, and copies of the estimator."""

import pickle
from collections import OrderedDict
from itertools import cycle, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from torch import nn

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    QuantileQuantizer,
    ThresholdQuantizer,
)
from skbsq.codec import RowCodec, dumps
from skbsq.export import to_c, to_codebook, to_onnx
from skbsq.model_selection import row_bits
from skbsq.persistence import load, save
from tests.export import driver, tools
from tests.strategies import neighbours

QUICK = {"max_epochs": 3, "hidden_sizes": (8,), "batch_size": 32, "random_state": 0}
NAN = float("nan")


def sequential(n_inputs, n_outputs):
    layers = {"first": nn.Linear(n_inputs, 8, bias=False), "act": nn.ReLU(), "last": nn.Linear(8, n_outputs)}
    return nn.Sequential(OrderedDict(layers))


def sequential_with_bias(n_inputs, n_outputs):
    head = sequential(n_inputs, n_outputs)
    head[0] = nn.Linear(n_inputs, 8)
    return head


def linear(n_inputs, n_outputs):
    return nn.Linear(n_inputs, n_outputs)


SKORCH = NeuralNet(sequential, nn.MSELoss, max_epochs=3, batch_size=32, callbacks=[EarlyStopping(patience=9)])
SKORCH_CLASSIFIER = NeuralNetClassifier(sequential, criterion=nn.CrossEntropyLoss, max_epochs=3, batch_size=32)
CASES = {
    "default": BitwiseRegressor(4, rates=(0, 1, 3), **QUICK),
    "budget": BitwiseRegressor(bit_budget=9, rates=(0, 3, 6), **QUICK),
    "seen": BitwiseRegressor(3, rates=(1, 2), missing={0: "error", 1: "seen", 2: "error"}, **QUICK),
    "code": BitwiseRegressor(3, rates=(1, 2), missing="code", **QUICK),
    "quantile": BitwiseRegressor(rates=(1, 2), quantizer=QuantileQuantizer(3), **QUICK),
    "kmeans": BitwiseRegressor(rates=(1,), quantizer=KMeansQuantizer([3, 1, 0]), missing="code", **QUICK),
    "thresholds": BitwiseRegressor(rates=(0, 1), quantizer=ThresholdQuantizer([-1, 0, 1]), **QUICK),
    "inner": BitwiseRegressor(quantizer=BitwiseQuantizer(3, rates=(1, 2)), **QUICK),
    "inner budget": BitwiseRegressor(rates=(4,), quantizer=BitwiseQuantizer(bit_budget=8), **QUICK),
    "sequential": BitwiseRegressor(3, rates=(1, 2), head=sequential, **QUICK),
    "linear": BitwiseRegressor(3, rates=(1, 2), head=linear, **QUICK),
    "instance": BitwiseRegressor(3, rates=(1, 2), head=nn.Sequential(nn.Linear(21, 8), nn.Linear(8, 1)), **QUICK),
    "linear behind fixed": BitwiseRegressor(rates=(1,), head=linear, quantizer=QuantileQuantizer(2), **QUICK),
    "skorch": BitwiseRegressor(3, rates=(1, 2), head=SKORCH, early_stopping=True, random_state=0),
    "early stopping": BitwiseRegressor(3, rates=(1, 2), early_stopping=True, **QUICK),
    "classifier": BitwiseClassifier(3, rates=(1, 2), class_weight="balanced", **QUICK),
    "skorch classifier": BitwiseClassifier(3, rates=(1, 2), head=SKORCH_CLASSIFIER, random_state=0),
}
each_case = pytest.mark.parametrize("case", CASES)


def data_of(case):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 3)).astype(np.float32)
    y = X[:, 0] + X[:, 1] ** 2
    if case in ("seen", "code", "kmeans"):
        X[::5, 1] = NAN
    return X, (np.array(["no", "yes"])[(y > 1).astype(int)] if "classifier" in case else y)


@pytest.fixture(scope="module")
def fit_once():
    fits = {}

    def fitted(case):
        if case not in fits:
            X, y = data_of(case)
            fits[case] = clone(CASES[case]).fit(X, y, sample_weight=np.linspace(0.5, 2, len(y)))
        return fits[case]

    return fitted


def outputs(estimator, X):
    """Predictions of all rates, classes and probabilities."""
    names = ["predict", *(["predict_proba"] if hasattr(estimator, "predict_proba") else [])]
    return [getattr(estimator, name)(X, rate=rate) for name in names for rate in (None, *estimator.codebooks_)]


def assert_same(one, other, X):
    assert one.codebooks_ == other.codebooks_
    for found, expected in zip(outputs(one, X), outputs(other, X), strict=True):
        assert_array_equal(found, expected)


# -- one path ------------------------------------------------------------------------------------------------


@each_case
def test_floats_codes_and_bytes_agree(case, fit_once):
    X, fitted = data_of(case)[0], fit_once(case)
    for rate, book in fitted.codebooks_.items():
        codes, expected = book.encode(X), fitted.predict(X, rate=rate)
        assert_array_equal(fitted.predict_codes(codes, rate=rate), expected)
        assert_array_equal(fitted.predict_packed(RowCodec(book).pack(codes), rate=rate), expected)
        for given in ({}, {"rate": rate}):
            assert_array_equal(fitted.predict_packed(dumps(book, codes), **given), expected)


@each_case
def test_a_gateway_lowers_the_rate(case, fit_once):
    X, fitted = data_of(case)[0], fit_once(case)
    for (_, fine), (rate, coarse) in pairwise(fitted.codebooks_.items()):
        codes = fine.recode(fine.encode(X), coarse)
        assert_array_equal(fitted.predict_codes(codes, rate=rate), fitted.predict(X, rate=rate))


@each_case
def test_rates_differ_and_learn(case, fit_once):
    (X, y), fitted = data_of(case), fit_once(case)
    found = [fitted.predict(X), *(fitted.predict(X, rate=rate) for rate in fitted.codebooks_)]
    assert_array_equal(found[0], found[1])
    assert len({out.tobytes() for out in found}) == len({book.to_json() for book in fitted.codebooks_.values()})
    metric = accuracy_score if "classifier" in case else r2_score
    for rate in fitted.codebooks_:
        weights = np.linspace(0, 1, len(y))
        expected = metric(y, fitted.predict(X, rate=rate), sample_weight=weights)
        assert fitted.score(X, y, weights, rate=rate) == pytest.approx(expected)


def test_one_stream_of_several_rates(fit_once):
    X, fitted = data_of("default")[0], fit_once("default")
    parts = [(3, X[:4]), (3, X[4:5]), (1, X[5:20]), (4, X[20:21]), (0, X[21:25]), (1, X[25:26])]
    stream = b"".join(
        dumps(book, book.encode(rows), pad_rows=rate != 1) for rate, rows in parts for book in [fitted.codebooks_[rate]]
    )
    expected = np.concatenate([fitted.predict(rows, rate=rate) for rate, rows in parts])
    assert_array_equal(fitted.predict_packed(stream), expected)
    assert_array_equal(fitted.predict_packed(np.frombuffer(stream, dtype=np.uint8)), expected)
    with pytest.raises(ValueError, match="another codebook"):
        fitted.predict_packed(stream, rate=3)


def test_probabilities(fit_once):
    X, fitted = data_of("classifier")[0], fit_once("classifier")
    for rate, book in fitted.codebooks_.items():
        proba = fitted.predict_proba(X, rate=rate)
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        assert_array_equal(fitted.classes_[proba.argmax(axis=1)], fitted.predict(X, rate=rate))
        np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X, rate=rate)), proba)
        codes = book.encode(X)
        assert_array_equal(fitted.predict_proba_codes(codes, rate=rate), proba)
        assert_array_equal(fitted.predict_proba_packed(RowCodec(book).pack(codes), rate=rate), proba)
    mixed = b"".join(dumps(book, book.encode(X[:3])) for book in fitted.codebooks_.values())
    expected = np.concatenate([fitted.predict_proba(X[:3], rate=rate) for rate in fitted.codebooks_])
    assert_array_equal(fitted.predict_proba_packed(mixed), expected)


def test_several_targets():
    X, y = data_of("default")
    fitted = BitwiseRegressor(2, rates=(1,), **QUICK).fit(X, np.column_stack([y, -y]))
    assert fitted.predict(X, rate=1).shape == (150, 2)
    assert_array_equal(fitted.predict_codes(fitted.codebooks_[1].encode(X), rate=1), fitted.predict(X, rate=1))


def test_missing_codes_of_each_rate(fit_once):
    """NaN never shares a code with a number, except at 0 bits."""
    fitted = fit_once("code")
    for book in fitted.codebooks_.values():
        assert_array_equal(book.has_missing, book.n_bits > 0)
    with pytest.raises(ValueError, match="NaN in feature 0"):
        fit_once("seen").predict([[NAN, 0, 0]], rate=1)


def test_a_codebook_with_a_folded_scaler(fit_once):
    X, y = data_of("default")
    scaler = StandardScaler().fit(X)
    fitted = BitwiseRegressor(3, rates=(1,), **QUICK).fit(scaler.transform(X), y)
    folded = to_codebook(make_pipeline(scaler, fitted.quantizer_.at(1)))
    codes = folded.encode(X)
    expected = fitted.predict_codes(codes, rate=1)
    assert_array_equal(fitted.predict_packed(dumps(folded, codes), folded, rate=1), expected)
    assert_array_equal(fitted.predict_packed(RowCodec(folded).pack(codes), folded, rate=1), expected)
    for rate in (None, 3):
        with pytest.raises(ValueError, match="codebook was not folded from that"):
            fitted.predict_packed(dumps(folded, codes), folded, rate=rate)


def test_names_of_features(fit_once):
    X, y = data_of("default")
    fitted = BitwiseRegressor(3, rates=(1,), **QUICK).fit(pd.DataFrame(X, columns=list("abc")), y)
    assert [book.feature_names for book in fitted.codebooks_.values()] == [("a", "b", "c")] * 2


# -- codes on the device -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["default", "code"])
def test_numpy_torch_and_c_agree_beside_all_thresholds(case, fit_once, tmp_path):
    fitted = fit_once(case)
    values = neighbours(np.concatenate(fitted.thresholds_))
    X = np.stack([values, values[::-1], np.roll(values, 7)], axis=1)
    if case == "code":
        X[::4, 1] = NAN
    command = tools.need_c(*driver.FLAVOURS["c99"])
    program = driver.build(tmp_path, {"model": to_c(fitted, "model")}, {"model": "float"}, command)
    codes_of = {rate: found.codebook.encode(X) for rate, found in fitted.rates_.items()}
    accepted = np.zeros(len(X), dtype=np.int32)
    packed = [(accepted, RowCodec(fitted.codebooks_[rate]).pack(codes)) for rate, codes in codes_of.items()]
    driver.check_rates(program, "model", X, packed)

    # The device changes the rate after every second row.
    stream = driver.run(program, "model", "mixed", X)
    pairs = [(rate, codes_of[rate][i : i + 2]) for rate, i in zip(cycle(codes_of), range(0, len(X) - 1, 2))]
    assert stream == b"".join(dumps(fitted.codebooks_[rate], codes) for rate, codes in pairs)
    y = np.concatenate([fitted.predict_codes(codes, rate=rate) for rate, codes in pairs])
    assert_array_equal(fitted.predict_packed(stream), y)

    for found, codes in zip(fitted.rates_.values(), codes_of.values(), strict=True):
        book = found.codebook
        with torch.inference_mode():
            by_floats, by_codes = found.module(torch.from_numpy(X)), found.module.from_codes(torch.from_numpy(codes))
        assert torch.equal(by_floats, by_codes)
        bits = found.module.quantization(torch.from_numpy(X)).numpy()[:, : book.n_columns]
        assert_array_equal(bits, book.thermometer(codes))


# -- wrong use -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [2, True, 1.0, "1"], ids=repr)
def test_unknown_rate(rate, fit_once):
    X, fitted = data_of("default")[0], fit_once("default")
    codes = fitted.codebook_.encode(X)
    calls = [
        lambda: fitted.predict(X, rate=rate),
        lambda: fitted.predict_codes(codes, rate=rate),
        lambda: fitted.predict_packed(dumps(fitted.codebook_, codes), rate=rate),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"There is no rate .*: the rates of this model are \[4, 3, 1, 0\]"):
            call()


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(3), "passthrough"], ids=str)
def test_without_rates(quantizer):
    X, y = data_of("default")
    fitted = BitwiseRegressor(3, quantizer=quantizer, **QUICK).fit(X, y)
    for call in (lambda: fitted.predict(X, rate=3), lambda: fitted.predict_codes([[0, 0, 0]], rate=3)):
        with pytest.raises(ValueError, match=r"There is no rate 3. There is only one rate: fit with rates="):
            call()
    with pytest.raises(AttributeError, match="There is only one rate"):
        fitted.codebooks_  # noqa: B018


def test_not_fitted():
    X, _ = data_of("default")
    estimator = CASES["default"]
    for call in (
        lambda: estimator.predict(X, rate=1),
        lambda: estimator.predict_codes([[0, 0, 0]], rate=1),
        lambda: estimator.predict_packed(b"", rate=1),
        lambda: estimator.codebooks_,
    ):
        with pytest.raises(NotFittedError):
            call()


def test_codes_of_another_rate_are_out_of_range(fit_once):
    fitted = fit_once("default")
    with pytest.raises(ValueError, match="Code 9 of feature 0"):
        fitted.predict_codes([[9, 0, 0]], rate=1)


def test_a_refit_without_rates_has_none():
    X, y = data_of("default")
    fitted = BitwiseRegressor(2, rates=(1,), **QUICK).fit(X, y).set_params(rates=()).fit(X, y)
    assert not hasattr(fitted, "rates_")
    assert not hasattr(fitted.quantizer_, "rates_")


def test_a_failed_refit_changes_nothing(fit_once):
    X, y = data_of("default")
    fitted = pickle.loads(pickle.dumps(fit_once("default"))).set_params(rates=(7,))
    with pytest.raises(ValueError, match="below the bits"):
        fitted.fit(X, y)
    assert_same(fitted, fit_once("default"), X)


# -- copies --------------------------------------------------------------------------------------------------


@each_case
def test_pickle(case, fit_once):
    X, fitted = data_of(case)[0], fit_once(case)
    copied = pickle.loads(pickle.dumps(fitted))
    assert_same(copied, fitted, X)
    if hasattr(fitted.quantizer_, "rates_"):
        assert copied.rates_ is copied.quantizer_.rates_


@each_case
def test_file(case, fit_once, tmp_path):
    X, fitted = data_of(case)[0], fit_once(case)
    given = {} if fitted.head is None else {"head": fitted.head}
    save(fitted, tmp_path / "model")
    loaded = load(tmp_path / "model", **given)
    assert_same(loaded, fitted, X)
    assert loaded.rates == fitted.rates
    heads = [found.module.head for found in loaded.rates_.values()]
    if case == "default":
        assert all(list(head)[1:] == list(loaded.head_)[1:] for head in heads)  # not copied
    # Also a pickled estimator can be saved, and the bytes are equal.
    save(pickle.loads(pickle.dumps(loaded)), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


def test_clone_fits_the_same(fit_once):
    (X, y), fitted = data_of("default"), fit_once("default")
    again = clone(fitted).fit(X, y, sample_weight=np.linspace(0.5, 2, len(y)))
    assert_same(again, fitted, X)


# -- a predictor of one rate ---------------------------------------------------------------------------------


def all_outputs(model, X, **rate):
    names = ["predict", *(["predict_proba", "predict_log_proba"] if hasattr(model, "predict_proba") else [])]
    return [getattr(model, name)(X, **rate) for name in names]


def assert_equal_outputs(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


@each_case
def test_at_predicts_the_same(case, fit_once):
    X, fitted = data_of(case)[0], fit_once(case)
    before = outputs(fitted, X)
    for rate, book in fitted.codebooks_.items():
        model = fitted.at(rate)
        assert type(model) is type(fitted)
        assert (model.codebook_, row_bits(model), to_codebook(model)) == (book, book.row_bits, book)
        assert not hasattr(model, "rates_")
        assert not hasattr(model, "feature_importances_")
        assert_equal_outputs(all_outputs(model, X), all_outputs(fitted, X, rate=rate))
        codes = book.encode(X)
        for found in (
            model.predict_codes(codes),
            model.predict_packed(RowCodec(book).pack(codes)),
            model.predict_packed(dumps(book, codes)),
        ):
            assert_array_equal(found, fitted.predict(X, rate=rate))
        for parameter in model.net_.module_.parameters():  # training goes on without the other model
            parameter.data.fill_(0)
    assert_equal_outputs(outputs(fitted, X), before)


@each_case
def test_copies_of_a_predictor_at_a_rate(case, fit_once, tmp_path):
    (X, y), fitted = data_of(case), fit_once(case)
    for rate in fitted.codebooks_:
        model = fitted.at(rate)
        expected = all_outputs(model, X)
        assert_equal_outputs(all_outputs(pickle.loads(pickle.dumps(model)), X), expected)
        again = clone(model).fit(X, y)
        for one, other in zip(again.thresholds_, model.thresholds_, strict=True):
            assert_array_equal(one, other)
        # A first layer without a bias has one at a coarser rate.
        head = model.head
        if isinstance(head, NeuralNet) and rate != max(fitted.codebooks_):
            head = clone(head).set_params(module=sequential_with_bias)
        elif head is sequential and rate != max(fitted.codebooks_):
            head = sequential_with_bias
        save(model, tmp_path / "model")
        loaded = load(tmp_path / "model", **({} if head is None else {"head": head}))
        assert_equal_outputs(all_outputs(loaded, X), expected)
        assert loaded.codebook_ == model.codebook_


def test_a_predictor_at_a_rate_with_the_default_head():
    """With few rows the head is an average of four networks, and the rows held out find the length."""
    X, y = data_of("default")
    fitted = BitwiseRegressor(2, rates=(1,), validation_fraction=0.2, random_state=0).fit(X[:60], y[:60])
    model = fitted.at(1)
    assert_array_equal(model.predict(X), fitted.predict(X, rate=1))
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    pd.testing.assert_frame_equal(model.history_, fitted.history_)


@pytest.mark.parametrize("case", ["code", "classifier"])
def test_exports_of_a_predictor_at_a_rate(case, fit_once):
    runtime = pytest.importorskip("onnxruntime")
    X, fitted = data_of(case)[0], fit_once(case)

    def run(model, name, rows):
        session = runtime.InferenceSession(model.SerializeToString())
        return dict(zip([out.name for out in session.get_outputs()], session.run(None, {name: rows}), strict=True))

    for rate, book in fitted.codebooks_.items():
        model, codes = fitted.at(rate), book.encode(X)
        assert to_c(model, "rate") == to_c(book, "rate")
        assert_array_equal(run(to_onnx(model, part="encoder"), "X", X)["codes"], codes)
        for found in (run(to_onnx(model), "X", X), run(to_onnx(model, part="head"), "codes", codes)):
            if case == "classifier":
                assert_array_equal(found["label"], model.predict(X))
                np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), rtol=1e-4, atol=1e-6)
            else:
                np.testing.assert_allclose(found["prediction"], model.predict(X), rtol=1e-4, atol=1e-5)


def test_a_predictor_at_a_rate_in_a_pipeline(fit_once):
    (X, y), fitted = data_of("default"), fit_once("default")
    pipeline = make_pipeline(StandardScaler(with_mean=False, with_std=False).fit(X), fitted.at(1))
    assert_array_equal(pipeline.predict(X), fitted.predict(X, rate=1))
    assert pipeline.score(X, y) == pytest.approx(fitted.score(X, y, rate=1))
    assert to_codebook(pipeline).row_bits == row_bits(pipeline) == fitted.codebooks_[1].row_bits


class Fixed(BitwiseRegressor):
    """A constructor without the parameters that `at` changes."""

    def __init__(self, lr=0.01):
        super().__init__(2, rates=(1,), lr=lr, **QUICK)


def test_a_subclass_at_a_rate():
    X, y = data_of("default")
    fitted = Fixed().fit(X, y)
    assert type(fitted.at(1)) is Fixed
    assert_array_equal(fitted.at(1).predict(X), fitted.predict(X, rate=1))
    assert fitted.rates == (1,)


def test_at_an_unknown_rate(fit_once):
    for rate in (2, True, "1", None):
        with pytest.raises(ValueError, match=r"There is no rate .*: the rates of this model are \[4, 3, 1, 0\]"):
            fit_once("default").at(rate)
    with pytest.raises(AttributeError, match="There is only one rate"):
        fit_once("default").at(1).at(1)
    with pytest.raises(NotFittedError):
        CASES["default"].at(1)
