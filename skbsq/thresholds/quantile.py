"""Thresholds at quantiles."""

import heapq
from itertools import pairwise

import numpy as np

from skbsq.thresholds.features import between, gap_of


def quantile(feature, n_levels, *, ties="refill", method="averaged_inverted_cdf"):
    """Cut a feature into bins of about equal weight.

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
        For weights under ``method="linear"``.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import Feature
    >>> from skbsq.thresholds.quantile import quantile
    >>> quantile(Feature(np.float32([1, 2, 3, 9]), np.ones(4)), 2)
    array([2.5], dtype=float32)
    """
    values, mass = feature.cells
    shares = np.arange(1, n_levels) / n_levels
    if method == "linear":
        if np.ptp(feature.weights) != 0:
            raise ValueError(
                'quantile_method="linear" takes no sample_weight: use quantile_method="averaged_inverted_cdf".'
            )
        cuts = np.quantile(feature.x.astype(np.float64), shares)
    else:
        cuts = averaged_inverted_cdf(values, mass, shares)
    if ties == "refill":
        cuts = _refill(values, mass, cuts, n_levels)
    return cuts


def averaged_inverted_cdf(values, mass, shares):
    """Quantiles of weighted values; where the distribution function is flat, the middle of the step."""
    total = np.cumsum(mass)
    wanted = shares * total[-1]
    low = np.minimum(np.searchsorted(total, wanted, side="left"), values.size - 1)
    high = np.minimum(np.searchsorted(total, wanted, side="right"), values.size - 1)
    return (values[low].astype(np.float64) + values[high]) / 2


def _refill(values, mass, cuts, n_levels):
    """Keep one threshold per gap between distinct values, and add gaps until there are enough.

    The gap added next is the one nearest the weighted middle of the heaviest bin that can be split.
    """
    n_gaps = values.size - 1
    if n_levels > n_gaps:
        return between(values[:-1], values[1:])
    cuts = np.asarray(cuts, dtype=np.float32)
    gaps, first = np.unique(gap_of(values, cuts), return_index=True)
    useful = (gaps >= 0) & (gaps < n_gaps)
    gaps, kept = gaps[useful], cuts[first[useful]]

    total = np.concatenate([[0.0], np.cumsum(mass)])
    # A bin is a range of distinct values, start to stop; on the heap by weight, heaviest first.
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
