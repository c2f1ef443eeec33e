"""Categories of training rows: which there are, their order, and the numbers that training reads."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from skbsq.codebook.columns import find_categorical, split_column
from skbsq.codebook.labels import columns_of, label
from skbsq.thresholds.features import between

_N_FOLDS = 5


class SeenCategories:
    """Note the categories in the columns of a table while they become numbers.

    Parameters
    ----------
    X : table
        As `skbsq.codebook.matrix.as_table` returns it.
    categorical_features : "from_dtype", None, or array-like
        See `skbsq.BitwiseQuantizer`.

    Attributes
    ----------
    readers : dict int -> callable
        By categorical feature, what turns its column into places in `values`.
    values : dict int -> list
        The values of each column, once it was read.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq.thresholds.categories import SeenCategories
    >>> X = pd.DataFrame({"valve": ["open", "shut", "open"]})
    >>> seen = SeenCategories(X, "from_dtype")
    >>> seen.readers[0](X["valve"]), seen.values
    (array([0., 1., 0.], dtype=float32), {0: ['open', 'shut']})
    """

    def __init__(self, X, categorical_features):
        columns = columns_of(X)
        found = find_categorical(X, categorical_features, columns)
        self.values = {}
        self.readers = {j: partial(self._read, j, label(columns, j)) for j in found.tolist()}

    @property
    def features(self):
        """Numbers of the categorical features: a list."""
        return list(self.readers)

    def _read(self, j, feature, column):
        self.values[j], places = split_column(column, feature)
        return np.where(places < 0, np.nan, places).astype(np.float32)

    def numbered(self, X, weights, min_share):
        """Number the categories that rows have.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
            With places in `values` for the categories. Numbers replace them.
        weights : ndarray of float64 of shape (n,)
            Positive.
        min_share : float
            See `Categories.of`.

        Returns
        -------
        dict int -> Categories
            Without features that are missing in every row.
        """
        found = {}
        for j, values in self.values.items():
            if not np.isnan(X[:, j]).all():
                found[j], X[:, j] = Categories.of(values, X[:, j], weights, min_share)
        return found


@dataclass(frozen=True)
class Categories:
    """Categories of a feature in training rows, which hold their numbers.

    Parameters
    ----------
    names : tuple of str, int or bool
        Category of each number.
    group : ndarray of int64 of shape (n_categories,)
        Merged categories have the same group, from 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import Categories
    >>> Categories.of(["b", "a", "c"], np.float32([0, 1, 0, 2]), np.ones(4), min_share=0.3)[0]
    Categories(names=('a', 'b', 'c'), group=array([1, 0, 1]))
    """

    names: tuple
    group: np.ndarray

    @classmethod
    def of(cls, values, places, weights, min_share=0.0):
        """Number the categories that rows have, in their own order.

        Parameters
        ----------
        values : list of str, int or bool
        places : ndarray of float32 of shape (n,)
            Place of each row in `values`, NaN where it is missing.
        weights : ndarray of float64 of shape (n,)
            Positive.
        min_share : float, default=0.0
            Categories with a lower share of the weight are merged into one group.

        Returns
        -------
        categories : Categories
        numbers : ndarray of float32 of shape (n,)
            NaN where it is missing.
        """
        seen = ~np.isnan(places)
        weight = np.bincount(places[seen].astype(np.int64), weights[seen], minlength=len(values))
        order = sorted(np.flatnonzero(weight).tolist(), key=lambda place: values[place])
        number = np.full(len(values) + 1, np.nan, dtype=np.float32)
        number[order] = np.arange(len(order))
        rare = weight[order] < min_share * weight.sum()
        group = np.where(rare, len(order), np.arange(len(order)))
        group = np.unique(group, return_inverse=True)[1].reshape(-1)
        numbers = np.full(places.shape, np.nan, dtype=np.float32)
        numbers[seen] = number[places[seen].astype(np.int64)]
        return cls(tuple(values[place] for place in order), group), numbers

    @property
    def number_of(self):
        """Number of each category: a dict."""
        return {name: number for number, name in enumerate(self.names)}


@dataclass(frozen=True)
class Order:
    """Categories of a feature in the order in which codes group them, and the floats that training reads for them.

    Parameters
    ----------
    names : tuple of str, int or bool
        In order.
    values : ndarray of float32 of shape (n_categories,)
        The float of each category, never falling. Merged categories have the same.
    ranks : ndarray of float32 of shape (n,)
        Place of each row's category in the order, NaN where it is missing.
    is_counted : bool
        Whether the floats count the groups of merged categories from 0.
    room : int, default=0
        Number of codes.
    """

    names: tuple
    values: np.ndarray
    ranks: np.ndarray
    is_counted: bool
    room: int = 0

    @property
    def is_kept(self):
        """Whether every group of merged categories keeps a code of its own: there is a threshold in each gap."""
        return self.is_counted and bool(self.values[-1] < self.room)

    @property
    def is_one_hot(self):
        """Whether every category keeps a code of its own."""
        return self.is_kept and bool((np.diff(self.values) > 0).all())

    @property
    def floats(self):
        """The float of each row's category, NaN where it is missing: ndarray of float32 of shape (n,)."""
        return at_places(self.values, self.ranks)

    @property
    def gaps(self):
        """A threshold in each gap between the floats: ndarray of float32."""
        floats = np.unique(self.values)
        return between(floats[:-1], floats[1:])

    def placed(self, thresholds):
        """Move thresholds between floats to the middle between the places of categories.

        Parameters
        ----------
        thresholds : ndarray of float32

        Returns
        -------
        ndarray of float32
            Infinity for a threshold that no category exceeds. One that all exceed moves above the first.
        """
        place = np.searchsorted(self.values, thresholds, side="right") - 0.5
        first = np.searchsorted(self.values, self.values[0], side="right") - 0.5
        return np.where(place < len(self.names) - 1, np.maximum(place, first), np.inf).astype(np.float32)

    def unplaced(self, thresholds):
        """Move thresholds between the places of categories to the gaps between their floats.

        Parameters
        ----------
        thresholds : ndarray of float32

        Returns
        -------
        ndarray of float32
        """
        before = np.floor(thresholds).astype(np.int64)
        low, high = self.values[before], self.values[before + 1]
        return between(low, np.maximum(high, np.nextafter(low, np.float32(np.inf))))

    def some(self, index):
        """Select rows."""
        return replace(self, ranks=self.ranks[index])

    def floats_of(self, categories, numbers):
        """Return the floats of other rows that hold the numbers of `Categories`."""
        place = {name: k for k, name in enumerate(self.names)}
        return at_places(self.values[[place[name] for name in categories.names]], numbers)


