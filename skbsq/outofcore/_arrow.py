"""Arrow tables as matrices of floats, and results as Arrow tables. pyarrow is imported where it is needed."""

import sys

import numpy as np

from skbsq.outofcore._numbers import CAST, COUNT, ENCODE, SPLIT, UNPACK, refusal
from skbsq.outofcore._paths import arrow_format, unreadable

# Rows of a batch of a scan: chunks are put together from small ones, so that memory is that of one chunk.
_BATCH_ROWS = 2**16
# What pyarrow raises for columns of data frames that it has no type for.
_NO_ARROW_TYPE = (ValueError, TypeError, NotImplementedError, OverflowError)


def pyarrow_for(what):
    """The package pyarrow, or ImportError that says what needs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f"{what} needs pyarrow: pip install 'skbsq[arrow]'.") from error
    return pyarrow


def dataset(path):
    """Open a path as a pyarrow data set: a file or folder of Parquet, or of CSV and the like, as its suffix says.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    pyarrow.dataset.Dataset
        Where files of a folder differ in the type of a column, it has one that holds them all.

    Raises
    ------
    ValueError
        For files of another format, with the way out.
    """
    pa = pyarrow_for("A path that is no .npy")
    from pyarrow.dataset import dataset as open_dataset

    path = str(path)
    kind = arrow_format(path)
    try:
        found = open_dataset(path, format=kind)
        found.schema.names  # noqa: B018, text of another encoding shows here
        schemas = [fragment.physical_schema for fragment in found.get_fragments()]
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    if not schemas:
        raise unreadable(path, "it holds no files")
    if all(schema.equals(schemas[0]) for schema in schemas):
        return found
    joint = pa.schema([_joint(field, schemas) for field in found.schema], metadata=found.schema.metadata)
    return open_dataset(path, schema=joint, format=found.format)


def _joint(field, schemas):
    """A field of the type that holds those of all schemas; as it is where there is none, or they do not have it."""
    import pyarrow as pa

    found = [pa.schema([schema.field(field.name)]) for schema in schemas if field.name in schema.names]
    try:
        return pa.unify_schemas(found, promote_options="permissive").field(0) if found else field
    except pa.ArrowException:
        return field


def is_dataset(source):
    return hasattr(source, "to_batches") and hasattr(source, "get_fragments")


def is_stream(source):
    """Whether an object gives columns by the Arrow stream protocol; a series or a chunked array gives one alone."""
    return hasattr(source, "__arrow_c_stream__") and not (hasattr(source, "to_frame") or hasattr(source, "chunks"))


def read_dataset(source, rows, columns, check=None):
    """Read a data set as tables.

    Parameters
    ----------
    source : pyarrow.dataset.Dataset
    rows : int
        Rows per table.
    columns : sequence of str, callable or None
        Columns to read. A callable gives them for a schema; None: all.
    check : callable, default=None
        Called with the metadata of each file; it raises an error to refuse them.

    Returns
    -------
    iterator of pyarrow.Table
    """
    check = check or _take_any
    check(source.schema.metadata)
    names = _chosen(source.schema, columns)
    schema = source.schema if names is None else _projected(source.schema, names)
    batches = _batches(source, check, columns=names, batch_size=min(rows, _BATCH_ROWS))
    return _tables(_readable(batches), schema, rows)


def _take_any(metadata):
    pass


def _chosen(schema, columns):
    """Names of the columns to read, each of which is there once; None for all."""
    names = columns(schema) if callable(columns) else columns
    check_columns(schema, names)
    return names


def _readable(batches):
    """Batches, and what to do where a column has another type than it began with."""
    import pyarrow as pa

    try:
        yield from batches
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{error}: a column has another type than it began with. Give chunks of one "
            "type, such as pandas.read_csv(path, dtype='float64', chunksize=100_000)."
        ) from error


def _batches(source, check, **options):
    """Record batches of a data set, one row group of Parquet after the other: a scan of all reads many ahead."""
    try:
        fragments = source.get_fragments()
    except ValueError:  # a data set with a filter has none
        for file in _fragments_of_files(source):
            check(file.physical_schema.metadata)
        yield from source.to_batches(batch_readahead=0, fragment_readahead=0, **options)
        return
    for fragment in fragments:
        check(fragment.physical_schema.metadata)
        for part in fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]:
            yield from part.to_batches(schema=source.schema, batch_readahead=0, **_scan_options(part), **options)


def _fragments_of_files(source):
    """Fragments of the files of a filtered data set, without the filter."""
    if hasattr(source, "children"):
        return [fragment for child in source.children for fragment in child.get_fragments()]
    return [source.format.make_fragment(file, source.filesystem) for file in getattr(source, "files", ())]


def _scan_options(fragment):
    """Those with which a local Parquet file is read piece by piece; far away, pyarrow's own save requests."""
    from pyarrow import dataset, fs

    if not hasattr(fragment, "split_by_row_group") or not isinstance(fragment.filesystem, fs.LocalFileSystem):
        return {}
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True, buffer_size=2**20)
    return {"fragment_scan_options": options}


