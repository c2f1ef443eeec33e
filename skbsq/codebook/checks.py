"""Checks of the parts of a codebook: thresholds, levels, counts and feature names. Needs NumPy alone."""

from numbers import Integral

import numpy as np

from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import in_feature_order, in_number_order, label, numbered_names
from skbsq.codebook.matrix import refuse_mask

MAX_BITS, DEFAULT_BITS = 16, 4
MISSING_RULES = ("error", "seen", "code")


def check_thresholds(thresholds, label, *, strict=False):
    """Return the thresholds of a feature as a codebook stores them.

    Parameters
    ----------
    thresholds : array-like, 1-d
    label : str
        The feature, for the message.
    strict : bool, default=False
        Reject thresholds that would have to be sorted or merged.

    Returns
    -------
    ndarray of float32
        Strictly increasing, with 0.0 for -0.0.

    Raises
    ------
    ValueError
        If the thresholds are not finite numbers in a 1-d array, or not strictly increasing under `strict`.

    Examples
    --------
    >>> from skbsq.codebook.checks import check_thresholds
    >>> check_thresholds([2, 1, 1, -0.0], "feature 0")
    array([0., 1., 2.], dtype=float32)
    """
    raw = np.asarray(refuse_mask(thresholds, f"The array of thresholds of {label}"))
    if raw.ndim != 1 or (raw.size and raw.dtype.kind not in "fiub"):
        raise ValueError(f"The thresholds of {label} must be a 1-d array of numbers, got {thresholds!r}.")
    hint = "; leave out a threshold that every value exceeds, or none"
    cast = _as_finite_float32(raw, f"The thresholds of {label}", hint)
    if strict and (cast[1:] <= cast[:-1]).any():
        k = int(np.argmax(cast[1:] <= cast[:-1]))
        raise ValueError(
            f"The thresholds of {label} must be strictly increasing in float32 where levels are given, "
            f"got {cast[k]} before {cast[k + 1]}."
        )
    return np.unique(cast)


def _as_finite_float32(values, what, hint=""):
    """Cast to float32, with 0.0 for -0.0. Raise ValueError unless all values are finite."""
    cast = as_float32(values)
    finite = np.isfinite(cast)
    if not finite.all():
        raise ValueError(f"{what} must be finite in float32, got {values[np.argmin(finite)]}{hint}.")
    return cast + np.float32(0.0)  # -0.0 + 0.0 is 0.0


def midpoint_levels(thresholds, lone_gap=None):
    """Return levels in the middle of the bins.

    An inner level is the midpoint of two neighbouring thresholds. An outer level lies half the neighbouring gap
    outside. All levels are finite.

    Parameters
    ----------
    thresholds : ndarray of float32, strictly increasing
    lone_gap : float, default=None
        The gap if there is only one threshold. None: the magnitude of that threshold, or 1 if it is 0.

    Returns
    -------
    ndarray of float32
        One level more than thresholds; 0.0 alone if there are no thresholds.

    References
    ----------
    arXiv 2603.05172, Section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.checks import midpoint_levels
    >>> midpoint_levels(np.float32([0, 1, 3]))
    array([-0.5,  0.5,  2. ,  4. ], dtype=float32)
    """
    t = thresholds.astype(np.float64)
    if t.size == 0:
        return np.zeros(1, dtype=np.float32)
    gaps = np.diff(t)
    if t.size == 1:
        gaps = np.array([lone_gap if lone_gap is not None else (abs(t[0]) or 1.0)])
    middle = np.concatenate([[t[0] - gaps[0] / 2], (t[1:] + t[:-1]) / 2, [t[-1] + gaps[-1] / 2]])
    limit = np.finfo(np.float32).max
    return as_float32(np.clip(middle, -limit, limit)) + np.float32(0.0)


def check_finite(X, cast, names):
    """Reject infinite values of X, and values that became infinite in the cast to float32.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    cast : ndarray of float32 of shape (n, d)
        X after the cast.
    names : sequence of str, or None

    Raises
    ------
    ValueError
        If there is such a value. The message names its feature and row.
    """
    # The minimum and maximum of each feature show whether there is one, without an array of the size of X.
    if len(cast) and np.isinf([np.fmin.reduce(cast), np.fmax.reduce(cast)]).any():
        row, j = np.argwhere(np.isinf(cast))[0]
        value = X[row, j]
        why = "contains infinity" if np.isinf(value) else f"holds {value}, which overflows float32,"
        raise ValueError(f"Input X {why} in {label(names, j)} (row {row}): clip or drop such values first.")


def refuse_missing(feature, row):
    """Raise the error for a missing value in a feature without a missing code."""
    raise ValueError(
        f"X contains NaN in {feature} (row {row}), which has no missing code: impute NaN first, "
        'or fit with missing="seen" on rows with NaN in this feature, or with missing="code".'
    )


