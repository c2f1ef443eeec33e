"""Split a budget of bits over features."""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

from skbsq.codebook.labels import columns_of, in_number_order, label
from skbsq.codebook.matrix import floats_of_objects, refuse_mask

__all__ = ["allocate_bits"]


def allocate_bits(cost, budget):
    """Split a budget of bits over features, with the smallest sum of costs.

    The solution is exact for any costs, also if costs rise with the bits. Among splits of equal cost, one with the
    fewest bits is returned.

    Parameters
    ----------
    cost : array-like of shape (d, m + 1), list of d array-likes, or dict, pandas Series or DataFrame with labels
        ``cost[j][b]`` is the cost of feature j with b bits, from 0 to m, for d features. Costs may have any unit in
        which they add up. Lists may differ in length: a list ends at the maximum bits of its feature. An infinite cost
        excludes a number of bits for a feature. The columns of a DataFrame are numbers of bits.
    budget : int
        Bits per row.

    Returns
    -------
    n_bits : ndarray of int64 of shape (d,), dict or pandas Series
        Bits per feature; their sum is at most the budget. A dict for a dict, and a Series for a Series or DataFrame,
        with the labels of `cost`.

    Raises
    ------
    ValueError
        If a cost is not a number, NaN, masked or minus infinity; if a feature has no costs or its label occurs twice;
        if the labels of costs are not the numbers of bits from 0 on; if the budget is not an integer of at least 0; or
        if no split of finite cost is within the budget.

    See Also
    --------
    skbsq.BitwiseQuantizer : With `bit_budget` it estimates the costs itself.

    Notes
    -----
    A multiple-choice knapsack, solved by dynamic programming. Memory grows with d times the budget, and time with d
    times the budget times m.

    Examples
    --------
    The second feature gains nothing from its second bit, and the third feature gains little from its first.

    >>> from skbsq.budget import allocate_bits
    >>> allocate_bits([[1.0, 0.5, 0.25], [1.0, 0.5, 0.5], [0.5, 0.4, 0.4]], budget=3)
    array([2, 1, 0])
    >>> allocate_bits([[1.0, 0.5, 0.25], [1.0, 0.5, 0.5], [0.5, 0.4, 0.4]], budget=100)
    array([2, 1, 1])
    >>> allocate_bits({"wind": [1.0, 0.5], "rain": [0.5, 0.4]}, budget=1)
    {'wind': 1, 'rain': 0}
    """
    labels, costs = _labelled(cost)
    if labels is not None and len(set(labels)) < len(labels):
        raise ValueError(f"cost names {next(name for name in labels if labels.count(name) > 1)!r} twice.")
    costs = [_costs_of(of_feature, j, labels) for j, of_feature in enumerate(refuse_mask(costs, "cost"))]
    n_bits = _allocate(costs, budget)
    if isinstance(cost, Mapping):
        return dict(zip(labels, n_bits.tolist(), strict=True))
    if hasattr(cost, "iloc"):
        first = cost if cost.ndim == 1 else cost.iloc[:, 0]
        return type(first)(n_bits, index=cost.index, name="n_bits")
    return n_bits


def _labelled(cost):
    """Return the labels of the features, or None, and their costs."""
    if isinstance(cost, Mapping):
        return list(cost), list(cost.values())
    if columns_of(cost) is not None:
        if not hasattr(cost, "iloc"):
            raise ValueError(f"cost must be an array, a list, a dict or a pandas frame, got {type(cost).__name__}.")
        n_bits = list(cost.columns)
        if set(n_bits) != set(range(len(n_bits))):
            raise ValueError(f"The columns of cost must be the numbers of bits from 0 on, got {n_bits}.")
        return list(cost.index), cost[sorted(n_bits)].to_numpy()
    return (list(cost.index), cost.tolist()) if hasattr(cost, "iloc") else (None, cost)


def _costs_of(costs, j, labels):
    """Return the costs of a feature by number of bits."""
    where = f"cost of {label(labels, j)}"
    costs = np.asarray(in_number_order(costs, where))
    if costs.dtype.kind == "O" and costs.ndim == 1:
        return floats_of_objects(costs, "The array", where)
    if costs.dtype.kind not in "fiu":
        raise ValueError(f"{where} must hold numbers, got dtype {costs.dtype}.")
    return costs.astype(np.float64)


def _allocate(costs, budget):
    for j, of_feature in enumerate(costs):
        if of_feature.ndim != 1 or of_feature.size == 0:
            raise ValueError(
                f"cost of feature {j} must be a list of at least one number, got shape {of_feature.shape}."
            )
        if np.isnan(of_feature).any() or np.isneginf(of_feature).any():
            b = int(np.argmax(~(of_feature > -np.inf)))
            raise ValueError(f"cost of feature {j} with {b} bits is {of_feature[b]}: costs are numbers or inf.")
    if isinstance(budget, bool) or not isinstance(budget, Integral) or budget < 0:
        raise ValueError(f"budget must be an integer of at least 0, got {budget!r}.")
    # A larger budget than the maximum of all features is useless.
    budget = min(int(budget), sum(of_feature.size - 1 for of_feature in costs))

    # least[c] is the smallest cost of the features so far with at most c bits; chosen[j][c] is the bits of feature j.
    least = np.zeros(budget + 1)
    chosen = np.zeros((len(costs), budget + 1), dtype=np.int64)
    for j, of_feature in enumerate(costs):
        best = least + of_feature[0]
        for b in range(1, min(of_feature.size - 1, budget) + 1):
            with_b = least[: budget + 1 - b] + of_feature[b]
            better = with_b < best[b:]
            best[b:][better] = with_b[better]
            chosen[j, b:][better] = b
        least = best
    if not np.isfinite(least[budget]):
        raise ValueError(f"No allocation of finite cost has at most {budget} bits: increase the budget.")

    n_bits = np.zeros(len(costs), dtype=np.int64)
    left = int(np.argmax(least == least[budget]))
    for j in reversed(range(len(costs))):
        n_bits[j] = chosen[j, left]
        left -= n_bits[j]
    return n_bits