def read_stream(source, rows, columns, check=None):
    """Read an object of the Arrow stream protocol as tables: a table, a reader or a data frame.

    Parameters and result are those of `read_dataset`.
    """
    reader = _reader(source, columns)
    (check or _take_any)(reader.schema.metadata)
    names = _chosen(reader.schema, columns)
    if names is None:
        return _tables(reader, reader.schema, rows)
    batches = (batch.select(names) for batch in reader)
    return _tables(batches, _projected(reader.schema, names), rows)


def _reader(source, columns):
    """Open a stream. A column that Arrow has no type for is left out if it is not read; else the error names it."""
    try:
        return _open_stream(source)
    except _NO_ARROW_TYPE as error:
        if _is_frame(source):
            narrowed = _narrowed(source, columns)
            if narrowed is not source:
                return _reader(narrowed, None)
            _refuse_column(source, error)
        raise ValueError(f"This {type(source).__name__} cannot be read as Arrow data: {error}") from error


def _open_stream(source):
    # Only what polars makes itself has types that Parquet knows.
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


def _narrowed(source, columns):
    """A data frame without the columns that are not read; the data frame itself where all are read."""
    there = [str(name) for name in source.columns]
    if columns is None or callable(columns) or not set(columns) < set(there):
        return source
    if hasattr(source, "iloc"):
        return source.loc[:, [name in columns for name in there]]
    return source.select(columns)


def _is_frame(source):
    """Whether an object is a data frame of pandas or polars, without importing either."""
    return any(isinstance(source, sys.modules[name].DataFrame) for name in ("pandas", "polars") if name in sys.modules)


def check_columns(schema, columns):
    """Refuse a column that is not there, or that is there twice."""
    for name in schema.names if columns is None else columns:
        found = schema.names.count(name)
        if found != 1:
            there = "no column" if not found else f"{found} columns"
            packed = "" if found or not any(_is_binary(field.type) for field in schema) else f" ({UNPACK})"
            raise ValueError(f"The source has {there} {name!r}: its columns are {schema.names}{packed}.")


def data_columns(schema):
    """Names of the columns of a schema, without those that pandas wrote its row labels to."""
    labels = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in schema.names if name not in labels]


def matrix(table, columns, labels=None):
    """The columns of a table as one array of numbers, in which nulls are NaN.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
    labels : sequence of str, default=None
        What messages call the columns; None: by their names.

    Returns
    -------
    ndarray of shape (n, d)
        Of the type to which NumPy promotes those of the columns; column by column in memory.

    Raises
    ------
    ValueError
        For a column that does not hold numbers, by its label, with its type and the way out.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.outofcore._arrow import matrix
    >>> matrix(pa.table({"a": [1, None], "b": [0.5, 2.5]}), ["b", "a"])
    array([[0.5, 1. ],
           [2.5, nan]])
    """
    numeric = [_numeric(table.column(name), label) for name, label in zip(columns, labels or columns, strict=True)]
    out = np.empty((len(numeric), len(table)), dtype=np.result_type(*map(_numpy_type, numeric)))
    for row, column in zip(out, numeric, strict=True):
        at = 0
        for piece in column.chunks:
            row[at : at + len(piece)] = piece.to_numpy(zero_copy_only=False)
            at += len(piece)
    return out.T


