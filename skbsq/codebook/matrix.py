"""Tables as matrices of numbers, with NaN for missing and masked values. Needs NumPy alone."""

from collections import UserString
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, time, timedelta
from functools import partial

import numpy as np

from skbsq.codebook.labels import check_columns, columns_of, label, labels_of
from skbsq.exceptions import NotATableError, NotNumbersError

_ENCODE = (
    "name it in categorical_features, encode it as numbers first, for example with scikit-learn's OrdinalEncoder, or "
    "leave it out"
)
_PARTS = "hour and weekday"
_COUNT = f"derive numbers first, such as {_PARTS}, or seconds since a start that keeps them small, or leave it out"
# Types of objects that a cast to float64 turns into numbers or NaN.
_PLAIN_NUMBERS = {type(None), float, int, bool, *(np.dtype(code).type for code in "?bBhHiIlLqQefd")}
_NEVER_MISSING = {str, int, bool, np.bool_, np.int64}
_PLAIN_SEQUENCES = (list, tuple, str, bytes, bytearray, memoryview)
_PLAIN_ROWS = {list, tuple, np.ndarray, float, int}
_TIMES = (date, time, timedelta, np.datetime64, np.timedelta64)
# Parts of the names of types in pandas, polars and Arrow that hold points or lengths of time.
_TIME_TYPES = ("date", "time", "duration", "period", "month_interval")
_CATEGORIES = ("CategoricalDtype", "Categorical", "Enum", "DictionaryType")
# Methods that turn an object into a table.
_TO_TABLE = ("collect", "toarray", "to_table", "read_all", "compute", "to_df", "df")


def as_matrix(X, what, names=None, *, strict=True, categorical=None):
    """Turn a table into a matrix of numbers, with NaN for missing values.

    Parameters
    ----------
    X : array-like of shape (n, d)
        A data frame may hold missing values of pandas, and an array may be masked.
    what : str
        Name of X, for the message.
    names : sequence of str, default=None
        Names that the columns of a data frame must have.
    strict : bool, default=True
        See `skbsq.codebook.labels.check_columns`.
    categorical : dict, default=None
        See `as_numbers`.

    Returns
    -------
    ndarray of shape (n, d)

    Raises
    ------
    ValueError
        If X is not a matrix of real numbers, or has other columns.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.matrix import as_matrix
    >>> as_matrix(np.ma.masked_equal([[1.0, 2.0]], 2.0), "X")
    array([[ 1., nan]])
    """
    if type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "fiub" and not categorical:
        return X
    table = as_table(X, what)
    if names is not None:
        check_columns(columns_of(table), names, what, strict=strict)
    X = np.asarray(as_numbers(table, what, names if strict else None, categorical))
    if X.dtype.kind not in "fiub":
        raise ValueError(f"{what} must hold real numbers, got dtype {X.dtype}.")
    if X.ndim != 2:
        raise ValueError(f"{what} must be 2-d, one row per reading, got shape {X.shape}.")
    return X


def as_table(X, what):
    """Unwrap a narwhals frame, an Arrow record batch or a dask collection, and return any other table unchanged.

    Raise NotATableError, with the way out, if X is not a table. `what` is the name of X in the message.
    """
    if type(X) in (np.ndarray, list):
        return X
    if type(X).__module__.startswith("narwhals"):
        X = X.to_native()
    if hasattr(X, "__dask_graph__"):
        X = X.compute()
    X = plain_sequence(X)
    _refuse_others(X, what)
    if _is_arrow(X) and type(X).__name__ == "RecordBatch":
        import pyarrow

        X = pyarrow.Table.from_batches([X])
    return X


