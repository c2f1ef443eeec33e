"""Columns of categories: which they are, and their values as numbers. Needs NumPy alone."""

import numpy as np

from skbsq.codebook.categories import check_kinds, plain
from skbsq.codebook.checks import refuse_missing
from skbsq.codebook.labels import shortened
from skbsq.codebook.matrix import columns_in, unmasked, without_runs
from skbsq.exceptions import NotNumbersError

# Kinds of objects that pandas tells apart as Python does. It takes True for 1 in others.
_FACTORIZED = ("string", "integer", "boolean")


def split_column(column, what):
    """Split a column into its distinct values and the place of each row among them.

    Parameters
    ----------
    column : ndarray of shape (n,), or a column of a frame of pandas or polars or of an Arrow table
    what : str
        The column, for the message.

    Returns
    -------
    values : list of str, int or bool
        Distinct. Some may have no row, if the column has a list of categories of its own.
    places : ndarray of int64 of shape (n,)
        -1 for missing values.

    Raises
    ------
    ValueError
        If a value is no category.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.columns import split_column
    >>> split_column(np.array(["b", "a", None, "b"], dtype=object), "Column 0")
    (['b', 'a'], array([ 0,  1, -1,  0]))
    """
    values, places = _split_plain(column, what)
    numbers: dict = {}
    for value in values:
        if value is not None:
            numbers.setdefault(value, len(numbers))
    if list(numbers) != values:
        # A missing value among them, or values that are equal once they are plain.
        table = np.array([-1 if value is None else numbers[value] for value in values] or [-1], dtype=np.int64)
        places = np.where(places < 0, -1, table[places])
    return list(numbers), np.asarray(places, dtype=np.int64)


def _split_plain(column, what):
    """Return values that may be repeated or None, and the place of each row among them, in any type of integer."""
    try:
        values, places = _split(column)
        if set(map(type, values)) <= {str}:
            return values, places
        values = [plain(value) for value in values]
    except (TypeError, ValueError) as error:  # a list, say, is not hashable
        raise NotNumbersError(f"{what} holds values that are no categories. {error}") from None
    check_kinds(values, what)
    return values, places


def _split(column):
    kind = type(column).__module__.partition(".")[0]
    if kind == "pandas":
        return _split_pandas(column)
    if kind == "polars":
        return _split_polars(column)
    if kind == "pyarrow":
        return _split_arrow(column)
    column = unmasked(np.asanyarray(column))
    if column.dtype.kind == "O":
        return _split_objects(column.tolist())
    values, places = np.unique(column, return_inverse=True)
    return values.tolist(), places.reshape(-1)


def _split_objects(objects):
    if set(map(type, objects)) <= {str, type(None)}:
        keys = values = list(dict.fromkeys(objects))
    else:
        # Booleans and integers that compare as equal are told apart, to be refused later.
        objects = [(value.__class__ is bool, value) for value in _hashable(objects)]
        keys = list(dict.fromkeys(objects))
        values = [value for _, value in keys]
    numbers = {key: number for number, key in enumerate(keys)}
    return values, np.fromiter(map(numbers.__getitem__, objects), dtype=np.int64, count=len(objects))


def _hashable(values):
    # NaN differs from itself, and would be a new value in every row.
    return [None if value != value else value for value in values]


def _split_pandas(column):
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.categories.tolist(), column.cat.codes.to_numpy()
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in _FACTORIZED:
        return _split(column.to_numpy())
    places, values = pd.factorize(column)
    return values.tolist(), places


def _split_polars(column):
    import polars

    if column.dtype == polars.Object:
        return _split(column.to_numpy())
    if column.dtype in (polars.Categorical, polars.Enum):
        column = column.cast(polars.String)
    values = column.unique(maintain_order=True).drop_nulls()
    table = polars.Series(range(len(values)), dtype=polars.Int64)
    places = column.replace_strict(values, table, default=-1, return_dtype=polars.Int64).fill_null(-1)
    return values.to_list(), places.to_numpy()


def _split_arrow(column):
    column = joined_dictionary(column)
    places = column.indices
    if places.null_count:  # they may be unsigned
        places = places.cast("int64").fill_null(-1)
    return column.dictionary.to_pylist(), places.to_numpy(zero_copy_only=False)


