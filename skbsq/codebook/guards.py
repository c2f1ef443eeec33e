"""Guard codes: the lowest and the highest code of a feature, for values that no training row has. Needs NumPy alone.

A guard threshold is a threshold like others. So nothing but training looks at it, and a codebook needs no field for it:
the levels of the guard codes are the smallest and the largest value of the training rows, which lie outside the bins of
the guard codes, and no other level does.
"""

import numpy as np

from skbsq.codebook.bins import codes_of_thresholds

_TINY = np.finfo(np.float32).tiny


def threshold_below(lowest):
    """Return the threshold that values below all training rows do not exceed.

    It is the next float32 below, but never subnormal: where subnormals are flushed to zero, a value of 0 would not
    exceed it.

    Parameters
    ----------
    lowest : float32
        Smallest value of the training rows.

    Returns
    -------
    float32
        -inf if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.guards import threshold_below
    >>> threshold_below(np.float32(1)), threshold_below(np.float32(0))
    (np.float32(0.99999994), np.float32(-1.1754944e-38))
    """
    with np.errstate(over="ignore"):
        below = np.nextafter(np.float32(lowest), np.float32(-np.inf))
    if abs(below) < _TINY:
        return np.float32(0) if lowest > 0 else -_TINY
    return below


class GuardedFeature:
    """The thresholds of a feature together with its two guard thresholds.

    Parameters
    ----------
    inner : ndarray of float32
        The other thresholds, strictly increasing. They may lie outside the training rows.
    lowest, highest : float32
        Smallest and largest value of the training rows.

    Attributes
    ----------
    thresholds : ndarray of float32
        All thresholds, strictly increasing.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.guards import GuardedFeature
    >>> feature = GuardedFeature(np.float32([5]), np.float32(1), np.float32(9))
    >>> feature.thresholds
    array([0.99999994, 5.        , 9.        ], dtype=float32)
    >>> feature.spread([10, 20])
    array([ 0, 10, 20,  0])
    """

    def __init__(self, inner, lowest, highest):
        guards = np.array([threshold_below(lowest), highest], dtype=np.float32)
        self.thresholds = np.union1d(inner, guards)
        self._low, self._high = np.searchsorted(self.thresholds, guards).tolist()
        self._inner_code = codes_of_thresholds(self.thresholds, inner)

    def spread(self, values):
        """Give the values of the inner codes to the codes that training rows may have.

        Parameters
        ----------
        values : array-like
            One per inner code.

        Returns
        -------
        ndarray
            One per code, 0 beyond the training rows.
        """
        return self.with_ends(np.asarray(values)[self._inner_code], 0, 0)

    def with_ends(self, values, below, above):
        """Set the values of the codes beyond the training rows.

        Parameters
        ----------
        values : ndarray
            One per code. Changed in place.
        below, above : number

        Returns
        -------
        ndarray
            The same array.
        """
        values[: self._low + 1], values[self._high + 1 :] = below, above
        return values

    def gather(self, values):
        """Return the values of the inner codes: the way back from `spread`.

        Parameters
        ----------
        values : ndarray
            One per code.

        Returns
        -------
        ndarray
            One per inner code.
        """
        # An inner code whose bin contains a guard threshold takes the value of the part with training rows.
        inside = slice(self._low + 1, self._high + 1)
        gathered = np.empty(self._inner_code[-1] + 1, dtype=values.dtype)
        gathered[self._inner_code] = values
        gathered[self._inner_code[inside]] = values[inside]
        return gathered


def guard_numbers(thresholds, levels):
    """Find the guard thresholds of a feature.

    Parameters
    ----------
    thresholds, levels : ndarrays of float32
        As a codebook has them.

    Returns
    -------
    list of int
        Numbers of the lower and of the upper guard threshold. Empty if the feature has no guard codes.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.guards import guard_numbers
    >>> t = np.float32([0.99999994, 5, 9])
    >>> guard_numbers(t, np.float32([1, 3, 7, 9])), guard_numbers(t, np.float32([0, 3, 7, 10]))
    ([0, 2], [])
    """
    lowest, highest = levels[0], levels[thresholds.size]
    if not thresholds.size or not lowest > thresholds[0] or not lowest <= highest <= thresholds[-1]:
        return []
    numbers = np.searchsorted(thresholds, [lowest, highest]) - [1, 0]
    is_guarded = np.array_equal(thresholds[numbers], [threshold_below(lowest), highest])
    return numbers.tolist() if is_guarded else []


def inner_thresholds(book):
    """Return the thresholds of a codebook without guard thresholds.

    Parameters
    ----------
    book : Codebook

    Returns
    -------
    list of d ndarrays of float32

    Examples
    --------
    >>> from skbsq import QuantileQuantizer
    >>> from skbsq.codebook.guards import inner_thresholds
    >>> inner_thresholds(QuantileQuantizer(2, guard=True).fit([[1], [2], [3]]).codebook_)
    [array([2.], dtype=float32)]
    """
    return [
        np.delete(t, guard_numbers(t, levels)) for t, levels in zip(book.thresholds, book.level_numbers, strict=True)
    ]
