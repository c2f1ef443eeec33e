"""Thresholds cut by one small decision tree per feature."""

import numpy as np
from scipy.sparse import coo_array
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skbsq.thresholds.features import between, group_starts, rows_in_order, run_starts

# Beyond so many distinct values of a feature, neighbours are merged before its tree is grown. Many classes lower that,
# to so many for each level of the feature at the least.
MAX_CELLS = 2**16
_CELLS_PER_LEVEL = 64


def tree(feature, n_levels, *, task, min_share=0.1):
    """Cut a feature as a decision tree of so many leaves does.

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
    starts = starts[group_starts(np.add.reduceat(weights, starts), max_cells(task, y, n_levels))]
    # A cell needs no more than its weight and mean, or its weight per class: the splits of a tree on these are
    # those of one on the rows. It sees ranks, because it takes values closer than 1e-7 for equal at any scale.
    if task == "classification":
        grow, (cells, target, mass) = DecisionTreeClassifier, _class_weights(y, weights, starts)
    else:
        grow, (cells, target, mass) = DecisionTreeRegressor, _means(y, weights, starts)
    grown = grow(max_leaf_nodes=n_levels, min_weight_fraction_leaf=min_share / n_levels, random_state=0).fit(
        cells[:, None], target, sample_weight=mass
    )
    above = starts[np.floor(grown.tree_.threshold[grown.tree_.feature >= 0]).astype(np.int64) + 1]
    return between(x[above - 1], x[above])


def max_cells(task, y, n_levels):
    """Cells that the values of a feature are merged to at most."""
    if task == "regression":
        return MAX_CELLS
    # Each class of a cell is a row to the tree.
    n_classes = np.count_nonzero(np.bincount(y))
    return max(MAX_CELLS // n_classes, min(MAX_CELLS, _CELLS_PER_LEVEL * n_levels))


def _means(y, weights, starts):
    """Number, mean target and weight of each cell, where cells are ranges of the rows."""
    mass = np.add.reduceat(weights, starts)
    total = np.add.reduceat((weights * y.T).T, starts)
    return np.arange(starts.size), (total.T / mass).T, mass


def _class_weights(y, weights, starts):
    """Cell, class and weight for each class that a cell has rows of, where cells are ranges of the rows."""
    cells = np.repeat(np.arange(starts.size), np.diff(starts, append=y.size))
    table = coo_array((weights, (cells, y))).tocsr().tocoo()  # on the way, equal pairs are summed
    return table.row, table.col, table.data
