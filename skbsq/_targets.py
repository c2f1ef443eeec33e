"""Check the target, and decide which task it means."""

from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_array, check_consistent_length, column_or_1d

from skbsq.codebook.labels import columns_of
from skbsq.codebook.matrix import as_table, columns_in, is_categorical, refuse_mask, to_array, where_missing

TASKS = ("auto", "regression", "classification")
_TIMES = (date, time, timedelta, np.datetime64, np.timedelta64, pd.Period, pd.Interval)
# An integer target with more distinct values holds counts or measurements, not labels.
MAX_INTEGER_CLASSES = 20


def resolve_task(y, task="auto", weights=None):
    """Decide which task a target means.

    Parameters
    ----------
    y : array-like
    task : {"auto", "regression", "classification"}, default="auto"
        "auto": floating y means regression, even if all values are integers; bool, string and category mean
        classification; integer y means classification up to 20 classes, and regression beyond.
    weights : ndarray of shape (n,), default=None
        Rows of weight zero count as absent.

    Returns
    -------
    {"regression", "classification"}

    Raises
    ------
    ValueError
        For an unknown `task`.

    Examples
    --------
    >>> from skbsq._targets import resolve_task
    >>> resolve_task([1.0, 2.0]), resolve_task([1, 2]), resolve_task(["a", "b"])
    ('regression', 'classification', 'classification')
    """
    if task not in TASKS:
        raise ValueError(f"task must be one of {list(TASKS)}, got {task!r}.")
    if task != "auto":
        return task
    if is_categorical(y):
        return "classification"
    y = np.asarray(y)
    if y.dtype.kind == "O":
        # NumPy finds the common type of the objects. Objects other than numbers are labels.
        typed = np.asarray(y.ravel().tolist())
        y = typed.reshape(y.shape) if typed.size == y.size else typed
    if y.dtype.kind == "f":
        return "regression"
    if y.dtype.kind in "iu":
        if weights is not None and len(weights) == len(y):
            y = y[weights > 0]
        return "classification" if np.unique(y).size <= MAX_INTEGER_CLASSES and y.size == len(y) else "regression"
    return "classification"


def as_target(y, task="auto", estimator=None):
    """Reject what is no target, and unwrap y from containers that NumPy or scikit-learn misread.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, k)
    task : {"auto", "regression", "classification"}, default="auto"
    estimator : BaseEstimator, default=None
        Named in the message.

    Returns
    -------
    array-like

    Raises
    ------
    ValueError
        For dates, lengths of time, complex numbers and masked values; for text and categories in a regression; for
        missing labels in a classification.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._targets import as_target
    >>> as_target(np.array(["2026-01-01"], dtype="M8[D]"))
    Traceback (most recent call last):
    ...
    ValueError: y has unsupported dtype datetime64[D]: a regression needs numbers, a classification needs labels...
    """
    if columns_of(y) is not None:
        targets = [as_target(column, task, estimator) for column in columns_in(as_table(y, "y"))]
        return targets[0] if len(targets) == 1 else np.column_stack(targets)
    y = refuse_mask(y, "y")
    dtype = getattr(y, "dtype", None)
    numpy_dtype = getattr(dtype, "numpy_dtype", None)  # nullable types of pandas have it
    if numpy_dtype is not None and numpy_dtype.kind in "biuf" and not y.isna().any():
        y = y.to_numpy(dtype=numpy_dtype)
    if is_categorical(y):
        if task == "regression":
            _reject("dtype category", task, estimator)
        labels = plain_labels(y)
        _check_kind(labels, "category", "classification", estimator)
        _check_no_missing(labels)
        return y
    values = to_array(y, "y")
    if values.dtype.kind != "O":
        _check_kind(values, values.dtype, task, estimator)
        if values.dtype.kind in "US" and isinstance(y, list | tuple):
            _check_no_missing(np.asarray(y, dtype=object))  # NumPy turns a NaN among text into "nan"
        return y if hasattr(y, "iloc") or isinstance(y, list | tuple) else values
    return _of_objects(values, task, estimator)


def plain_labels(y):
    """Return categorical labels in the type of the categories, with None or NaN for missing ones; others unchanged.

    Parameters
    ----------
    y : array-like of shape (n,)

    Returns
    -------
    array-like
    """
    if not is_categorical(y):
        return y
    if hasattr(y, "type"):  # Arrow's
        return np.asarray(y.cast(y.type.value_type))
    if not isinstance(y.dtype, pd.CategoricalDtype):
        return np.asarray(y)
    codes = np.asarray(y.cat.codes if hasattr(y, "cat") else y.codes)
    return np.asarray(y, dtype=object) if (codes < 0).any() else np.asarray(y.dtype.categories)[codes]


