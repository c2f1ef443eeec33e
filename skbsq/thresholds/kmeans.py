"""Thresholds between the centres of one-dimensional k-means."""

import numpy as np

from skbsq.thresholds.features import between

# Up to this many (distinct values x levels) per feature the partition is the exact optimum.
EXACT_LIMIT = 2**17
# The same for the start of Lloyd's iteration, which then moves to the nearest optimum among all values.
_START_LIMIT = 2**15
_MAX_ITERATIONS = 1000


def kmeans(feature, n_levels):
    """Cut a feature halfway between the centres of k-means: least squared error.

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
    values, mass = feature.cells
    if n_levels >= values.size:
        return between(values[:-1], values[1:])
    # Centred, so that sums do not drown the differences.
    x = values.astype(np.float64)
    x -= np.average(x, weights=mass)
    moments = _Moments(x, mass)
    if values.size * n_levels <= EXACT_LIMIT:
        stops = _exact_stops(moments, n_levels)
    else:
        stops = _lloyd_stops(moments, _start_stops(moments, mass, n_levels))
    centres = moments.means(stops)
    shift = float(values[0]) - x[0]
    cuts = ((centres[1:] + centres[:-1]) / 2 + shift).astype(np.float32)
    low, high = values[stops - 1], values[stops]
    return np.where((low <= cuts) & (cuts < high), cuts, between(low, high))


class _Moments:
    """Running weight and weighted sum of sorted values, for sums over any range of them."""

    def __init__(self, x, mass):
        self.x = x
        self.weight = np.concatenate([[0.0], np.cumsum(mass)])
        self.total = np.concatenate([[0.0], np.cumsum(mass * x)])

    def coarse(self, stops):
        """The same sums where ranges begin and end at `stops` only."""
        edges = np.concatenate([[0], stops, [self.x.size]])
        out = object.__new__(_Moments)
        out.x, out.weight, out.total = self.x[edges[:-1]], self.weight[edges], self.total[edges]
        return out

    def gain(self, start, stop):
        """Squared sum over weight: what a bin takes off the squared error."""
        weight = self.weight[stop] - self.weight[start]
        # Weights that vanish beside the others leave a bin without any.
        return (self.total[stop] - self.total[start]) ** 2 / np.where(weight > 0, weight, np.inf)

    def means(self, stops):
        """Mean of each bin, for the inner bin limits `stops`."""
        edges = np.concatenate([[0], stops, [self.x.size]])
        weight = np.diff(self.weight[edges])
        middle = (self.x[edges[:-1]] + self.x[edges[1:] - 1]) / 2
        return np.where(weight > 0, np.diff(self.total[edges]) / np.where(weight > 0, weight, 1.0), middle)


def _exact_stops(moments, k):
    """Inner limits of the k bins of least squared error.

    ``best[j]`` is the largest gain of m bins over the first j values. The last bin's best start never
    moves left as j grows, so each layer is solved by halving: the middle j first, then the middles of
    the two halves within the bounds it leaves, all middles of one depth at once.
    """
    n = moments.x.size
    best = np.full(n + 1, -np.inf)
    best[1:] = moments.gain(np.zeros(n, dtype=np.int64), np.arange(1, n + 1))
    starts = np.zeros((k + 1, n + 1), dtype=np.int32)
    for m in range(2, k + 1):
        best, starts[m] = _best_last_bin(moments, best, m)
    stops, j = [], n
    for m in range(k, 1, -1):
        j = int(starts[m, j])
        stops.append(j)
    return np.array(stops[::-1])


def _best_last_bin(moments, best, m):
    n = best.size - 1
    out = np.full(n + 1, -np.inf)
    argbest = np.zeros(n + 1, dtype=np.int64)
    # Open ranges of j still to solve, with the bounds of their best start.
    first, last = np.array([m]), np.array([n])
    low, high = np.array([m - 1]), np.array([n - 1])
    while first.size:
        j = (first + last) // 2
        top = np.minimum(high, j - 1)
        length = top - low + 1
        segment = np.concatenate([[0], np.cumsum(length)[:-1]])
        start = np.arange(length.sum()) - np.repeat(segment - low, length)
        score = best[start] + moments.gain(start, np.repeat(j, length))
        out[j] = np.maximum.reduceat(score, segment)
        hit = np.flatnonzero(score == np.repeat(out[j], length))
        owner = np.searchsorted(segment, hit, side="right") - 1
        _, one = np.unique(owner, return_index=True)
        argbest[j] = chosen = start[hit[one]]
        first, last, low, high = (
            np.concatenate([first, j + 1]),
            np.concatenate([j - 1, last]),
            np.concatenate([low, chosen]),
            np.concatenate([chosen, high]),
        )
        todo = first <= last
        first, last, low, high = first[todo], last[todo], low[todo], high[todo]
    return out, argbest


def _start_stops(moments, mass, k):
    """A start for Lloyd: the optimum among bin limits that are a subset of the values'.

    The subset is as dense as the cube root of the data's density, which is the density of the best
    quantizer as k grows (Panter and Dite, 1951). With density mass / gap, a value's share of the limits is
    density^(1/3) * gap.
    """
    n = moments.x.size
    share = np.cumsum(np.cbrt(mass * np.gradient(moments.x) ** 2))

    def limits(n_bins):
        stops = np.searchsorted(share, share[-1] * np.arange(1, n_bins) / n_bins, side="right")
        return _apart(stops, n)

    n_coarse = min(_START_LIMIT // k, n)
    if n_coarse < 2 * k:
        return limits(k)
    coarse = limits(n_coarse)
    return coarse[_exact_stops(moments.coarse(coarse), k) - 1]


def _lloyd_stops(moments, stops):
    for _ in range(_MAX_ITERATIONS):
        centres = moments.means(stops)
        moved = np.searchsorted(moments.x, (centres[1:] + centres[:-1]) / 2, side="right")
        moved = _apart(moved, moments.x.size)
        if np.array_equal(moved, stops):
            break
        stops = moved
    return stops


def _apart(stops, n):
    """Push bin limits apart so that every bin holds a value: at least 1, at most n - 1, increasing."""
    order = np.arange(stops.size)
    stops = np.maximum.accumulate(np.maximum(stops, 1) - order) + order
    return np.minimum(stops, n - stops.size + order)
