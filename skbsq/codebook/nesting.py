"""Nested codebooks: a coarse one merges codes of a fine one. Needs NumPy alone."""

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
    parts, levels, counts = [], [], []
    for j, (t, of_feature, categories) in enumerate(zip(book.thresholds, book.levels, book.categories, strict=True)):
        kept = t[coarse_thresholds(t.size, bool(book.has_missing[j]), int(n_bits[j]))]
        group = codes_of_thresholds(t, kept)
        count = None if book.counts is None else book.counts[j]
        regular = of_feature[: t.size + 1]
        if categories is None:
            parts.append(kept)
            levels.append(_merged_levels(kept, regular, group, count))
        else:
            parts.append(_merged_categories(categories, group, bool(has_missing[j])))
            levels.append(_most_frequent(regular, group, count))
        if count is not None:
            # Without bits NaN shares the only code with all numbers.
            group = np.append(group, kept.size + has_missing[j]) if book.has_missing[j] else group
            counts.append(np.bincount(group, count, minlength=kept.size + 1 + has_missing[j]).astype(np.int64))
    return {
        "thresholds": parts,
        "levels": levels,
        "counts": counts or None,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": book.feature_names,
        "handle_unknown": book.handle_unknown,
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


def _merged_categories(categories, group, has_missing):
    """Return the code of each category after the merge, and of None if it keeps a code."""
    merged = {category: int(group[code]) for category, code in categories.items() if category is not None}
    return {**merged, None: int(group[-1]) + 1} if has_missing else merged


def _most_frequent(levels, group, counts):
    """Return the level of the code with most rows in each group of codes; of the first code without counts."""
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    if counts is None:
        return levels[starts].tolist()
    ends = [*starts[1:].tolist(), levels.size]
    return [levels[start + int(np.argmax(counts[start:end]))] for start, end in zip(starts, ends, strict=True)]


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
    for j, (part, kept) in enumerate(zip(fine.parts, coarse.parts, strict=True)):
        if coarse.n_levels[j] == 1:
            continue
        if fine.is_categorical[j] != coarse.is_categorical[j]:
            return f"{label(names, j)} is categorical in only one of the two"
        differ = _categories_differ if fine.is_categorical[j] else _thresholds_differ
        if (why := differ(part, kept, label(names, j))) is not None:
            return why
        if fine.has_missing[j] != coarse.has_missing[j]:
            return f"only one of the two has a missing code for {label(names, j)}"
    return None


def _thresholds_differ(fine, coarse, feature):
    unknown = coarse[~np.isin(coarse, fine)]
    return f"its threshold {unknown[0]} of {feature} is not in this codebook" if unknown.size else None


def _categories_differ(fine, coarse, feature):
    """Say why the codes of categories do not determine their coarse codes."""
    known = fine.keys() | {None}, coarse.keys() | {None}  # missing codes are compared elsewhere
    if known[0] != known[1]:
        category = next(one for one in (*fine, *coarse) if not (one in known[0] and one in known[1]))
        return f"the category {category!r} of {feature} is in only one of the two"
    codes: dict = {}
    for category, code in fine.items():
        first = codes.setdefault(code, category)
        if category is not None and coarse[first] != coarse[category]:
            return f"{first!r} and {category!r} of {feature} share a code in this codebook and not in it"
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
    for j, (part, kept) in enumerate(zip(fine.parts, coarse.parts, strict=True)):
        table = np.zeros(fine.n_levels[j], dtype=np.int64)
        if coarse.n_levels[j] > 1:
            if fine.is_categorical[j]:
                table[list(part.values())] = [kept[category] for category in part]
            else:
                table[: part.size + 1] = codes_of_thresholds(part, kept)
                if fine.has_missing[j]:
                    table[-1] = kept.size + 1
        tables.append(table)
    return tables
