"""Thresholds for the counts of an analog-to-digital converter. NumPy alone."""

from numbers import Integral

import numpy as np

from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import in_feature_order, label
from skbsq.codebook.matrix import is_missing, refuse_mask

COUNT_TYPES = ("uint8", "int8", "uint16", "int16", "int32")


def check_counts(codebook, scale, offset, count_type, missing_count):
    """Check the parameters of counts, and return them per feature.

    Returns
    -------
    scale, offset : ndarray of float64 of shape (d,)
    missing_count : None, int, or list of d ints or None
        A list if features differ.
    """
    scale = _per_feature(scale, "scale", codebook)
    if not (scale > 0).all():
        j = int(np.argmin(scale > 0))
        raise ValueError(
            f"scale must be positive, got {scale[j]} for {label(codebook.feature_names, j)}. If the value falls as "
            "the count rises, invert the count on the device (e.g. 4095 - count) and give the scale of the result."
        )
    offset = _per_feature(0.0 if offset is None else offset, "offset", codebook)
    if count_type not in COUNT_TYPES:
        raise ValueError(f"count_type must be one of {list(COUNT_TYPES)}, got {count_type!r}.")
    return scale, offset, _check_missing_counts(missing_count, codebook, count_type)


def _check_missing_counts(missing_count, codebook, count_type):
    if missing_count is None:
        return None
    names, d = codebook.feature_names, codebook.n_features
    given = in_feature_order(refuse_mask(missing_count, "missing_count"), names, d, "missing_count")
    if np.ndim(given) == 0:
        return _check_missing_count(given, count_type, "")
    counts = list(given)
    if len(counts) != d:
        raise ValueError(f"missing_count must be an integer, or {d} of them, one per feature, got {missing_count!r}.")
    # pandas turns integers beside None into floats.
    counts = [int(count) if isinstance(count, float) and count.is_integer() else count for count in counts]
    counts = [
        None if is_missing(count) else _check_missing_count(count, count_type, f" for {label(names, j)}")
        for j, count in enumerate(counts)
    ]
    return counts[0] if len(set(counts)) == 1 else counts


def _check_missing_count(count, count_type, where):
    info = np.iinfo(count_type)
    count = count.item() if isinstance(count, np.ndarray) else count
    if isinstance(count, bool) or not isinstance(count, Integral) or not info.min <= count <= info.max:
        raise ValueError(
            f"missing_count must be an integer from {info.min} to {info.max} ({count_type}), got {count!r}{where}."
        )
    return int(count)


def _per_feature(values, what, codebook):
    values = in_feature_order(refuse_mask(values, what), codebook.feature_names, codebook.n_features, what)
    raw = np.asarray(values)
    if raw.ndim > 1 or raw.dtype.kind not in "fiu" or raw.size != (codebook.n_features if raw.ndim else 1):
        raise ValueError(f"{what} must be a number, or {codebook.n_features} of them, one per feature, got {values!r}.")
    values = np.broadcast_to(raw.astype(np.float64), codebook.n_features)
    if not np.isfinite(values).all():
        j = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{what} must be finite, got {values[j]} for {label(codebook.feature_names, j)}.")
    return values


def value_of(counts, scale, offset):
    """Convert counts to values: float64 arithmetic, then float32."""
    with np.errstate(over="ignore"):
        return as_float32(counts.astype(np.float64) * scale + offset)


def first_counts_above(thresholds, scale, offset, count_type):
    """Find the smallest count whose value exceeds each threshold; one more than the largest count if none does.

    Multiplication, addition and the cast each round monotonically, so the value never falls as the count rises.
    Therefore bisection is exact.

    Parameters
    ----------
    thresholds : ndarray of float32
    scale, offset : float
    count_type : str

    Returns
    -------
    ndarray of int64

    Examples
    --------
    >>> import numpy as np
    >>> first_counts_above(np.float32([-1, 0, 0.5, 1000]), 0.25, 0, "uint8")
    array([  0,   1,   3, 256])
    """
    info = np.iinfo(count_type)
    first = np.full(thresholds.size, int(info.min))
    end = np.full(thresholds.size, int(info.max) + 1)
    while (first < end).any():
        middle = (first + end) // 2
        # A finished search must not move: there `middle` equals `end`, which may lie beyond all counts.
        above = (value_of(middle, scale, offset) > thresholds) | (first == end)
        end = np.where(above, middle, end)
        first = np.where(above, first, middle + 1)
    return first
