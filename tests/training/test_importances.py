"""The importance of a feature is what dropping it costs."""

import numpy as np
import pytest
from sklearn.feature_selection import SelectFromModel
from skorch import NeuralNet
from torch import nn

from skbsq import BitwiseClassifier, BitwiseRegressor, QuantileQuantizer
from skbsq.persistence import load, save

QUICK = {"max_epochs": 20, "hidden_sizes": (16,), "batch_size": 32, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    X[:, 3] = 7.0
    return X, 2 * X[:, 0] + X[:, 2]


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(3)], ids=["learned", "fixed"])
def test_shares_of_a_linear_target(quantizer, data):
    """Dropping a feature of an additive target costs its variance: 4 to 1 here."""
    shares = BitwiseRegressor(3, quantizer=quantizer, **QUICK).fit(*data).feature_importances_
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, [0.8, 0.0, 0.2, 0.0], atol=0.03)
    assert shares[3] == 0  # a constant has no bits


def test_classes_and_weights(data):
    """Rows of weight zero have no say: without them, y depends on the second feature alone."""
    X, _ = data
    y, weights = np.where(np.arange(400) < 200, X[:, 0], X[:, 1]) > 0, np.arange(400) >= 200
    classifier = BitwiseClassifier(3, **QUICK).fit(X, y, sample_weight=weights)
    assert classifier.feature_importances_.argmax() == 1
    assert classifier.feature_importances_[1] > 0.9


def test_select_from_model():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 100))
    y = np.abs(X[:, 3]) + X[:, 50] + X[:, 99]
    selected = SelectFromModel(BitwiseRegressor(2, **QUICK), max_features=3).fit(X, y)
    assert selected.get_support(indices=True).tolist() == [3, 50, 99]


def test_they_are_saved(data, tmp_path):
    model = BitwiseRegressor(2, **QUICK).fit(*data)
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").feature_importances_, model.feature_importances_)


def wrapped(n_inputs, n_outputs):
    return nn.Sequential(nn.Identity(), nn.Linear(n_inputs, n_outputs))


POISSON = NeuralNet(nn.Linear, nn.PoissonNLLLoss, max_epochs=2)


@pytest.mark.parametrize(
    "changed",
    [{"quantizer": "passthrough"}, {"head": wrapped}, {"head": POISSON}],
    ids=["floats", "wrapped", "poisson"],
)
def test_absent_where_they_cannot_be_measured(changed, data):
    X, y = data
    model = BitwiseRegressor(2, **QUICK).fit(X, y)
    model.set_params(**changed).fit(X, np.abs(y))
    assert not hasattr(model, "feature_importances_")


def test_absent_after_chunks(data):
    model = BitwiseRegressor(2, **QUICK).fit(*data)
    assert not hasattr(model.fit_chunks([data]), "feature_importances_")