def packed_matrix(table, columns, labels, row_bytes):
    """Packed rows as a matrix of bytes.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str
        One column of byte strings, or a column of numbers per byte.
    labels : sequence of str
        What messages call the columns.
    row_bytes : int

    Returns
    -------
    ndarray of shape (n, row_bytes), or (n, n_columns) for columns of numbers

    Raises
    ------
    ValueError
        For a row that is null or has another number of bytes.

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

    column = table.column(columns[0]) if len(columns) == 1 else pa.chunked_array([], pa.uint8())
    if types.is_string(column.type) or types.is_large_string(column.type):
        raise ValueError(
            f"The column {labels[0]!r} holds text in place of bytes. dask turns bytes into text unless you call "
            'dask.config.set({"dataframe.convert-string": False}) first.'
        )
    if not (_is_binary(column.type) or types.is_null(column.type)):
        return matrix(table, columns, labels)

    whole = column.cast(pa.large_binary())
    lengths = compute.binary_length(whole).to_numpy() if len(whole) else np.empty(0)
    if (wrong := lengths != row_bytes).any():  # null has length NaN
        row = int(np.argmax(wrong))
        found = whole[row].as_py()
        has = "is null" if found is None else f"has {len(found)} bytes"
        raise ValueError(
            f"Row {row} of the column {labels[0]!r} {has}: packed rows of this codebook have {row_bytes} bytes."
        )
    pieces = [_bytes_of(piece).reshape(-1, row_bytes) for piece in whole.chunks]
    return np.concatenate([np.empty((0, row_bytes), dtype=np.uint8), *pieces])


def _bytes_of(piece):
    """The bytes of an array of large_binary without nulls. Arrow stores its strings one after the other."""
    _, offsets, data = piece.buffers()
    if not len(piece) or data is None:
        return np.empty(0, dtype=np.uint8)
    ends = np.frombuffer(offsets, dtype=np.int64)[piece.offset :][: len(piece) + 1]
    return np.frombuffer(data, dtype=np.uint8)[ends[0] : ends[-1]]


def _is_binary(kind):
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
    """What to do with a column of a type that is no number."""
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
    kind = np.dtype(column.type.to_pandas_dtype())
    return np.float64 if column.null_count and kind.kind in "iu" else kind  # nulls become NaN


def _projected(schema, columns):
    return pyarrow_for("Arrow data").schema([schema.field(name) for name in columns])


def _tables(batches, schema, rows):
    """Record batches, put together and cut into tables of `rows` rows; at least one, which may be empty."""
    import pyarrow as pa

    waiting, n, some = [], 0, False
    for batch in batches:
        at = 0
        while at < batch.num_rows:
            piece = batch.slice(at, rows - n)
            at += piece.num_rows
            n += piece.num_rows
            waiting.append(piece)
            if n == rows:
                yield pa.Table.from_batches(waiting)
                waiting, n, some = [], 0, True
    if waiting or not some:
        yield pa.Table.from_batches(waiting, schema=None if waiting else schema)


def to_table(out, names, packed, kept):
    """A table of a result, beside the columns of the source that are kept."""
    import pyarrow as pa

    if packed:
        n, width = out.shape
        if not width:
            raise ValueError("A row of this codebook has no bytes, which Parquet has no type for.")
        data = pa.py_buffer(np.ascontiguousarray(out))
        names, columns = ["packed"], [pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), n, [None, data])]
    else:
        columns = [pa.array(np.ascontiguousarray(column)) for column in out.reshape(len(out), len(names)).T]
    if kept is None:
        return pa.Table.from_arrays(columns, names)
    check_kept(kept.column_names, names)
    return pa.Table.from_arrays([*kept.columns, *columns], [*kept.column_names, *names])


def check_kept(keep, names):
    """Refuse columns to keep that have the name of a result."""
    if both := [name for name in keep if name in names]:
        raise ValueError(f"There is a result of the name {both[0]!r}: rename the column of the source to keep it.")


def frame_table(frame, names):
    """Convert columns of a pandas data frame to a table. Columns are numbered: different names may be equal as strings.

    Parameters
    ----------
    frame : pandas.DataFrame
    names : sequence
        Of the columns to take.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ValueError
        For a column that Arrow has no type for, by its name.
    """
    pa = pyarrow_for("A dask data frame")
    columns = [_column_of(pa, frame[name], name) for name in names]
    return pa.Table.from_arrays(columns, [str(j) for j in range(len(columns))])


def _column_of(pa, values, name):
    try:
        return pa.array(values, from_pandas=True)
    except _NO_ARROW_TYPE as error:
        raise refusal(name, f"{values.dtype} ({error})", CAST) from error
