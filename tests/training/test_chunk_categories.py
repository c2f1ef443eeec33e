"""Categories in chunks: those of fit, cross-fitted alike in every pass."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier

from skbsq import (
    BitwiseClassifier,
    BitwiseQuantizer,
    BitwiseRegressor,
    KMeansQuantizer,
    LLTQuantizer,
    LSQQuantizer,
    QuantileQuantizer,
    SoftQuantizer,
    ThresholdQuantizer,
)
from skbsq.training.chunks import read_chunks
from skbsq.training.rows import read_rows

pytest.importorskip("datasketches")

TRAINING = dict(max_epochs=2, hidden_sizes=(8,), batch_size=32, random_state=0)
CODES = ThresholdQuantizer(
    {"t": [0.0], "kind": {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2, "f": 2}, "on": {False: 0, True: 1}}
)
LIKE_FIT = [
    BitwiseRegressor(n_bits=2, init="quantile", **TRAINING),
    BitwiseRegressor(n_bits=3, init="uniform", space="standard", min_share=0.15, **TRAINING),
    BitwiseQuantizer(n_bits=2, init=QuantileQuantizer(), **TRAINING),
    BitwiseClassifier(n_bits=2, init="quantile", **TRAINING),
    BitwiseRegressor(quantizer=QuantileQuantizer(2), **TRAINING),
    BitwiseRegressor(quantizer=KMeansQuantizer(2), **TRAINING),
    BitwiseRegressor(quantizer=CODES, **TRAINING),
    BitwiseRegressor(n_bits=3, init="quantile", guard=True, **TRAINING),
    SoftQuantizer(n_bits=2, init="quantile", **TRAINING),
    LSQQuantizer(n_bits=2, **TRAINING),
]
ORDERED = {"missing": "error", "guard": False, "class_weight": None, "categorical": ("from_dtype", "error", 0.0)}


@pytest.fixture
def data(rng):
    kind = rng.choice(list("abcdef"), 240, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    X = pd.DataFrame({"t": rng.normal(size=240).round(1), "kind": kind, "on": rng.random(240) < 0.4})
    return X, (X["t"] + 2 * X["kind"].isin(["a", "d"]) + X["on"]).to_numpy()


def in_chunks(X, y, n_chunks, *more):
    parts = np.array_split(np.arange(len(X)), n_chunks)
    return [(X.iloc[part].reset_index(drop=True), y[part], *(one[part] for one in more)) for part in parts]


def target_for(estimator, y):
    return np.where(y > np.median(y), "high", "low") if is_classifier(estimator) else y


def chunked(parts, **given):
    given = {**ORDERED, **given}
    return read_chunks(BitwiseRegressor(), parts, None, task="regression", sketch_size=2048, **given)


def in_memory(X, y, weights=None):
    return read_rows(BitwiseRegressor(), X, y, weights, "regression", **ORDERED)


@pytest.mark.parametrize("estimator", LIKE_FIT, ids=str)
def test_a_single_chunk_gives_what_fit_gives(estimator, data):
    X, y = data[0], target_for(estimator, data[1])
    fitted, learned = clone(estimator).fit(X, y), clone(estimator).fit_chunks([(X, y)])
    assert learned.codebook_ == fitted.codebook_
    if hasattr(fitted, "predict"):
        np.testing.assert_array_equal(learned.predict(X), fitted.predict(X))


@pytest.mark.parametrize("estimator", [*LIKE_FIT[:3], LLTQuantizer(n_bits=2, **TRAINING)], ids=str)
def test_a_good_order_from_many_chunks(estimator, data):
    X, y = data
    learned = clone(estimator).fit_chunks(in_chunks(X, y, 8))
    codes = learned.codebook_.categories[1]
    assert codes.keys() == set("abcdef")
    assert min(codes["a"], codes["d"]) >= max(codes[one] for one in "bcef")
    assert sum(learned.codebook_.counts[1]) == len(X)


def test_sums_of_chunks_are_those_of_the_rows(data, rng):
    X, y = data
    weights = rng.integers(1, 4, len(X)).astype(float)
    whole, parts = in_memory(X, y, weights), chunked(in_chunks(X, y, 6, weights))
    assert parts.categories[1].names == whole.categories[1].names
    np.testing.assert_array_equal(parts.summary.category_weights[1], np.bincount(whole.X[:, 1].astype(int), weights))
    bits = np.array([2, 2, 1])
    ordered, expected = parts.in_order(bits, 0), whole.in_order(bits, 0)
    assert ordered.orders[1].names == expected.orders[1].names
    np.testing.assert_allclose(ordered.orders[1].values, expected.orders[1].values, rtol=1e-5)
    np.testing.assert_array_equal(ordered.constant, expected.constant)
    assert (ordered.kept.tolist(), ordered.one_hot.tolist()) == (expected.kept.tolist(), expected.one_hot.tolist())


def test_features_are_those_that_training_reads(data):
    """Moments and distinct values come from sums per category and fold, and not from the rows."""
    X, y = data
    for rows in (chunked(in_chunks(X, y, 5)).in_order(np.array([2, 2, 1]), 3), chunked(in_chunks(X, y, 5))):
        found = rows if rows.orders else rows.in_order_of(clone(CODES).fit(X).codebook_)
        read = np.concatenate([part[0] for part in found.read(None)])
        mean, scale = found.moments()
        np.testing.assert_allclose(mean, read.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(scale, read.std(axis=0), rtol=1e-5)
        for distinct, column in zip(found.distinct(), read.T, strict=True):
            np.testing.assert_array_equal(distinct, np.unique(column))


def test_folds_are_those_of_every_pass(data):
    """Chunks in another order keep their folds."""
    rows = chunked(in_chunks(*data, 6)).in_order(np.array([2, 2, 1]), 0)
    first = {index: X for X, _, _, index in rows.read(None)}
    again = {index: X for X, _, _, index in rows.read(torch.Generator().manual_seed(1))}
    assert list(first) != list(again)
    for index, X in first.items():
        np.testing.assert_array_equal(again[index], X)


def test_noise_is_not_learned(rng):
    """A column of nearly unique text tells nothing about other rows, whatever the chunks."""
    y = rng.normal(size=400)
    X = pd.DataFrame({"name": [f"n{k}" for k in rng.integers(0, 200, 400)]})
    rows = chunked(in_chunks(X, y, 4)).in_order(np.array([2]), 0)
    read = np.concatenate([part[0][:, 0] for part in rows.read(None)])
    assert np.corrcoef(read, y)[0, 1] < 0.1


def test_missing_and_unknown_categories(data):
    X, y = data[0].astype({"kind": object}), data[1]
    X.loc[::10, "kind"] = None
    estimator = BitwiseRegressor(n_bits=2, missing="seen", **TRAINING)
    fitted, learned = clone(estimator).set_params(init="quantile").fit(X, y), clone(estimator).fit_chunks([(X, y)])
    assert learned.codebook_.categories[1] == fitted.codebook_.categories[1]
    known = clone(estimator).set_params(handle_unknown="missing").fit_chunks(in_chunks(X, y, 3))
    other = X.assign(kind="never seen")
    np.testing.assert_array_equal(known.predict(other), known.predict(X.assign(kind=None)))


def test_rows_of_zero_weight_may_hold_any_category(data):
    X, y = data[0].copy(), data[1]
    X.loc[5, "kind"] = "rare"
    weights = np.ones(len(X))
    weights[5] = 0
    learned = BitwiseRegressor(n_bits=2, **TRAINING).fit_chunks(in_chunks(X, y, 3, weights))
    assert "rare" not in learned.codebook_.categories[1]


def test_validation(data):
    X, y = data
    estimator = BitwiseRegressor(n_bits=2, **TRAINING)
    learned = clone(estimator).fit_chunks(in_chunks(X, y, 3), validation=(X[:50], y[:50]))
    assert learned.history_["valid_loss"].notna().all()
    with pytest.raises(ValueError, match="'new' \\(row 0\\) is no category of feature 'kind'"):
        clone(estimator).fit_chunks(in_chunks(X, y, 3), validation=(X[:50].assign(kind="new"), y[:50]))


def test_chunks_that_change(data):
    X, y = data
    passes = []

    def shuffled():
        passes.append(None)
        order = np.random.default_rng(len(passes)).permutation(len(X))
        return iter(in_chunks(X.iloc[order], y[order], 3))

    def growing():
        passes.append(None)
        return [(X.assign(kind=X["kind"] + "!" * (len(passes) > 1)), y)]

    with pytest.raises(ValueError, match=r"Chunk 0 holds other rows than in an earlier pass.*do not shuffle them"):
        BitwiseRegressor(n_bits=2, **TRAINING).fit_chunks(shuffled)
    passes.clear()
    # Nothing is cross-fitted if every category has a code.
    BitwiseRegressor(n_bits=3, **TRAINING).fit_chunks(shuffled)
    passes.clear()
    with pytest.raises(ValueError, match="Row 0 of a chunk has a category of feature 'kind' that is in no chunk"):
        BitwiseRegressor(n_bits=2, **TRAINING).fit_chunks(growing)


def test_codes_for_other_features_than_the_categorical(data):
    X, y = data
    with pytest.raises(ValueError, match="has numbers for feature 'on', which is categorical in the chunks"):
        BitwiseRegressor(
            quantizer=ThresholdQuantizer([[0.0], {"a": 0}, [0.5]]), categorical_features=[1, 2]
        ).fit_chunks([(X, y)])


def test_a_float_head_refuses_categories(data):
    with pytest.raises(ValueError, match="feature 'kind' holds categories"):
        BitwiseRegressor(quantizer="passthrough", **TRAINING).fit_chunks([data])
