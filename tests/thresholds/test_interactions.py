"""Products of the target and a number, by which categories that act together with the number are put in order."""

import numpy as np
import pytest

from skbsq.thresholds.categories import Categories
from skbsq.thresholds.interactions import Interactions
from skbsq.thresholds.orders import order_by_target

NAN = float("nan")


def lettered(n_rows, letters="abcd"):
    """Categories of rows that take turns, and their numbers."""
    n = len(letters)
    return Categories.of(list(letters), np.ones(n))[0], (np.arange(n_rows) % n).astype(np.float32)


def test_the_number_that_acts_with_the_categories_comes_first(rng):
    X = rng.normal(5, 2, size=(800, 6)).astype(np.float32)
    X[::9, 3] = NAN
    z = np.nan_to_num((X[:, 3] - np.nanmean(X[:, 3])) / np.nanstd(X[:, 3]))
    sign = np.array([1, -1, 1, -1])[np.arange(800) % 4]
    target = (sign * z + 3 * X[:, 0])[:, None]
    categories, numbers = lettered(800)
    columns = Interactions(target, X, np.ones(800)).added_to(target, categories, numbers)
    assert 2 <= columns.shape[1] <= 5
    np.testing.assert_array_equal(columns[:, :1], target)
    # What the first feature does alone is off, and what remains has the sign of the category.
    assert np.corrcoef(columns[:, 1], sign * z**2)[0, 1] > 0.95
    order, _ = order_by_target(categories, numbers, columns, np.ones(800), 2, np.arange(800) % 5)
    assert {*order.names[:2]} in ({"a", "c"}, {"b", "d"})


def test_numbers_without_effect_hardly_change_the_order(rng):
    target = np.array([0.0, 1, 2, 3])[np.arange(800) % 4][:, None] + 0.5 * rng.normal(size=(800, 1))
    categories, numbers = lettered(800)
    X = rng.normal(size=(800, 50)).astype(np.float32)
    columns = Interactions(target, X, np.ones(800)).added_to(target, categories, numbers)
    assert columns.shape[1] <= 3
    order, floats = order_by_target(categories, numbers, columns, np.ones(800), 2, np.arange(800) % 5)
    assert "".join(order.names) in ("abcd", "dcba")
    assert abs(np.corrcoef(floats, target[:, 0])[0, 1]) > 0.85


def test_weights_of_interactions_repeat_rows(rng):
    X = rng.normal(size=(40, 2)).astype(np.float32)
    target, repeats = rng.normal(size=(40, 1)), rng.integers(1, 4, size=40)
    weighted = Interactions(target, X, repeats.astype(float))
    repeated = Interactions(target.repeat(repeats, axis=0), X.repeat(repeats, axis=0), np.ones(repeats.sum()))
    np.testing.assert_allclose(weighted.z.repeat(repeats, axis=0), repeated.z, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weighted.rest.repeat(repeats, axis=0), repeated.rest, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "X",
    [np.zeros((20, 0)), np.ones((20, 2)), np.full((20, 1), NAN)],
    ids=["no numbers", "constant", "missing"],
)
def test_numbers_that_say_nothing_add_nothing(X, rng):
    target = rng.normal(size=(20, 1))
    categories, numbers = lettered(20)
    interactions = Interactions(target, X.astype(np.float32), np.ones(20))
    np.testing.assert_array_equal(interactions.added_to(target, categories, numbers), target)


def test_two_categories_need_no_products(rng):
    categories, numbers = lettered(20, "ab")
    target, X = rng.normal(size=(20, 1)), rng.normal(size=(20, 3)).astype(np.float32)
    assert Interactions(target, X, np.ones(20)).added_to(target, categories, numbers) is target
