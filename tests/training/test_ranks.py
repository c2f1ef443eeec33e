"""The rank space of training rows, and the levels that a head reads in training."""

import numpy as np
import pytest
import torch

from skbsq import BitwiseQuantizer, BitwiseRegressor, QuantileQuantizer
from skbsq.training.ranks import MAX_KNOTS, levels_of_inputs
from skbsq.training.rows import Rows

QUICK = {"max_epochs": 3, "hidden_sizes": (8,), "batch_size": 32, "random_state": 0}


def rows_of(X, weights=None):
    X = np.asarray(X, dtype=np.float32)
    weights = np.ones(len(X)) if weights is None else np.asarray(weights, dtype=np.float64)
    return Rows(X, np.zeros(len(X)), weights, "regression", None, None)


def scaled(rows, x):
    return rows.space("rank")(torch.tensor(np.asarray(x, dtype=np.float32))).numpy()


def test_uniform_values_are_standardized():
    X = np.linspace(-3, 11, 2001)[:, None]
    expected = (X - X.mean()) / X.std()
    np.testing.assert_allclose(scaled(rows_of(X), X), expected, atol=2e-3)


def test_a_far_row_does_not_squeeze_the_rest(rng):
    X = rng.normal(size=(1000, 1))
    X[0] = 1e5
    rows = rows_of(X)
    bulk = scaled(rows, X[1:])
    assert bulk.std() > 0.6
    assert (np.diff(scaled(rows, np.array([[2.0], [1e4], [2e4], [1e6]])), axis=0) > 0).all()
    standard = rows.space("standard")(torch.tensor(X[1:], dtype=torch.float32))
    assert standard.std() < 1e-3


def test_weights_are_repetitions(rng):
    X = rng.normal(size=(40, 2))
    weights = rng.integers(1, 5, size=40)
    x = rng.normal(size=(20, 2))
    by_weight, repeated = rows_of(X, weights), rows_of(np.repeat(X, weights, axis=0))
    np.testing.assert_allclose(scaled(by_weight, x), scaled(repeated, x), atol=1e-6)


def test_few_values_constants_and_gaps():
    X = np.column_stack([np.tile([0.0, 1.0], 10), np.ones(20), np.full(20, np.nan), np.r_[np.nan, np.arange(19)]])
    space = rows_of(X).space("rank")
    z = space(torch.tensor(X, dtype=torch.float32)).numpy()
    # Each value has half of the rows: ranks of 1/4 and 3/4.
    high = np.sqrt(12) / 4 * 2 / 3 + 1 / 3
    np.testing.assert_allclose(z[:2, 0], [-high, high], rtol=1e-6)
    np.testing.assert_array_equal(z[:, 1], 0)
    assert np.isnan(z[:, 2]).all()
    assert np.isnan(z[0, 3])
    assert (np.diff(z[1:, 3]) > 0).all()


def test_knots_are_bounded(rng):
    space = rows_of(rng.normal(size=(5000, 1))).space("rank")
    assert space.ends_x.shape == (1, MAX_KNOTS)


def test_powers_of_two_change_nothing(rng):
    X = rng.lognormal(size=(200, 3))
    y = X[:, 0] + rng.normal(size=200)
    codes = [BitwiseQuantizer(2, **QUICK).fit(X * s, y).transform(X * s) for s in (1.0, 2.0**-30, 2.0**30)]
    np.testing.assert_array_equal(codes[0], codes[1])
    np.testing.assert_array_equal(codes[0], codes[2])


def test_thresholds_stay_among_the_rows(rng):
    """A bug of the standardised space: with a heavy tail, thresholds moved to where there are no rows."""
    X = rng.lognormal(sigma=2.5, size=(2000, 1))
    y = np.sin(4 * np.log(X[:, 0]))
    quantizer = BitwiseQuantizer(3, init="quantile", max_epochs=15, hidden_sizes=(32,), random_state=0).fit(X, y)
    inside = [(X.min() < t) & (t < X.max()) for t in quantizer.thresholds_]
    assert inside[0].all()


# -- levels ------------------------------------------------------------------------------------------


def test_levels_of_inputs_by_hand():
    X = np.column_stack([np.arange(12.0), np.full(12, np.nan)])
    rows = rows_of(X)
    z = scaled(rows, X)[:, 0]
    # Columns 0 and 1 of the layer are thresholds; column 2 is the missing bit of the second feature.
    feature, rises, lowest = levels_of_inputs(
        rows, [np.array([3.5, 5.0]), np.array([])], np.array([0, 1]), np.array([1, 0, -1, 2])
    )
    means = [z[:4].mean(), z[4:6].mean(), z[6:].mean()]
    np.testing.assert_allclose(rises, [means[2] - means[1], means[1] - means[0], 0, 0], rtol=1e-5)
    np.testing.assert_array_equal(feature[:2], [0, 0])
    np.testing.assert_allclose(lowest, [means[0], 0.0], rtol=1e-5)


def test_an_empty_bin_lies_between_its_neighbours():
    rows = rows_of(np.r_[np.zeros(5), np.ones(5)][:, None])
    z = scaled(rows, [[0.0], [1.0]])[:, 0]
    columns = np.arange(3)
    _, rises, lowest = levels_of_inputs(rows, [np.array([0.2, 0.5, 0.9])], columns, columns)
    np.testing.assert_allclose(rises, np.full(3, (z[1] - z[0]) / 3), rtol=1e-5)
    assert lowest[0] == pytest.approx(z[0], rel=1e-5)


@pytest.mark.parametrize("quantizer", [None, QuantileQuantizer(3)])
def test_the_trained_head_reads_bits_alone(quantizer, rng):
    X, y = rng.normal(size=(100, 3)), rng.normal(size=100)
    with_levels = BitwiseRegressor(3, quantizer=quantizer, **QUICK).fit(X, y)
    without = BitwiseRegressor(3, quantizer=quantizer, level_inputs=False, **QUICK).fit(X, y)
    shapes = [[tuple(p.shape) for p in model.head_.parameters()] for model in (with_levels, without)]
    assert shapes[0] == shapes[1] == [(8, 21), (8,), (1, 8), (1,)]
    assert type(with_levels.head_[0]) is torch.nn.Linear
    np.testing.assert_array_equal(with_levels.predict(X), with_levels.predict_codes(with_levels.codebook_.encode(X)))
    assert not np.array_equal(with_levels.predict(X), without.predict(X))


def test_a_given_head_reads_no_levels(rng):
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    fits = [
        BitwiseRegressor(2, head=torch.nn.Linear, level_inputs=levels, **QUICK).fit(X, y) for levels in (True, False)
    ]
    np.testing.assert_array_equal(fits[0].predict(X), fits[1].predict(X))


def test_levels_make_smooth_starts(rng):
    """A net with levels learns a smooth function of wide features in fewer steps."""
    X = rng.uniform(size=(600, 4))
    y = X @ [1.0, 2.0, -1.0, 0.5]
    scores = [
        BitwiseRegressor(6, level_inputs=levels, max_epochs=5, hidden_sizes=(32,), random_state=0).fit(X, y).score(X, y)
        for levels in (True, False)
    ]
    assert scores[0] > scores[1]
