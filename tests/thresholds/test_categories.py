"""Categories of training rows: groups, their order, and the floats that training reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.thresholds.categories import Categories, weight_at
from skbsq.thresholds.features import at_places
from skbsq.thresholds.orders import draw_folds, order_by_target, order_by_weight, target_columns
from tests import reference

NAN = float("nan")
LETTERS = list("abcdefgh")


def numbered(rows, weights=None, min_share=0.0):
    """Number the categories of rows, in which None is missing."""
    places = np.array([NAN if row is None else LETTERS.index(row) for row in rows], dtype=np.float32)
    weights = np.ones(len(rows)) if weights is None else weights
    categories, number = Categories.of(LETTERS, weight_at(places, weights, len(LETTERS)), min_share)
    return categories, at_places(number, places)


def by_target(rows, target, room=2, folds=None, weights=None, min_share=0.0):
    weights = np.ones(len(rows)) if weights is None else weights
    categories, numbers = numbered(rows, weights, min_share)
    folds = np.arange(len(rows)) % 5 if folds is None else folds
    return order_by_target(categories, numbers, np.reshape(target, (len(rows), -1)), weights, room, folds)


def test_only_categories_of_rows_are_numbered():
    categories, numbers = numbered(["c", None, "a", "c"])
    assert categories.names == ("a", "c")
    assert categories.number_of == {"a": 0, "c": 1}
    np.testing.assert_array_equal(numbers, [1, NAN, 0, 1])


def test_rare_categories_share_a_group():
    categories, _ = numbered([*"aaaa", *"bbbb", "c", "d"], min_share=0.2)
    assert categories.names == ("a", "b", "c", "d")
    assert categories.group.tolist() == [0, 1, 2, 2]
    weighted, _ = numbered(["a", "b", "c"], weights=np.array([1.0, 1, 8]), min_share=0.15)
    assert weighted.group.tolist() == [1, 1, 0]


def test_order_by_weight():
    categories, numbers = numbered([*"bbb", "a", *"cc", None])
    order = order_by_weight(categories, weight_at(numbers, np.ones(7), 3), 4).of_rows(numbers)
    assert order.names == ("b", "c", "a")
    assert order.is_one_hot
    np.testing.assert_array_equal(order.floats, [0, 0, 0, 2, 1, 1, NAN])
    np.testing.assert_array_equal(order.gaps, [0.5, 1.5])


def test_a_category_that_has_its_code_reads_its_place():
    order, floats = by_target(["a", "b", "c", "a"], [5.0, 1, 3, 5], room=3)
    assert order.names == ("b", "c", "a")
    assert floats.tolist() == [2, 0, 1, 2]
    assert order.is_one_hot
    assert order.is_kept


def test_merged_categories_keep_one_code():
    order, floats = by_target([*"aaa", *"bbb", "c", "d"], [1.0] * 3 + [2.0] * 3 + [0.0, 9.0], room=3, min_share=0.2)
    assert order.is_kept
    assert not order.is_one_hot
    at = {name: order.values[order.names.index(name)] for name in "abcd"}
    assert at["c"] == at["d"]
    assert len(set(at.values())) == 3
    assert floats[-1] == floats[-2]


rows_with_target = st.lists(
    st.tuples(st.sampled_from([*"abcde", None]), st.integers(-4, 4), st.sampled_from([0.5, 1.0])),
    min_size=2,
    max_size=30,
).filter(lambda rows: any(row[0] for row in rows))


@given(rows_with_target, st.integers(0, 100))
def test_equals_reference(rows, seed):
    names, target, weights = zip(*rows, strict=True)
    folds = draw_folds(len(rows), seed)
    order, floats = by_target(names, target, 2, folds, np.array(weights))
    seen = [row for row in rows if row[0]]
    means, _ = reference.shrunken_means(*zip(*seen, strict=True))
    in_order = [means[name] for name in order.names]
    np.testing.assert_allclose(in_order, sorted(in_order), atol=1e-6)
    assert sorted(order.names) == sorted(means)
    if order.is_kept:
        return
    np.testing.assert_allclose(order.values, in_order, rtol=1e-5, atol=1e-6)
    for name, fold, value in zip(names, folds, floats, strict=True):
        if name is None:
            assert np.isnan(value)
            continue
        outside = [row for row, of_row in zip(rows, folds, strict=True) if row[0] and of_row != fold]
        others, overall = reference.shrunken_means(*zip(*outside, strict=True)) if outside else ({}, 0.0)
        expected = np.clip(others.get(name, overall), min(in_order), max(in_order))
        assert value == pytest.approx(expected, rel=1e-4, abs=1e-5)


@given(rows_with_target, st.integers(0, 29), st.integers(-9, 9))
def test_no_row_reads_its_own_target(rows, i, changed):
    names, target, _ = zip(*rows, strict=True)
    i %= len(rows)
    other = [*target[:i], changed, *target[i + 1 :]]
    pairs = [by_target(names, values, room=2) for values in (target, other)]
    if any(order.is_kept for order, _ in pairs):
        return
    ends = [order.values[[0, -1]] for order, _ in pairs]
    # The float is clipped to those of the categories.
    low, high = max(low for low, _ in ends), min(high for _, high in ends)
    before, after = (np.clip(floats[i], low, high) for _, floats in pairs)
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-6)


def test_categories_of_chance_read_almost_the_same(rng):
    """Their means differ only by noise, so shrinking takes nearly all of it."""
    rows, target = rng.choice(LETTERS, size=2000), rng.normal(size=2000)
    order, floats = by_target(rows, target)
    assert np.ptp(order.values) < 0.25
    assert abs(np.corrcoef(floats, target)[0, 1]) < 0.1


def test_a_category_that_no_other_fold_has_reads_the_mean_of_all_rows():
    """Also if the target is a function of the category, where nothing is shrunk."""
    _, floats = by_target([*"aabb", "c"], [0.0, 0, 4, 4, 3], folds=np.array([0, 1, 0, 1, 2]))
    np.testing.assert_allclose(floats, [0, 0, 4, 4, 2])


def test_the_order_of_several_targets_is_their_main_direction():
    effects = {"a": (0, 0), "b": (2, 4), "c": (1, 2), "d": (3, 6.1)}
    rows = [name for name in effects for _ in range(10)]
    order, _ = by_target(rows, [effects[name] for name in rows])
    assert order.names == ("a", "c", "b", "d")


def test_placed_thresholds_lie_between_places_of_categories():
    order, _ = by_target([name for name in "abcd" for _ in range(5)], np.repeat([0.0, 10, 20, 30], 5))
    low, high = order.values[:2]
    placed = order.placed(np.float32([-5, (low + high) / 2, 100]))
    assert placed.tolist() == [0.5, 0.5, np.inf]
    unplaced = order.unplaced(np.float32([0.5, 2.5]))
    np.testing.assert_array_equal(order.placed(unplaced), [0.5, 2.5])
    assert low < unplaced[0] < high


def test_rows_of_a_group_share_a_fold():
    groups = np.repeat(np.arange(20), 3)
    folds = draw_folds(60, 0, groups)
    assert all(len(set(folds[groups == g])) == 1 for g in range(20))
    assert np.bincount(folds).tolist() == [12] * 5


def test_target_columns():
    assert target_columns(np.array([1.0, 3.0]), None).tolist() == [[1], [3]]
    assert (
        target_columns(np.array(["x", "z", "y"]), np.array(["x", "y", "z"])).tolist() == np.eye(3)[[0, 2, 1]].tolist()
    )
    several = target_columns(np.array([[1.0, 5], [3, 5]]), None, np.array([2.0, 5]), np.array([1.0, 1]))
    assert several.tolist() == [[-1, 0], [1, 0]]
