"""Ranks of the training rows, blended with standardized values: where thresholds move, and what levels are."""

import math

import numpy as np

# Knots per feature, and the part that is not rank.
MAX_KNOTS = 129
STANDARD_SHARE = 1 / 3


def rank_knots(feature, standard_share=STANDARD_SHARE):
    """Knots of a feature's ranks blended with its standardized values, and the slope beyond them.

    Both have mean 0 and variance 1, and are the same thing where the values are uniform. Ranks keep thresholds among
    the rows however far a few of these lie; standardized values keep far ones apart.

    Parameters
    ----------
    feature : Feature
    standard_share : float
        The part that is not rank.

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
    values, mass = feature.weighted_unique
    share = (np.cumsum(mass) - mass / 2) / mass.sum()
    kept = np.unique(np.searchsorted(share, np.linspace(share[0], share[-1], MAX_KNOTS)))
    x = values[kept].astype(np.float64)
    z = (1 - standard_share) * math.sqrt(12) * (share[kept] - 0.5) + slope * (x - mean)
    return (x, z), slope


def levels_of_inputs(rows, thresholds, columns, column_map):
    """What each input of the head adds to the level of its feature.

    A level is the mean, in the rank space, of the rows between two thresholds.

    Parameters
    ----------
    rows : Rows
    thresholds : list of d 1-d arrays
        In rising order.
    columns : list of d ndarrays of int
        Column of the quantization layer of each threshold.
    column_map : ndarray of int64 of shape (n_inputs,)

    Returns
    -------
    feature : ndarray of int64 of shape (n_inputs,)
    rises : ndarray of float64 of shape (n_inputs,)
        0 for an input that is not the bit of a threshold.
    lowest : ndarray of float64 of shape (d,)
        The level below the first threshold.
    """
    n_columns = int(column_map.max(initial=-1)) + 2  # one more, for inputs of no column
    of_column, rise = np.zeros(n_columns, dtype=np.int64), np.zeros(n_columns)
    lowest = np.zeros(len(thresholds))
    for j, feature in enumerate(rows.features()):
        levels = _level_means(feature, thresholds[j], rows.rank_knots[j][0])
        lowest[j] = levels[0]
        of_column[columns[j]], rise[columns[j]] = j, np.diff(levels)
    return of_column[column_map], rise[column_map], lowest


def _level_means(feature, thresholds, knots):
    """Mean place of the rows of each bin in the rank space; between its neighbours where a bin is empty."""
    if feature.x.size == 0:
        return np.zeros(len(thresholds) + 1)
    values, mass = feature.weighted_unique
    code = np.searchsorted(thresholds, values)
    total, place = (
        np.bincount(code, w, minlength=len(thresholds) + 1) for w in (mass, mass * np.interp(values, *knots))
    )
    found = np.flatnonzero(total)
    return np.interp(np.arange(total.size), found, place[found] / total[found])