def check_missing(missing, names, n_features):
    """Validate `missing`, and return the rule of each feature.

    Parameters
    ----------
    missing : str, array-like of str of shape (d,), dict or pandas Series
    names : sequence of str, or None for x0, x1, ...
    n_features : int

    Returns
    -------
    ndarray of str of shape (d,)
        Each is one of `MISSING_RULES`.

    Raises
    ------
    ValueError
        For another rule, a wrong length, an unknown name or an absent name.

    Examples
    --------
    >>> from skbsq.codebook.checks import check_missing
    >>> check_missing({"b": "seen", "a": "error"}, ["a", "b"], 2)
    array(['error', 'seen'], dtype='<U5')
    """
    if isinstance(missing, str):
        if missing not in MISSING_RULES:
            raise ValueError(f"missing must be one of {list(MISSING_RULES)}, got {missing!r}.")
        return np.full(n_features, missing, dtype="U5")
    given = in_feature_order(refuse_mask(missing, "missing"), names, n_features, "missing")
    rules = np.asarray(given, dtype=object)
    if rules.shape != (n_features,):
        raise ValueError(f"missing must be one rule or {n_features}, one per feature, got {missing!r}.")
    for j, rule in enumerate(rules.tolist()):
        if not isinstance(rule, str) or rule not in MISSING_RULES:
            raise ValueError(f"missing must be one of {list(MISSING_RULES)}, got {rule!r} for {label(names, j)}.")
    return rules.astype("U5")


def check_guard(guard, names, n_features):
    """Validate `guard`, and return the features for which guard codes are wanted.

    Parameters
    ----------
    guard : bool, array-like of bool of shape (d,), dict or pandas Series
    names : sequence of str, or None for x0, x1, ...
    n_features : int

    Returns
    -------
    ndarray of bool of shape (d,)

    Raises
    ------
    ValueError
        For a value that is no bool, a wrong length, an unknown name or an absent name.

    Examples
    --------
    >>> from skbsq.codebook.checks import check_guard
    >>> check_guard({"b": True, "a": False}, ["a", "b"], 2)
    array([False,  True])
    """
    if isinstance(guard, bool | np.bool_):
        return np.full(n_features, bool(guard))
    wanted = np.asarray(in_feature_order(refuse_mask(guard, "guard"), names, n_features, "guard"))
    if wanted.shape != (n_features,) or wanted.dtype != bool:
        raise ValueError(f"guard must be True, False or {n_features} of them, one per feature, got {guard!r}.")
    return wanted


def check_has_missing(has_missing, missing, thresholds, names):
    """Return which features have a missing code, as a bool array of shape (d,)."""
    d = len(thresholds)
    rules = check_missing(missing, names, d)
    if has_missing is None:
        if (rules == "seen").any():
            raise ValueError('missing="seen" needs has_missing: thresholds do not show in which features NaN was seen.')
        return (rules == "code") & [t.size > 0 for t in thresholds]
    has_missing = np.array(in_feature_order(refuse_mask(has_missing, "has_missing"), names, d, "has_missing"))
    if has_missing.shape != (d,) or has_missing.dtype != bool:
        raise ValueError(f"has_missing must be {d} bools, one per feature, got {has_missing!r}.")
    if (wrong := has_missing & (rules == "error")).any():
        j = int(np.argmax(wrong))
        raise ValueError(f'has_missing must be False under missing="error", got True for {label(names, j)}.')
    return has_missing


def check_names(names):
    """Return feature names as a tuple of str, or None."""
    if names is None:
        return None
    names = tuple(names)
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"feature_names must be strings, got {name!r}.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"feature_names must be unique, got {twice!r} twice.")
    return tuple(str(name) for name in names)


def check_n_levels(thresholds, has_missing, names):
    """Raise ValueError if a feature has more levels than its codes can tell apart."""
    for j, t in enumerate(thresholds):
        n_levels = t.size + 1 + has_missing[j]
        if n_levels > 2**MAX_BITS:
            raise ValueError(
                f"{label(names, j)} has {n_levels} levels; at most 2^{MAX_BITS} = {2**MAX_BITS} fit a code."
            )


