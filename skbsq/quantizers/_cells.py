"""The weighted distinct values of one feature, which most threshold rules start from."""

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
        """Distinct values, ascending, and the weight on each: (float32, float64) arrays."""
        values, index = np.unique(self.x, return_inverse=True)
        return values, np.bincount(index, weights=self.weights, minlength=values.size)


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
    >>> from skbsq.quantizers._cells import between
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
