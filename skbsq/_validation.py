"""Check the input of fit and predict: X, row weights, groups, bits per feature."""

import warnings
from contextlib import contextmanager
from numbers import Integral

import numpy as np
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from skbsq.codebook.checks import check_finite, check_missing
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import check_columns, columns_of, label, labels_of, numbered_names
from skbsq.codebook.matrix import as_numbers, as_table, floats_of_objects, is_categorical, refuse_mask, to_array
from skbsq.exceptions import PrecisionWarning

# A warning names a feature if the cast to float32 leaves less than this share of its distinct values.
_KEPT_SHARE = 0.9
_MAX_CHUNK_WEIGHT = 1e30


@contextmanager
def all_or_nothing(estimator):
    """Restore the attributes of the estimator if the block fails, so that a failed fit changes nothing.

    Underflow is no failure, whatever ``np.seterr`` says: rounding to 0 or to a subnormal number is correct.
    """
    before = dict(vars(estimator))
    try:
        with np.errstate(under="ignore"):
            yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def check_X(estimator, X, *, reset, missing=None, min_rows=1, stacklevel=4, readers=None, may_be_missing=()):
    """Validate `X` and cast it to float32.

    Parameters
    ----------
    estimator : BaseEstimator
        Receives ``n_features_in_`` and ``feature_names_in_`` if `reset`.
    X : array-like of shape (n, d)
    reset : bool
        True in fit.
    missing : str, array-like, dict or Series, default=None
        Rules for NaN in fit, see `check_missing`. None: NaN is not checked here.
    min_rows : int, default=1
    stacklevel : int, default=4
        Number of calls between the user and the warning.
    readers : dict int -> callable, default=None
        By categorical feature, what turns its column into numbers, see `skbsq.codebook.matrix.as_numbers`.
    may_be_missing : sequence of int, default=()
        Features in which NaN is accepted whatever their rule.

    Returns
    -------
    ndarray of float32 of shape (n, d)

    Raises
    ------
    ValueError
        For a feature with an infinity, a value beyond float32, or NaN if its rule is "error"; and for a column without
        numbers. The message names the feature or column.
    """
    X = as_table(X, "X")
    numbers = as_numbers(X, "X", None, readers)
    columns = columns_of(X)
    checks = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_samples": min_rows}
    if columns is None:
        X = validate_data(estimator, numbers, reset=reset, **checks)
    else:
        _check_labels(estimator, columns, reset)
        validate_data(estimator, X, reset=reset, skip_check_array=True)  # names and number of the features
        X = check_array(numbers, input_name="X", estimator=estimator, **checks)
    cast = as_float32(X)
    names = getattr(estimator, "feature_names_in_", None)
    check_finite(X, cast, names)
    if missing is not None:
        refused = check_missing(missing, names, cast.shape[1]) == "error"
        refused[list(may_be_missing)] = False
        kind = type(estimator).__name__
        way_out = 'impute first, or set missing="seen" to give NaN a separate code.'
        refuse_nan(cast, refused, names, f'{kind} has missing="error" there: {way_out}')
    if reset:
        _warn_if_cast_merges(X, cast, names, stacklevel)
    return cast


def refuse_nan(X, refused, names, why, *, what="Input X"):
    """Reject NaN in some of the features.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    refused : ndarray of bool of shape (d,)
        The features in which NaN is rejected.
    names : sequence of str, or None
    why : str
        The rest of the message: reason and way out.
    what : str, default="Input X"
        What the message calls X.

    Raises
    ------
    ValueError
        If there is such a NaN. The message names its feature and row.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._validation import refuse_nan
    >>> refuse_nan(np.float32([[1, 2], [3, np.nan]]), np.array([False, True]), ["a", "b"], "no row may: drop it.")
    Traceback (most recent call last):
    ...
    ValueError: Input X contains NaN in feature 'b' (row 1), and no row may: drop it.
    """
    if refused.any() and (found := refused & nan_features(X)).any():
        j = int(np.argmax(found))
        row = int(np.argmax(np.isnan(X[:, j])))
        raise ValueError(f"{what} contains NaN in {label(names, j)} (row {row}), and {why}")


def _check_labels(estimator, columns, reset):
    """Reject columns whose labels scikit-learn does not check, if they could be mistaken for other features."""
    d = len(columns)
    if all(isinstance(name, str) for name in columns) and len(set(columns)) < d:
        repeated = next(name for name in columns if columns.count(name) > 1)
        raise ValueError(f"X has several columns named {repeated!r}: rename them.")
    if not reset and not hasattr(estimator, "feature_names_in_"):
        check_columns(columns, numbered_names(d), "X", strict=False)
    numbered = all(isinstance(name, Integral) for name in columns) and columns != list(range(d))
    for parameter in ("n_bits", "thresholds", "missing", "special_values") if reset and numbered else ():
        labels = labels_of(getattr(estimator, parameter, None)) or ()
        if any(isinstance(name, Integral) for name in labels):
            raise ValueError(
                f"{parameter} has numbers as labels, and so have the columns of X, in another order than 0 to {d - 1}: "
                "turn the column names into strings, X.columns.astype(str), and the labels too."
            )


