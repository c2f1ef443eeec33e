"""Place thresholds between the centres of one-dimensional k-means."""

from dataclasses import dataclass

import numpy as np

from skbsq.thresholds.features import between

# Up to this many (unique values x levels) per feature the partition is the exact optimum.
EXACT_LIMIT = 2**17
# The same limit for the start of Lloyd's iteration, which then moves to the nearest optimum among all values.
_START_LIMIT = 2**15
_MAX_ITERATIONS = 1000


def kmeans(feature, n_levels):
    """Place thresholds halfway between the centres of k-means, which minimise the squared error.

    Parameters
    ----------
    feature : Feature
        Not constant.
    n_levels : int
        At least 2.

    Returns
    -------
    ndarray of float32
        At most n_levels - 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.features import Feature
    >>> from skbsq.thresholds.kmeans import kmeans
    >>> kmeans(Feature(np.float32([0, 1, 10, 11, 12]), np.ones(5)), 2)
    array([5.75], dtype=float32)
    """
    values, weights = feature.weighted_unique
    if n_levels >= values.size:
        return between(values[:-1], values[1:])
    # Values are centred, so that large sums do not swallow small differences.
    x = values.astype(np.float64)
    x -= np.average(x, weights=weights)
    sums = _RunningSums(x, _running(weights), _running(weights * x))
    if values.size * n_levels <= EXACT_LIMIT:
        stops = _exact_stops(sums, n_levels)
    else:
        stops = _lloyd_stops(sums, _start_stops(sums, weights, n_levels))
    centres = sums.means(stops)
    shift = float(values[0]) - x[0]
    thresholds = ((centres[1:] + centres[:-1]) / 2 + shift).astype(np.float32)
    low, high = values[stops - 1], values[stops]
    return np.where((low <= thresholds) & (thresholds < high), thresholds, between(low, high))


def _running(values):
    return np.concatenate([[0.0], np.cumsum(values)])


@dataclass(frozen=True)
class _RunningSums:
    """Running weight and weighted sum of n sorted values, for sums over any range of them.

    A partition into k bins is given by its k - 1 inner stops: each bin ends before its stop, where the next starts.
    """

    x: np.ndarray
    weight: np.ndarray
    total: np.ndarray

    def _edges(self, stops):
        return np.concatenate([[0], stops, [self.x.size]])

    def coarse(self, stops):
        """Return the same sums for ranges that start and end at `stops` only."""
        edges = self._edges(stops)
        return _RunningSums(self.x[edges[:-1]], self.weight[edges], self.total[edges])

    def gain(self, start, stop):
        """Return by how much a bin lowers the squared error: its squared sum over its weight."""
        weight = self.weight[stop] - self.weight[start]
        # Weights that vanish beside the others leave a bin without weight.
        return (self.total[stop] - self.total[start]) ** 2 / np.where(weight > 0, weight, np.inf)

    def means(self, stops):
        """Return the mean of each bin."""
        edges = self._edges(stops)
        weight = np.diff(self.weight[edges])
        middle = (self.x[edges[:-1]] + self.x[edges[1:] - 1]) / 2
        return np.where(weight > 0, np.diff(self.total[edges]) / np.where(weight > 0, weight, 1.0), middle)


def _exact_stops(sums, k):
    """Find the k bins of least squared error by dynamic programming.

    ``best[j]`` is the largest gain of m bins over the first j values. The best start of the last bin never moves left
    as j grows. So each layer is solved by halving: first the middle j, then the middles of the two halves within the
    bounds that it leaves, all middles of one depth at once.
    """
    n = sums.x.size
    best = np.full(n + 1, -np.inf)
    best[1:] = sums.gain(np.zeros(n, dtype=np.int64), np.arange(1, n + 1))
    starts = np.zeros((k + 1, n + 1), dtype=np.int32)
    for m in range(2, k + 1):
        best, starts[m] = _best_last_bin(sums, best, m)
    stops, j = [], n
    for m in range(k, 1, -1):
        j = int(starts[m, j])
        stops.append(j)
    return np.array(stops[::-1])


def _best_last_bin(sums, best, m):
    """Add the m-th bin to the best m - 1 bins: the largest gain for each j, and where the last bin then starts."""
    n = best.size - 1
    out = np.full(n + 1, -np.inf)
    argbest = np.zeros(n + 1, dtype=np.int64)
    # Ranges of j still to solve, with the bounds of their best start.
    first, last, low, high = (np.array([value]) for value in (m, n, m - 1, n - 1))
    while first.size:
        j = (first + last) // 2
        length = np.minimum(high, j - 1) - low + 1
        segment = np.concatenate([[0], np.cumsum(length)[:-1]])
        start = np.arange(length.sum()) - np.repeat(segment - low, length)
        score = best[start] + sums.gain(start, np.repeat(j, length))
        out[j] = np.maximum.reduceat(score, segment)
        hit = np.flatnonzero(score == np.repeat(out[j], length))
        owner = np.searchsorted(segment, hit, side="right") - 1
        _, first_hit = np.unique(owner, return_index=True)
        argbest[j] = chosen = start[hit[first_hit]]
        left, right = (first, j - 1, low, chosen), (j + 1, last, chosen, high)
        ranges = np.concatenate([left, right], axis=1)
        first, last, low, high = ranges[:, ranges[0] <= ranges[1]]
    return out, argbest


def _start_stops(sums, weights, k):
    """Find a start for Lloyd's iteration: the optimum among stops that are a subset of all possible stops.

    The subset is as dense as the cube root of the data's density, which is the density of the best
    quantizer as k grows (Panter and Dite, 1951). With density weight / gap, a value's share of the stops is
    density^(1/3) * gap.
    """
    n = sums.x.size
    share = np.cumsum(np.cbrt(weights * np.gradient(sums.x) ** 2))

    def stops_of(n_bins):
        stops = np.searchsorted(share, share[-1] * np.arange(1, n_bins) / n_bins, side="right")
        return _apart(stops, n)

    n_coarse = min(_START_LIMIT // k, n)
    if n_coarse < 2 * k:
        return stops_of(k)
    coarse = stops_of(n_coarse)
    return coarse[_exact_stops(sums.coarse(coarse), k) - 1]


def _lloyd_stops(sums, stops):
    """Move stops to the middle between the means of their bins until none moves."""
    for _ in range(_MAX_ITERATIONS):
        centres = sums.means(stops)
        moved = _apart(np.searchsorted(sums.x, (centres[1:] + centres[:-1]) / 2, side="right"), sums.x.size)
        if np.array_equal(moved, stops):
            break
        stops = moved
    return stops


def _apart(stops, n):
    """Push stops apart so that every bin holds a value: at least 1, at most n - 1, strictly increasing."""
    order = np.arange(stops.size)
    stops = np.maximum.accumulate(np.maximum(stops, 1) - order) + order
    return np.minimum(stops, n - stops.size + order)
