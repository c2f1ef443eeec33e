"""The centre of the target is the best constant of the loss, and its spread does not follow outliers."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from skbsq.nn.losses import LOSSES, RegressionLoss, row_losses
from skbsq.training import Rows
from skbsq.training.targets import check_loss, target_scaling


def rows_of(y, weights=None, **given):
    y = np.asarray(y, dtype=float)
    weights = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=float)
    return Rows(np.zeros((len(y), 1), np.float32), y, weights, "regression", **given)


@pytest.mark.parametrize("name", LOSSES)
def test_an_output_of_zero_is_the_best_constant(name, rng):
    y, weights = np.round(rng.exponential(5, size=(101, 2)), 3) * [1, 100], rng.uniform(0.1, 3, 101)
    loss, rows = RegressionLoss(name, 0.8), rows_of(y, weights)
    data = rows.tensors(*target_scaling(loss, rows))
    for k in range(2):

        def mean_loss(constant, target=data.y[:, k : k + 1].double()):
            losses = row_losses(loss.criterion("none"), torch.full_like(target, constant), target)
            return (losses * data.weights).mean().item()

        best = minimize_scalar(mean_loss, bounds=(-1, 1), method="bounded", options={"xatol": 1e-9})
        assert mean_loss(0.0) == pytest.approx(best.fun, rel=1e-6)


def test_scaling_by_hand():
    found = {name: target_scaling(RegressionLoss(name, 0.9), rows_of([0, 1, 2, 3, 994])) for name in LOSSES}
    found = {name: (mean.item(), scale.item()) for name, (mean, scale) in found.items()}
    spread = pytest.approx(2 / 1.349)
    assert found["squared_error"] == (200, pytest.approx(np.std([0, 1, 2, 3, 994])))
    assert found["poisson"] == (0, 200)
    assert found["absolute_error"] == (2, spread)
    assert found["quantile"] == (994, spread)
    # The outlier pulls as much as the others do: (c - 0) + (c - 1) + (c - 2) + (c - 3) = spread at c inside its reach.
    center, scale = found["huber"]
    assert scale == spread
    distances = np.clip(np.array([0, 1, 2, 3, 994]) - center, -scale, scale)
    assert distances.sum() == pytest.approx(0, abs=1e-9)


def test_spread_of_mostly_equal_values():
    """Where half of the rows share a value, the mean distance to it; 1 for a constant."""
    assert target_scaling(RegressionLoss("absolute_error"), rows_of([5] * 9 + [15])) == (5, 1)
    assert target_scaling(RegressionLoss("huber"), rows_of([5.5] * 9)) == (5.5, 1)


def test_a_weight_of_zero_is_a_removed_row():
    for name in LOSSES:
        loss = RegressionLoss(name, 0.3)
        few, weighted = rows_of([1, 2, 4, 9]), rows_of([1, 1, 2, 2, 4, 4, 9, 9], [2, 2] * 4)
        np.testing.assert_allclose(target_scaling(loss, weighted), target_scaling(loss, few))


@pytest.mark.parametrize(
    ("y", "given", "message"),
    [
        ([1, -0.5], {}, "needs y >= 0, got -0.5"),
        ([1, 2], {"held_out": (np.zeros((1, 1)), np.array([-3.0]), np.ones(1))}, "needs y >= 0, got -3"),
        ([0, 0], {}, "needs a y above 0, but all are 0.0: there is no rate"),
        ([[1, 0], [1, 0]], {}, "needs a y above 0, but all are 0.0 in target 1"),
    ],
)
def test_targets_without_a_rate(y, given, message):
    rows = rows_of(y, **given)
    check_loss(RegressionLoss("huber"), rows)
    with pytest.raises(ValueError, match=f"loss='poisson' {message}"):
        check_loss(RegressionLoss("poisson"), rows)