def as_numbers(X, what, names=None, categorical=None):
    """Turn a table into numbers, with NaN for missing and masked values.

    Parameters
    ----------
    X : object
        As `as_table` returns it.
    what : str
        Name of X, for the message.
    names : sequence of str, default=None
        Names of the columns, if X has none.
    categorical : dict int -> callable, default=None
        By the number of a column: ``function(column)`` turns the column into numbers, whatever it holds. None leaves
        the column of a data frame out.

    Returns
    -------
    ndarray, or a list that is not a table

    Raises
    ------
    ValueError
        If a column does not hold numbers. The message names it.
    """
    if type(X) is np.ndarray and X.dtype.kind in "fiub" and not categorical:
        return X
    columns = columns_of(X)
    if columns is not None:
        return _of_frame(X, columns, what, categorical or {})
    if isinstance(X, list | tuple):
        if set(map(type, X)) - _PLAIN_ROWS and any(labels_of(row) is not None for row in X):
            raise ValueError(
                f"{what} is a list of rows with labels: make it a table first, as pandas.DataFrame({what})."
            )
        array = _of_list(_without_masks(X) if holds_mask(X) else X)
        return X if array is None else as_numbers(array, what, names, categorical)
    X = to_array(X, what)
    if X.dtype.names:
        raise ValueError(
            f"{what} is a structured array with the fields {list(X.dtype.names)}: make it a matrix with "
            "numpy.lib.recfunctions.structured_to_unstructured, or a pandas.DataFrame."
        )
    X = unmasked(X)
    if X.dtype.kind == "O" or (categorical and X.ndim == 2):
        return _of_objects(X, what, names, categorical or {})
    if X.dtype.kind not in "fiubc":  # scikit-learn raises the error for complex numbers
        raise NotNumbersError(_message("Column 0", what, str(X.dtype)))
    return X


def plain_sequence(values):
    """Turn a sequence such as a deque into a list. Lists, tuples, arrays and text are returned unchanged."""
    is_other = isinstance(values, Sequence) and not isinstance(values, _PLAIN_SEQUENCES)
    return list(values) if is_other and not hasattr(values, "__array__") else values


def holds_mask(values):
    """Check whether lists or tuples hold masked arrays or masked elements, whose mask NumPy would drop."""
    kinds = set(map(type, values))  # there are few types, and maybe many values
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    return any(issubclass(kind, list | tuple) for kind in kinds) and any(
        holds_mask(value) for value in values if isinstance(value, list | tuple)
    )


def _without_masks(values):
    """Return nested lists with NaN for masked values."""
    if isinstance(values, list | tuple):
        return [_without_masks(value) for value in values]
    return np.nan if isinstance(values, np.ma.core.MaskedConstant) else unmasked(values)


def unmasked(X):
    """Return a masked array with NaN for masked values, and anything else unchanged."""
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.getmaskarray(X).any() or X.dtype.kind not in "fiubO":
        return np.ma.getdata(X)
    return (X.astype(np.float64) if X.dtype.kind in "iub" else X).filled(np.nan)


def refuse_mask(values, what):
    """Reject masked values. Return the data of a masked array, and anything else unchanged.

    Parameters
    ----------
    values : object
    what : str
        Name of the values, for the message.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If a value is masked.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.matrix import refuse_mask
    >>> refuse_mask(np.ma.array([1, -999], mask=[False, True]), "y")
    Traceback (most recent call last):
    ...
    ValueError: y is masked at position 1, and a masked value has no meaning here: leave it out, or fill it in.
    """
    values = plain_sequence(values)
    if isinstance(values, list | tuple) and holds_mask(values):
        return [refuse_mask(value, what) for value in values]
    if not isinstance(values, np.ma.MaskedArray):
        return values
    mask = np.ma.getmaskarray(values)
    if mask.any():
        where = ", ".join(map(str, np.argwhere(mask)[0]))
        raise ValueError(
            f"{what} is masked{f' at position {where}' * bool(where)}, and a masked value has no meaning here: leave "
            "it out, or fill it in."
        )
    return np.ma.getdata(values)


def is_missing(value):
    """Check whether an object is a missing value: None, NaN, NA, NaT or a masked element."""
    if value is None or isinstance(value, np.ma.core.MaskedConstant) or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and value != value


def where_missing(values):
    """Return a bool array of the same shape, True for missing values."""
    if values.dtype.kind != "O" or not set(map(type, values.ravel().tolist())) - _NEVER_MISSING:
        return np.zeros(values.shape, dtype=bool)
    return np.array([is_missing(value) for value in values.ravel()], dtype=bool).reshape(values.shape)


