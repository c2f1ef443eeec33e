"""Forms of codes in a table: the codes, thermometer bits, levels or packed bytes. Needs NumPy alone."""

from functools import partial

import numpy as np

from skbsq.codebook.columns import look_up
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import label
from skbsq.codebook.matrix import as_matrix
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
        A data frame too, if it holds levels of a codebook with categorical features.
    encode : str

    Returns
    -------
    ndarray of float32 of shape (n, d)
        NaN for missing codes. If there are categorical features, an array of objects, see `skbsq.Codebook.decode`.

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
    levels, is_categorical = book.levels, book.is_categorical
    if is_categorical.any():
        X = as_matrix(X, "X", categorical=_level_readers(book, levels))
    if X.shape[1] != book.n_features:
        raise ValueError(f"X has {X.shape[1]} features, but the codebook has {book.n_features}.")
    values = as_float32(X)
    for j in np.flatnonzero(~is_categorical).tolist():
        known = np.isin(values[:, j], levels[j]) | (np.isnan(values[:, j]) & book.has_missing[j])
        if not known.all():
            raise _no_level(j, X[np.argmin(known), j])
    if not is_categorical.any():
        return values
    found = values.astype(object)
    for j in np.flatnonzero(is_categorical).tolist():
        found[:, j] = levels[j][values[:, j].astype(np.intp)]
    return found


def _level_readers(book, levels):
    """Return for each categorical feature what turns a column of its levels into codes."""
    readers = {}
    for j in np.flatnonzero(book.is_categorical).tolist():
        codes = {level: code for code, level in enumerate(levels[j].tolist())}
        missing, feature = codes.pop(None, -1), label(book.feature_names, j)
        readers[j] = partial(_codes_of_levels, j=j, codes=codes, missing=missing, feature=feature)
    return readers


def _codes_of_levels(column, *, j, codes, missing, feature):
    found = look_up(column, codes, feature, missing=missing, unknown=-1, dtype=np.int64)
    if (found < 0).any():
        raise _no_level(j, np.asarray(column)[np.argmin(found)])
    return found


def _no_level(j, value):
    return ValueError(f"Column {j} of X holds {value!s}, which is not a level of this quantizer.")


def encoded_names(book, names, encode):
    """Name the columns of the output of `encoded`, as a list. `names` are those of the features."""
    if encode == "thermometer":
        return book.column_names(names)
    if encode == "packed":
        return RowCodec(book).byte_names()
    return list(names)
