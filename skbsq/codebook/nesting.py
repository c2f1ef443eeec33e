"""Nested codebooks: a coarse one has some of the thresholds of a fine one. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.bins import codes_of_thresholds
from skbsq.codebook.checks import midpoint_levels
from skbsq.codebook.guards import GuardedFeature, guard_numbers
from skbsq.codebook.labels import label


def coarse_thresholds(n_thresholds, has_missing, n_bits, has_guard=False):
    """Choose the thresholds of a feature that remain at fewer bits.

    Each bit less drops every second threshold. If that leaves thresholds too many, because codes are kept for NaN or as
    guards, the last ones are dropped too. So the choice at 2 bits is the same, whether it is made from 4 bits or from
    3. Guard codes remain as long as there is room for a threshold between them.

    Parameters
    ----------
    n_thresholds : int
        Without guard thresholds.
    has_missing : bool
        Whether one code stands for NaN.
    n_bits : int
    has_guard : bool, default=False
        Whether there are two guard codes.

    Returns
    -------
    kept : ndarray of int64
        Numbers of the thresholds that remain.
    has_guard : bool
        Whether the guard codes remain.

    Examples
    --------
    >>> from skbsq.codebook.nesting import coarse_thresholds
    >>> coarse_thresholds(7, False, 2), coarse_thresholds(6, True, 2), coarse_thresholds(5, False, 2, has_guard=True)
    ((array([1, 3, 5]), False), (array([1, 3]), False), (array([1]), True))
    """
    kept = np.arange(n_thresholds)
    while (bits := (kept.size + has_missing + 2 * has_guard).bit_length()) > n_bits:
        room = 2 ** (bits - 1) - 1 - has_missing - 2 * has_guard
        if has_guard and room < 1:
            has_guard = False
            continue
        kept = kept[1::2][:room]
        has_missing = has_missing and bits > 1
    return kept, has_guard


def coarsened(book, n_bits):
    """Describe the codebook that `Codebook.coarsened` returns.

    Parameters
    ----------
    book : Codebook
    n_bits : ndarray of int64 of shape (d,)

    Returns
    -------
    dict
        Arguments of `Codebook.from_thresholds`.
    """
    has_missing = book.has_missing & (n_bits > 0)
    thresholds, levels, counts = [], [], []
    for j in range(book.n_features):
        t, level, count = _coarse_feature(book, j, int(n_bits[j]))
        thresholds.append(t)
        levels.append(level)
        counts.append(count)
    return {
        "thresholds": thresholds,
        "levels": levels,
        "counts": None if book.counts is None else counts,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": book.feature_names,
    }


def _coarse_feature(book, j, n_bits):
    """Return thresholds, levels and counts (None if there are none) of a feature at fewer bits."""
    t, level, count = book.thresholds[j], book.levels[j], None if book.counts is None else book.counts[j]
    has_missing, guards = bool(book.has_missing[j]), guard_numbers(t, level)
    level, missing = level[: t.size + 1], () if count is None else count[t.size + 1 :]
    count = None if count is None else count[: t.size + 1]
    if guards:
        lowest, highest = level[[0, -1]]
        t = np.delete(t, guards)
        fine = GuardedFeature(t, lowest, highest)
        level, count = fine.gather(level), None if count is None else fine.gather(count)
    numbers, has_guard = coarse_thresholds(t.size, has_missing, n_bits, bool(guards))
    kept = t[numbers]
    group = codes_of_thresholds(t, kept)
    level = _merged_levels(kept, level, group, count)
    if count is not None:
        count = np.bincount(group, count, minlength=kept.size + 1).astype(np.int64)
    if has_guard:
        coarse = GuardedFeature(kept, lowest, highest)
        kept, level = coarse.thresholds, coarse.with_ends(coarse.spread(level), lowest, highest)
        count = None if count is None else coarse.spread(count)
    if count is not None and has_missing:
        # Without bits NaN shares the only code with all numbers.
        count = np.append(count, missing) if n_bits > 0 else count + missing
    return kept, level, count


def _merged_levels(thresholds, levels, group, counts):
    """Compute the mean level of the rows of each group of codes; the midpoint without counts or rows."""
    if thresholds.size + 1 == levels.size:
        return levels
    merged = midpoint_levels(thresholds).astype(np.float64)
    if thresholds.size == 0:
        merged[:] = levels.astype(np.float64).mean()
    if counts is None:
        return merged
    weights = counts[: levels.size].astype(np.float64)
    total = np.bincount(group, weights, minlength=merged.size)
    sums = np.bincount(group, weights * levels, minlength=merged.size)
    np.divide(sums, total, out=merged, where=total > 0)
    return merged


def obstacle(fine, coarse):
    """Say why the codes of one codebook do not determine those of another; None if they do.

    Parameters
    ----------
    fine, coarse : Codebook

    Returns
    -------
    str or None
    """
    names = fine.feature_names
    if fine.n_features != coarse.n_features:
        return f"it has {coarse.n_features} features, and this codebook has {fine.n_features}"
    if None not in (names, coarse.feature_names) and names != coarse.feature_names:
        return "its features have other names"
    for j, (t, kept) in enumerate(zip(fine.thresholds, coarse.thresholds, strict=True)):
        if (unknown := kept[~np.isin(kept, t)]).size:
            return f"its threshold {unknown[0]} of {label(names, j)} is not in this codebook"
        if coarse.n_levels[j] > 1 and fine.has_missing[j] != coarse.has_missing[j]:
            return f"only one of the two has a missing code for {label(names, j)}"
    return None


def recoding(fine, coarse):
    """Return the code of the coarse codebook for each code of the fine one.

    Parameters
    ----------
    fine, coarse : Codebook
        The codes of `fine` determine those of `coarse`, see `obstacle`.

    Returns
    -------
    list of d ndarrays of int64
    """
    tables = []
    for t, kept, nan_before, nan_after in zip(
        fine.thresholds, coarse.thresholds, fine.has_missing, coarse.has_missing, strict=True
    ):
        table = codes_of_thresholds(t, kept)
        tables.append(np.append(table, kept.size + 1 if nan_after else 0) if nan_before else table)
    return tables
