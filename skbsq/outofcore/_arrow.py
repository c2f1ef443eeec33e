"""Turn Arrow tables into matrices of numbers, and results into Arrow tables. pyarrow is imported on use."""

import sys

import numpy as np

from skbsq.codebook.columns import joined_dictionary
from skbsq.outofcore._numbers import CAST, COUNT, ENCODE, SPLIT, UNPACK, refusal
from skbsq.outofcore._paths import arrow_format, unreadable

# Rows per batch of a scan. Chunks are assembled from small batches, so that a scan needs the memory of one chunk.
_BATCH_ROWS = 2**16
# Errors of pyarrow for data frame columns that Arrow has no type for.
_NO_ARROW_TYPE = (ValueError, TypeError, NotImplementedError, OverflowError)


def pyarrow_for(what):
    """Return the package pyarrow, or raise an ImportError that names what needs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f"{what} needs pyarrow: pip install 'skbsq[arrow]'.") from error
    return pyarrow


def dataset(path, *, categorical=None):
    """Open a file or folder as a pyarrow data set, in the format that its suffix names.

    Parameters
    ----------
    path : str or path-like
    categorical : sequence of str, default=None
        Columns to read as dictionaries if a Parquet file has text in them. None: no feature may hold text. Otherwise
        empty text in a CSV file, and text such as NA, is a missing value, as for pandas.

    Returns
    -------
    pyarrow.dataset.Dataset
        If the files of a folder differ in the type of a column, the column has a type that holds them all.

    Raises
    ------
    ValueError
        If the files have another format. The message names the alternative.
    """
    pa = pyarrow_for("A path without the suffix .npy")
    from pyarrow.dataset import dataset as open_dataset

    path = str(path)
    kind = arrow_format(path)
    if kind == "csv" and categorical is not None:
        kind = _csv_with_missing_text()
    try:
        found = open_dataset(path, format=kind)
        found.schema.names  # noqa: B018, raises UnicodeDecodeError for text that is not UTF-8
        schemas = [fragment.physical_schema for fragment in found.get_fragments()]
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    if not schemas:
        raise unreadable(path, "it contains no files")
    if all(schema.equals(schemas[0]) for schema in schemas):
        texts = [field.name for field in found.schema if field.name in (categorical or ()) and _is_text(field.type)]
        return open_dataset(path, format=_parquet_with_dictionaries(texts)) if texts and kind == "parquet" else found
    common = pa.schema([_common_field(field, schemas) for field in found.schema], metadata=found.schema.metadata)
    return open_dataset(path, schema=common, format=found.format)


def _csv_with_missing_text():
    from pyarrow.csv import ConvertOptions
    from pyarrow.dataset import CsvFileFormat, CsvFragmentScanOptions

    options = CsvFragmentScanOptions(convert_options=ConvertOptions(strings_can_be_null=True))
    return CsvFileFormat(default_fragment_scan_options=options)


def _parquet_with_dictionaries(columns):
    from pyarrow.dataset import ParquetFileFormat, ParquetReadOptions

    return ParquetFileFormat(read_options=ParquetReadOptions(dictionary_columns=columns))


def _is_text(kind):
    from pyarrow import types

    return types.is_string(kind) or types.is_large_string(kind)


def _common_field(field, schemas):
    """Return the field with a type that holds the types of all schemas; unchanged if there is no such type."""
    import pyarrow as pa

    found = [pa.schema([schema.field(field.name)]) for schema in schemas if field.name in schema.names]
    try:
        return pa.unify_schemas(found, promote_options="permissive").field(0) if found else field
    except pa.ArrowException:
        return field


def is_dataset(source):
    """Tell whether an object is a pyarrow data set, without importing pyarrow."""
    return hasattr(source, "to_batches") and hasattr(source, "get_fragments")


def is_stream(source):
    """Tell whether an object returns a table by the Arrow stream protocol; a series returns only one column."""
    return hasattr(source, "__arrow_c_stream__") and not (hasattr(source, "to_frame") or hasattr(source, "chunks"))


def read_dataset(source, rows, columns, check):
    """Read a data set as tables.

    Parameters
    ----------
    source : pyarrow.dataset.Dataset
    rows : int
        Rows per table.
    columns : sequence of str or callable
        Columns to read. A callable returns them for a schema.
    check : callable
        Is called with the metadata of each file, and raises an error to refuse the file.

    Returns
    -------
    iterator of pyarrow.Table
    """
    schema = _selected(source.schema, columns, check)
    batches = _batches(source, check, columns=schema.names, batch_size=min(rows, _BATCH_ROWS))
    return _tables(_readable(batches), schema, rows)


def _selected(schema, columns, check):
    """Check a schema, and return the schema of the columns to read."""
    check(schema.metadata)
    names = columns(schema) if callable(columns) else columns
    check_columns(schema, names)
    return pyarrow_for("Arrow data").schema([schema.field(name) for name in names])


def _readable(batches):
    """Yield batches, with an error that names the way out if a column changes its type."""
    import pyarrow as pa

    try:
        yield from batches
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{error}: a column changes its type. Give chunks of one type, such as "
            "pandas.read_csv(path, dtype='float64', chunksize=100_000)."
        ) from error


def _batches(source, check, **options):
    """Yield record batches, one row group of Parquet after the other: a scan of the whole data set reads ahead."""
    try:
        fragments = source.get_fragments()
    except ValueError:  # a data set with a filter has no fragments
        for file in _fragments_of_files(source):
            check(file.physical_schema.metadata)
        yield from source.to_batches(batch_readahead=0, fragment_readahead=0, **options)
        return
    for fragment in fragments:
        check(fragment.physical_schema.metadata)
        is_parquet = hasattr(fragment, "split_by_row_group")
        for part in fragment.split_by_row_group() if is_parquet else [fragment]:
            scan = _scan_options(part) if is_parquet else {}
            yield from part.to_batches(schema=source.schema, batch_readahead=0, **scan, **options)


def _fragments_of_files(source):
    """Return the fragments of the files of a filtered data set, without the filter."""
    if hasattr(source, "children"):
        return [fragment for child in source.children for fragment in child.get_fragments()]
    return [source.format.make_fragment(file, source.filesystem) for file in getattr(source, "files", ())]


def _scan_options(fragment):
    """Return options that read a local Parquet file piece by piece; none for remote files, to save requests."""
    from pyarrow import dataset, fs

    if not isinstance(fragment.filesystem, fs.LocalFileSystem):
        return {}
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True, buffer_size=2**20)
    return {"fragment_scan_options": options}


def read_stream(source, rows, columns, check):
    """Read an object of the Arrow stream protocol as tables: a table, a reader or a data frame.

    Parameters and result are those of `read_dataset`.
    """
    reader = _reader(source, columns)
    schema = _selected(reader.schema, columns, check)
    return _tables((batch.select(schema.names) for batch in reader), schema, rows)


def _reader(source, columns):
    """Open a stream. Columns that are not read are left out if Arrow has no type for them."""
    try:
        return _open_stream(source)
    except _NO_ARROW_TYPE as error:
        if _is_frame(source):
            there = [str(name) for name in source.columns]
            if not callable(columns) and set(columns) < set(there):
                read = [name in columns for name in there]
                return _reader(source.loc[:, read] if hasattr(source, "loc") else source.select(columns), columns)
            _refuse_column(source, error)
        raise ValueError(f"This {type(source).__name__} cannot be read as Arrow data: {error}") from error


def _open_stream(source):
    # The stream of a polars frame has types that Parquet lacks; its method to_arrow converts them.
    source = source.to_arrow() if hasattr(source, "to_arrow") else source
    return pyarrow_for("Arrow data").RecordBatchReader.from_stream(source)


def _refuse_column(frame, error):
    """Raise the error for the first column of a data frame that Arrow has no type for."""
    for j, name in enumerate(frame.columns):
        column = frame.iloc[:, [j]] if hasattr(frame, "iloc") else frame[[name]]
        try:
            _open_stream(column)
        except _NO_ARROW_TYPE as reason:
            raise refusal(name, f"{next(iter(column.dtypes))} ({reason})", CAST) from error


def _is_frame(source):
    """Tell whether an object is a data frame of pandas or polars, without importing either."""
    return any(isinstance(source, sys.modules[name].DataFrame) for name in ("pandas", "polars") if name in sys.modules)


def check_columns(schema, columns):
    """Refuse columns that a schema lacks, or has twice."""
    hint = f" ({UNPACK})" if any(map(_is_binary, schema.types)) else ""
    check_names(schema.names, columns, hint)


def check_names(there, wanted, hint=""):
    """Refuse names that are absent, or there more than once; the message ends with the hint for an absent name."""
    for name in wanted:
        found = there.count(name)
        if found != 1:
            columns = f"{found} columns" if found else "no column"
            raise ValueError(f"The source has {columns} {name!r}: its columns are {there}{'' if found else hint}.")


def data_columns(schema):
    """Return the names of the columns of a schema, without the row labels of pandas."""
    labels = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in schema.names if name not in labels]


def matrix(table, columns, labels=None, readers=None):
    """Return the columns of a table as one matrix of numbers, with NaN for nulls.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
    labels : sequence of str, default=None
        Names of the columns in messages; None: `columns`.
    readers : dict int -> callable, default=None
        By the number of a column, what turns a column of categories into an array of numbers.

    Returns
    -------
    ndarray of shape (n, d)
        In Fortran order. NumPy promotes the types of the columns to one type.

    Raises
    ------
    ValueError
        If a column does not hold numbers. The message names the column, its type and the way out.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.outofcore._arrow import matrix
    >>> matrix(pa.table({"a": [1, None], "b": [0.5, 2.5]}), ["b", "a"])
    array([[0.5, 1. ],
           [2.5, nan]])
    """
    readers = readers or {}
    found = [
        readers[j](table.column(name)) if j in readers else _numeric(table.column(name), label)
        for j, (name, label) in enumerate(zip(columns, labels or columns, strict=True))
    ]
    out = np.empty((len(found), len(table)), dtype=np.result_type(*map(_numpy_type, found)))
    for row, column in zip(out, found, strict=True):
        row[:] = column if isinstance(column, np.ndarray) else column.to_numpy()
    return out.T


def mixed_frame(table, columns, labels):
    """Return the columns of a table as a data frame of numbers, bools and categories.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
    labels : sequence of str
        Names of the columns in messages.

    Returns
    -------
    pandas.DataFrame
        Its columns are numbered. Text is not copied: a column of text becomes pandas categories.

    Raises
    ------
    ValueError
        As in `matrix`, for columns that hold neither numbers nor categories.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.outofcore._arrow import mixed_frame
    >>> mixed_frame(pa.table({"a": [1.5, 2.5], "b": ["x", "y"]}), ["a", "b"], ["a", "b"]).dtypes.astype(str).tolist()
    ['float64', 'category']
    """
    import pandas as pd

    return pd.DataFrame(
        {j: _pandas_column(table.column(name), labels[j]) for j, name in enumerate(columns)}, copy=False
    )


def _pandas_column(column, label):
    from pyarrow import types

    if types.is_boolean(column.type):
        return column.to_pandas()
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_dictionary)
    if any(test(column.type) for test in texts):
        return joined_dictionary(column).to_pandas()
    return _numeric(column, label).to_numpy()


def packed_matrix(table, columns, labels, row_bytes):
    """Return packed rows as a matrix of bytes.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
        One column of byte strings, or a column of numbers per byte.
    labels : sequence of str
        Names of the columns in messages.
    row_bytes : int

    Returns
    -------
    ndarray of shape (n, row_bytes), or (n, n_columns) for columns of numbers

    Raises
    ------
    ValueError
        If a row is null or has another number of bytes, or if the column holds text.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.outofcore._arrow import packed_matrix
    >>> packed_matrix(pa.table({"packed": pa.array([b"ab", b"cd"], pa.binary(2))}), ["packed"], ["packed"], 2)
    array([[ 97,  98],
           [ 99, 100]], dtype=uint8)
    """
    import pyarrow as pa
    from pyarrow import compute, types

    if len(columns) != 1:
        return matrix(table, columns, labels)
    column = table.column(columns[0])
    if _is_text(column.type):
        raise ValueError(
            f"The column {labels[0]!r} holds text instead of bytes. dask turns bytes into text unless you call "
            'dask.config.set({"dataframe.convert-string": False}) first.'
        )
    if not (_is_binary(column.type) or types.is_null(column.type)):
        return matrix(table, columns, labels)
    whole = column.cast(pa.large_binary())
    lengths = compute.binary_length(whole).to_numpy() if len(whole) else np.empty(0)
    if (wrong := lengths != row_bytes).any():  # the length of null is NaN
        row = int(np.argmax(wrong))
        found = whole[row].as_py()
        has = "is null" if found is None else f"has {len(found)} bytes"
        raise ValueError(
            f"Row {row} of the column {labels[0]!r} {has}: packed rows of this codebook have {row_bytes} bytes."
        )
    pieces = [_bytes_of(piece).reshape(-1, row_bytes) for piece in whole.chunks]
    return np.concatenate([np.empty((0, row_bytes), dtype=np.uint8), *pieces])


def _bytes_of(piece):
    """Return the bytes of a large_binary array without nulls; Arrow stores them consecutively."""
    _, offsets, data = piece.buffers()
    if not len(piece) or data is None:
        return np.empty(0, dtype=np.uint8)
    ends = np.frombuffer(offsets, dtype=np.int64)[piece.offset :][: len(piece) + 1]
    return np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]


def _is_binary(kind):
    """Tell whether a type holds byte strings."""
    from pyarrow import types

    tests = (types.is_fixed_size_binary, types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(test(kind) for test in tests)


def _numeric(column, label):
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind):
        return column.cast("uint8")
    if types.is_null(kind):
        return column.cast("float32")
    if not (types.is_integer(kind) or types.is_floating(kind)):
        raise refusal(label, kind, _advice_for(kind))
    return column


def _advice_for(kind):
    """Say what to do with a column of a type that is not a number."""
    from pyarrow import types

    if _is_binary(kind):
        return UNPACK
    if types.is_temporal(kind) or "period" in str(kind):
        return COUNT
    if types.is_nested(kind):
        return SPLIT
    texts = (types.is_string, types.is_large_string, types.is_string_view, types.is_dictionary)
    return ENCODE if any(test(kind) for test in texts) else CAST


def _numpy_type(column):
    if isinstance(column, np.ndarray):
        return column.dtype
    kind = np.dtype(column.type.to_pandas_dtype())
    return np.float64 if column.null_count and kind.kind in "iu" else kind  # nulls become NaN


def _tables(batches, schema, rows):
    """Regroup record batches into tables of `rows` rows; at least one table, which may be empty."""
    import pyarrow as pa

    waiting, n, any_table = [], 0, False
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            piece = batch.slice(at, rows - n)
            at += piece.num_rows
            n += piece.num_rows
            waiting.append(piece)
            if n == rows:
                yield pa.Table.from_batches(waiting)
                waiting, n, any_table = [], 0, True
    if waiting or not any_table:
        yield pa.Table.from_batches(waiting, schema=None if waiting else schema)


def to_table(out, names, packed, kept, kinds=None):
    """Return a result as a table, after the columns of the source to keep.

    `kinds` has the Python type of each column of objects: float, str, int or bool.
    """
    import pyarrow as pa

    if packed:
        n, width = out.shape
        if not width:
            raise ValueError("A row of this codebook has 0 bytes, which Parquet has no type for.")
        data = pa.py_buffer(np.ascontiguousarray(out))
        names, columns = ["packed"], [pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), n, [None, data])]
    else:
        columns = [np.ascontiguousarray(column) for column in out.reshape(len(out), len(names)).T]
        kinds = kinds or [None] * len(names)
        columns = [_result_column(*parts) for parts in zip(columns, names, kinds, strict=True)]
    if kept is None:
        return pa.Table.from_arrays(columns, names)
    check_kept(kept.column_names, names)
    return pa.Table.from_arrays([*kept.columns, *columns], [*kept.column_names, *names])


def _result_column(values, name, kind):
    """Return a column of results; objects get the type of their kind, which is equal in all chunks."""
    import pyarrow as pa

    if kind is None or values.dtype != object:
        return pa.array(values)
    if kind is float:
        return pa.array(values.astype(np.float32))
    try:
        return pa.array(values, {str: pa.string(), int: pa.int64(), bool: pa.bool_()}[kind], from_pandas=True)
    except _NO_ARROW_TYPE as error:
        raise ValueError(f"The column {name!r} holds more than values of type {kind.__name__} ({error}).") from error


def check_kept(keep, names):
    """Refuse to keep a column that has the name of a result."""
    if both := [name for name in keep if name in names]:
        raise ValueError(f"A result is named {both[0]!r} too: rename the column of the source to keep it.")


def frame_table(frame, names):
    """Convert columns of a pandas data frame to a table.

    Columns of the table are numbered, because different names may be equal as strings.

    Parameters
    ----------
    frame : pandas.DataFrame
    names : sequence
        Names of the columns to convert.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ValueError
        If Arrow has no type for a column. The message names the column.
    """
    pa = pyarrow_for("A dask data frame")
    columns = [_column_of(pa, frame[name], name) for name in names]
    return pa.Table.from_arrays(columns, [str(j) for j in range(len(columns))])


def _column_of(pa, values, name):
    try:
        return pa.array(values, from_pandas=True)
    except _NO_ARROW_TYPE as error:
        raise refusal(name, f"{values.dtype} ({error})", CAST) from error
