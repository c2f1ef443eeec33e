"""Which thresholds coarse rates keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.training.rate_thresholds import _including, _nearest

numbers = st.lists(st.integers(0, 20), unique=True).map(lambda values: np.sort(np.array(values, dtype=np.int64)))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [([0.9], [1]), ([1.4, 1.6], [1, 2]), ([-9, 99], [0, 4]), ([2.1, 1.9], [2]), ([], [])],
    ids=str,
)
def test_nearest_thresholds(wanted, expected):
    assert _nearest(np.float32([0, 1, 2, 3, 4]), np.array(wanted)).tolist() == expected


def test_nearest_of_no_thresholds():
    assert _nearest(np.float32([7]), np.array([1.0, 9.0])).tolist() == [0]


@pytest.mark.parametrize(
    ("needed", "wanted", "expected"),
    [
        ([4], [3, 7], [4, 7]),  # instead of 3, the nearest to 4
        ([3], [3, 7], [3, 7]),
        ([1, 5], [4], [1, 5]),
        ([], [2, 6], [2, 6]),
        ([2], [], [2]),
    ],
    ids=str,
)
def test_thresholds_of_lower_rates_are_included(needed, wanted, expected):
    assert _including(np.array(needed, dtype=int), np.array(wanted, dtype=int)).tolist() == expected


@given(needed=numbers, wanted=numbers)
def test_no_more_thresholds_than_there_is_room_for(needed, wanted):
    found = _including(needed, wanted)
    assert set(needed) <= set(found) <= set(needed) | set(wanted)
    assert found.size <= max(needed.size, wanted.size)
    assert found.tolist() == sorted(set(found.tolist()))
