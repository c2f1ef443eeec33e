"""Inputs for the tests of properties."""

import numpy as np
from hypothesis import strategies as st

from skbsq import Codebook

finite32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def codebooks(draw, missing=st.sampled_from(["error", "seen", "code"])):
    thresholds, missing = draw(st.lists(st.lists(finite32, max_size=6), min_size=1, max_size=4)), draw(missing)
    has_missing = [draw(st.booleans()) for _ in thresholds] if missing == "seen" else None
    return Codebook.from_thresholds(thresholds, missing=missing, has_missing=has_missing)


# Categories that look alike, and texts that are hard to write. Bools have features of their own.
_CATEGORIES = (
    st.one_of(
        st.sampled_from(["", "a", "A", "1", "missing", "t0", "é", "日本", "a b", '"', "\\"]), st.integers(-3, 300)
    ),
    st.booleans(),
)


@st.composite
def category_codes(draw):
    """Draw a dict category -> code, maybe with None."""
    known = draw(st.lists(draw(st.sampled_from(_CATEGORIES)), min_size=1, max_size=7, unique=True))
    groups = [draw(st.integers(0, len(known) - 1)) for _ in known]
    codes = {category: sorted(set(groups)).index(group) for category, group in zip(known, groups, strict=True)}
    return {**codes, None: max(codes.values()) + 1} if draw(st.booleans()) else codes


@st.composite
def mixed_codebooks(draw):
    """Draw a codebook of which at least one feature is categorical."""
    parts = [
        draw(category_codes()),
        *draw(st.lists(st.one_of(category_codes(), st.lists(finite32, max_size=4)), max_size=3)),
    ]
    parts = draw(st.permutations(parts))
    rule, with_counts = draw(st.sampled_from(["error", "missing"])), draw(st.booleans())
    book = Codebook.from_thresholds(parts, missing="seen", has_missing=[False] * len(parts), handle_unknown=rule)
    counts = [draw(st.lists(st.integers(0, 9), min_size=n, max_size=n)) for n in book.n_levels.tolist()]
    rules = {"missing": "seen", "has_missing": book.has_missing, "handle_unknown": rule}
    return Codebook.from_thresholds(parts, counts=counts if with_counts else None, **rules)


def values_of(book):
    """Return rows in which each feature has all of its categories, or values around its thresholds: lists."""
    columns = []
    for j, part in enumerate(book.parts):
        values = list(part) if isinstance(part, dict) else [float(x) for x in neighbours(part)]
        columns.append(values + [None] * (not book.refuses_nan[j]))
    n = max(map(len, columns))
    return [[column[i % len(column)] for column in columns] for i in range(n)]


def neighbours(thresholds):
    """Return the thresholds, zeros of both signs, the floats next to all of these, and the infinities."""
    t = np.concatenate([thresholds, np.float32([0.0, -0.0])])
    ends = np.float32([-np.inf, np.inf])
    with np.errstate(over="ignore", under="ignore"):
        beside = [np.nextafter(t, end) for end in ends]
    return np.concatenate([t, *beside, ends])
