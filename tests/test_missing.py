"""What NaN means, end to end: features that may be missing, features that may not, and features of 0 bits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_friedman1

from skbsq import (
    BitwiseClassifier,
    BitwiseRegressor,
    Codebook,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
)
from skbsq.codec import RowCodec
from skbsq.exceptions import MissingCodeWarning
from skbsq.export import to_c, to_onnx
from skbsq.outofcore import predict, transform
from tests import reference
from tests.export import driver
from tests.export.test_onnx import run
from tests.export.tools import need_c
from tests.strategies import codebooks

NAN = float("nan")
QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
NAMES = ["gaps", "never", "unsent", "constant"]
# The features: with NaN in fit, without, of 0 bits by n_bits, and of 0 bits because nothing varies.
N_BITS = [2, 2, 0, 2]
MAY_BE_NAN = [True, False, True, True]


def mixed(rng):
    X = pd.DataFrame(rng.normal(size=(120, 4)).astype(np.float32), columns=NAMES).assign(constant=np.float32(7))
    X.loc[::7, "gaps"] = NAN
    return X, np.nan_to_num(X["gaps"]) + X["never"].to_numpy() ** 2


def with_nan_in_turn(X):
    """Eight rows: none, each feature alone, and several at once."""
    rows = X.iloc[1:9].reset_index(drop=True)
    for row, columns in enumerate([[], [0], [1], [2], [3], [0, 2, 3], [0, 1], [1, 2, 3]]):
        rows.iloc[row, columns] = NAN
    return rows, np.array([0, 0, 1, 0, 0, 0, 1, 1], dtype=bool)


def test_features_without_nan_stay_alive_at_one_bit():
    """A missing code for every feature leaves a feature of 1 bit no threshold: the model predicts the mean."""
    X, y = make_friedman1(200, random_state=0)
    model = BitwiseRegressor(1, init="quantile", **QUICK | {"max_epochs": 15, "lr": 0.02})
    with pytest.warns(MissingCodeWarning, match="leaves no threshold to the features .*'x0', .*'x9'") as caught:
        dead = clone(model).set_params(missing="code").fit(X, y)
    assert len(caught) == 1
    seen = clone(model).set_params(missing="seen").fit(X, y)
    assert dead.score(X, y) < 0.05
    assert seen.score(X, y) > 0.6
    np.testing.assert_array_equal(seen.predict(X), clone(model).fit(X, y).predict(X))
    X[::5, 0] = NAN
    assert seen.fit(X, y).score(X, y) > 0.4
    assert seen.codebook_.n_levels.tolist() == [2] * 10
    assert seen.codebook_.has_missing.tolist() == [True] + [False] * 9


@pytest.mark.parametrize("parameter", ["init", "quantizer"])
def test_one_warning_for_a_quantizer_within(rng, parameter):
    X, y = mixed(rng)
    model = BitwiseRegressor(1, missing="code", **QUICK, **{parameter: QuantileQuantizer(1)})
    with pytest.warns(MissingCodeWarning, match=r"\['never', 'unsent'\]") as caught:
        model.fit(X, y)
    assert len(caught) == 1


# -- the same rows are refused everywhere --------------------------------------------------------------------------


def fitted_on_mixed(rng):
    X, y = mixed(rng)
    model = BitwiseRegressor(N_BITS, missing="seen", **QUICK).fit(X, y)
    return model, *with_nan_in_turn(X)


def test_python_refuses_by_name_and_row(rng):
    model, X, refused = fitted_on_mixed(rng)
    book = model.codebook_
    assert book.refuses_nan.tolist() == [not may for may in MAY_BE_NAN]
    encoders = [book.encode, model.quantizer_.transform, model.predict, lambda X: list(transform(model, X))]
    for encode in [*encoders, lambda X: list(predict(model, X))]:
        encode(X[~refused])
        for row in np.flatnonzero(refused):
            with pytest.raises(ValueError, match=r"NaN in feature 'never' \(row 0\), which has no missing code"):
                encode(X.iloc[[row]])
        with pytest.raises(ValueError, match=r"NaN in feature 'never' \(row 2\)"):
            encode(X)
    codes = book.encode(X[~refused])
    assert (codes[:, 2:] == 0).all()
    assert (codes[np.isnan(X["gaps"])[~refused], 0] == 3).all()


def test_the_c_refuses_the_same_rows(rng, tmp_path):
    model, X, refused = fitted_on_mixed(rng)
    program = driver.build(tmp_path, {"x": to_c(model, "x")}, {"x": "float"}, need_c(*driver.FLAVOURS["c99"]))
    X, codec = X.to_numpy(), RowCodec(model.codebook_)
    rows = np.zeros((len(X), codec.row_bytes), dtype=np.uint8)
    rows[~refused] = codec.pack(model.codebook_.encode(X[~refused]))
    driver.check_rows(program, "x", X, np.where(refused, 2, 0), rows)


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(N_BITS), "passthrough"], ids=str)
def test_onnx_refuses_the_same_rows(rng, quantizer):
    X, y = mixed(rng)
    model = BitwiseRegressor(N_BITS, quantizer=quantizer, missing="seen", **QUICK).fit(X, y)
    X, refused = with_nan_in_turn(X)
    if quantizer == "passthrough":  # a head that reads floats reads all features
        refused = np.isnan(X.drop(columns="gaps")).any(axis=1).to_numpy()
    outputs = run(to_onnx(model), X.to_numpy())
    np.testing.assert_array_equal(outputs["refused"], refused)
    np.testing.assert_allclose(outputs["prediction"][~refused], model.predict(X[~refused]), rtol=1e-5, atol=1e-5)
    for row in np.flatnonzero(refused):
        with pytest.raises(ValueError, match=r"NaN in feature '(never|unsent|constant)' \(row 0\)"):
            model.predict(X.iloc[[row]])


@given(codebooks(), st.data())
def test_a_codebook_refuses_exactly_what_it_has_no_code_for(book, data):
    values = st.sampled_from([NAN, -1.0, 0.0, 1e30])
    X = np.array(data.draw(st.lists(st.lists(values, min_size=book.n_features, max_size=book.n_features), min_size=1)))
    refused = np.isnan(X) & book.refuses_nan
    np.testing.assert_array_equal(book.refuses_nan, (book.n_bits > 0) & ~book.has_missing)
    if refused.any():
        row, j = np.argwhere(refused)[0]
        with pytest.raises(ValueError, match=rf"NaN in feature {j} \(row {row}\)"):
            book.encode(X)
    assert book.encode(X[~refused.any(axis=1)]).tolist() == reference.encode(X[~refused.any(axis=1)], book)
    assert Codebook.from_json(book.to_json()) == book


@settings(max_examples=20)
@given(
    rules=st.lists(st.sampled_from(["error", "seen", "code"]), min_size=3, max_size=3),
    n_bits=st.lists(st.integers(0, 3), min_size=3, max_size=3),
    holes=st.lists(st.booleans(), min_size=3, max_size=3),
)
@pytest.mark.filterwarnings("ignore::skbsq.exceptions.MissingCodeWarning")
def test_missing_codes_follow_from_rules_bits_and_holes(rules, n_bits, holes):
    X = np.random.default_rng(0).normal(size=(30, 3))
    X[3, holes] = NAN
    quantizer = QuantileQuantizer(n_bits, missing=rules)
    if any(rule == "error" and hole for rule, hole in zip(rules, holes, strict=True)):
        with pytest.raises(ValueError, match=r'NaN in feature \d \(row 3\), and QuantileQuantizer has missing="error"'):
            quantizer.fit(X)
        return
    expected = [
        bits > 0 and (rule == "code" or (rule == "seen" and hole))
        for rule, bits, hole in zip(rules, n_bits, holes, strict=True)
    ]
    assert quantizer.fit(X).codebook_.has_missing.tolist() == expected
    assert (quantizer.n_levels_ == 2 ** np.array(n_bits)).all()
    quantizer.transform(X)


# -- predictors ------------------------------------------------------------------------------------------------------


def test_a_predictor_takes_the_rules_of_its_quantizer(rng):
    X, y = mixed(rng)
    for quantizer in (QuantileQuantizer(2, missing="seen"), LLTQuantizer(2, missing="seen")):
        model = BitwiseRegressor(quantizer=quantizer, **QUICK).fit(X, y)
        assert model.codebook_.has_missing.tolist() == [True, False, False, False]
        assert model.__sklearn_tags__().input_tags.allow_nan
        # The rules of a predictor come first.
        model.set_params(missing=dict.fromkeys(NAMES, "code")).fit(X, y)
        assert model.codebook_.has_missing.tolist() == [True, True, True, False]


@pytest.mark.parametrize("quantizer", [SoftQuantizer(2), LSQQuantizer(2), LLTQuantizer(2)], ids=str)
def test_heads_that_read_values_have_an_indicator_per_missing_code(rng, quantizer):
    X, y = mixed(rng)
    model = BitwiseRegressor(quantizer=quantizer, missing="seen", **QUICK).fit(X, y)
    assert model.head_[0].in_features == 4 + 1
    np.testing.assert_array_equal(model.predict(X), model.predict_codes(model.codebook_.encode(X)))


def test_floats_have_indicators_as_seen(rng):
    X, y = mixed(rng)
    for missing, n_inputs in [("seen", 5), ("code", 8), (["seen", "error", "code", "seen"], 6)]:
        model = BitwiseRegressor(quantizer="passthrough", missing=missing, **QUICK).fit(X, y)
        assert model.head_[0].in_features == n_inputs
        model.predict(X)
        if missing != "code":
            with pytest.raises(ValueError, match=r"NaN in feature 'never' \(row 5\), and there was none in fit"):
                model.predict(X.assign(never=np.where(X.index == 5, NAN, 0)))


@pytest.mark.parametrize("estimator", [BitwiseClassifier(2, **QUICK), BitwiseRegressor(2, quantizer="passthrough")])
def test_nan_in_validation_rows(rng, estimator):
    X, y = mixed(rng)
    y = y > 1
    X_val, _ = with_nan_in_turn(X)
    estimator = clone(estimator).set_params(missing="seen", **QUICK)
    estimator.fit(X, y, X_val=X_val.assign(never=0, unsent=0, constant=0), y_val=y[:8])
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match=r"X_val contains NaN in feature 'never' \(row 2\), and X has none there"):
        estimator.fit(X, y, X_val=X_val, y_val=y[:8])
    assert vars(estimator) == before
    estimator.set_params(missing="code").fit(X, y, X_val=X_val, y_val=y[:8])


def test_nan_in_held_out_rows_is_seen(rng):
    """A single NaN, wherever it is held out, is one of the rows of fit."""
    X, y = make_friedman1(1000, random_state=0)  # enough for the pilot of init="auto", which holds rows out too
    for row in range(0, 1000, 200):
        gaps = X.copy()
        gaps[row, 3] = NAN
        model = BitwiseRegressor(2, missing="seen", early_stopping=True, **QUICK | {"max_epochs": 1, "batch_size": 500})
        model.fit(gaps, y)
        assert model.codebook_.has_missing.tolist() == [j == 3 for j in range(10)]
        model.predict(gaps)


def test_a_budget_gives_up_no_levels_of_features_without_nan(rng):
    X, y = make_friedman1(200, random_state=0)
    X[7, 3] = NAN  # held out, or not, by the rounds
    for seed in range(2):
        model = BitwiseRegressor(bit_budget=8, missing="seen", **QUICK | {"random_state": seed}).fit(X, y)
        book = model.codebook_
        assert book.row_bits <= 8
        assert not np.delete(book.has_missing, 3).any()
        assert (book.n_levels[book.n_bits == 1] == 2).all()
        model.predict(X)
    with pytest.warns(MissingCodeWarning, match="x9"):
        model.set_params(missing="code", n_bits=1).fit(X, y)


def test_given_thresholds_to_start_from(rng):
    X, y = mixed(rng)
    init = ThresholdQuantizer([[0.0, 1.0], [-1.0, 0.0, 1.0], [], []])
    model = BitwiseRegressor(N_BITS, missing="seen", init=init, **QUICK).fit(X, y)
    assert model.codebook_.n_levels.tolist() == [4, 4, 1, 1]
