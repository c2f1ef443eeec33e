"""Training rows from codes, for a new head behind a codebook that stays."""

from dataclasses import replace

import numpy as np

from skbsq.codebook.labels import label
from skbsq.training.rows import rows_with_target

_TINY = np.finfo(np.float32).tiny


def read_coded_rows(estimator, book, codes, y, sample_weight, task, class_weight):
    """Check codes and targets, and convert them to training rows whose floats have these codes.

    Parameters
    ----------
    estimator : BaseEstimator
        Fitted. It stays as it is.
    book : Codebook
    codes, y, sample_weight : array-likes or None
    task : {"auto", "regression", "classification"}
    class_weight : dict, "balanced" or None

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        For an invalid argument. The message names the argument, and the feature or row.
    """
    X = floats_of_codes(book, book.check_codes(codes))
    rows = rows_with_target(estimator, X, y, sample_weight, None, task, class_weight)
    return replace(rows, may_be_missing=book.has_missing)


def floats_of_codes(book, codes):
    """Return floats that have given codes.

    A code counts the thresholds below a value, so the threshold above a bin has its code. The top code belongs to the
    next float above the last threshold. Levels would not do, because rounding may put them on a threshold.

    Parameters
    ----------
    book : Codebook
    codes : ndarray of an integer type of shape (n, d)
        Checked.

    Returns
    -------
    ndarray of float32 of shape (n, d)
        Finite, but NaN for missing codes. 0 in features without thresholds.

    Raises
    ------
    ValueError
        For the top code above the largest float32, which only an infinity has.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.training.coded_rows import floats_of_codes
    >>> book = Codebook.from_thresholds([[0, 1]], missing="code")
    >>> floats_of_codes(book, np.array([[0], [1], [2], [3]])).ravel()
    array([0.       , 1.       , 1.0000001,       nan], dtype=float32)
    """
    X = np.empty(codes.shape, dtype=np.float32)
    for j, (thresholds, has_missing) in enumerate(zip(book.thresholds, book.has_missing, strict=True)):
        floats = np.append(thresholds, _above(thresholds[-1]) if thresholds.size else np.float32(0))
        X[:, j] = (np.append(floats, np.float32(np.nan)) if has_missing else floats)[codes[:, j]]
    if (infinite := np.isinf(X)).any():
        row, j = np.argwhere(infinite)[0]
        raise ValueError(
            f"Code {codes[row, j]} of {label(book.feature_names, j)} (row {row}) is that of infinite values alone, "
            "from which no head can learn: leave out such rows."
        )
    return X


def _above(threshold):
    """Return the next float32 above a threshold that is not subnormal, because training flushes subnormals to zero."""
    with np.errstate(over="ignore", under="ignore"):
        above = np.nextafter(threshold, np.float32(np.inf))
    return _TINY if abs(above) < _TINY else above
