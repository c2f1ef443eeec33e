"""The methods, and how one is measured."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import Dataset, load
from benchmarks.methods import METHODS, cells, measure, predictor, split

TINY = {"max_epochs": 2, "hidden_sizes": [8]}


@pytest.fixture(scope="module")
def fried():
    return load("fried", n_samples=200)


def test_floats_are_measured_once():
    assert cells(["bitwise", "floats"], [2, 4]) == [("bitwise", 2), ("bitwise", 4), ("floats", 32)]


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("method", METHODS)
def test_same_predictor_for_every_method(method, task):
    model = predictor(method, 3, task, **TINY)
    baseline = predictor("bitwise", 3, task, **TINY)
    differing = {k for k, v in model.get_params(deep=False).items() if v != baseline.get_params(deep=False)[k]}
    assert differing <= {"quantizer", "n_bits"}


@pytest.mark.parametrize("method", METHODS)
def test_measure_regression(method, fried):
    row = measure(fried, method, 2, 0, **TINY)
    assert row["dataset"] == "fried"
    assert row["row_bits"] == (320 if method == "floats" else 20)
    assert row["compression"] == 320 / row["row_bits"]
    assert row["accuracy"] is None
    assert np.isfinite(row["error"])
    assert row["fit_seconds"] > 0


def test_measure_classification(fried):
    data = Dataset("two", fried.X, (fried.y > fried.y.median()).astype(int), "classification")
    row = measure(data, "tree", 2, 0, **TINY)
    assert 0 <= row["accuracy"] <= 1
    assert row["error"] > 0


def test_missing_values_get_a_code(fried):
    X = fried.X.copy()
    X.iloc[::7, 0] = np.nan
    for method in METHODS:
        assert np.isfinite(measure(Dataset("holes", X, fried.y, "regression"), method, 2, 0, **TINY)["error"])


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