def _warn_if_cast_merges(X, cast, names, stacklevel):
    if X.dtype == cast.dtype:
        return
    merged = []
    for j in range(X.shape[1]):
        exact, rounded = X[:, j], cast[:, j]
        if (exact == rounded).all():
            continue
        seen = ~np.isnan(rounded)
        if np.unique(rounded[seen]).size < _KEPT_SHARE * np.unique(exact[seen]).size:
            merged.append(str(names[j]) if names is not None else str(j))
    if merged:
        warnings.warn(
            f"The cast to float32 merges many distinct values of the features {', '.join(merged)}: these values then "
            "have equal codes. Subtract an offset from these features, or split them, before the quantizer.",
            PrecisionWarning,
            stacklevel=stacklevel,
        )


def nan_features(X):
    """Find the features that contain NaN.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)

    Returns
    -------
    ndarray of bool of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._validation import nan_features
    >>> nan_features(np.float32([[1, 2], [3, np.nan]]))
    array([False,  True])
    """
    return np.isnan(np.minimum.reduce(X))  # a minimum with NaN is NaN


def constant_features(X):
    """Find the features with at most one distinct value, NaN left out.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)

    Returns
    -------
    ndarray of bool of shape (d,)

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._validation import constant_features
    >>> constant_features(np.float32([[1, 2], [1, np.nan], [1, 3]]))
    array([ True, False])
    """
    low, high = np.fmin.reduce(X), np.fmax.reduce(X)
    return (low == high) | np.isnan(low)


def check_weights(sample_weight, X):
    """Validate row weights, and scale them, because only their ratios count.

    Parameters
    ----------
    sample_weight : None, number or array-like of shape (n,)
    X : ndarray of shape (n, d)

    Returns
    -------
    ndarray of float64 of shape (n,)

    Raises
    ------
    ValueError
        For weights that are no numbers, a negative weight, or if none is positive.
    """
    weights = _checked_weights(_numeric_weights(sample_weight), X)
    if not (weights > 0).any():
        raise ValueError("sample_weight is zero for every row: there is nothing to fit.")
    # Equal weights become ones, whose sums are exact. Others are scaled by a power of two, which is exact, so that sums
    # neither overflow nor vanish.
    positive = weights[weights > 0]
    if (positive == positive[0]).all():
        return (weights > 0).astype(np.float64)
    return np.ldexp(weights, -np.frexp(positive.max())[1])


def check_groups(groups, n_rows):
    """Validate the groups of rows, and number them.

    Parameters
    ----------
    groups : None or array-like of shape (n,)
        Labels of any kind.
    n_rows : int

    Returns
    -------
    None or ndarray of int64 of shape (n,)

    Raises
    ------
    ValueError
        For another shape or a missing label.

    Examples
    --------
    >>> from skbsq._validation import check_groups
    >>> check_groups(["b", "a", "b"], 3)
    array([0, 1, 0])
    """
    if groups is None:
        return None
    labels = np.asarray(refuse_mask(groups, "groups"))
    if labels.shape != (n_rows,):
        raise ValueError(f"groups has shape {labels.shape}; it must be ({n_rows},), one label per row of X.")
    import pandas as pd  # not at the top, because encoding works without pandas

    numbers = pd.factorize(labels)[0]
    if (numbers < 0).any():
        raise ValueError(f"groups has no label for row {int(np.argmin(numbers))}: give every row a group.")
    return numbers.astype(np.int64)


def check_chunk_weights(sample_weight, X):
    """Validate the weights of a chunk of rows, unscaled, because they count beside those of other chunks.

    Parameters
    ----------
    sample_weight : None, number or array-like of shape (n,)
    X : ndarray of shape (n, d)

    Returns
    -------
    ndarray of float64 of shape (n,)
        Not negative; all may be zero.

    Raises
    ------
    ValueError
        For weights that are no numbers, a negative weight, or a weight whose sums might overflow or vanish.
    """
    given = _numeric_weights(sample_weight)
    if np.shape(given) == (len(X),) and not np.any(given):
        return np.zeros(len(X))  # scikit-learn rejects all-zero weights, but other chunks may have weight
    weights = _checked_weights(given, X)
    odd = (weights > 0) & ((weights < 1 / _MAX_CHUNK_WEIGHT) | (weights > _MAX_CHUNK_WEIGHT))
    if odd.any():
        raise ValueError(
            f"sample_weight of chunks must be 0 or from {1 / _MAX_CHUNK_WEIGHT:g} to {_MAX_CHUNK_WEIGHT:g}, got "
            f"{weights[odd][0]}: scale the weights of all chunks by the same factor."
        )
    return weights


def _numeric_weights(sample_weight):
    """Return weights as an array or a number; reject text, dates and masked weights."""
    if sample_weight is None:
        return None
    if is_categorical(sample_weight):
        raise ValueError("sample_weight must hold numbers, got dtype category.")
    weights = to_array(refuse_mask(sample_weight, "sample_weight"), "sample_weight")
    if weights.dtype.kind == "O" and weights.ndim == 1:
        weights = floats_of_objects(weights, "The array", "sample_weight")
    if weights.dtype.kind not in "biuf":
        raise ValueError(f"sample_weight must hold numbers, got dtype {weights.dtype}.")
    return weights if weights.ndim else weights.item()


def _checked_weights(sample_weight, X):
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative, got {weights.min()} in row {int(np.argmin(weights))}.")
    return weights
