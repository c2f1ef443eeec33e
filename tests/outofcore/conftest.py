"""Rows that the tests encode, models fitted on them, and helpers of the tests."""

import numpy as np
import polars as pl
import pytest

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, UniformQuantizer

FAST = {"max_epochs": 1, "hidden_sizes": (8,), "init": "quantile", "random_state": 0}
EARLY_POLARS = pytest.mark.skipif(not hasattr(pl.DataFrame, "__arrow_c_stream__"), reason="an early polars")


def together(chunks):
    return np.concatenate(list(chunks))


class Same:
    """A model that predicts its rows. It accepts NaN, and ignores masks as NumPy does."""

    def __init__(self, n_features_in_=2):
        self.n_features_in_ = n_features_in_

    def predict(self, X):
        return np.asarray(X)


@pytest.fixture(scope="session")
def X():
    """100 rows of two features, with a NaN in the second."""
    X = np.random.default_rng(0).normal(size=(100, 2))
    X[7, 1] = np.nan
    return X


@pytest.fixture(scope="session")
def frame(X):
    """The same rows as a data frame, after a key and with the features in reverse order."""
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
    """A regressor whose packed rows have 10 bits, which are 2 bytes."""
    return BitwiseRegressor(5, missing="code", **FAST).fit(frame[["a", "b"]], frame["a"])


@pytest.fixture(scope="session")
def classifier(frame):
    return BitwiseClassifier(2, missing="code", **FAST).fit(frame[["a", "b"]], np.where(frame["a"] > 0, "yes", "no"))
