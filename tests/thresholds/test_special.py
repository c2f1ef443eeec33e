"""Thresholds around special values."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.codebook.guards import threshold_below
from skbsq.thresholds.special import Special, check_special, special_of_rows, with_fixed, without_fixed, without_special

NAN = np.float32(np.nan)


@pytest.mark.parametrize(
    ("values", "lowest", "highest", "expected"),
    [
        ([-999], 1, 4, [-999]),  # nothing lies below
        ([999], 1, 4, [threshold_below(999)]),
        ([2], 1, 4, [threshold_below(2), 2]),
        ([0], -1, 1, [-np.finfo(np.float32).tiny, 0]),
        ([-999, -998, 999], 1, 4, [-999, -998, threshold_below(999)]),
        ([2], 1, 1, [threshold_below(2)]),
        ([2], NAN, NAN, []),  # a constant feature
        ([2, 3, 5], NAN, NAN, [2, 3]),
    ],
)
def test_thresholds(values, lowest, highest, expected):
    special = Special.of(np.float32(values), np.float32(lowest), np.float32(highest))
    assert special.thresholds.tolist() == np.float32(expected).tolist()


@given(st.sets(st.integers(-5, 5), min_size=1), st.lists(st.integers(-5, 5)))
def test_a_special_value_is_alone_in_its_code(values, rows):
    values = np.float32(sorted(values))
    X = np.float32(rows).reshape(-1, 1)
    special = special_of_rows(X, {0: values})
    (t,) = with_fixed([[]], special, np.array([4]))
    others = X[~np.isin(X, values)]
    near = np.nextafter(values, np.float32([[-np.inf], [np.inf]])).ravel()
    near = near[np.abs(near) >= np.finfo(np.float32).tiny]
    if others.size:
        others = np.concatenate([others, near[(near > others.min()) & (near < others.max())]])
    codes = np.searchsorted(t, values)
    assert np.unique(codes).size == values.size
    assert not np.isin(np.searchsorted(t, others), codes).any()
    assert without_fixed([t], special)[0].size == 0
    np.testing.assert_array_equal(
        without_special(X, special), [[NAN if row in values else row] for row in rows] or np.empty((0, 1))
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, {}),
        ([], {}),
        ([3, -1, 3.0], {0: [-1, 3], 2: [-1, 3]}),  # feature 1 is categorical
        (pd.Series([7]), {0: [7], 2: [7]}),
        ({"c": [4, -0.0], "a": ()}, {2: [0, 4]}),
        ({2: 5}, {2: [5]}),
        (pd.Series({"a": [1, 2], "c": [3]}), {0: [1, 2], 2: [3]}),
    ],
)
def test_check(given, expected):
    found = check_special(given, ["a", "b", "c"], 3, categorical=[1])
    assert {j: values.tolist() for j, values in found.items()} == expected
    assert all(values.dtype == np.float32 and not np.signbit(values[values == 0]).any() for values in found.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [1, np.nan]}, "finite in float32, got nan for feature 'a'"),
        ([1e39], "finite in float32, got 1e\\+39 for all features"),
        ([1e-40], "subnormal in float32, got 1e-40 for all features"),
        ({"a": ["x"]}, "must be numbers, got \\['x'\\] for feature 'a'"),
        ([[1, 2]], "must be numbers, got \\[\\[1, 2\\]\\] for all features"),
        ({"d": [1]}, "special_values names 'd', which is not a feature"),
        ({"b": [1]}, "special_values names feature 'b', which is categorical"),
    ],
)
def test_check_errors(given, message):
    with pytest.raises(ValueError, match=message):
        check_special(given, ["a", "b", "c"], 3, categorical=[1])
