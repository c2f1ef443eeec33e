"""Bins between the thresholds of a feature. Needs NumPy alone."""

import numpy as np


def codes_of_thresholds(fine, coarse):
    """Return the code among the coarse thresholds for each regular code among the fine ones.

    Parameters
    ----------
    fine, coarse : ndarrays of float32
        Strictly increasing; all coarse thresholds are fine ones.

    Returns
    -------
    ndarray of int64
        One more than fine thresholds.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.bins import codes_of_thresholds
    >>> codes_of_thresholds(np.float32([1, 2, 3]), np.float32([2]))
    array([0, 0, 1, 1])
    """
    # A code lies above the threshold before it, and so above all coarse thresholds up to that one.
    return np.append(0, np.searchsorted(coarse, fine, side="right"))
