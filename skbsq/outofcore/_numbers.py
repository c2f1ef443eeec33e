"""Check that columns hold numbers, and say what to do if they do not. NumPy alone."""

from decimal import Decimal
from numbers import Real

import numpy as np

from skbsq.codebook.matrix import is_missing, unmasked
from skbsq.exceptions import NotNumbersError

ENCODE = "encode it as numbers first, for example with scikit-learn's OrdinalEncoder"
COUNT = "turn it into numbers first, such as seconds since a fixed date"
CAST = "cast it to one type of numbers first, such as float64"
SPLIT = "turn each part into a column of numbers first"
UNPACK = 'to predict from packed rows, use skbsq.outofcore.predict with method="predict_packed"'
# What to do with an array, by the kind of its dtype.
_BY_KIND = {"S": ENCODE, "U": ENCODE, "T": ENCODE, "M": COUNT, "m": COUNT, "c": SPLIT, "V": SPLIT}


def refusal(column, kind, advice):
    """Return the error for a column that does not hold numbers.

    Parameters
    ----------
    column : str or int
        Its name, or its number if it has no name.
    kind : object
        What the column holds.
    advice : str
        The way out.

    Returns
    -------
    NotNumbersError
    """
    return NotNumbersError(f"The column {column!r} must hold numbers, got {kind}: {advice}.")


def as_numbers(rows, names, readers=None):
    """Return rows as numbers, with NaN for values that are missing or masked.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        It may be masked, and it may hold objects.
    names : sequence of str, or None
        Names of the columns in messages.
    readers : dict int -> callable, default=None
        By the number of a column, what turns a column of categories into an array of numbers.

    Returns
    -------
    ndarray of shape (n, d)

    Raises
    ------
    NotNumbersError
        If a column holds anything else, such as text, dates or decimals. The message names the first such column.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.outofcore._numbers import as_numbers
    >>> as_numbers(np.array([[1, None]], dtype=object), None)
    array([[ 1., nan]])
    >>> as_numbers(np.array([["low", "high"]]), ["a", "b"])
    Traceback (most recent call last):
    ...
    skbsq.exceptions.NotNumbersError: The column 'a' must hold numbers, got <U4: encode it as numbers first, ...
    """
    rows = unmasked(rows)
    kind = rows.dtype.kind
    if kind in "fiub" and not readers:
        return rows
    labels = names if names is not None and len(names) == rows.shape[1] else range(rows.shape[1])
    if readers:
        found = [
            readers[j](rows[:, j]) if j in readers else as_numbers(rows[:, [j]], [name])
            for j, name in enumerate(labels)
        ]
        return np.column_stack(found)
    if kind != "O":
        raise refusal(next(iter(labels), 0), rows.dtype, _BY_KIND.get(kind, CAST))
    out = np.empty(rows.shape)
    for j, label in enumerate(labels):
        out[:, j] = _floats(rows[:, j], label)
    return out


def _floats(values, label):
    """Convert objects to float64. Text is refused even if it looks like a number: it may be a code or a label."""
    for row, value in enumerate(values):
        if not _is_number(value):
            raise refusal(label, f"{type(value).__name__} ({value!r} in row {row})", _advice_for(value))
    try:
        return np.array([np.nan if is_missing(value) else value for value in values], dtype=np.float64)
    except OverflowError as error:
        raise refusal(label, f"an integer beyond float64 ({error})", CAST) from error


def _is_number(value):
    is_time = type(value).__name__ == "NaTType" or isinstance(value, np.timedelta64)  # NumPy's is a signedinteger
    return not is_time and (is_missing(value) or isinstance(value, Real | np.bool_))


def _advice_for(value):
    if isinstance(value, str | bytes):
        return ENCODE
    if isinstance(value, Decimal):
        return CAST
    return COUNT if type(value).__name__.lower().startswith(("date", "time", "nat", "period")) else CAST
