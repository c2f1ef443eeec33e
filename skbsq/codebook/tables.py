"""Tables of a codebook: the shape and columns of rows and codes, and data frames to codes. Needs NumPy alone."""

from functools import partial

import numpy as np

from skbsq.codebook.checks import refuse_missing
from skbsq.codebook.columns import look_up
from skbsq.codebook.kernels import Encoder, in_range
from skbsq.codebook.labels import columns_of, label, numbered_names
from skbsq.codebook.matrix import as_matrix, as_table, columns_in, has_columns


def check_rows(book, X, what, categorical=None):
    """Return rows or codes as a matrix of numbers with a column per feature.

    Parameters
    ----------
    book : Codebook
    X : array-like of shape (n, d)
    what : str
        Name of X, for the message.
    categorical : dict, default=None
        See `skbsq.codebook.matrix.as_numbers`.

    Returns
    -------
    ndarray of shape (n, d)

    Raises
    ------
    ValueError
        If X is not a matrix of real numbers, or has other columns.
    """
    X = _as_matrix(book, X, what, categorical)
    _check_width(book, X.shape[1], what)
    return X


def _as_matrix(book, X, what, categorical):
    names = book.feature_names or numbered_names(book.n_features)
    return as_matrix(X, what, names, strict=book.feature_names is not None, categorical=categorical)


def _check_width(book, width, what):
    if width != book.n_features:
        raise ValueError(f"{what} has {width} features, but this codebook has {book.n_features}.")


def check_codes(book, codes):
    """Return codes as integers, see `skbsq.Codebook.check_codes`.

    Parameters
    ----------
    book : Codebook
    codes : array-like of int of shape (n, d)

    Returns
    -------
    ndarray of an integer type of shape (n, d)
    """
    codes = check_rows(book, codes, "codes")
    if codes.dtype.kind == "b":
        codes = codes.astype(np.uint8)  # as an index, bool would be a mask
    if codes.dtype.kind == "f":
        # A data frame or a scaler upstream may have turned codes into floats; whole numbers are still codes.
        floats = codes
        with np.errstate(invalid="ignore"):  # NaN, and floats beyond int64
            codes = floats.astype(np.int64)
        if not np.array_equal(codes, floats):
            _refuse_codes(book, floats)
    if not in_range(codes, book.n_levels):
        row, j = np.argwhere((codes < 0) | (codes >= book.n_levels))[0]
        raise ValueError(
            f"Code {codes[row, j]} of {label(book.feature_names, j)} (row {row}) is out of range: "
            f"it has the codes 0 to {book.n_levels[j] - 1}."
        )
    return codes


def _refuse_codes(book, codes):
    """Raise the error for floats that are not codes."""
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(codes) < 2.0**63) | (codes != np.trunc(codes))
    row, j = np.argwhere(wrong)[0]
    where = f"in {label(book.feature_names, j)} (row {row})"
    if np.isnan(codes[row, j]):
        raise ValueError(
            f"codes are missing or masked {where}, and every row needs a code per feature: a missing value has the "
            "highest code of its feature, if the feature has a missing code."
        )
    raise ValueError(f"codes must be whole numbers, got {codes[row, j]} {where}.")


def readers_of(book):
    """Return what turns the column of each categorical feature into the numbers of its categories.

    Parameters
    ----------
    book : Codebook

    Returns
    -------
    dict int -> callable
        See `skbsq.codebook.matrix.as_numbers`. Missing values are NaN.
    """
    readers = {}
    for j, codes in enumerate(book.categories):
        if codes is not None:
            codes.pop(None, None)
            numbers = {category: number for number, category in enumerate(codes)}
            readers[j] = _reader(book, j, numbers, np.nan, np.float32)
    return readers


def _reader(book, j, numbers, missing, dtype):
    unknown = missing if book.handle_unknown == "missing" and book.has_missing[j] else None
    unknown = 0 if book.n_levels[j] == 1 else unknown
    feature = label(book.feature_names, j)
    return partial(look_up, numbers=numbers, feature=feature, missing=missing, unknown=unknown, dtype=dtype)


def _skipped(column):
    """Return zeros for a column that need not be read."""
    return np.zeros(len(column), dtype=np.float32)


class TableEncoder:
    """Encode tables with categories. Columns of categories in data frames become codes without a matrix of floats.

    Numeric features of 0 bits are not read: a column that a pipeline drops may hold categories too.

    Parameters
    ----------
    book : Codebook
        With categorical features.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq import Codebook
    >>> from skbsq.codebook.tables import TableEncoder
    >>> encoder = TableEncoder(Codebook.from_thresholds({"valve": {"open": 0, "shut": 1}, "t": [5]}))
    >>> encoder.encode(pd.DataFrame({"valve": ["shut", "open"], "t": [3, 7]}))
    array([[1, 0],
           [0, 1]], dtype=uint8)
    """

    def __init__(self, book):
        self.book = book
        skipped = dict.fromkeys(np.flatnonzero((book.n_levels == 1) & ~book.is_categorical).tolist(), _skipped)
        self.numeric = np.setdiff1d(np.flatnonzero(~book.is_categorical), list(skipped))
        thresholds = [book.thresholds[j] for j in self.numeric]
        offsets = np.cumsum([0, *(t.size for t in thresholds)])
        flat = np.concatenate([*thresholds, np.empty(0, dtype=np.float32)])
        # A feature of 0 bits need not be measured, so that NaN is as good as any number there.
        nan_codes = np.where(book.has_missing, book.n_levels - 1, 0)
        self._encoder = Encoder(flat, offsets, nan_codes[self.numeric], book.refuses_nan[self.numeric], book.dtype)
        self._number_readers = book.category_readers | skipped
        self._readers = skipped
        for j, codes in enumerate(book.categories):
            if codes is not None:
                missing = codes.pop(None, None if book.refuses_nan[j] else 0)
                self._readers[j] = _reader(book, j, codes, missing, book.dtype)

    def encode(self, table):
        """Encode a table.

        Parameters
        ----------
        table : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, d)
            As `skbsq.Codebook.encode` returns it.

        Raises
        ------
        ValueError
            As `skbsq.Codebook.encode` does.
        """
        book, table = self.book, as_table(table, "X")
        if not has_columns(table):
            return book.encode_numbers(check_rows(book, table, "X", self._number_readers))
        _check_width(book, len(columns_of(table)), "X")
        numbers = _as_matrix(book, table, "X", dict.fromkeys(self._readers))
        codes = np.empty((len(numbers), book.n_features), dtype=book.dtype, order="F")
        if self.numeric.size:
            codes[:, self.numeric], refused = self._encoder.encode(numbers)
            if refused is not None:
                row, k = refused
                refuse_missing(label(book.feature_names, self.numeric[k]), row)
        columns = columns_in(table)
        for j, codes_of in self._readers.items():
            codes[:, j] = codes_of(columns[j])
        return codes
