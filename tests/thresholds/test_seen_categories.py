"""Categories of one table and of several: found, numbered, and told apart."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.thresholds import categories as module
from skbsq.thresholds.categories import Categories, SeenCategories, weight_at


def test_later_tables_go_on_where_earlier_ones_ended():
    seen = SeenCategories(pd.DataFrame({"a": [1.0], "v": ["x"]}), "from_dtype")
    read = seen.readers[1]
    np.testing.assert_array_equal(read(pd.Series(["x", None, "y"])), np.float32([0, np.nan, 1]))
    np.testing.assert_array_equal(read(pd.Series(["z", "y"], dtype="category")), np.float32([2, 1]))
    assert (seen.features, seen.values) == ([1], {1: ["x", "y", "z"]})
    again = SeenCategories(pd.DataFrame({"a": [1.0], "v": [2.0]}), "from_dtype", seen.values)
    assert again.readers[1](pd.Series(["y", "new"])).tolist() == [1, 3]


def test_features_stay_what_they_were():
    with pytest.raises(ValueError, match=r"names the features \[0\], and in earlier rows \[1\] were"):
        SeenCategories(np.ones((2, 2)), [0], {1: ["x"]})


def test_bools_do_not_follow_integers():
    seen = SeenCategories(np.ones((1, 1)), [0])
    assert seen.readers[0](np.array([1, 0])).tolist() == [1, 0]
    with pytest.raises(ValueError, match="feature 0 are bools and integers"):
        seen.readers[0](np.array([True]))


def test_too_many_categories(monkeypatch):
    monkeypatch.setattr(module, "MAX_CATEGORIES", 3)
    seen = SeenCategories(pd.DataFrame({"v": ["x"]}), "from_dtype")
    seen.readers[0](np.array(["a", "b", "c"]))
    with pytest.raises(ValueError, match=r"feature 'v' has more than 2\^20 .* leave it out"):
        seen.readers[0](np.array(["c", "d"]))


def test_strings_and_integers_have_an_order():
    found, number = Categories.of(["b", 10, "a", 9], np.ones(4))
    assert found.names == (9, 10, "a", "b")
    assert number.tolist() == [3, 1, 2, 0]


@given(st.lists(st.sampled_from(["p", "q", "r", "s"]), min_size=1, max_size=12), st.floats(0, 1))
def test_rare_categories_share_a_group(rows, min_share):
    values, places = np.unique(rows, return_inverse=True)
    weight = weight_at(places.astype(np.float32), np.ones(len(rows)), len(values))
    found, _ = Categories.of(values.tolist(), weight, min_share)
    rare = [rows.count(name) / len(rows) < min_share for name in found.names]
    for k, one in enumerate(rare):
        for other in range(k):
            assert (found.group[k] == found.group[other]) == (one and rare[other])
