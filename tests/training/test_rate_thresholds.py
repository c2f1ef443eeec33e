"""Which thresholds coarse rates keep."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.training.rate_thresholds import _like, _near

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


def table_of_one_feature(values, weights):
    points = np.array(values, dtype=float)[:, None]
    return SimpleNamespace(
        thresholds=[np.arange(1, len(values), dtype=np.float32)],
        points=lambda j: (points, np.array(weights, dtype=float)),
        max_codes=lambda j, n_bits: 2**n_bits,
    )


def test_a_few_rows_that_matter_stay_apart():
    """The last code reads another value. No rows have the codes 6 and 7, so the threshold behind them is as good."""
    model = table_of_one_feature([0, 0, 0, 0, 0, 0, 0, 0, 9], [1, 1, 1, 1, 1, 1, 1e-9, 1e-9, 0.1])
    assert _near(model.thresholds[0], np.array([4, 7]), np.float32([6.0])).tolist() == [4]
    assert _like(model, 0, 1, np.array([4, 7]), np.float32([6.0])).tolist() == [7]


def test_thresholds_that_separate_the_same_are_the_near_ones():
    model = table_of_one_feature(range(9), [1] * 9)
    assert _like(model, 0, 1, np.array([2, 4, 7]), np.float32([4.0])).tolist() == [2]
    assert _like(model, 0, 1, np.array([], dtype=int), np.float32([4.0])).tolist() == []
