"""Losses of a regression in the estimators: what is predicted, and that every part of a fit uses the same loss."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNet
from torch import nn

from skbsq import BitwiseQuantizer, BitwiseRegressor, LLTQuantizer, LSQQuantizer, QuantileQuantizer, SoftQuantizer
from skbsq.codec import RowCodec
from skbsq.model_selection import bits_path
from skbsq.nn.losses import LOSSES, PoissonLoss, RegressionLoss
from skbsq.persistence import load, save
from skbsq.training.rows import Rows
from skbsq.training.starts import choose_rule

QUICK = dict(max_epochs=3, hidden_sizes=(8,), batch_size=32, random_state=0)
LEARN = dict(max_epochs=30, hidden_sizes=(32,), batch_size=32, lr=0.01, random_state=0)
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_other_loss = pytest.mark.parametrize("loss", [name for name in LOSSES if name != "squared_error"])


@pytest.fixture
def data(rng):
    """Counts, with their rates."""
    X = rng.normal(size=(400, 3)).astype(np.float32)
    rates = np.exp(0.7 * X[:, 0] + 0.5 * (X[:, 1] > 0))
    return X, rng.poisson(rates).astype(float), rates


# -- what is predicted -------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_quantiles_cover_their_share(quantile, rng):
    X = rng.normal(size=(2000, 2))
    y = X[:, 0] + rng.normal(size=2000) * (1 + 2 * (X[:, 1] > 0))
    model = BitwiseRegressor(3, loss="quantile", quantile=quantile, **{**LEARN, "batch_size": 128})
    predicted = model.fit(X[:1000], y[:1000]).predict(X[1000:])
    for rows in (X[1000:, 1] > 0, X[1000:, 1] < 0):  # the spread differs
        assert np.mean(y[1000:][rows] <= predicted[rows]) == pytest.approx(quantile, abs=0.1)


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(3), SoftQuantizer(3), "passthrough"], ids=str)
def test_poisson_predicts_rates(quantizer, data):
    X, y, rates = data
    model = BitwiseRegressor(3, quantizer=quantizer, loss="poisson", **LEARN).fit(X, y)
    predicted = model.predict(X)
    assert predicted.min() > 0
    assert predicted.mean() == pytest.approx(y.mean(), rel=0.1)
    assert mean_poisson_deviance(rates, predicted) < 0.3 * mean_poisson_deviance(rates, np.full(400, y.mean()))
    if quantizer != "passthrough":
        codes = model.codebook_.encode(X)
        np.testing.assert_array_equal(model.predict_codes(codes), predicted)
        np.testing.assert_array_equal(model.predict_packed(RowCodec(model.codebook_).pack(codes)), predicted)


def test_exposures_are_weights(rng):
    """The rate of a group is its count over its exposure."""
    X = np.repeat([[0.0], [1.0]], 200, axis=0)
    exposure = rng.uniform(0.1, 2, 400)
    counts = rng.poisson(np.where(X[:, 0] > 0, 6.0, 2.0) * exposure)
    model = BitwiseRegressor(1, loss="poisson", **LEARN).fit(X, counts / exposure, sample_weight=exposure)
    expected = [counts[rows].sum() / exposure[rows].sum() for rows in (slice(200), slice(200, 400))]
    np.testing.assert_allclose(model.predict([[0.0], [1.0]]), expected, rtol=0.06)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_outliers_change_little(loss, rng):
    X = rng.normal(size=(600, 1))
    y = 3 * X[:, 0]
    outlying = y.copy()
    outlying[::20] += 1e4
    errors = [
        np.abs(BitwiseRegressor(4, loss=name, **LEARN).fit(X, outlying).predict(X) - y).mean()
        for name in (loss, "squared_error")
    ]
    assert errors[0] < 0.6 < 100 < errors[1]


@each_loss
@pytest.mark.parametrize("constant", [3.7, 0.1, 2.0])
def test_a_constant_target_is_predicted_exactly(loss, constant, data):
    X = data[0][:60]
    model = BitwiseRegressor(2, loss=loss, **QUICK).fit(X, np.full(60, constant))
    assert set(model.predict(X).tolist()) == {float(np.float32(constant))}


@each_loss
def test_noise_ends_near_the_constant_of_the_loss(loss, rng):
    X, y = rng.normal(size=(300, 2)), rng.exponential(size=300)
    model = BitwiseRegressor(2, loss=loss, quantile=0.8, hidden_sizes=(8,), random_state=0)
    model.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    expected = {"absolute_error": np.median(y), "quantile": np.quantile(y, 0.8), "huber": model.target_mean_[0]}
    assert np.abs(model.predict(X) - expected.get(loss, y.mean())).mean() < 0.25


@each_loss
def test_several_targets(loss, data):
    X, y, _ = data
    both = np.column_stack([y, 100 * X[:, 0] ** 2])
    predicted = BitwiseRegressor(3, loss=loss, **LEARN).fit(X, both).predict(X)
    assert predicted.shape == both.shape
    assert all(np.corrcoef(predicted[:, k], both[:, k])[0, 1] > 0.5 for k in range(2))


@each_other_loss
def test_zero_weight_is_a_removed_row(loss, data):
    X, y, _ = data
    y, weights = y.copy(), np.tile([1.0, 2.0, 0.0, 3.0], 100)
    y[weights == 0] = -1e6  # also beyond the range of a Poisson loss
    model = BitwiseRegressor(2, loss=loss, **QUICK)
    found = clone(model).fit(X, y, sample_weight=weights).predict(X)
    kept = weights > 0
    np.testing.assert_array_equal(found, model.fit(X[kept], y[kept], sample_weight=weights[kept]).predict(X))


# -- the same loss everywhere ------------------------------------------------------------------------


@each_loss
def test_the_length_is_searched_with_the_loss(loss, data):
    """The held-out loss of a single length, from a training on the other rows alone."""
    X, y, _ = data
    model = BitwiseRegressor(2, loss=loss, quantile=0.9, **{**QUICK, "max_epochs": 1, "early_stopping": True})
    model.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    predicted, wanted = model.predict(X[300:]).astype(float), y[300:]
    # The final training has another seed.
    by_hand = {
        "squared_error": np.mean((predicted - wanted) ** 2) / model.target_scale_**2,
        "absolute_error": np.mean(np.abs(predicted - wanted)) / model.target_scale_,
        "huber": model.length_search_["loss"].iloc[-1:],
        "quantile": mean_pinball_loss(wanted, predicted, alpha=0.9) / model.target_scale_,
        "poisson": mean_poisson_deviance(wanted, predicted) / 2 / model.target_scale_,
    }
    assert model.length_search_["loss"].item() == pytest.approx(by_hand[loss].item(), rel=0.05)


@each_other_loss
@pytest.mark.parametrize("kind", [BitwiseQuantizer, SoftQuantizer, LSQQuantizer, LLTQuantizer])
def test_learned_quantizers_train_with_the_loss_of_the_regressor(loss, kind, data):
    X, y, _ = data
    model = BitwiseRegressor(quantizer=kind(2), loss=loss, quantile=0.9, **QUICK).fit(X, y)
    alone = kind(2, task="regression", loss=loss, quantile=0.9, **QUICK).fit(X, y)
    assert type(alone.net_.criterion_) is LOSSES[loss]
    assert model.codebook_ == alone.codebook_
    np.testing.assert_array_equal(model.target_mean_, alone.target_mean_)


@each_other_loss
def test_importances_and_budget(loss, data):
    """The third feature is noise."""
    X, y, _ = data
    model = BitwiseRegressor(bit_budget=3, loss=loss, quantile=0.7, **LEARN).fit(X, y)
    assert model.codebook_.row_bits <= 3
    assert model.allocation_["n_bits"].iloc[0] > 0
    assert model.feature_importances_.sum() == pytest.approx(1)
    assert model.feature_importances_.argmax() == 0


def test_pilots_use_the_loss(rng):
    """In a tenth of the rows the target spreads more. Its mean is the same, but its quantiles are not."""
    far = rng.uniform(size=2000) < 0.1
    x, y = rng.uniform(size=2000) + 9 * far, rng.normal(size=2000) * np.where(far, 30, 1)
    rows = Rows(x[:, None].astype(np.float32), y, np.ones(2000), "regression")
    assert choose_rule(rows, np.array([1]), 0) == "quantile"
    assert choose_rule(rows, np.array([1]), 0, RegressionLoss("quantile", 0.9)) in ("kmeans", "uniform")


@pytest.mark.parametrize("name", LOSSES)
def test_pilots_of_every_loss_find_a_better_rule(name, rng):
    """Half of the values are one peak, and the target depends on the others."""
    x = np.exp(3 * rng.normal(size=2000))
    y = np.abs(np.log(x)) ** 3 * (x > 20) + rng.exponential(0.1, size=2000)
    rows = Rows(x[:, None].astype(np.float32), y, np.ones(2000), "regression")
    assert choose_rule(rows, np.array([2]), 0, RegressionLoss(name, 0.9)) == "tree"


@each_other_loss
def test_chunks(loss, data):
    X, y, _ = data
    model = BitwiseRegressor(2, loss=loss, quantile=0.9, init="quantile", **QUICK)
    fitted, weights = clone(model).fit(X, y, sample_weight=y + 1), y + 1
    model.fit_chunks([(X, y, weights)])
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    model.fit_chunks([(X[:200], y[:200], weights[:200]), (X[200:], y[200:], weights[200:])])
    np.testing.assert_allclose(model.target_mean_, fitted.target_mean_)
    np.testing.assert_allclose(model.target_scale_, fitted.target_scale_)


def test_models_of_a_path_keep_the_loss(data):
    X, y, _ = data
    model = BitwiseRegressor(loss="poisson", **QUICK)
    path = bits_path(model, X, y, [3, 2], cv=2, scoring="neg_mean_poisson_deviance")
    assert np.isfinite(path["score"]).all()


# -- scikit-learn, files -----------------------------------------------------------------------------


@each_other_loss
@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(2), "passthrough"], ids=str)
def test_saved_and_pickled(loss, quantizer, data, tmp_path):
    X, y, _ = data
    model = BitwiseRegressor(2, quantizer=quantizer, loss=loss, quantile=0.9, **QUICK)
    model.fit(X, y, sample_weight=y + 1)
    save(model, tmp_path / "model")
    for copied in (load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert (copied.loss, copied.quantile) == (loss, 0.9)
        assert copied.net_.criterion is LOSSES[loss]
        np.testing.assert_array_equal(copied.predict(X), model.predict(X))
    model.set_params(loss="squared_error")  # a fitted model predicts as it was trained
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), copied.predict(X))


def test_searches_and_subclasses(data):
    class Counts(BitwiseRegressor):
        def __init__(self, n_bits=None, *, max_epochs=3, random_state=0):
            super().__init__(n_bits, loss="poisson", max_epochs=max_epochs, random_state=random_state)

    X, y, _ = data
    model = clone(Counts(2)).fit(X, y)
    assert model.net_.criterion is PoissonLoss
    search = GridSearchCV(BitwiseRegressor(2, **QUICK), {"loss": ["poisson", "huber"]}, cv=2).fit(X, y)
    assert search.best_estimator_.loss in ("poisson", "huber")
    assert model.__sklearn_tags__().target_tags.positive_only
    assert not BitwiseRegressor().__sklearn_tags__().target_tags.positive_only


# -- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fit", ["fit", "fit_chunks"])
def test_negative_counts(fit, data):
    X, y, _ = data
    y = np.where(np.arange(400) == 7, -2, y)
    model = BitwiseRegressor(2, loss="poisson", **QUICK)
    with pytest.raises(ValueError, match="loss='poisson' needs y >= 0, got -2: choose another loss"):
        model.fit(X, y) if fit == "fit" else model.fit_chunks([(X, y)])
    assert not hasattr(model, "n_features_in_")


def test_classes_have_no_such_loss(data):
    X, y, _ = data
    with pytest.raises(ValueError, match="loss='poisson' is for a regression, but y is read as classes: set task="):
        BitwiseQuantizer(2, loss="poisson", **QUICK).fit(X, np.minimum(y, 9).astype(int))
    BitwiseQuantizer(2, loss="poisson", task="regression", **QUICK).fit(X, np.minimum(y, 9).astype(int))


@pytest.mark.parametrize("wrong", [{"loss": "mse"}, {"quantile": 0}, {"quantile": 1.0}])
def test_invalid_parameters(wrong, data):
    with pytest.raises(ValueError, match=f"The {next(iter(wrong))!r} parameter of BitwiseRegressor must be"):
        BitwiseRegressor(**wrong).fit(*data[:2])


def test_a_head_of_ones_own_has_the_loss_and_a_skorch_net_its_criterion(data):
    X, y, _ = data
    model = BitwiseRegressor(2, head=nn.Linear, loss="poisson", **QUICK).fit(X, y)
    assert type(model.net_.criterion_) is PoissonLoss
    assert model.predict(X).min() > 0
    net = NeuralNet(nn.Linear, nn.L1Loss, max_epochs=2, verbose=0)
    models = [BitwiseRegressor(2, head=net, loss=loss, random_state=0).fit(X, -y) for loss in ("poisson", "huber")]
    np.testing.assert_array_equal(models[0].predict(X), models[1].predict(X))
    assert type(models[0].net_.criterion_) is nn.L1Loss
