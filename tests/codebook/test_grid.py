"""The grid, and the number of threads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codebook import kernels
from skbsq.codebook.kernels import Grid
from tests.strategies import finite32, neighbours


def assert_equals_the_count(grid, t, x):
    codes = np.empty(x.size, dtype=np.uint8)
    grid.encode(x, codes)
    np.testing.assert_array_equal(codes, (x[:, None] > t).sum(axis=1))


@given(
    st.lists(finite32, min_size=1, max_size=40, unique=True),
    st.lists(st.floats(width=32, allow_nan=False), max_size=40),
    st.booleans(),
)
def test_grid_equals_the_count(thresholds, values, fine):
    t = np.unique(np.float32(thresholds) + np.float32(0))
    assert_equals_the_count(Grid(t, np.uint8, fine=fine), t, np.concatenate([neighbours(t), np.float32(values)]))


@pytest.mark.parametrize(
    ("thresholds", "n_hops"),
    [
        (np.linspace(-2, 2, 255), 1),  # finest around zero
        (np.geomspace(1e-3, 1e3, 255), 1),
        (1e6 + np.arange(255), 1),  # separated once they are shifted
        ([0.0], 1),
        ([], 0),
    ],
)
def test_grid_leaves_few_halvings(thresholds, n_hops):
    assert len(Grid(np.float32(thresholds), np.uint8).hops) == n_hops


@pytest.mark.parametrize("shift", [1e8, 2.0**27])  # the second shifts thresholds to the end of a cell
def test_grid_where_the_shift_rounds(shift):
    """Values and thresholds that become equal by the shift are compared without it."""
    t = np.float32([1.0, 2.0, shift, 2 * shift])
    grid = Grid(t, np.uint8)
    grid.shift = np.float32(shift)
    grid.table, depth = kernels._table(t - grid.shift, np.uint8)
    grid.padded = np.concatenate([t, np.full(2**depth, np.inf, dtype=np.float32)])
    grid.hops = [2**step for step in reversed(range(depth))]
    assert_equals_the_count(grid, t, neighbours(np.float32([1.0, 2.0, 3.0])))


def test_tables_stay_small(rng):
    """If the tables would exceed their memory limit, the features have none."""
    book = Codebook.from_thresholds([np.arange(30)] * 1000)
    X = rng.uniform(-1, 31, size=(3, 1000)).astype(np.float32)
    codes, _ = book._encoder.encode(X, kernel="grid")
    np.testing.assert_array_equal(codes, np.clip(np.ceil(X), 0, 30))
    assert not Grid(book.thresholds[0], np.uint8, fine=False).table


def test_thresholds_far_apart_do_not_overflow(rng):
    t = np.float32([-3e38, *np.linspace(2e38, 3e38, 30)])
    x = np.append(neighbours(t), rng.uniform(-3e38, 3e38, size=200).astype(np.float32))
    assert_equals_the_count(Grid(t, np.uint8), t, x)


def test_threads_follow_omp_num_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert kernels._cpu_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert kernels._cpu_count() >= 1
