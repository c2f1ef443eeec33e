"""The target: which task it asks for, and its checked form."""

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_y, check_array, check_consistent_length, column_or_1d

TASKS = ("auto", "regression", "classification")
# An integer target of more distinct values than this is a count or a measurement, not a label.
MAX_INTEGER_CLASSES = 20


def resolve_task(y, task="auto", weights=None):
    """Which task a target asks for.

    Parameters
    ----------
    y : array-like
    task : {"auto", "regression", "classification"}, default="auto"
        "auto": floating y is regression, even if integral; bool, string and category are classification;
        integer y is classification up to 20 classes, else regression.
    weights : ndarray of shape (n,), default=None
        Rows of weight zero count as absent.

    Returns
    -------
    {"regression", "classification"}

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
    if isinstance(getattr(y, "dtype", None), pd.CategoricalDtype):
        return "classification"
    y = np.asarray(y)
    if y.dtype.kind == "O":
        # Numbers in an object array keep their own type; whatever else is there is a label.
        typed = np.asarray(y.ravel().tolist())
        y = typed.reshape(y.shape) if typed.size == y.size else typed
    if y.dtype.kind == "f":
        return "regression"
    if y.dtype.kind in "iu":
        if weights is not None and len(weights) == len(y):
            y = y[weights > 0]
        return "classification" if np.unique(y).size <= MAX_INTEGER_CLASSES and y.size == len(y) else "regression"
    if y.dtype.kind in "bUSO":
        return "classification"
    raise ValueError(f"y has dtype {y.dtype}, of which neither a regression nor a classification can be made.")


def check_class_weight(class_weight, task):
    """Refuse class weights that make no sense.

    Parameters
    ----------
    class_weight : dict or "balanced"
    task : {"regression", "classification"}

    Raises
    ------
    ValueError
        For a regression, and for a weight that is negative or not finite.
    """
    if task != "classification":
        raise ValueError(f"class_weight={class_weight!r} makes no sense for a regression target.")
    if isinstance(class_weight, dict):
        for name, value in class_weight.items():
            if not 0 <= value < np.inf:
                raise ValueError(f"class_weight must be finite and not negative, got {value} for {name!r}.")


def check_target(y, X, task, estimator, weights=None):
    """Validate the target.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, k)
    X : ndarray of shape (n, d)
    task : {"auto", "regression", "classification"}
    estimator : BaseEstimator
        For the message.
    weights : ndarray of shape (n,), default=None
        See `resolve_task`.

    Returns
    -------
    y : ndarray
        float64 of shape (n,) or (n, k) for regression, labels of shape (n,) for classification.
    task : {"regression", "classification"}

    Raises
    ------
    ValueError
        For a target that is absent, not finite, of the wrong length, or of a kind nobody supports.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None: its thresholds are "
            "learned with the target."
        )
    if issparse(y):
        raise ValueError("y must be dense, got a sparse matrix: use y.toarray().")
    task = resolve_task(y, task, weights)
    if task == "classification":
        y = _check_y(y, estimator=estimator)
        if y.dtype.kind == "O" and (kind := np.asarray(y.tolist()).dtype).kind in "iub":
            raise ValueError(f"Unknown label type: {kind} in an array of objects, which scores refuse. Cast y first.")
        check_classification_targets(y)
    else:
        if np.iscomplexobj(np.asarray(y)):
            raise ValueError("y must hold real numbers. Complex data not supported.")
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y", estimator=estimator)
        if (np.abs(y) > np.finfo(np.float32).max).any():
            raise ValueError(f"y holds {y.flat[np.argmax(np.abs(y))]}, which overflows float32: rescale the target.")
        if y.ndim not in (1, 2):
            raise ValueError(f"y must have one row per row of X, in one or two dimensions, got shape {y.shape}.")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    return y, task
