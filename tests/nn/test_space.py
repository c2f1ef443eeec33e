"""The scales on which thresholds are optimised."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skbsq.nn import RankSpace, StandardSpace

NAN = float("nan")
KNOTS = [([0.0, 1.0, 100.0], [-1.0, 0.0, 1.0]), ([5.0], [0.0])]


def interpolated(x, knots, outer):
    """A slow reference: straight between the knots, with the outer slope beyond them."""
    xs, zs = (np.asarray(part, dtype=float) for part in knots)
    inside = np.interp(x, xs, zs)
    return inside + outer * (np.minimum(x - xs[0], 0) + np.maximum(x - xs[-1], 0))


def test_by_hand():
    space = RankSpace(KNOTS, [0.5, 2.0])
    x = torch.tensor([[-2.0, 4.0], [0.0, 5.0], [0.25, 6.0], [1.0, 5.0], [50.5, NAN], [102.0, 5.0]])
    expected = [[-2, -2], [-1, 0], [-0.75, 2], [0, 0], [0.5, NAN], [2, 0]]
    np.testing.assert_allclose(space(x).numpy(), expected, rtol=1e-6)
    theta, feature = torch.tensor([-2.0, -0.75, 0.5, 2.0, -2.0, 0.0]), torch.tensor([0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(space.raw(theta, feature).numpy(), [-2, 0.25, 50.5, 102, 4, 5], rtol=1e-6)


@given(seed=st.integers(0, 2**32 - 1))
def test_piecewise_linear_and_back(seed):
    rng = np.random.default_rng(seed)
    d = rng.integers(1, 4)
    knots = [
        (np.sort(rng.normal(0, 10, m)).astype(np.float32), np.sort(rng.normal(size=m))) for m in rng.integers(1, 6, d)
    ]
    knots = [(x, z) for x, z in knots if (np.diff(x) > 1e-3).all() and (np.diff(z) > 1e-3).all()] or KNOTS
    outer = rng.uniform(0.1, 2, len(knots))
    space = RankSpace(knots, outer)
    x = rng.normal(0, 20, (30, len(knots))).astype(np.float32)
    z = space(torch.from_numpy(x))
    for j, pair in enumerate(knots):
        np.testing.assert_allclose(z[:, j].numpy(), interpolated(x[:, j], pair, outer[j]), rtol=1e-5, atol=1e-5)
        back = space.raw(z[:, j], torch.full((30,), j))
        # The rounding of z in float32, times the inverse slope.
        steepest = 1 / min(outer[j], *(np.diff(pair[1]) / np.diff(pair[0])), np.inf)
        np.testing.assert_allclose(back.numpy(), x[:, j], rtol=1e-5, atol=1e-5 * max(1, steepest))


def test_equal_to_standard_space_for_uniform_values():
    x = torch.linspace(10, 20, 101)[:, None]
    mean, scale = np.array([15.0]), np.array([10 / np.sqrt(12)])
    straight = RankSpace([([10.0, 20.0], [-np.sqrt(3), np.sqrt(3)])], 1 / scale)
    torch.testing.assert_close(straight(x), StandardSpace(mean=mean, scale=scale)(x))


@pytest.mark.parametrize("space", [StandardSpace(mean=[1e8], scale=[1e-3]), RankSpace([([1e8], [0.0])], [1e3])])
def test_raw_thresholds_are_finite_float32_without_minus_zero(space):
    raw = space.raw(torch.tensor([1e38, -1e38, 0.0]), torch.zeros(3, dtype=torch.int64))
    assert raw.dtype == torch.float32
    assert torch.isfinite(raw).all()
    zero = RankSpace([([0.0], [0.0])], [1.0]).raw(torch.tensor([-0.0]), torch.zeros(1, dtype=torch.int64))
    assert not np.signbit(zero.numpy()).any()


@pytest.mark.parametrize(
    ("knots", "outer"),
    [
        (([1.0, 1.0], [0.0, 1.0]), 1),
        (([0.0, 1.0], [1.0, 1.0]), 1),
        (([], []), 1),
        (([0.0], [0.0, 1]), 1),
        (KNOTS[0], 0),
    ],
)
def test_rejects_knots_that_do_not_increase(knots, outer):
    with pytest.raises(ValueError, match="knots of feature 0 must increase strictly"):
        RankSpace([knots], [outer])
