"""The methods, and their scores."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline

from benchmarks.datasets import Dataset, load
from benchmarks.methods import (
    ALL_METHODS,
    METHODS,
    PAPER_METHODS,
    PAPER_TRAINING,
    SAME_TRAINING,
    build,
    cells,
    codebook_of,
    measure,
    split,
)

TINY = {"max_epochs": 2, "hidden_sizes": [8]}


@pytest.fixture(scope="module")
def fried():
    return load("fried", n_samples=200)


def test_floats_are_measured_once():
    assert cells(["bitwise", "floats"], [2, 4]) == [("bitwise", 2), ("bitwise", 4), ("floats", 32)]
    assert cells(["FP", "Po-MQ"], [2]) == [("FP", 32), ("Po-MQ", 2)]


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("method", METHODS)
def test_same_predictor_for_every_method(method, task):
    model = build(method, 3, task, **TINY)
    baseline = build("bitwise", 3, task, **TINY)
    differing = {k for k, v in model.get_params(deep=False).items() if v != baseline.get_params(deep=False)[k]}
    assert differing <= {"quantizer", "n_bits"}


@pytest.mark.parametrize("method", ALL_METHODS)
def test_measure_regression_with_missing_values(method, fried):
    X = fried.X.copy()
    X.iloc[::7, 0] = np.nan
    row = measure(replace(fried, X=X), method, 2, 0, **TINY)
    assert row["row_bits"] == (320 if method in ("floats", "FP") else 20)
    assert row["compression"] == 320 / row["row_bits"]
    assert row["accuracy"] is None
    assert np.isfinite(row["error"])
    assert row["fit_seconds"] > 0


def test_nothing_sent_is_measured_too(fried):
    row = measure(fried, "bitwise", 0, 0, **TINY)
    assert (row["row_bits"], row["compression"]) == (0, float("inf"))
    assert np.isfinite(row["error"])


@pytest.mark.parametrize("method", ["tree", "Po-QQ", "Pr-MQ", "SQ+", "LLT-4", "bitwise+boosting"])
def test_measure_classification(method, fried):
    data = Dataset("two", fried.X, (fried.y > fried.y.median()).astype(int), "classification")
    row = measure(data, method, 2, 0, **TINY)
    assert 0 <= row["accuracy"] <= 1
    assert row["error"] > 0


def test_split_standardizes_with_the_training_part(fried):
    X_train, X_test, y_train, y_test = split(fried, 42)
    assert (len(X_train), len(X_test)) == (180, 20)
    np.testing.assert_allclose([y_train.mean(), y_train.std(ddof=0)], [0, 1], atol=1e-12)
    training = fried.y[y_train.index]
    np.testing.assert_allclose(y_test, (fried.y[y_test.index] - training.mean()) / training.std(ddof=0))


def test_split_of_classes_is_stratified():
    data = Dataset("rare", pd.DataFrame({"a": range(100)}), pd.Series([1] * 20 + [0] * 80), "classification")
    _, _, y_train, y_test = split(data, 0)
    assert (y_train.sum(), y_test.sum()) == (18, 2)


def test_rows_of_the_paper_train_as_it_does():
    for method in PAPER_METHODS:
        model = build(method, 2, "regression", **TINY)
        model = getattr(model, "model", model)
        model = model[-1] if isinstance(model, Pipeline) else model
        found = model.get_params(deep=False)
        assert {key: found[key] for key in PAPER_TRAINING} == {**PAPER_TRAINING, "max_epochs": 2}
        assert found["dropout"] == 0


def test_rows_of_the_same_training_train_as_ours():
    ours = build("bitwise", 2, "regression", **TINY).get_params(deep=False)
    for method in SAME_TRAINING:
        model = build(method, 2, "regression", **TINY)
        found = model.get_params(deep=False)
        assert {key: found[key] for key in PAPER_TRAINING} == {key: ours[key] for key in PAPER_TRAINING}
        alike = build(method.removesuffix("*"), 2, "regression", **TINY)
        assert repr(model.quantizer) == repr(alike.quantizer)


@pytest.mark.parametrize("rule", ["MQ", "QQ"])
def test_the_rules_of_the_paper(rule, fried):
    """Thresholds by the formulas and levels at the midpoints, the same before, after, or as bits."""
    X = fried.X.to_numpy()
    models = [build(f"{when}-{rule}", 2, "regression", **TINY) for when in ("Po", "Pr", "Bw")]
    books = [codebook_of(model.fit(fried.X, fried.y)) for model in models]
    assert books[0].fingerprint == books[1].fingerprint == books[2].fingerprint
    low, high = X.min(axis=0), X.max(axis=0)
    equal_steps = low + (high - low) / 3 * (np.arange(3)[:, None] + 0.5)
    expected = equal_steps if rule == "MQ" else np.quantile(X, [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(np.array(books[0].thresholds).T, expected, rtol=1e-5)
    for t, levels in zip(books[0].thresholds, books[0].levels, strict=True):
        np.testing.assert_allclose(levels[1:-1], (t[1:] + t[:-1]) / 2, rtol=1e-6)


def test_quantized_afterwards_is_fitted_on_floats(fried):
    model = build("Po-QQ", 2, "regression", random_state=0, **TINY).fit(fried.X, fried.y)
    alone = build("FP", 2, "regression", random_state=0, **TINY).fit(fried.X.to_numpy(), fried.y)
    values = model.quantizer_.transform(fried.X)
    np.testing.assert_array_equal(model.predict(fried.X), alone.predict(values))
    assert not np.array_equal(model.predict(fried.X), alone.predict(fried.X.to_numpy()))