def floats_of_objects(values, where, what):
    """Cast objects that are numbers or missing values to float64.

    Parameters
    ----------
    values : ndarray of object of shape (n,)
    where : str
        The column, for the message.
    what : str
        The table, for the message.

    Returns
    -------
    ndarray of float64 of shape (n,)

    Raises
    ------
    NotNumbersError
        If an object is text, a time or anything else that is not a number.
    """
    if set(map(type, values.tolist())) <= _PLAIN_NUMBERS:
        with suppress(OverflowError):
            return values.astype(np.float64)
    out = np.empty(len(values))
    for i, value in enumerate(values):
        is_time = type(value).__name__ == "NaTType" or isinstance(value, _TIMES)
        if is_time or isinstance(value, (str, bytes, bytearray, UserString)):
            raise NotNumbersError(_message(where, what, f"{value!r} in row {i}", is_time=is_time))
        try:
            out[i] = np.nan if is_missing(value) else float(value)
        except OverflowError:  # an integer beyond float64
            out[i] = np.inf if value > 0 else -np.inf
        except (TypeError, ValueError) as error:
            raise NotNumbersError(_message(where, what, f"{value!r} in row {i}", note=f" ({error})")) from None
    return out


def _message(where, what, kind, *, note="", is_time=None):
    if is_time is None:
        is_time = any(word in kind.lower() for word in _TIME_TYPES)
    return f"{where} of {what} holds {kind}, not numbers{note}: {_COUNT if is_time else _ENCODE}."


def _message_of_series(name, what, kind, parts):
    """Write the message about a column of pandas or polars, with the code that derives numbers from times.

    Parameters
    ----------
    name : str
    what : str
    kind : str
    parts : sequence of str
        Parts of a point in time, as the library calls them.

    Returns
    -------
    str
    """
    if "duration" in kind.lower() or "timedelta" in kind:
        parts = ("total_seconds()",)
    table = what if what.isidentifier() else "X"
    code = " and ".join(f"{table}[{name!r}].dt.{part}" for part in parts)
    return _message(f"Column {name!r}", what, kind).replace(_PARTS, code)


def _refuse_others(X, what):
    """Raise the error for an object that is not a table, with the way out."""
    kind = f"{type(X).__module__.partition('.')[0]} {type(X).__name__}".removeprefix("builtins ")
    ways = [name for name in _TO_TABLE if callable(getattr(X, name, None))]
    is_sparse = hasattr(X, "toarray")
    if isinstance(X, dict) and not is_sparse:
        raise NotATableError(f"{what} is a dict: make it a table first, for example pandas.DataFrame(...).")
    is_list = hasattr(X, "__len__") and not ways and not isinstance(X, str | bytes)
    if is_sparse or not (hasattr(X, "__array__") or is_list):
        way = f"call its method {ways[0]}() first" if ways else "give a 2-d array or a data frame"
        raise NotATableError(f"{what} is a {'sparse ' * is_sparse}{kind}: {way}.")


def to_array(values, what):
    """Turn values into an array. Raise ValueError, with the way out, if that is not possible."""
    values = plain_sequence(values)
    if not hasattr(values, "__array__") and not np.isscalar(values):
        _refuse_others(values, what)
    if "128" in str(getattr(values, "dtype", "")) and type(values).__module__.startswith("polars"):
        import polars

        values = values.cast(polars.Float64)  # NumPy has no such integers
    try:
        return np.asanyarray(values)
    except (TypeError, RuntimeError) as error:  # torch: tensors on a GPU or with gradients
        raise ValueError(f"{what} cannot be read as an array: {error}") from error


def is_categorical(values):
    """Check whether values, or a column of a frame, are categories of pandas, polars or Arrow."""
    dtypes = [getattr(values, "dtype", None), getattr(values, "type", None)]
    if columns_of(values) is not None:
        dtypes += list(getattr(values, "dtypes", getattr(getattr(values, "schema", None), "types", ())))
    return any(type(dtype).__name__ in _CATEGORIES for dtype in dtypes)


def _of_list(rows):
    """Turn rows into a 2-d array, of objects if they hold more than numbers. None if they are not a table."""
    try:
        array = np.asarray(rows)
        array = array if array.dtype.kind in "fiubc" else np.asarray(rows, dtype=object)
    except ValueError:  # rows of different lengths: scikit-learn and NumPy have an error for them
        return None
    return array if array.ndim == 2 else None