def order_by_weight(categories, numbers, weights, room):
    """Order categories by the weight of their rows, the heaviest first.

    Parameters
    ----------
    categories : Categories
    numbers : ndarray of float32 of shape (n,)
    weights : ndarray of float64 of shape (n,)
    room : int
        Number of codes.

    Returns
    -------
    Order
        Its floats count the groups.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import Categories, order_by_weight
    >>> categories, numbers = Categories.of(["a", "b"], np.float32([0, 1, 1]), np.ones(3))
    >>> order_by_weight(categories, numbers, np.ones(3), 2).names
    ('b', 'a')
    """
    seen = ~np.isnan(numbers)
    weight = np.bincount(categories.group[numbers[seen].astype(np.int64)], weights[seen], categories.group.max() + 1)
    return _order(categories, numbers, -weight, room)


def order_by_target(categories, numbers, target, weights, room, folds):
    """Order categories by the mean of the target, and compute the floats that training reads.

    If there are codes for all groups, a row reads the place of its group. Otherwise it reads the mean of the target
    over the rows of its category outside of its own fold, shrunk towards the mean of all these rows.

    Parameters
    ----------
    categories : Categories
    numbers : ndarray of float32 of shape (n,)
    target : ndarray of float64 of shape (n, k)
        Numbers, or an indicator per class. With several columns the order is that along the first principal component
        of the means.
    weights : ndarray of float64 of shape (n,)
    room : int
        Number of codes.
    folds : ndarray of int64 of shape (n,)
        Fold of each row.

    Returns
    -------
    order : Order
    floats : ndarray of float32 of shape (n,)
        What training reads in each row, NaN where it is missing.

    Notes
    -----
    For one target, or two classes, the partition of one feature that loses least consists of intervals in this order
    (W. D. Fisher, 1958, and Breiman and others, Classification and Regression Trees, 1984, Section 9.4). For several it
    is an approximation (D. Coppersmith, S. J. Hong and J. R. M. Hosking, 1999). Means are shrunk by the ratio of the
    variance within categories and between them: empirical Bayes, as in scikit-learn's TargetEncoder.
    """
    seen = ~np.isnan(numbers)
    group = np.full(numbers.shape, -1)
    group[seen] = categories.group[numbers[seen].astype(np.int64)]
    n_groups = categories.group.max() + 1
    means = _shrunken_means(group[seen], target[seen], weights[seen], n_groups)
    weight = np.bincount(group[seen], weights[seen], n_groups)
    centre, direction = _main_direction(means, weight)
    order = _order(categories, numbers, (means - centre) @ direction, room)
    if order.is_kept:
        return order, order.floats
    by_group = ((means - centre) @ direction).astype(np.float32)
    ranked = np.array([by_group[g] for g in categories.group], dtype=np.float32)
    floats = np.full(numbers.shape, np.nan, dtype=np.float32)
    for fold in np.unique(folds):
        own = seen & (folds == fold)
        other = seen & (folds != fold)
        outside = _shrunken_means(group[other], target[other], weights[other], n_groups)
        floats[own] = ((outside - centre) @ direction)[group[own]]
    # Thresholds stay among the floats of the categories, so that each separates some of them.
    return replace(order, values=np.sort(ranked), is_counted=False), np.clip(floats, by_group.min(), by_group.max())


