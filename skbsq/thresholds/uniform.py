"""Place thresholds at equal distances."""

import numpy as np


def uniform(feature, n_levels):
    """Divide the range of a feature into bins of equal length; the two outer ones are half as long.

    Parameters
    ----------
    feature : Feature
        Not constant.
    n_levels : int
        At least 2.

    Returns
    -------
    ndarray of float64 of shape (n_levels - 1,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import Feature
    >>> from skbsq.thresholds.uniform import uniform
    >>> uniform(Feature(np.float32([0, 3]), np.ones(2)), 4)
    array([0.5, 1.5, 2.5])
    """
    low, high = float(feature.x.min()), float(feature.x.max())
    distance = (high - low) / (n_levels - 1)
    return low + distance * (np.arange(n_levels - 1) + 0.5)
