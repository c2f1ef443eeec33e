"""Bisection over all finite float32. Needs NumPy alone."""

import numpy as np

FLOAT32_MAX = np.finfo(np.float32).max


def last_floats(holds, shape):
    """Find for each entry the largest finite float32 at which a condition holds.

    The bisection runs over the floats themselves. So the result is exact, however the condition rounds.

    Parameters
    ----------
    holds : callable
        Takes an array of float32 of `shape`, all finite and never -0.0, and returns bool of `shape`. For each entry it
        is true up to some float and false beyond.
    shape : tuple of int

    Returns
    -------
    ndarray of float32 of `shape`
        -inf for an entry whose condition never holds.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.floats import last_floats
    >>> last_floats(lambda x: 3 * x <= np.float32([1, 6]), (2,))
    array([0.33333334, 2.        ], dtype=float32)
    """
    # Integers in the order of the floats: the bits of a positive float, and minus the bits of its negative.
    largest = int(FLOAT32_MAX.view(np.int32))
    low = np.full(shape, -largest - 1, dtype=np.int64)
    high = np.full(shape, largest, dtype=np.int64)
    while (low < high).any():
        middle = (low + high + 1) // 2
        below = holds(_as_floats(np.maximum(middle, -largest)))
        low, high = np.where(below, middle, low), np.where(below, high, middle - 1)
    return np.where(low < -largest, np.float32(-np.inf), _as_floats(np.maximum(low, -largest)))


def _as_floats(keys):
    return np.copysign(np.abs(keys).astype(np.int32).view(np.float32), keys).astype(np.float32)
