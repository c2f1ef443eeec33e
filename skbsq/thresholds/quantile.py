"""Place thresholds at quantiles."""

import heapq
from itertools import pairwise

import numpy as np

from skbsq.thresholds.features import between, gap_of


def quantile(feature, n_levels, *, ties="refill", method="averaged_inverted_cdf"):
    """Divide a feature into bins of about equal weight.

    Parameters
    ----------
    feature : Feature
        Not constant.
    n_levels : int
        At least 2.
    ties, method : str
        See `skbsq.QuantileQuantizer`, where `method` is `quantile_method`.

    Returns
    -------
    ndarray
        At most n_levels - 1 floats.

    Raises
    ------
    ValueError
        For weights with ``method="linear"``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import Feature
    >>> from skbsq.thresholds.quantile import quantile
    >>> quantile(Feature(np.float32([1, 2, 3, 9]), np.ones(4)), 2)
    array([2.5], dtype=float32)
    """
    values, weights = feature.weighted_unique
    shares = np.arange(1, n_levels) / n_levels
    if method == "linear":
        if np.ptp(feature.weights) != 0:
            raise ValueError(
                'quantile_method="linear" takes no sample_weight: use quantile_method="averaged_inverted_cdf".'
            )
        thresholds = np.quantile(feature.x.astype(np.float64), shares)
    else:
        thresholds = averaged_inverted_cdf(values, weights, shares)
    return _refill(values, weights, thresholds, n_levels) if ties == "refill" else thresholds


def averaged_inverted_cdf(values, weights, shares):
    """Compute quantiles of weighted unique values; where the distribution function is flat, the middle of that part.

    Parameters
    ----------
    values : ndarray of float32 of shape (m,)
        Strictly increasing.
    weights : ndarray of float64 of shape (m,)
    shares : ndarray of float64
        From 0 to 1.

    Returns
    -------
    ndarray of float64
    """
    total = np.cumsum(weights)
    low, high = (
        np.minimum(np.searchsorted(total, shares * total[-1], side=side), values.size - 1) for side in ("left", "right")
    )
    return (values[low].astype(np.float64) + values[high]) / 2


def _refill(values, weights, thresholds, n_levels):
    """Keep one threshold per gap between unique values, and add thresholds in other gaps until there are enough.

    The next gap is always the one nearest the weighted middle of the heaviest bin that can be split.
    """
    n_gaps = values.size - 1
    if n_levels > n_gaps:
        return between(values[:-1], values[1:])
    thresholds = np.asarray(thresholds, dtype=np.float32)
    gaps, first = np.unique(gap_of(values, thresholds), return_index=True)
    useful = (gaps >= 0) & (gaps < n_gaps)
    gaps, kept = gaps[useful], thresholds[first[useful]]

    total = np.concatenate([[0.0], np.cumsum(weights)])
    # A bin is a range of unique values, start to stop; the heap holds the heaviest bin first.
    edges = [0, *(gaps + 1).tolist(), values.size]
    bins = [(total[a] - total[b], a, b) for a, b in pairwise(edges) if b - a > 1]
    heapq.heapify(bins)
    added = []
    while len(kept) + len(added) < n_levels - 1:
        _, a, b = heapq.heappop(bins)
        middle = (total[a] + total[b]) / 2
        split = int(np.searchsorted(total[a + 1 : b], middle)) + a + 1
        if split > a + 1 and (split == b or middle - total[split - 1] <= total[split] - middle):
            split -= 1
        added.append(split - 1)
        for start, stop in ((a, split), (split, b)):
            if stop - start > 1:
                heapq.heappush(bins, (total[start] - total[stop], start, stop))
    added = np.array(added, dtype=np.int64)
    return np.concatenate([kept, between(values[added], values[added + 1])])
