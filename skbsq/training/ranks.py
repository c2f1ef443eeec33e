"""The rank space, in which thresholds are optimised: z-scores blended with ranks. And levels in that space."""

import math

import numpy as np

MAX_KNOTS = 129
# Part of the blend that is z-scores; the rest is ranks.
STANDARD_SHARE = 1 / 3


def rank_knots(feature, standard_share=STANDARD_SHARE):
    """Compute the knots of a feature's ranks blended with its z-scores, and the slope beyond the knots.

    Both have mean 0 and variance 1, and they are equal for uniform values. Ranks keep thresholds among the rows, even
    if a few rows lie far away; z-scores keep the far rows apart.

    Parameters
    ----------
    feature : Feature
    standard_share : float
        Part of the blend that is z-scores.

    Returns
    -------
    knots : (x, z)
        Raw and scaled values, as `skbsq.nn.RankSpace` takes them.
    slope : float
    """
    mean, scale = feature.moments
    slope = standard_share / scale
    if feature.x.size == 0:
        return ([mean], [0.0]), slope
    values, weights = feature.weighted_unique
    share = (np.cumsum(weights) - weights / 2) / weights.sum()
    kept = np.unique(np.searchsorted(share, np.linspace(share[0], share[-1], MAX_KNOTS)))
    x = values[kept].astype(np.float64)
    z = (1 - standard_share) * math.sqrt(12) * (share[kept] - 0.5) + slope * (x - mean)
    return (x, z), slope


def levels_of_inputs(rows, thresholds, columns, column_map, one_hot=None):
    """Compute what each input of the head adds to the level of its feature.

    A level is the mean, in the rank space, of the rows between two thresholds.

    Parameters
    ----------
    rows : Rows
    thresholds : list of d 1-d arrays
        Ascending.
    columns : ndarray of int
        Column of the quantization layer of each threshold, feature by feature.
    column_map : ndarray of int64 of shape (n_inputs,)
    one_hot : ndarray of bool of shape (d,), default=None
        Features with an input per code, of which at most one is on. None: none.

    Returns
    -------
    feature : ndarray of int64 of shape (n_inputs,)
    increments : ndarray of float64 of shape (n_inputs,)
        0 for an input that is not the bit of a threshold.
    lowest : ndarray of float64 of shape (d,)
        The level below the first threshold.
    """
    levels = [_level_means(*feature) for feature in zip(rows.features(), thresholds, rows.rank_knots, strict=True)]
    n_columns = int(column_map.max(initial=-1)) + 2  # the last one is for inputs without a column
    feature, increments = np.zeros(n_columns, dtype=np.int64), np.zeros(n_columns)
    feature[columns] = np.repeat(np.arange(len(levels)), [level.size - 1 for level in levels])
    one_hot = np.zeros(len(levels), dtype=bool) if one_hot is None else one_hot
    rises = [level[1:] - level[0] if alone else np.diff(level) for level, alone in zip(levels, one_hot, strict=True)]
    increments[columns] = np.concatenate(rises)
    return feature[column_map], increments[column_map], np.array([level[0] for level in levels])


def _level_means(feature, thresholds, rank_knots):
    """Compute the mean of each bin in the rank space. An empty bin lies between its neighbours."""
    if feature.x.size == 0:
        return np.zeros(len(thresholds) + 1)
    values, weights = feature.weighted_unique
    z, code = np.interp(values, *rank_knots[0]), np.searchsorted(thresholds, values)
    weight, total = (np.bincount(code, w, minlength=len(thresholds) + 1) for w in (weights, weights * z))
    filled = np.flatnonzero(weight)
    return np.interp(np.arange(weight.size), filled, total[filled] / weight[filled])
