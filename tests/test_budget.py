"""allocate_bits: exact, compared to all possible allocations."""

from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import QuantileQuantizer
from skbsq.budget import allocate_bits


def total(costs, n_bits):
    return sum(of_feature[b] for of_feature, b in zip(costs, n_bits, strict=True))


def best_of_all(costs, budget):
    """Return the smallest cost within the budget, and the fewest bits with this cost."""
    fitting = [n_bits for n_bits in product(*(range(len(c)) for c in costs)) if sum(n_bits) <= budget]
    least = min(total(costs, n_bits) for n_bits in fitting)
    return least, min(sum(n_bits) for n_bits in fitting if total(costs, n_bits) == least)


# Sums of small integers are exact, so equal means equal.
costs_of_features = st.lists(st.lists(st.integers(-5, 20), min_size=1, max_size=5), min_size=1, max_size=5)


@given(costs=costs_of_features, budget=st.integers(0, 25))
def test_no_allocation_is_better(costs, budget):
    n_bits = allocate_bits(costs, budget)
    assert n_bits.dtype == np.int64
    assert n_bits.sum() <= budget
    assert (total(costs, n_bits), n_bits.sum()) == best_of_all(costs, budget)


def test_by_hand():
    # A greedy split would never give the second feature its first bit, which gains little.
    cost = [[9, 4, 2], [9, 8, 0], [1, 1, 1]]
    expected = {0: [0, 0, 0], 1: [1, 0, 0], 2: [0, 2, 0], 3: [1, 2, 0], 4: [2, 2, 0], 99: [2, 2, 0]}
    for budget, n_bits in expected.items():
        assert allocate_bits(cost, budget).tolist() == n_bits


def test_excluded_numbers_of_bits():
    assert allocate_bits([[np.inf, 1, 0], [0, 5, 5]], 4).tolist() == [2, 0]
    with pytest.raises(ValueError, match="No allocation of finite cost has at most 1 bits"):
        allocate_bits([[np.inf, 1], [np.inf, 1]], 1)


def test_many_features():
    rng = np.random.default_rng(0)
    gains = rng.uniform(size=512)
    cost = gains[:, None] * 4.0 ** -np.arange(9)  # convex: the best allocation is greedy
    n_bits = allocate_bits(cost, 1000)
    assert n_bits.sum() == 1000
    drops = np.sort((cost[:, :-1] - cost[:, 1:]).ravel())[::-1]
    assert total(cost, n_bits) == pytest.approx(gains.sum() - drops[:1000].sum())


@pytest.mark.parametrize(
    ("cost", "budget", "message"),
    [
        ([[1, np.nan]], 1, "cost of feature 0 with 1 bits is nan"),
        ([[1, 0], [0, -np.inf]], 1, "cost of feature 1 with 1 bits is -inf"),
        ([[1, 0], []], 1, "cost of feature 1 must be a list of at least one number"),
        ([[[1, 0]]], 1, r"cost of feature 0 must be a list of at least one number, got shape \(1, 2\)"),
        ([[1, 0]], -1, "budget must be an integer of at least 0, got -1"),
        ([[1, 0]], 1.5, r"budget must be an integer of at least 0, got 1\.5"),
        ([[1, 0]], True, "got True"),
    ],
)
def test_rejects(cost, budget, message):
    with pytest.raises(ValueError, match=message):
        allocate_bits(cost, budget)


def test_labels_of_the_costs_are_those_of_the_bits():
    costs = {"b": [1.0, 0.5], "a": [0.5, 0.1, 0.1]}
    assert allocate_bits(costs, 1) == {"b": 1, "a": 0}
    for labelled in (pd.Series(costs), pd.DataFrame({1: [0.5, 0.1], 0: [1.0, 0.5]}, index=["b", "a"])):
        found = allocate_bits(labelled, 1)
        assert found.to_dict() == {"b": 1, "a": 0}
    frame = pd.DataFrame({"a": [0.0, 1], "b": [0.0, 1]})
    assert QuantileQuantizer(found).fit(frame).n_bits_.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (pd.Series([[1.0], [1.0]], index=["a", "a"]), "cost names 'a' twice"),
        (pd.DataFrame({1: [1.0], 2: [0.5]}), r"must be the numbers of bits from 0 on, got \[1, 2\]"),
        (np.ma.array([[1.0, 0.5]], mask=[[False, True]]), "cost is masked at position 0, 1"),
        ([np.ma.array([1.0, 0.5], mask=[False, True])], "cost is masked at position 1"),
        ([["1", "2"]], "cost of feature 0 must hold numbers"),
        ([np.array([1, 2], dtype="m8[s]")], "cost of feature 0 must hold numbers"),
        ([np.array([1, {}], dtype=object)], "cost of feature 0 holds {} in row 1"),
        (pl.DataFrame({"a": [1.0]}), "cost must be an array, a list, a dict or a pandas frame"),
        ({"a": pd.Series({1: 0.5, 3: 1.0})}, "labels of cost of feature 'a' must be the numbers from 0 to 1"),
    ],
)
def test_rejects_labels_masks_and_types(cost, message):
    with pytest.raises(ValueError, match=message):
        allocate_bits(cost, 1)


def test_costs_are_read_by_their_numbers_of_bits():
    cost = {"a": pd.Series({2: 0.0, 1: 0.5, 0: 1.0}), "b": [1.0, 0.9]}
    assert allocate_bits(cost, 2) == {"a": 2, "b": 0}