def _order(categories, numbers, key, room):
    """Order categories by a key per group; their floats count the groups."""
    order = np.lexsort((np.arange(len(categories.names)), categories.group, key[categories.group]))
    rank = np.empty(order.size, dtype=np.float32)
    rank[order] = np.arange(order.size)
    ranks = at_places(rank, numbers)
    group = categories.group[order]
    values = np.append(0, np.cumsum(np.diff(group) != 0)).astype(np.float32)
    names = tuple(categories.names[number] for number in order.tolist())
    return Order(names, values, ranks, is_counted=True, room=room)


def at_places(values, places):
    """Look up values by places that are floats; NaN where the place is NaN."""
    return np.append(values, np.float32(np.nan))[np.where(np.isnan(places), -1, places).astype(np.int64)]


def _shrunken_means(group, target, weights, n_groups):
    """Return the mean of the target for each group, shrunk towards the mean of all rows: (n_groups, k)."""
    total, weight = weights.sum(), np.bincount(group, weights, n_groups)
    if total == 0:
        return np.zeros((n_groups, target.shape[1]))
    overall = weights @ target / total
    sums = np.stack([np.bincount(group, weights * column, n_groups) for column in (target - overall).T], axis=1)
    means = np.divide(sums, weight[:, None], out=np.zeros_like(sums), where=weight[:, None] > 0)
    rest = np.square(target - overall - means[group])
    n_used = np.count_nonzero(weight)
    within = (weights @ rest).sum() / max(total - n_used * total / len(group), total / len(group))
    # The weight of one row is the unit in which the variance of a mean falls.
    unit = total / len(group)
    spread = (weight @ np.square(means)).sum() - (n_used - 1) * within * unit
    size = total - np.square(weight).sum() / total
    variance = spread / size if size > 0 else 0.0
    prior = min(within * unit / variance, total) if variance > 0 else total
    if not (within > 0 or variance > 0):
        return overall + means
    # Categories that repeat their target exactly leave no prior for a category without rows.
    return overall + np.divide(sums, (weight + prior)[:, None], out=means, where=(weight + prior)[:, None] > 0)


def _main_direction(means, weight):
    """Return the centre and the first principal component of means with weights; (0, 1) for one column."""
    if means.shape[1] == 1:
        return np.zeros(1), np.ones(1)
    centre = weight @ means / weight.sum()
    _, vectors = np.linalg.eigh((means - centre).T @ ((means - centre) * weight[:, None]))
    direction = vectors[:, -1]
    return centre, direction * np.sign(direction[np.argmax(np.abs(direction))])


def draw_folds(n_rows, seed, groups=None):
    """Assign rows to folds at random, all rows of a group to the same.

    Parameters
    ----------
    n_rows : int
    seed : int
    groups : ndarray of int64 of shape (n_rows,), default=None

    Returns
    -------
    ndarray of int64 of shape (n_rows,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import draw_folds
    >>> np.bincount(draw_folds(10, seed=0))
    array([2, 2, 2, 2, 2])
    """
    random = np.random.RandomState(seed)
    if groups is None:
        return random.permutation(n_rows) % _N_FOLDS
    return (random.permutation(groups.max() + 1) % _N_FOLDS)[groups]


def target_columns(y, classes):
    """Return the target as columns of numbers: an indicator per class, or for the second of two classes.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, k)
    classes : ndarray, or None for a regression

    Returns
    -------
    ndarray of float64 of shape (n, columns)
        Columns of a regression are standardised if there are several.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import target_columns
    >>> target_columns(np.array(["a", "b"]), np.array(["a", "b"]))
    array([[0.],
           [1.]])
    """
    if classes is not None:
        return (y[:, None] == (classes[1:] if classes.size == 2 else classes)).astype(np.float64)
    columns = y.reshape(len(y), -1).astype(np.float64)
    if columns.shape[1] == 1:
        return columns
    spread = columns.std(axis=0)
    return (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
