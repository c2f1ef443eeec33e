"""Bisection over the floats."""

import numpy as np
from hypothesis import given

from skbsq.codebook.floats import last_floats
from tests.strategies import finite32


def test_by_hand():
    found = last_floats(lambda x: x <= np.float32([[1.5, -2.0, 0.0, 1e-45]]), (1, 4))
    assert found.dtype == np.float32
    assert found.tolist() == np.float32([[1.5, -2.0, 0.0, 1e-45]]).tolist()


def test_last_float_below():
    assert last_floats(lambda x: x < 1, (1,)) == np.nextafter(np.float32(1), np.float32(0))
    assert last_floats(lambda x: x < 0, (1,)) == np.float32(-1e-45)


def test_everywhere_and_nowhere():
    """The condition sees only finite floats, even when an entry is already done."""

    def holds(x):
        assert np.isfinite(x).all()
        return np.array([True, False])

    found = last_floats(holds, (2,))
    assert found.tolist() == [np.finfo(np.float32).max, -np.inf]


def test_only_the_lowest():
    lowest = np.finfo(np.float32).min
    assert last_floats(lambda x: x <= lowest, (1,)) == lowest


def test_no_entries():
    assert last_floats(lambda x: x <= 0, (0, 3)).shape == (0, 3)


@given(finite32)
def test_finds_any_float(value):
    found = last_floats(lambda x: x <= np.float32(value), (1,))
    assert found == np.float32(value)
    assert not np.signbit(found[0]) or value < 0
