"""One feature at a time, and its weighted distinct values, which most threshold rules start from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Feature:
    """The rows of one feature in which it was seen.

    Parameters
    ----------
    x : ndarray of float32 of shape (n,)
        No NaN.
    weights : ndarray of float64 of shape (n,)
        Positive.
    y : ndarray of shape (n,) or (n, k), or None
        The target, where there is one.
    """

    x: np.ndarray
    weights: np.ndarray
    y: np.ndarray | None = None

    @cached_property
    def cells(self):
        """Distinct values, ascending, and the weight on each: (float32, float64) arrays.

        Equal weights count as ones.
        """
        if self.x.size == 0:
            return np.empty(0, dtype=np.float32), np.empty(0)
        if np.ptp(self.weights) == 0:
            # Sorting values is several times faster than sorting rows, and sums of ones are exact.
            values, counts = np.unique(self.x, return_counts=True)
            return values, counts.astype(np.float64)
        rows = rows_in_order(self.x)
        x = self.x[rows]
        starts = run_starts(x)
        return x[starts], np.add.reduceat(self.weights[rows], starts)

    @property
    def is_constant(self):
        """Whether there is one value at most."""
        return self.x.size == 0 or self.x.min() == self.x.max()

    @property
    def sums(self):
        """Weight in all, weighted mean and variance."""
        if self.x.size == 0:
            return 0.0, 0.0, 0.0
        x, mass = self.x.astype(np.float64), self.weights.sum()
        # A weighted mean of equal values may miss them by a rounding, and the variance with it.
        if x.min() == x.max():
            return mass, x[0], 0.0
        mean = (self.weights * x).sum() / mass
        return mass, mean, (self.weights * (x - mean) ** 2).sum() / mass

    @property
    def moments(self):
        """Weighted mean and standard deviation; 1 for a deviation of 0."""
        _, mean, variance = self.sums
        deviation = float(np.sqrt(variance))
        return mean, deviation if deviation > 0 else 1.0


def sums_of_columns(columns, weights):
    """`Feature.sums` of several features at once, to the last bit.

    Parameters
    ----------
    columns : ndarray of float32 of shape (d, n), in C order
        A feature per row; no NaN.
    weights : ndarray of float64 of shape (n,)
        Positive.

    Returns
    -------
    ndarray of float64 of shape (3, d)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import sums_of_columns
    >>> sums_of_columns(np.float32([[1, 3], [2, 2]]), np.ones(2))
    array([[2., 2.],
           [2., 2.],
           [1., 0.]])
    """
    x, mass = columns.astype(np.float64), weights.sum()
    low, high = x.min(axis=1), x.max(axis=1)
    mean = (weights * x).sum(axis=1) / mass
    variance = (weights * (x - mean[:, None]) ** 2).sum(axis=1) / mass
    constant = low == high
    return np.array([np.full(len(x), mass), np.where(constant, x[:, 0], mean), np.where(constant, 0.0, variance)])


def joined_sums(one, other):
    """What `Feature.sums` are of the rows of both.

    Parameters
    ----------
    one, other : (mass, mean, variance)
        Numbers, or arrays of one shape.

    Returns
    -------
    (mass, mean, variance)

    Examples
    --------
    >>> from skbsq.thresholds.features import joined_sums
    >>> [float(part) for part in joined_sums((1.0, 0.0, 0.0), (1.0, 2.0, 0.0))]
    [2.0, 1.0, 1.0]
    """
    (mass, mean, variance), (more, mean_of_more, variance_of_more) = one, other
    total = mass + more
    share = np.divide(more, total, out=np.zeros(np.shape(total)), where=np.greater(total, 0))
    apart = mean_of_more - mean
    # The first of several has no weight so far: its sums come out to the last bit.
    joined_mean = np.where(np.equal(mass, 0), mean_of_more, mean + apart * share)
    joined = variance * (1 - share) + variance_of_more * share + apart**2 * share * (1 - share)
    return total, joined_mean, joined


def features_of(X, weights, y=None):
    """Yield one `Feature` per column, without its missing values.

    One at a time, so that no more than a column's memory is needed however many there are.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    weights : ndarray of float64 of shape (n,)
        Positive.
    y : ndarray of shape (n,) or (n, k), default=None
        The target.

    Yields
    ------
    Feature
    """
    for column in X.T:
        x = np.ascontiguousarray(column)
        seen = ~np.isnan(x)
        if seen.all():
            yield Feature(x, weights, y)
        else:
            yield Feature(x[seen], weights[seen], None if y is None else y[seen])


def rows_in_order(x):
    """Row numbers in the order of the values, equal values in the order of the rows.

    What a stable argsort returns, faster: value and row number in one integer, and integers sort fast.

    Parameters
    ----------
    x : ndarray of float32 of shape (n,)
        No NaN; n below 2^32.

    Returns
    -------
    ndarray of int64 of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import rows_in_order
    >>> rows_in_order(np.float32([1, -3, -2, -3]))
    array([1, 3, 2, 0])
    """
    bits = (x + np.float32(0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
    sign = np.uint32(1 << 31)
    # The bits of floats are ordered like the floats, but for the sign: negative ones run backwards, and come last.
    keys = np.where(bits < sign, bits ^ sign, ~bits).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(x.size, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(2**32 - 1)).astype(np.int64)


def run_starts(values):
    """Where each run of equal values starts.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    ndarray of int

    Examples
    --------
    >>> from skbsq.thresholds.features import run_starts
    >>> run_starts([3, 3, 5, 6, 6])
    array([0, 2, 3])
    """
    values = np.asarray(values)
    first = np.ones(values.size, dtype=bool)
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return np.flatnonzero(first)


def group_starts(mass, limit):
    """Where each group starts if neighbouring cells are merged until there are at most `limit`.

    Parameters
    ----------
    mass : ndarray of float64 of shape (m,)
        Positive weights of the cells, in their order.
    limit : int

    Returns
    -------
    ndarray of int
        All of 0 to m - 1 where m <= `limit`; else so that the groups are of about equal weight.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import group_starts
    >>> group_starts(np.array([1.0, 1, 1, 1, 4]), 4)
    array([0, 2, 4])
    """
    if mass.size <= limit:
        return np.arange(mass.size)
    total = np.cumsum(mass)
    # By the share of all weight up to a cell's middle; the last cell's may round to all of it.
    group = ((total - mass / 2) / total[-1] * limit).astype(np.int64)
    return run_starts(np.minimum(group, limit - 1))


def between(low, high):
    """Thresholds that part neighbouring values: `low` stays below, `high` is above.

    Parameters
    ----------
    low, high : ndarray of float32 or float
        ``low < high``.

    Returns
    -------
    ndarray of float32
        The midpoint, or `low` where no float32 lies between the two.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import between
    >>> between(np.float32([1, 2]), np.float32([2, 4]))
    array([1.5, 3. ], dtype=float32)
    """
    low = np.asarray(low, dtype=np.float32)
    middle = ((low.astype(np.float64) + high) / 2).astype(np.float32)
    return np.where(middle < high, middle, low)


def gap_of(values, thresholds):
    """Which gap between distinct values a threshold falls into.

    Parameters
    ----------
    values : ndarray of float32 of shape (m,), strictly increasing
    thresholds : ndarray

    Returns
    -------
    ndarray of int
        i where ``values[i] <= threshold < values[i + 1]``; -1 below all values, m - 1 at or above the last.
        Only 0 to m - 2 part the values in two.
    """
    return np.searchsorted(values, thresholds, side="right") - 1
