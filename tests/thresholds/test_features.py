"""One feature at a time: its weighted unique values, and groups of them."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbsq.thresholds.features import Feature, between, features_of, group_starts, rows_in_order, run_starts
from tests import reference
from tests.strategies import finite32

NAN = float("nan")
columns = hnp.arrays(np.float32, st.integers(1, 40), elements=finite32 | st.sampled_from([-0.0, 0.0, 1.0, -1.0]))


@given(x=columns)
def test_rows_in_order_are_a_stable_argsort(x):
    np.testing.assert_array_equal(rows_in_order(x), np.argsort(x, kind="stable"))


@given(x=columns, data=st.data())
def test_weighted_unique_equals_reference(x, data):
    weights = data.draw(hnp.arrays(np.float64, x.size, elements=st.integers(1, 3)))
    assume(np.ptp(weights) > 0)
    for given_weights, counted in [(weights, weights), (np.full(x.size, 0.3), np.ones(x.size))]:
        values, found = Feature(x, given_weights).weighted_unique
        assert values.dtype == np.float32
        assert dict(zip(values.tolist(), found.tolist(), strict=True)) == reference.weighted_unique(x, counted)
        assert (np.diff(values) > 0).all()


@given(values=st.lists(st.integers(0, 3), max_size=20))
def test_run_starts(values):
    expected = [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
    assert run_starts(values).tolist() == expected


@given(
    weights=st.lists(st.floats(1e-6, 1) | st.integers(1, 1000), min_size=1, max_size=60).map(np.float64),
    limit=st.integers(1, 20),
)
def test_groups_are_few_and_of_about_equal_weight(weights, limit):
    starts = group_starts(weights, limit)
    if weights.size <= limit:
        assert starts.tolist() == list(range(weights.size))
        return
    assert starts[0] == 0
    assert starts.size <= limit
    assert (np.diff(starts) > 0).all()
    for group in np.split(weights, starts[1:]):
        # Counted from the middle of the first value to the middle of the last, so a single value may be heavy.
        assert group.sum() - (group[0] + group[-1]) / 2 <= weights.sum() / limit * (1 + 1e-9)


def test_equal_weights_make_equal_groups():
    assert group_starts(np.ones(12), 4).tolist() == [0, 3, 6, 9]


def test_features_come_one_at_a_time_without_their_missing_rows():
    X = np.float32([[1, NAN, NAN], [2, 5, NAN], [3, 6, NAN]])
    weights, y = np.array([1.0, 2.0, 3.0]), np.array([[1, 0], [2, 0], [3, 0]])
    features = features_of(X, weights, y)
    first, second, third = next(features), next(features), next(features)
    assert next(features, None) is None
    assert first.x.tolist() == [1, 2, 3]
    assert first.weights is weights
    assert first.y is y
    assert second.x.tolist() == [5, 6]
    assert second.weights.tolist() == [2, 3]
    assert second.y.tolist() == [[2, 0], [3, 0]]
    assert third.x.size == third.weights.size == len(third.y) == 0
    assert next(features_of(X, weights)).y is None


@given(a=finite32, b=finite32)
def test_between_parts_its_neighbours(a, b):
    low, high = sorted([np.float32(a), np.float32(b)])
    assume(low < high)
    middle = between(low, high)
    assert low <= middle < high


def test_between_of_adjacent_floats():
    one = np.float32(1)
    above = np.nextafter(one, np.float32(2))
    assert between(one, above) == one
    assert between(above, np.nextafter(above, np.float32(2))) == above
