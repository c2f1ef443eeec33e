"""Handle one feature at a time: its values, its weighted unique values and its moments."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Feature:
    """The rows in which one feature is not missing.

    Parameters
    ----------
    x : ndarray of float32 of shape (n,)
        No NaN.
    weights : ndarray of float64 of shape (n,)
        Positive.
    y : ndarray of shape (n,) or (n, k), or None
        The target, if there is one.
    """

    x: np.ndarray
    weights: np.ndarray
    y: np.ndarray | None = None

    @cached_property
    def weighted_unique(self):
        """Unique values, ascending, and the weight of each: (float32, float64) arrays.

        Equal weights count as ones.
        """
        if self.x.size == 0 or np.ptp(self.weights) == 0:
            # Sorting values is several times faster than sorting rows, and sums of ones are exact.
            values, counts = np.unique(self.x, return_counts=True)
            return values, counts.astype(np.float64)
        return weighted_unique(self.x, self.weights)

    @property
    def is_constant(self):
        """Whether there is at most one unique value."""
        return self.x.size == 0 or self.x.min() == self.x.max()

    @property
    def sums(self):
        """Total weight, weighted mean and weighted variance."""
        if self.x.size == 0:
            return 0.0, 0.0, 0.0
        return tuple(sums_of_columns(self.x[None], self.weights)[:, 0])

    @property
    def moments(self):
        """Weighted mean and standard deviation; 1 instead of a deviation of 0."""
        _, mean, variance = self.sums
        deviation = float(np.sqrt(variance))
        return mean, deviation if deviation > 0 else 1.0


def weighted_unique(x, weights):
    """Find the unique values and add up the weights of each.

    Parameters
    ----------
    x : ndarray of float32 of shape (n,)
        No NaN.
    weights : ndarray of float64 of shape (n,)

    Returns
    -------
    values : ndarray of float32 of shape (m,)
        Strictly increasing.
    weights : ndarray of float64 of shape (m,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import weighted_unique
    >>> weighted_unique(np.float32([3, 1, 3]), np.array([1.0, 2.0, 0.5]))
    (array([1., 3.], dtype=float32), array([2. , 1.5]))
    """
    rows = rows_in_order(x)
    x = x[rows]
    starts = run_starts(x)
    return x[starts], np.add.reduceat(weights[rows], starts)


def sums_of_columns(columns, weights):
    """Compute `Feature.sums` of several features at once, to the last bit.

    Parameters
    ----------
    columns : ndarray of float32 of shape (d, n), in C order
        One feature per row; no NaN.
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
    x, weight = columns.astype(np.float64), weights.sum()
    mean = (weights * x).sum(axis=1) / weight
    # The weighted mean of equal values may be off by a rounding error, and the variance with it.
    constant = x.min(axis=1) == x.max(axis=1)
    variance = (weights * (x - mean[:, None]) ** 2).sum(axis=1) / weight
    return np.array([np.full(len(x), weight), np.where(constant, x[:, 0], mean), np.where(constant, 0.0, variance)])


def joined_sums(one, other):
    """Compute `Feature.sums` of two groups of rows together.

    Parameters
    ----------
    one, other : (weight, mean, variance)
        Numbers, or arrays of one shape.

    Returns
    -------
    (weight, mean, variance)

    Examples
    --------
    >>> from skbsq.thresholds.features import joined_sums
    >>> [float(part) for part in joined_sums((1.0, 0.0, 0.0), (1.0, 2.0, 0.0))]
    [2.0, 1.0, 1.0]
    """
    (weight, mean, variance), (other_weight, other_mean, other_variance) = one, other
    total = weight + other_weight
    share = np.divide(other_weight, total, out=np.zeros(np.shape(total)), where=np.greater(total, 0))
    distance = other_mean - mean
    # If the first group is empty, the sums of the second are returned to the last bit.
    joined_mean = np.where(np.equal(weight, 0), other_mean, mean + distance * share)
    joined = variance * (1 - share) + other_variance * share + distance**2 * share * (1 - share)
    return total, joined_mean, joined


def target_sums(y, weights):
    """Compute the total weight, and weighted means and variances of targets, see `Feature.sums`.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, k)
    weights : ndarray of float64 of shape (n,)

    Returns
    -------
    weight : float
    mean, variance : ndarray of float64 of shape (k,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import target_sums
    >>> target_sums(np.array([1.0, 3.0]), np.ones(2))
    (np.float64(2.0), array([2.]), array([1.]))
    """
    y = y.reshape(len(y), -1)
    mean = np.average(y, axis=0, weights=weights)
    return weights.sum(), mean, np.average((y - mean) ** 2, axis=0, weights=weights)


def features_of(X, weights, y=None):
    """Yield one `Feature` per column of X, without the rows in which it is missing.

    Features are made one at a time, so the memory for copies does not grow with their number.

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
    """Sort row numbers by value, equal values in the order of their rows.

    The result is that of a stable argsort, but faster: value and row number share one integer, and integers sort fast.

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
    # The bits of positive floats are ordered like the floats. Those of negative floats run backwards and come last.
    keys = np.where(bits < sign, bits ^ sign, ~bits).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(x.size, dtype=np.uint64)
    keys.sort()
    return (keys & np.uint64(2**32 - 1)).astype(np.int64)


def run_starts(values):
    """Find where each run of equal values starts.

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


def group_starts(weights, limit):
    """Merge neighbouring values into at most `limit` groups, and find where each group starts.

    Parameters
    ----------
    weights : ndarray of float64 of shape (m,)
        Positive weights of the values, in the order of the values.
    limit : int

    Returns
    -------
    ndarray of int
        All of 0 to m - 1 if m <= `limit`; otherwise the groups have about equal weight.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import group_starts
    >>> group_starts(np.array([1.0, 1, 1, 1, 4]), 4)
    array([0, 2, 4])
    """
    if weights.size <= limit:
        return np.arange(weights.size)
    total = np.cumsum(weights)
    # The group of a value follows from the share of all weight below the middle of the value's weight. The share of the
    # last value may round to 1.
    group = ((total - weights / 2) / total[-1] * limit).astype(np.int64)
    return run_starts(np.minimum(group, limit - 1))


def between(low, high):
    """Place thresholds between neighbouring values: `low` is not above the threshold, `high` is.

    Parameters
    ----------
    low, high : ndarray of float32 or float
        ``low < high``.

    Returns
    -------
    ndarray of float32
        The midpoint, or `low` if no float32 lies between the two.

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
    """Find the gap between unique values that each threshold falls into.

    Parameters
    ----------
    values : ndarray of float32 of shape (m,), strictly increasing
    thresholds : ndarray

    Returns
    -------
    ndarray of int
        i if ``values[i] <= threshold < values[i + 1]``; -1 below all values, m - 1 at or above the last value.
        Only thresholds in the gaps 0 to m - 2 separate values.
    """
    return np.searchsorted(values, thresholds, side="right") - 1


def at_places(values, places):
    """Look up values by places that are floats.

    Parameters
    ----------
    values : ndarray of float32 of shape (n_places,)
    places : ndarray of float32 of shape (n,)

    Returns
    -------
    ndarray of float32 of shape (n,)
        NaN where the place is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import at_places
    >>> at_places(np.float32([5, 7]), np.float32([1, np.nan, 0]))
    array([ 7., nan,  5.], dtype=float32)
    """
    return np.append(values, np.float32(np.nan))[np.where(np.isnan(places), -1, places).astype(np.int64)]
