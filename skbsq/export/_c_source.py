"""Values that the C reads: floats, or the counts of a converter. NumPy alone."""

import re
from dataclasses import dataclass

import numpy as np

from skbsq.export import _c_categories
from skbsq.export import _c_text as c
from skbsq.export._adc import check_counts, first_counts_above


@dataclass(frozen=True)
class Source:
    """Values that the C reads, and how it compares them."""

    kind: str  # "float" or "count"
    type: str  # C type of a value
    key_type: str  # C type of a table entry
    keys: list  # per feature: integers in increasing order
    notes: list  # per feature: a comment for each key
    below: str  # C: the rest of a comparison that is true if a table entry lies below the value
    is_missing: str | None  # C expression; None if no value counts as missing
    missing_value: str  # the missing value in words
    missing_count: int | list | None = None  # one for all features, or one (or None) per feature


def find_source(codebook, scale, offset, count_type, missing_count):
    """Return what a header reads: floats without a `scale`, else counts. See `to_c`."""
    if scale is not None:
        return _counts(codebook, scale, offset, count_type or "uint16", missing_count)
    if offset is None and count_type is None and missing_count is None:
        return _floats(codebook)
    raise ValueError("offset, count_type and missing_count describe counts: give a scale too.")


def _floats(codebook):
    keys, notes = [], []
    for thresholds in _c_categories.numeric_thresholds(codebook):
        bits = thresholds.view(np.int32).astype(np.int64)
        # Without the sign bit, the bits of a negative float are its magnitude. -0.0 is the threshold 0.0.
        magnitude = bits & 0x7FFFFFFF
        keys.append(np.where((bits < 0) & (magnitude > 0), -magnitude - 1, magnitude).tolist())
        notes.append([_exact(t) for t in thresholds])
    return Source("float", "float", "int32_t", keys, notes, "< key", c.FLOAT_IS_MISSING, "NaN")


def _counts(codebook, scale, offset, count_type, missing_count):
    scale, offset, missing_count = check_counts(codebook, scale, offset, count_type, missing_count)
    _c_categories.check_counts(codebook, count_type, missing_count)
    keys, notes = [], []
    numeric = _c_categories.numeric_thresholds(codebook)
    for thresholds, a, b in zip(numeric, scale.tolist(), offset.tolist(), strict=True):
        first = first_counts_above(thresholds, a, b, count_type)
        # No count exceeds the other thresholds.
        keys.append(first[first <= np.iinfo(count_type).max].tolist())
        notes.append([f"above {_exact(t)}" for t in thresholds])
    is_missing, missing_value = c.COUNT_IS_MISSING, "NAME_MISSING_COUNT"
    if isinstance(missing_count, list):
        is_missing, missing_value = c.FEATURE_COUNT_IS_MISSING, "the missing count of the feature"
        if count_type == "int32":
            is_missing = c.FEATURE_COUNT_IS_MISSING_IF_ANY
    if missing_count is None:
        is_missing = None
    c_type = f"{count_type}_t"
    return Source("count", c_type, c_type, keys, notes, "<= value", is_missing, missing_value, missing_count)


def _exact(threshold):
    """Write a float32 exactly in hexadecimal, and briefly in decimal."""
    return f"{re.sub('[.]?0*p', 'p', float(threshold).hex())} = {threshold!s}"
