"""Predictors on mixed tables: frames, codes and bytes give the same predictions, at every rate."""

import numpy as np
import pandas as pd
import pytest

from skbsq import BitwiseClassifier, BitwiseRegressor, QuantileQuantizer
from skbsq.codec import RowCodec, dumps

TRAINING = {"max_epochs": 3, "hidden_sizes": (8,), "random_state": 0}


@pytest.fixture
def mixed(rng):
    """Numbers, three kinds, a flag and forty sites; some are missing."""
    n = 300
    X = pd.DataFrame(
        {
            "a": rng.normal(size=n),
            "kind": rng.choice(["pump", "fan", "valve"], size=n),
            "on": rng.integers(2, size=n).astype(bool),
            "site": pd.Categorical([f"s{k}" for k in rng.permutation(n) % 40]),
            "b": rng.normal(size=n),
        }
    )
    y = X["a"] + (X["kind"] == "fan") + X["site"].cat.codes / 20 - X["on"] * X["b"]
    X.loc[::11, "site"] = None
    X.loc[::13, "b"] = np.nan
    return X, y.to_numpy()


MODELS = [
    BitwiseRegressor(3, missing="seen", **TRAINING),
    BitwiseRegressor(None, bit_budget=9, missing="seen", **TRAINING),
    BitwiseRegressor(4, rates=(2, 1), missing="seen", **TRAINING),
    BitwiseRegressor(2, handle_unknown="missing", missing="code", **TRAINING),
    BitwiseRegressor(quantizer=QuantileQuantizer(2, missing="seen"), missing="seen", **TRAINING),
]


@pytest.mark.parametrize("model", MODELS, ids=["bits", "budget", "rates", "unknown", "fixed"])
def test_frames_codes_and_bytes_give_the_same(model, mixed):
    X, y = mixed
    model.fit(X, y)
    for rate in [None, *getattr(model, "codebooks_", {})] if model.rates else [None]:
        book = model.codebook_ if rate is None else model.codebooks_[rate]
        codes = book.encode(X)
        predicted = model.predict(X, rate=rate)
        np.testing.assert_array_equal(model.predict_codes(codes, rate=rate), predicted)
        np.testing.assert_array_equal(model.predict_packed(RowCodec(book).pack(codes), rate=rate), predicted)
        np.testing.assert_array_equal(model.predict_packed(dumps(book, codes), rate=rate), predicted)
        # Rows alone are predicted as among others.
        np.testing.assert_array_equal(book.encode(X[7:8]), codes[7:8])


def test_probabilities(mixed):
    X, y = mixed
    model = BitwiseClassifier(3, missing="seen", **TRAINING).fit(X, np.where(y > 0, "high", "low"))
    codes = model.codebook_.encode(X)
    np.testing.assert_array_equal(model.predict_proba_codes(codes), model.predict_proba(X))


def test_kinds_of_tables_are_fitted_alike(mixed):
    X, y = mixed
    frame = X.assign(site=X["site"].astype(object), kind=X["kind"].astype("category"))
    model, other = (BitwiseRegressor(3, missing="seen", **TRAINING).fit(table, y) for table in (X, frame))
    assert model.codebook_ == other.codebook_
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    array = X.astype(object).to_numpy()
    unnamed = BitwiseRegressor(3, missing="seen", categorical_features=[1, 2, 3], **TRAINING).fit(array, y)
    np.testing.assert_array_equal(unnamed.predict(array), model.predict(X))


def test_unknown_categories(mixed):
    X, y = mixed
    other = X.assign(kind="ship")
    with pytest.raises(ValueError, match=r"kind.*'ship'|'ship'.*kind"):
        BitwiseRegressor(3, missing="seen", **TRAINING).fit(X, y).predict(other)
    model = BitwiseRegressor(3, missing="seen", handle_unknown="missing", **TRAINING).fit(X, y)
    np.testing.assert_array_equal(model.predict(other), model.predict(X.assign(kind=None)))


def test_a_budget_counts_the_bits_of_categories(mixed):
    X, y = mixed
    model = BitwiseRegressor(None, bit_budget=9, missing="seen", **TRAINING).fit(X, y)
    assert model.codebook_.row_bits <= 9
    allocation = model.allocation_
    # Three kinds need 2 bits, a flag needs 1, and forty sites and a missing code need 6.
    assert allocation["cap"][["kind", "on", "site"]].tolist() == [2, 1, 6]
    assert (allocation["n_bits"] <= allocation["cap"]).all()
    np.testing.assert_array_equal(model.codebook_.n_bits <= allocation["n_bits"], True)


def test_rates_merge_codes_of_categories(mixed):
    X, y = mixed
    model = BitwiseRegressor(4, rates=(2, 1), missing="seen", **TRAINING).fit(X, y)
    fine = model.codebook_.encode(X)
    for rate, book in model.codebooks_.items():
        assert (book.n_bits <= rate).all()
        np.testing.assert_array_equal(model.codebook_.recode(fine, book), book.encode(X))
