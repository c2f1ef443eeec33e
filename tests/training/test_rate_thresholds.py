"""Which thresholds coarse rates keep."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.training.rate_thresholds import _including, _near

THRESHOLDS = np.float32([0, 1, 2, 3, 100])


@pytest.mark.parametrize(
    ("numbers", "wanted", "expected"),
    [
        ([0, 1, 2, 3, 4], [0.9], [1]),
        ([0, 1, 2, 3, 4], [1.4, 1.6], [1, 2]),
        ([0, 1, 2, 3, 4], [-9, 999], [0, 4]),
        ([0, 1, 2, 3, 4], [1.9, 2.2], [2, 3]),  # two different thresholds
        ([0, 4], [2.1], [4]),  # 1.9 thresholds away, not 2.1
        ([1, 3], [0, 1, 2], [1, 3]),  # there are no more
        ([2, 4], [], []),
        ([], [1.0], []),
    ],
    ids=str,
)
def test_thresholds_near_to_wanted_ones(numbers, wanted, expected):
    assert _near(THRESHOLDS, np.array(numbers, dtype=int), np.float32(wanted)).tolist() == expected


@given(seed=st.integers(0, 10_000))
def test_no_other_choice_is_nearer(seed):
    rng = np.random.default_rng(seed)
    thresholds = np.arange(8, dtype=np.float32)
    numbers, wanted = np.sort(rng.choice(8, 5, replace=False)), np.sort(rng.uniform(-1, 9, 3)).astype(np.float32)
    places = np.clip(wanted, 0, 7)  # beyond the outer thresholds, the outer ones are wanted
    found = _near(thresholds, numbers, wanted)
    best = min(np.abs(np.array(chosen) - places).sum() for chosen in combinations(numbers, 3))
    assert np.abs(found - places).sum() == pytest.approx(best)


numbers = st.lists(st.integers(0, 20), unique=True).map(lambda values: np.sort(np.array(values, dtype=np.int64)))


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