def _of_objects(values, task, estimator):
    """Return objects as numbers if all are numbers; otherwise check that they are labels, and return them."""
    missing = where_missing(values.ravel())
    typed = np.asarray(values.ravel()[~missing].tolist())
    if typed.dtype.kind == "O" and all(isinstance(value, Real | Decimal) for value in typed.ravel()):
        typed = typed.astype(np.float64)
        values = values if missing.any() else typed.reshape(values.shape)
    if typed.size != np.count_nonzero(~missing):
        return values  # nested lists and the like, which scikit-learn rejects
    _check_kind(typed, typed.dtype, task, estimator)
    if missing.any() and typed.dtype.kind in "biuf" and task != "classification":
        full = np.full(values.size, np.nan)
        full[~missing] = typed
        return full.reshape(values.shape)
    _check_no_missing(values)
    return values


def _check_kind(values, dtype, task, estimator):
    """Reject complex numbers, times, and for a regression everything but numbers."""
    kind = values.dtype.kind
    if kind == "c":
        raise ValueError("y must hold real numbers. Complex data not supported.")
    if kind == "O":
        numbers = Real | Decimal if task == "regression" else object
        wrong = [value for value in values.ravel() if isinstance(value, _TIMES) or not isinstance(value, numbers)]
        if wrong:
            _reject(f"values such as {wrong[0]!r}", task, estimator)
    if kind not in "biufUSO" or (task == "regression" and kind in "US"):
        _reject(f"dtype {dtype}", task, estimator)


def _reject(what, task, estimator):
    needs = "a regression needs numbers, a classification needs labels that are numbers, bools or strings"
    if task == "regression":
        needs = f"{'a regression' if estimator is None else type(estimator).__name__} needs numbers"
    raise ValueError(
        f"y has unsupported {what}: {needs}. Convert it first, for example with y.astype(float), or points in time "
        "into seconds since a start."
    )


def _check_no_missing(values):
    missing = where_missing(values)
    if missing.any():
        raise ValueError(
            f"Input y contains NaN or another missing value in row {int(np.argmax(missing))}: drop such rows."
        )


def check_class_weight(class_weight, task):
    """Check class weights against the task.

    Parameters
    ----------
    class_weight : dict or "balanced"
    task : {"regression", "classification"}

    Raises
    ------
    ValueError
        For a regression, and for a weight that is negative, not finite or no number.
    """
    if task != "classification":
        raise ValueError(f"class_weight={class_weight!r} makes no sense for a regression target.")
    if isinstance(class_weight, dict):
        for name, value in class_weight.items():
            if not isinstance(value, Real) or not 0 <= value < np.inf:
                raise ValueError(f"class_weight must be finite and not negative, got {value} for {name!r}.")


def check_target(y, X, task, estimator, weights=None):
    """Validate the target, and resolve its task.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, k)
    X : ndarray of shape (n, d)
    task : {"auto", "regression", "classification"}
    estimator : BaseEstimator
        Named in the message.
    weights : ndarray of shape (n,), default=None
        See `resolve_task`.

    Returns
    -------
    y : ndarray
        float64 of shape (n,) or (n, k) for a regression, labels of shape (n,) for a classification.
    task : {"regression", "classification"}

    Raises
    ------
    ValueError
        For a target that is absent, not finite, beyond float32, of the wrong length or of an unsupported type.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: its thresholds are "
            "learned with the target."
        )
    if issparse(y):
        raise ValueError("y must be dense, got a sparse matrix: use y.toarray().")
    y = as_target(y, task, estimator)
    task = resolve_task(y, task, weights)
    if task == "classification":
        y = _check_y(plain_labels(y), estimator=estimator)
        if y.dtype.kind == "O" and (kind := np.asarray(y.tolist()).dtype).kind in "iub":
            raise ValueError(f"Unknown label type: {kind} in an array of objects, which scores reject. Cast y first.")
        check_classification_targets(y)
    else:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=estimator)
        if (np.abs(y) > np.finfo(np.float32).max).any():
            raise ValueError(f"y holds {y.flat[np.argmax(np.abs(y))]}, which overflows float32: rescale the target.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    return y, task
