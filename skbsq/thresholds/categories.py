"""Find the categories in the columns of training rows, in one table or in several that come one after another."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from skbsq.codebook.categories import check_kinds
from skbsq.codebook.columns import find_categorical, split_column
from skbsq.codebook.labels import columns_of, label
from skbsq.thresholds.features import at_places

MAX_CATEGORIES = 2**20


class SeenCategories:
    """Note the categories in the columns of tables while they become numbers.

    Parameters
    ----------
    X : table
        The first table, as `skbsq.codebook.matrix.as_table` returns it.
    categorical_features : "from_dtype", None, or array-like
        See `skbsq.BitwiseQuantizer`.
    values : dict int -> list, default=None
        By categorical feature, the values of earlier tables. None if there are none: the first table shows which
        features are categorical.

    Attributes
    ----------
    readers : dict int -> callable
        By categorical feature, what turns its column into places in `values`.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq.thresholds.categories import SeenCategories
    >>> X = pd.DataFrame({"valve": ["open", "shut", "open"]})
    >>> seen = SeenCategories(X, "from_dtype")
    >>> seen.readers[0](X["valve"]), seen.values
    (array([0., 1., 0.], dtype=float32), {0: ['open', 'shut']})
    """

    def __init__(self, X, categorical_features, values=None):
        columns = columns_of(X)
        if values is None:
            values = {j: [] for j in find_categorical(X, categorical_features, columns).tolist()}
        elif not isinstance(categorical_features, str):
            found = find_categorical(X, categorical_features, columns).tolist()
            if found != list(values):
                raise ValueError(
                    f"categorical_features names the features {found}, and in earlier rows {list(values)} were "
                    "categorical: set it back to what it was."
                )
        self._places = {j: {value: place for place, value in enumerate(known)} for j, known in values.items()}
        self._kinds = {j: {type(value): value for value in known} for j, known in values.items()}
        self.readers = {j: partial(self._read, j, label(columns, j)) for j in values}

    @property
    def features(self):
        """Numbers of the categorical features: a list."""
        return list(self.readers)

    @property
    def values(self):
        """The values of each categorical feature in the tables read so far: dict int -> list."""
        return {j: list(places) for j, places in self._places.items()}

    def _read(self, j, feature, column):
        values, places = split_column(column, feature)
        self._kinds[j] |= {type(value): value for value in values}
        check_kinds(self._kinds[j].values(), feature)
        known = self._places[j]
        table = np.array([known.setdefault(value, len(known)) for value in values] + [np.nan], dtype=np.float32)
        if len(known) > MAX_CATEGORIES:
            raise ValueError(
                f"{feature} has more than 2^20 = {MAX_CATEGORIES} categories: leave it out, or replace its values by "
                "coarser ones."
            )
        return table[places]

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
            weight = weight_at(X[:, j], weights, len(values))
            if weight.any():
                found[j], number = Categories.of(values, weight, min_share)
                X[:, j] = at_places(number, X[:, j])
        return found


def weight_at(places, weights, n_places):
    """Add up the weights of rows by the places that they hold.

    Parameters
    ----------
    places : ndarray of float32 of shape (n,)
        NaN where it is missing.
    weights : ndarray of float64 of shape (n,)
    n_places : int

    Returns
    -------
    ndarray of float64 of shape (n_places,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.categories import weight_at
    >>> weight_at(np.float32([1, np.nan, 1]), np.array([1.0, 5.0, 0.5]), 3)
    array([0. , 1.5, 0. ])
    """
    seen = ~np.isnan(places)
    weight = np.bincount(places[seen].astype(np.int64), weights[seen], minlength=n_places)
    return weight.astype(np.float64)  # they are integers if there are no rows


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
    >>> Categories.of(["b", "a", "c", "d"], np.array([2.0, 1.0, 1.0, 0.0]), min_share=0.3)
    (Categories(names=('a', 'b', 'c'), group=array([1, 0, 1])), array([ 1.,  0.,  2., nan], dtype=float32))
    """

    names: tuple
    group: np.ndarray

    @classmethod
    def of(cls, values, weight, min_share=0.0):
        """Number the categories that have weight, in their own order.

        Parameters
        ----------
        values : list of str, int or bool
        weight : ndarray of float64 of shape (n_values,)
            Weight of the rows of each value.
        min_share : float, default=0.0
            Categories with a lower share of the weight are merged into one group.

        Returns
        -------
        categories : Categories
        number : ndarray of float32 of shape (n_values,)
            Of each value; NaN for a value without weight.
        """
        order = sorted(np.flatnonzero(weight).tolist(), key=lambda k: (isinstance(values[k], str), values[k]))
        number = np.full(len(values), np.nan, dtype=np.float32)
        number[order] = np.arange(len(order))
        rare = weight[order] < min_share * weight.sum()
        group = np.where(rare, len(order), np.arange(len(order)))
        group = np.unique(group, return_inverse=True)[1].reshape(-1)
        return cls(tuple(values[place] for place in order), group), number

    @property
    def number_of(self):
        """Number of each category: a dict."""
        return {name: number for number, name in enumerate(self.names)}
