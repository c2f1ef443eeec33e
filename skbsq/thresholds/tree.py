"""Place the thresholds of a feature where a small decision tree splits it."""

import numpy as np
from scipy.sparse import coo_array
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skbsq.thresholds.features import between, group_starts, rows_in_order, run_starts

# If a feature has more unique values, neighbours are merged into this many groups before its tree is grown. Many
# classes lower that number, but not below so many groups for each level of the feature.
MAX_GROUPS = 2**16
_GROUPS_PER_LEVEL = 64


def tree(feature, n_levels, *, task, min_share=0.1):
    """Place thresholds where a decision tree with `n_levels` leaves splits the feature.

    Parameters
    ----------
    feature : Feature
        Not constant, and with its target: numbers, or the numbers of classes.
    n_levels : int
        At least 2.
    task : {"regression", "classification"}
    min_share : float, default=0.1
        Least weight of a bin, in multiples of an equal share.

    Returns
    -------
    ndarray of float32
        At most n_levels - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import Feature
    >>> from skbsq.thresholds.tree import tree
    >>> x, y = np.float32([1, 2, 3, 9]), np.array([5.0, 5.0, 9.0, 9.0])
    >>> tree(Feature(x, np.ones(4), y), 2, task="regression")
    array([2.5], dtype=float32)
    """
    rows = rows_in_order(feature.x)
    x, weights, y = feature.x[rows], feature.weights[rows], feature.y[rows]
    starts = run_starts(x)
    starts = starts[group_starts(np.add.reduceat(weights, starts), max_groups(task, y, n_levels))]
    # The tree needs no more of a group than its weight and mean, or its weight per class: its splits are those of a
    # tree on the rows. It reads ranks, because a tree takes values closer than 1e-7 for equal at any scale.
    if task == "classification":
        grow, (ranks, target, weights) = DecisionTreeClassifier, _class_weights(y, weights, starts)
    else:
        grow, (ranks, target, weights) = DecisionTreeRegressor, _means(y, weights, starts)
    grown = grow(max_leaf_nodes=n_levels, min_weight_fraction_leaf=min_share / n_levels, random_state=0).fit(
        ranks[:, None], target, sample_weight=weights
    )
    above = starts[np.floor(grown.tree_.threshold[grown.tree_.feature >= 0]).astype(np.int64) + 1]
    return between(x[above - 1], x[above])


def max_groups(task, y, n_levels):
    """Return into how many groups the values of a feature are merged at most."""
    if task == "regression":
        return MAX_GROUPS
    # The tree gets one row per group and class.
    n_classes = np.count_nonzero(np.bincount(y))
    return max(MAX_GROUPS // n_classes, min(MAX_GROUPS, _GROUPS_PER_LEVEL * n_levels))


def _means(y, weights, starts):
    """Return the rank, mean target and weight of each group of sorted rows."""
    group_weights = np.add.reduceat(weights, starts)
    total = np.add.reduceat((weights * y.T).T, starts)
    return np.arange(starts.size), (total.T / group_weights).T, group_weights


def _class_weights(y, weights, starts):
    """Return rank, class and weight for each class that occurs in a group of sorted rows."""
    groups = np.repeat(np.arange(starts.size), np.diff(starts, append=y.size))
    table = coo_array((weights, (groups, y))).tocsr().tocoo()  # the conversion adds up equal pairs
    return table.row, table.col, table.data