def joined_dictionary(column):
    """Return an Arrow column as a single dictionary array, without making an object of each value.

    Parameters
    ----------
    column : pyarrow.Array or pyarrow.ChunkedArray

    Returns
    -------
    pyarrow.DictionaryArray

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.codebook.columns import joined_dictionary
    >>> joined_dictionary(pa.chunked_array([["b", "a"], ["a"]])).indices.tolist()
    [0, 1, 1]
    """
    import pyarrow
    from pyarrow import types

    column = without_runs(column)
    if not types.is_dictionary(column.type):
        column = column.cast("large_string") if str(column.type) == "string_view" else column
        column = column.dictionary_encode()
    if isinstance(column, pyarrow.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    return column


def numbers_of(column, categories, feature, *, unknown):
    """Turn a column into the numbers of its categories.

    Parameters
    ----------
    column : ndarray or column
        See `split_column`.
    categories : dict category -> number
    feature : str
        For the message.
    unknown : {"error", "missing", "ignore"}
        What a value is that is no category: an error, a missing value, or number 0 because the feature has no bits.

    Returns
    -------
    ndarray of float32 of shape (n,)
        NaN for missing values.

    Raises
    ------
    ValueError
        For a value that is no category, under "error". The message names it, its feature and row.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.columns import numbers_of
    >>> numbers_of(np.array(["b", "c"]), {"a": 0, "b": 1}, "feature 0", unknown="missing")
    array([ 1., nan], dtype=float32)
    """
    of_unknown = {"error": None, "missing": np.nan, "ignore": 0}[unknown]
    return look_up(column, categories, feature, missing=np.nan, unknown=of_unknown, dtype=np.float32)


def look_up(column, numbers, feature, *, missing, unknown, dtype):
    """Look up a number for each row of a column of categories.

    Parameters
    ----------
    column : ndarray or column
        See `split_column`.
    numbers : dict category -> number
    feature : str
        For the message.
    missing : number
        For missing values; None: they are refused.
    unknown : number
        For values that are no category; None: they are refused.
    dtype : dtype

    Returns
    -------
    ndarray of shape (n,)

    Raises
    ------
    ValueError
        For a value that is refused. The message names it, its feature and row.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.columns import look_up
    >>> column = np.array(["b", "c", None], dtype=object)
    >>> look_up(column, {"a": 0, "b": 1}, "feature 0", missing=2, unknown=2, dtype=np.uint8)
    array([1, 2, 2], dtype=uint8)
    """
    values, places = _split_plain(column, feature)
    found = list(map(numbers.get, values))
    # Places of missing values are -1, the last entry of a table.
    if missing is None and (row := _first(places < 0, [value is None for value in values], places)) is not None:
        refuse_missing(feature, row)
    if None in found:
        strange = [number is None and value is not None for number, value in zip(found, values, strict=True)]
        row = None if unknown is not None else _first(False, strange, places)
        if row is not None:
            raise ValueError(
                f"{values[places[row]]!r} (row {row}) is no category of {feature}, which has "
                f'{shortened(numbers)}: set handle_unknown="missing" before fit to give such values the missing '
                "code, or correct the value."
            )
        others = [unknown if is_strange else missing for is_strange in strange]
        found = [other if number is None else number for number, other in zip(found, others, strict=True)]
    entries = [0 if number is None else number for number in (*found, missing)]  # those that no row has
    return np.take(np.array(entries, dtype=dtype), places)


def _first(rows, is_refused, places):
    """Return the first row of those given, or with a place that is refused; None if there is none."""
    if any(is_refused):
        rows = rows | np.take([*is_refused, False], places)
    return int(np.argmax(rows)) if np.any(rows) else None


def find_categorical(X, categorical_features, names):
    """Find the categorical features of a table.

    Parameters
    ----------
    X : table
        As `skbsq.codebook.matrix.as_table` returns it.
    categorical_features : "from_dtype", None, or array-like
        "from_dtype": the columns of a data frame that hold categories, strings or booleans. Or a bool per feature,
        numbers of features, or names.
    names : list or None
        Names of the columns.

    Returns
    -------
    ndarray of int64
        Numbers of the categorical features, ascending.

    Raises
    ------
    ValueError
        For a name or number that is no feature, or another type.

    Examples
    --------
    >>> import pandas as pd
    >>> from skbsq.codebook.columns import find_categorical
    >>> find_categorical(pd.DataFrame({"a": [1.5], "b": ["x"], "c": [True]}), "from_dtype", ["a", "b", "c"])
    array([1, 2])
    """
    if categorical_features is None:
        return np.empty(0, dtype=np.int64)
    if isinstance(categorical_features, str):
        if categorical_features != "from_dtype":
            raise ValueError(
                'categorical_features must be "from_dtype", None, or an array of names, numbers or bools, got '
                f"{categorical_features!r}."
            )
        found = [] if names is None else [j for j, column in enumerate(columns_in(X)) if holds_categories(column)]
        return np.array(found, dtype=np.int64)
    given = np.asarray(categorical_features)
    d = np.shape(X)[1] if names is None else len(names)
    if given.ndim != 1:
        raise ValueError(f"categorical_features must be one-dimensional, got shape {given.shape}.")
    if given.dtype.kind == "b":
        if given.size != d:
            raise ValueError(f"categorical_features has {given.size} bools for {d} features.")
        return np.flatnonzero(given)
    if given.size == 0:
        return np.empty(0, dtype=np.int64)
    if given.dtype.kind in "iu":
        if (outside := given[(given < 0) | (given >= d)]).size:
            raise ValueError(f"categorical_features names feature {outside[0]}, but there are {d} features.")
        return np.unique(given).astype(np.int64)
    numbers = [] if names is None else list(names)
    for name in given.tolist():
        if names is None:
            raise ValueError(f"categorical_features names {name!r}, but the columns of X have no names: give numbers.")
        if name not in numbers:
            raise ValueError(f"categorical_features names {name!r}, which is not a feature: {shortened(numbers)}.")
    return np.unique([numbers.index(name) for name in given.tolist()]).astype(np.int64)


def holds_categories(column):
    """Return whether the type of a column of a frame says that it holds categories, strings or booleans."""
    kind = type(column).__module__.partition(".")[0]
    if kind == "pandas":
        from pandas.api import types

        dtype = column.dtype
        if hasattr(dtype, "pyarrow_dtype"):
            return _is_arrow_category(dtype.pyarrow_dtype)
        if dtype.kind == "O" and isinstance(dtype, np.dtype):
            return types.infer_dtype(column, skipna=True) in ("string", "boolean")
        return type(dtype).__name__ == "CategoricalDtype" or types.is_bool_dtype(dtype) or types.is_string_dtype(dtype)
    if kind == "polars":
        import polars

        return column.dtype in (polars.Categorical, polars.Enum, polars.String, polars.Boolean)
    return kind == "pyarrow" and _is_arrow_category(column.type)


def _is_arrow_category(dtype):
    from pyarrow import types

    tests = types.is_dictionary, types.is_boolean, types.is_string, types.is_large_string
    return any(test(dtype) for test in tests) or str(dtype) == "string_view"
