"""Orders of categories: those of a slow reference, from sums that chunks add up to, and without leakage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq.thresholds.categories import Categories
from skbsq.thresholds.orders import N_FOLDS, TargetSums, draw_folds, order_by_target, target_columns


@pytest.fixture
def rows(rng):
    numbers = rng.integers(0, 6, 80).astype(np.float32)
    numbers[::9] = np.nan
    target = np.stack([numbers % 3 + rng.normal(size=80), rng.normal(size=80)], axis=1)
    return numbers, np.nan_to_num(target), rng.random(80) + 0.1, draw_folds(80, 0)


def categories_of(numbers, min_share=0.0):
    n = int(np.nanmax(numbers)) + 1
    weight = np.array([(numbers == k).sum() for k in range(n)], dtype=float)
    return Categories.of([f"c{k}" for k in range(n)], weight, min_share)[0]


def shrunken(numbers, target, weights, n):
    """The means of the rows of each number, by definition."""
    total, overall = weights.sum(), np.average(target, axis=0, weights=weights)
    unit = total / len(weights)
    weight = np.array([weights[numbers == k].sum() for k in range(n)])
    means = np.zeros((n, target.shape[1]))
    for k in np.flatnonzero(weight):
        means[k] = np.average(target[numbers == k], axis=0, weights=weights[numbers == k]) - overall
    prior = np.full(target.shape[1], total)
    for k in range(target.shape[1]):
        rest = sum(weights[i] * (target[i, k] - overall[k] - means[int(g), k]) ** 2 for i, g in enumerate(numbers))
        n_used = np.count_nonzero(weight)
        within = rest / max(total - n_used * unit, unit)
        spread = weight @ means[:, k] ** 2 - (n_used - 1) * within * unit
        size = total - (weight**2).sum() / total
        if size > 0 and spread > 0:
            prior[k] = min(within * unit * size / spread, total)
    return overall + means * (weight[:, None] / (weight[:, None] + prior))


def added(n, numbers, target, weights, folds, n_chunks=1):
    sums = TargetSums(n, target.shape[1])
    for part in np.array_split(np.arange(len(numbers)), n_chunks):
        sums.add(numbers[part], target[part], weights[part], folds[part])
    return sums


def test_means_are_those_of_the_rows(rows):
    numbers, target, weights, folds = rows
    group = np.array([0, 1, 1, 2, 3, 0])
    sums = added(6, *rows)
    for counted in (np.ones(N_FOLDS, dtype=bool), np.arange(N_FOLDS) != 2):
        kept = counted[folds] & ~np.isnan(numbers)
        by_group = group[numbers[kept].astype(int)]
        expected = shrunken(by_group, target[kept], weights[kept], 4)
        np.testing.assert_allclose(sums.shrunken_means(group, counted), expected, rtol=1e-9)


def test_chunks_add_up(rows):
    one, several = added(6, *rows), added(6, *rows, n_chunks=7)
    for name in ("weight", "sums", "squares", "n_rows"):
        np.testing.assert_allclose(getattr(several, name), getattr(one, name), rtol=1e-12)


def test_no_row_of_a_fold_counts_in_it(rows):
    numbers, target, weights, folds = rows
    others = np.arange(N_FOLDS) != 3
    changed = np.where(folds[:, None] == 3, target + 5, target)
    means = [added(6, numbers, t, weights, folds).shrunken_means(np.arange(6), others) for t in (target, changed)]
    np.testing.assert_array_equal(*means)


def test_no_prior_for_a_category_that_no_other_fold_has():
    """The targets repeat exactly, so nothing is shrunk."""
    numbers, target = np.float32([0, 0, 1, 1, 2]), np.array([[1.0], [1], [5], [5], [9]])
    _, floats = order_by_target(categories_of(numbers), numbers, target, np.ones(5), 2, np.arange(5))
    np.testing.assert_allclose(floats, [1, 1, 5, 5, 3])


def test_noise_does_not_predict_the_target(rng):
    """400 categories in 1000 rows of noise: their means know the target, and the floats do not."""
    numbers, target = rng.integers(0, 400, 1000).astype(np.float32), rng.normal(size=(1000, 1))
    known, number = Categories.of(list(range(400)), np.bincount(numbers.astype(int), minlength=400).astype(float))
    numbers = number[numbers.astype(int)]
    naive = np.bincount(numbers.astype(int), target[:, 0]) / np.bincount(numbers.astype(int))
    _, floats = order_by_target(known, numbers, target, np.ones(1000), 4, draw_folds(1000, 0))
    assert np.corrcoef(naive[numbers.astype(int)], target[:, 0])[0, 1] > 0.5
    assert np.corrcoef(floats, target[:, 0])[0, 1] < 0.1


def test_the_order_is_that_of_the_means(rows):
    numbers, target, weights, folds = rows
    known, seen = categories_of(numbers), ~np.isnan(numbers)
    order, floats = order_by_target(known, numbers, target[:, :1], weights, 2, folds)
    means = shrunken(numbers[seen], target[seen, :1], weights[seen], 6)[:, 0]
    assert [known.names.index(name) for name in order.names] == np.argsort(means).tolist()
    np.testing.assert_allclose(order.values, np.sort(means), rtol=1e-6)
    assert not order.is_kept
    np.testing.assert_array_equal(np.isnan(floats), ~seen)


def test_places_where_there_are_codes_for_all(rows):
    numbers, target, weights, folds = rows
    order, floats = order_by_target(categories_of(numbers), numbers, target, weights, 6, folds)
    assert order.is_one_hot
    np.testing.assert_array_equal(floats, order.floats)
    assert sorted(set(floats[~np.isnan(floats)])) == [0, 1, 2, 3, 4, 5]


def test_merged_categories_are_neighbours(rng):
    numbers = np.float32([0, 1, 2, 3] * 10 + [4, 5])
    target = rng.normal(size=(42, 1))
    order, _ = order_by_target(categories_of(numbers, 0.1), numbers, target, np.ones(42), 8, draw_folds(42, 0))
    places = [order.names.index(name) for name in ("c4", "c5")]
    assert abs(places[0] - places[1]) == 1
    assert order.is_kept
    assert not order.is_one_hot
    assert order.gaps.size == 4


@given(st.integers(1, 40), st.integers(0, 3))
def test_folds_are_even(n_rows, index):
    sizes = np.bincount(draw_folds(n_rows, [0, index]), minlength=N_FOLDS)
    assert np.ptp(sizes) <= 1


def test_columns_of_targets():
    y = np.array([1.0, 3.0])
    np.testing.assert_array_equal(target_columns(y, None, 2.0, 0.5), [[-2], [2]])
    np.testing.assert_array_equal(target_columns(y, np.array([1.0, 2.0, 3.0])), [[1, 0, 0], [0, 0, 1]])
