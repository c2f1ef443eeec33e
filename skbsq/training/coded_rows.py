"""Training rows from codes, for a new head behind a codebook that stays."""

from dataclasses import replace

import numpy as np

from skbsq.codebook.labels import label
from skbsq.training.rows import rows_with_target


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

    A level may lie outside its bin after rounding, or because the user gave it. The threshold above has the code then,
    because a code counts the thresholds below a value; for the top code it is the next float above the last threshold.

    Parameters
    ----------
    book : Codebook
    codes : ndarray of an integer type of shape (n, d)
        Checked.

    Returns
    -------
    ndarray of float32 of shape (n, d)
        Finite, but NaN for missing codes.

    Raises
    ------
    ValueError
        For the top code above the largest float32, which only an infinity has.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.training.coded_rows import floats_of_codes
    >>> book = Codebook.from_thresholds([[0, 1]], levels=[[-3, 7, 2]], missing="code")
    >>> floats_of_codes(book, np.array([[0], [1], [2], [3]])).ravel()
    array([-3.,  1.,  2., nan], dtype=float32)
    """
    X = np.empty(codes.shape, dtype=np.float32)
    for j, (thresholds, levels) in enumerate(zip(book.thresholds, book.levels, strict=True)):
        X[:, j] = _floats_of_feature(thresholds, levels)[codes[:, j]]
    if (infinite := np.isinf(X)).any():
        row, j = np.argwhere(infinite)[0]
        raise ValueError(
            f"Code {codes[row, j]} of {label(book.feature_names, j)} (row {row}) is that of infinite values alone, "
            "from which no head can learn: leave out such rows."
        )
    return X


def _floats_of_feature(thresholds, levels):
    floats = levels.copy()
    regular = floats[: thresholds.size + 1]
    outside = np.searchsorted(thresholds, regular) != np.arange(regular.size)
    if outside.any():
        with np.errstate(over="ignore", under="ignore"):
            above = np.append(thresholds, np.nextafter(thresholds[-1], np.float32(np.inf)))
        regular[outside] = above[outside]
    return floats
