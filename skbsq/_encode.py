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


def encode_column(x, thresholds, out):
    """Write `number of thresholds t with x > t` for each finite or infinite `x` into `out`.

    Parameters
    ----------
    x : ndarray of float32, shape (n,)
        NaN is written as an unspecified code; the caller sets it.
    thresholds : ndarray of float32, strictly increasing
    out : ndarray of an unsigned integer type, shape (n,)
        Overwritten.
    """
    # side="left" counts the thresholds below x, which is the strict comparison x > t.
    out[...] = np.searchsorted(thresholds, x, side="left")
