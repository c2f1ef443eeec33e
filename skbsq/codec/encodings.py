"""Forms of codes in a table: the codes, thermometer bits, levels or packed bytes. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.kernels import as_float32
from skbsq.codec import RowCodec

ENCODINGS = ("ordinal", "thermometer", "value", "packed")


def check_encode(encode):
    if encode not in ENCODINGS:
        raise ValueError(f"encode must be one of {list(ENCODINGS)}, got {encode!r}.")


def encoded(book, codes, encode):
    """Turn codes into one of `ENCODINGS`.

    Parameters
    ----------
    book : Codebook
    codes : ndarray of int of shape (n, d)
        In range.
    encode : str
        One of `ENCODINGS`.

    Returns
    -------
    ndarray of shape (n, d), (n, n_columns) or (n, row_bytes)

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec.encodings import encoded
    >>> book = Codebook.from_thresholds([[0.0, 1.0], [5.0]])
    >>> encoded(book, book.encode([[0.5, 6.0]]), "packed")
    array([[5]], dtype=uint8)
    """
    if encode == "ordinal":
        return codes
    if encode == "thermometer":
        return book.thermometer(codes)
    if encode == "packed":
        return RowCodec(book).pack(codes)
    return book.decode(codes)


def decoded(book, X, encode):
    """Decode the output of `encoded` as levels.

    Parameters
    ----------
    book : Codebook
    X : ndarray of shape (n, d), (n, n_columns) or (n, row_bytes)
    encode : str

    Returns
    -------
    ndarray of float32 of shape (n, d)
        NaN for missing codes.

    Raises
    ------
    ValueError
        If X does not hold codes, bits, levels or bytes of the codebook.

    Examples
    --------
    >>> from skbsq import Codebook
    >>> from skbsq.codec.encodings import decoded
    >>> book = Codebook.from_thresholds([[0.0, 1.0], [5.0]], levels=[[-1, 0.5, 2], [4, 6]])
    >>> decoded(book, [[1, 1]], "ordinal")
    array([[0.5, 6. ]], dtype=float32)
    """
    if encode == "ordinal":
        return book.decode(X)
    if encode == "thermometer":
        return book.decode(book.codes_from_thermometer(X))
    if encode == "packed":
        return book.decode(RowCodec(book).unpack(X))
    return _checked_levels(book, X)


def _checked_levels(book, X):
    if X.shape[1] != book.n_features:
        raise ValueError(f"X has {X.shape[1]} features, but the codebook has {book.n_features}.")
    values = as_float32(X)
    for j, levels in enumerate(book.levels):
        known = np.isin(values[:, j], levels) | (np.isnan(values[:, j]) & book.has_missing[j])
        if not known.all():
            raise ValueError(f"Column {j} of X holds {X[np.argmin(known), j]}, which is not a level of this quantizer.")
    return values


def encoded_names(book, names, encode):
    """Name the columns of the output of `encoded`, as a list. `names` are those of the features."""
    if encode == "thermometer":
        return book.column_names(names)
    if encode == "packed":
        return RowCodec(book).byte_names()
    return list(names)
