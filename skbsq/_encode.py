"""Floats to codes: the hot loops behind `Codebook`. NumPy alone."""

import numpy as np

# Rows per block: keeps the float32 copy of a block in the cache and the extra memory of
# `encode` flat, however many rows come in.
BLOCK_ROWS = 16_384


def as_float32(X):
    """Cast to float32, the type in which every comparison of the package is made.

    A value beyond the range of float32 becomes an infinity, silently: it lies outside every
    threshold anyway. The result is `X` itself where it already is float32.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Real numbers: bool, integer or floating.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq._encode import as_float32
    >>> as_float32(np.array([[0.1, 1e300]]))
    array([[0.1, inf]], dtype=float32)
    """
    with np.errstate(over="ignore", under="ignore"):
        return X.astype(np.float32, copy=False)


def encode(X, thresholds, nan_codes, dtype):
    """Codes of floats: the number of thresholds t with x > t, in float32.

    Parameters
    ----------
    X : ndarray of a real type, shape (n, d)
    thresholds : list of d ndarrays of float32, strictly increasing
    nan_codes : ndarray of int of shape (d,), or None
        What NaN becomes; None refuses it.
    dtype : dtype
        Of the codes.

    Returns
    -------
    codes : ndarray of shape (n, d)
    refused : (row, feature) of the first NaN where it is refused, else None
    """
    codes = np.empty(X.shape, dtype=dtype)
    for start in range(0, X.shape[0], BLOCK_ROWS):
        block = as_float32(X[start : start + BLOCK_ROWS])
        out = codes[start : start + BLOCK_ROWS]
        nan = np.isnan(block)
        some_nan = nan.any()
        if some_nan and nan_codes is None:
            row, j = np.argwhere(nan)[0].tolist()
            return codes, (start + row, j)
        for j, t in enumerate(thresholds):
            # side="left" counts the thresholds below x, which is the strict comparison x > t.
            out[:, j] = np.searchsorted(t, block[:, j], side="left")
            if some_nan:
                out[nan[:, j], j] = nan_codes[j]
    return codes, None


def decode(codes, levels):
    """Levels of codes: float32 of shape (n, d), from a list of d arrays of levels."""
    out = np.empty(codes.shape, dtype=np.float32)
    for j, level in enumerate(levels):
        out[:, j] = level[codes[:, j]]
    return out


def thermometer(codes, columns):
    """Bits ``low < code[j] <= high`` for each row (j, low, high) of `columns`: uint8 of shape (n, n_columns)."""
    out = np.empty((codes.shape[0], len(columns)), dtype=np.uint8)
    for column, (j, low, high) in enumerate(columns.tolist()):
        code = codes[:, j]
        np.logical_and(code > low, code <= high, out=out[:, column].view(bool))
    return out