def _of_objects(X, what, names, categorical):
    if X.ndim != 2:
        return X
    out = np.empty(X.shape)
    for j, column in enumerate(X.T):
        where = f"Column {j}" if names is None else label(names, j).replace("feature", "Column")
        if j in categorical:
            out[:, j] = categorical[j](column)
        elif column.dtype.kind in "fiub":
            out[:, j] = column
        else:
            out[:, j] = floats_of_objects(column.astype(object), where, what)
    return out


# -- data frames and tables ------------------------------------------------------------------------------------


def _of_frame(X, columns, what, categorical):
    """Turn the columns of a frame into a matrix of numbers."""
    if _is_arrow(X):
        numbers = _of_arrow
    elif type(X).__module__.startswith("polars"):
        numbers = _of_polars
    elif hasattr(X, "iloc"):
        kinds = {dtype.kind if isinstance(dtype, np.dtype) else "O" for dtype in X.dtypes}
        if not categorical and (kinds <= set("fiu") or kinds == {"b"}):
            return np.asarray(X)
        numbers = _of_pandas
    else:
        array = unmasked(to_array(X, what))
        is_mixed = categorical or array.dtype.kind == "O"
        return _of_objects(array, what, columns, categorical) if is_mixed else array
    read = [categorical.get(j, partial(numbers, name=name, what=what)) for j, name in enumerate(columns)]
    found = [number(column) for number, column in zip(read, columns_in(X), strict=True) if number is not None]
    return np.stack(found).T if found else np.empty((len(X), 0))


def has_columns(table):
    """Return whether `columns_in` can split a table: a frame of pandas or polars, or an Arrow table."""
    return _is_arrow(table) or type(table).__module__.startswith("polars") or hasattr(table, "iloc")


def columns_in(table):
    """Return the columns of a frame of pandas or polars, or of an Arrow table."""
    if hasattr(table, "iloc"):
        return [table.iloc[:, j] for j in range(table.shape[1])]
    return table.get_columns() if hasattr(table, "get_columns") else list(table.columns)


def _of_pandas(column, name, what):
    from pandas.api.types import is_numeric_dtype

    dtype = column.dtype
    if dtype.kind == "O" and isinstance(dtype, np.dtype):
        return floats_of_objects(column.to_numpy(), f"Column {name!r}", what)
    if hasattr(dtype, "pyarrow_dtype"):
        import pyarrow

        return _of_arrow(pyarrow.chunked_array(pyarrow.array(column)), name, what)
    if not is_numeric_dtype(dtype):
        raise NotNumbersError(_message_of_series(name, what, str(dtype), ("hour", "day_of_week")))
    return column.to_numpy() if isinstance(dtype, np.dtype) else column.to_numpy(dtype=np.float64, na_value=np.nan)


def _of_polars(column, name, what):
    import polars

    dtype = column.dtype
    if dtype == polars.Object:
        return floats_of_objects(column.to_numpy(), f"Column {name!r}", what)
    if not (dtype.is_numeric() or dtype in (polars.Boolean, polars.Null)):
        parts = {"Date": ("weekday()", "month()"), "Time": ("hour()", "minute()")}.get(str(dtype))
        raise NotNumbersError(_message_of_series(name, what, str(dtype), parts or ("hour()", "weekday()")))
    exact = dtype.is_float() or (dtype.is_integer() and "128" not in str(dtype) and not column.null_count())
    return (column if exact else column.cast(polars.Float64)).to_numpy()


def _of_arrow(column, name, what):
    from pyarrow import types

    column = without_runs(column)
    kind = column.type
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    if not any(test(kind) for test in numeric):
        raise NotNumbersError(_message(f"Column {name!r}", what, str(kind)))
    if types.is_boolean(kind):
        column = column.cast("uint8")
    if not types.is_floating(kind) and (column.null_count or not types.is_integer(column.type)):
        column = column.cast("float64", safe=False)  # unsafe, because float64 may round integers
    return column.to_numpy()


def without_runs(column):
    """Return a run-end encoded column of an Arrow table with a value per row, and any other column unchanged."""
    from pyarrow import compute, types

    return compute.run_end_decode(column) if types.is_run_end_encoded(column.type) else column


def _is_arrow(X):
    return type(X).__module__.startswith("pyarrow") and hasattr(X, "schema") and hasattr(X, "column")
