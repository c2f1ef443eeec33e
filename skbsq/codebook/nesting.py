"""Nested codebooks: a coarse one has some of the thresholds of a fine one. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.checks import midpoint_levels
from skbsq.codebook.labels import label


def coarse_thresholds(n_thresholds, has_missing, n_bits):
    """Choose the thresholds of a feature that remain at fewer bits.

    Each bit less drops every second threshold. If that leaves a threshold too many, because one code is kept for NaN,
    the last one is dropped too. So the choice at 2 bits is the same, whether it is made from 4 bits or from 3.

    Parameters
    ----------
    n_thresholds : int
    has_missing : bool
        Whether one code stands for NaN.
    n_bits : int

    Returns
    -------
    ndarray of int64
        Numbers of the thresholds that remain.

    Examples
    --------
    >>> from skbsq.codebook.nesting import coarse_thresholds
    >>> coarse_thresholds(7, False, 2), coarse_thresholds(6, True, 2)
    (array([1, 3, 5]), array([1, 3]))
    """
    kept = np.arange(n_thresholds)
    while (bits := (kept.size + has_missing).bit_length()) > n_bits:
        kept = kept[1::2][: 2 ** (bits - 1) - 1 - has_missing]
        has_missing = has_missing and bits > 1
    return kept


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
    for j, (t, level) in enumerate(zip(book.thresholds, book.levels, strict=True)):
        kept = t[coarse_thresholds(t.size, bool(book.has_missing[j]), int(n_bits[j]))]
        group = codes_of_thresholds(t, kept)
        count = None if book.counts is None else book.counts[j]
        thresholds.append(kept)
        levels.append(_merged_levels(kept, level[: t.size + 1], group, count))
        if count is not None:
            # Without bits NaN shares the only code with all numbers.
            group = np.append(group, kept.size + has_missing[j]) if book.has_missing[j] else group
            counts.append(np.bincount(group, count, minlength=kept.size + 1 + has_missing[j]).astype(np.int64))
    return {
        "thresholds": thresholds,
        "levels": levels,
        "counts": counts or None,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": book.feature_names,
    }


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
    >>> from skbsq.codebook.nesting import codes_of_thresholds
    >>> codes_of_thresholds(np.float32([1, 2, 3]), np.float32([2]))
    array([0, 0, 1, 1])
    """
    # A code lies above the threshold before it, and so above all coarse thresholds up to that one.
    return np.append(0, np.searchsorted(coarse, fine, side="right"))


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
