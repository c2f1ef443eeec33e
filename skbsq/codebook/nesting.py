"""Nested codebooks: a coarse one merges codes of a fine one. Needs NumPy alone."""

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
    parts, levels, counts = [], [], []
    for j, categories in enumerate(book.categories):
        coarse_feature = _coarse_feature if categories is None else _coarse_categories
        part, level, count = coarse_feature(book, j, int(n_bits[j]))
        parts.append(part)
        levels.append(level)
        counts.append(count)
    return {
        "thresholds": parts,
        "levels": levels,
        "counts": None if book.counts is None else counts,
        "missing": "seen",
        "has_missing": has_missing,
        "feature_names": book.feature_names,
        "handle_unknown": book.handle_unknown,
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


def _coarse_categories(book, j, n_bits):
    """Return codes of categories, levels and counts (None if there are none) of a feature at fewer bits."""
    t, has_missing = book.thresholds[j], bool(book.has_missing[j])
    kept = t[coarse_thresholds(t.size, has_missing, n_bits, False)[0]]
    group, count = codes_of_thresholds(t, kept), None if book.counts is None else book.counts[j]
    part = _merged_categories(book.categories[j], group, has_missing and n_bits > 0)
    level = _most_frequent(book.levels[j][: t.size + 1], group, count)
    if count is not None:
        # Without bits NaN shares the only code with all categories.
        group = np.append(group, kept.size + (n_bits > 0)) if has_missing else group
        count = np.bincount(group, count).astype(np.int64)
    return part, level, count


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