def check_n_bits(n_bits, names, n_features):
    """Validate `n_bits`, and return the bits of each feature.

    Parameters
    ----------
    n_bits : None, int, array-like of shape (d,), dict or pandas Series
    names : array of str of shape (d,), or None for x0, x1, ...
    n_features : int

    Returns
    -------
    ndarray of int64 of shape (d,)

    Raises
    ------
    ValueError
        For a value outside 0 to 16, a wrong length, an unknown name or an absent name.

    Examples
    --------
    >>> from skbsq.codebook.checks import check_n_bits
    >>> check_n_bits({"a": 2, "b": 0}, ["a", "b"], 2)
    array([2, 0])
    """
    names = numbered_names(n_features) if names is None else list(names)
    n_bits = DEFAULT_BITS if n_bits is None else refuse_mask(n_bits, "n_bits")
    if isinstance(n_bits, Integral):
        n_bits = [n_bits] * n_features
    n_bits = in_feature_order(n_bits, names, n_features, "n_bits", hint=" (0 means not sent)")
    bits = np.asarray(n_bits)
    if bits.shape != (n_features,):
        raise ValueError(f"n_bits must be one integer or {n_features}, one per feature, got {n_bits!r}.")
    for name, value in zip(names, bits.tolist(), strict=True):
        if type(value) is not int or not 0 <= value <= MAX_BITS:
            raise ValueError(f"n_bits must be an integer from 0 to {MAX_BITS}, got {value!r} for feature {name!r}.")
    return bits.astype(np.int64)


def check_levels(levels, n, label):
    """Return the `n` levels of a feature as finite float32; the missing level is not among them."""
    raw = _per_code(levels, f"levels of {label}")
    if raw.shape != (n,) or raw.dtype.kind not in "fiub":
        raise ValueError(
            f"The levels of {label} must be {n} numbers, one more than its thresholds (the missing level is added, "
            f"never given), got {levels!r}."
        )
    return _as_finite_float32(raw, f"The levels of {label}")


def check_counts(counts, n, label):
    """Return the `n` counts of a feature as int64, one per code."""
    raw = _per_code(counts, f"counts of {label}")
    if raw.shape != (n,) or raw.dtype.kind not in "iu" or (raw < 0).any() or (raw > np.iinfo(np.int64).max).any():
        raise ValueError(f"The counts of {label} must be {n} non-negative integers, one per code, got {counts!r}.")
    return raw.astype(np.int64)


def _per_code(values, what):
    return np.asarray(in_number_order(refuse_mask(values, f"The array of {what}"), f"the {what}"))


def check_folded_from(folded_from):
    if folded_from is not None and (type(folded_from) is not bytes or len(folded_from) != 8):
        raise ValueError(f"folded_from must be a fingerprint, 8 bytes, got {folded_from!r}.")


def check_fields(thresholds, offsets, levels, counts, has_missing, names, folded_from=None):
    """Check the fields of a codebook as it stores them: flat arrays over all features.

    Raises
    ------
    ValueError
        If they are not the fields of a codebook. The message names the field.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.checks import check_fields
    >>> t = np.float32([2, 1])
    >>> check_fields(t, np.array([0, 2]), np.float32([0, 1, 2]), None, np.array([False]), None)
    Traceback (most recent call last):
    ...
    ValueError: Not a valid codebook: its thresholds are not finite and strictly increasing.
    """

    def demand(right, problem):
        if not right:
            raise ValueError(f"Not a valid codebook: its {problem}.")

    def is_flat(array, dtype):
        return isinstance(array, np.ndarray) and array.ndim == 1 and array.dtype == dtype

    check_names(names)
    check_folded_from(folded_from)
    demand(is_flat(thresholds, np.float32) and is_flat(levels, np.float32), "thresholds or levels are not float32")
    demand(is_flat(offsets, np.int64) and is_flat(has_missing, bool), "offsets or has_missing have a wrong type")
    demand(offsets.size == has_missing.size + 1 >= 2, "offsets and has_missing differ in the number of features")
    sizes = np.diff(offsets)
    split = offsets[0] == 0 and offsets[-1] == thresholds.size and (sizes >= 0).all()
    demand(split, "offsets do not split the thresholds")
    is_first = np.zeros(thresholds.size + 1, dtype=bool)
    is_first[offsets] = True
    increasing = (thresholds[1:] > thresholds[:-1]) | is_first[1:-1]
    demand(np.isfinite(thresholds).all() and increasing.all(), "thresholds are not finite and strictly increasing")
    demand(not np.signbit(thresholds[thresholds == 0]).any(), "thresholds contain -0.0")
    n_levels = sizes + 1 + has_missing
    demand((n_levels <= 2**MAX_BITS).all() and levels.size == n_levels.sum(), "levels are not one per code")
    is_missing = np.zeros(levels.size, dtype=bool)
    is_missing[np.cumsum(n_levels)[has_missing] - 1] = True
    right = np.isfinite(levels[~is_missing]).all() and np.isnan(levels[is_missing]).all()
    demand(right, "levels are not finite, or not NaN for missing codes")
    counted = counts is None or (is_flat(counts, np.int64) and counts.size == levels.size and (counts >= 0).all())
    demand(counted, "counts are not one per code")
    demand(names is None or len(names) == has_missing.size, "names are not one per feature")
