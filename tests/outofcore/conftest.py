"""Rows that the tests encode, and what is fitted on them."""

import numpy as np
import pytest

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, UniformQuantizer

FAST = {"max_epochs": 1, "hidden_sizes": (8,), "init": "quantile", "random_state": 0}


@pytest.fixture(scope="session")
def X():
    """100 rows of two features, with a NaN in the second."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    X[7, 1] = np.nan
    return X


@pytest.fixture(scope="session")
def frame(X):
    """The same as a data frame, behind a key and with the features the other way round."""
    pd = pytest.importorskip("pandas")
    return pd.DataFrame({"key": range(len(X)), "b": X[:, 1], "a": X[:, 0], "when": "noon"})


@pytest.fixture(scope="session")
def quantizer(frame):
    return UniformQuantizer(2, missing="code").fit(frame[["a", "b"]])


@pytest.fixture(scope="session")
def book():
    return Codebook.from_thresholds([[-1.0, 0.0, 1.0], [0.5]], missing="code")


@pytest.fixture(scope="session")
def regressor(frame):
    return BitwiseRegressor(2, missing="code", **FAST).fit(frame[["a", "b"]], frame["a"])


@pytest.fixture(scope="session")
def classifier(frame):
    return BitwiseClassifier(2, missing="code", **FAST).fit(frame[["a", "b"]], np.where(frame["a"] > 0, "yes", "no"))
