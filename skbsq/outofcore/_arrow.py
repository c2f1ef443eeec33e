"""Arrow tables as matrices of floats, and results as Arrow tables. pyarrow is imported where it is needed."""

import numpy as np

# Rows of a batch of a scan: chunks are put together from small ones, so that memory is that of one chunk.
_BATCH_ROWS = 2**16
_FORMATS = {".csv": "csv", ".feather": "feather", ".arrow": "ipc", ".orc": "orc"}


def pyarrow_for(what):
    """The package pyarrow, or ImportError that says what needs it."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(f"{what} needs pyarrow: pip install 'skbsq[arrow]'.") from error
    return pyarrow


def dataset(path, keep=()):
    """The pyarrow data set of a path: a file or folder of Parquet, or a file of CSV and the like, as its name says.

    Parameters
    ----------
    path : str or path-like
    keep : sequence of str, default=()
        Columns that need not hold numbers.

    Returns
    -------
    pyarrow.dataset.Dataset
        With floats for what begins as whole numbers, or empty, and may go on otherwise: in CSV, and from file to file.
    """
    pa = pyarrow_for("A path that is no .npy")
    from pyarrow.dataset import dataset as open_dataset

    path = str(path)
    known = [kind for end, kind in _FORMATS.items() if path.removesuffix(".gz").endswith(end)]
    found = open_dataset(path, format=known[0] if known else "parquet")
    if known == ["csv"]:
        return open_dataset(path, format=_csv_format(found.schema, keep))
    schemas = [fragment.physical_schema for fragment in found.get_fragments()]
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


def _csv_format(schema, keep):
    """CSV whose types are not left to the first rows of a file."""
    import pyarrow as pa
    from pyarrow import csv, dataset, types

    kinds = {}
    for field in schema:
        if field.name in keep:
            kinds |= {field.name: pa.string()} if types.is_null(field.type) else {}
        elif types.is_null(field.type) or types.is_integer(field.type):
            kinds[field.name] = pa.float64()
    return dataset.CsvFileFormat(convert_options=csv.ConvertOptions(column_types=kinds))


def is_dataset(source):
    return hasattr(source, "to_batches") and hasattr(source, "get_fragments")


def is_stream(source):
    return hasattr(source, "__arrow_c_stream__")


def read_dataset(source, rows, columns):
    """Tables of about `rows` rows, with the named columns alone where they are given."""
    check_columns(source.schema, columns)
    schema = source.schema if columns is None else _projected(source.schema, columns)
    return _tables(_readable(_batches(source, columns=columns, batch_size=min(rows, _BATCH_ROWS))), schema, rows)


def _readable(batches):
    """Batches, and what to do where a column has another type than it began with."""
    import pyarrow as pa

    try:
        yield from batches
    except pa.ArrowInvalid as error:
        raise ValueError(f"{error}: a column has another type than it began with. Give chunks of one type.") from error


def _batches(source, **options):
    """Record batches of a data set, one row group of Parquet after the other: a scan of all reads many ahead."""
    try:
        fragments = source.get_fragments()
    except ValueError:  # a data set with a filter has none
        yield from source.to_batches(batch_readahead=0, fragment_readahead=0, **options)
        return
    for fragment in fragments:
        for part in fragment.split_by_row_group() if hasattr(fragment, "split_by_row_group") else [fragment]:
            yield from part.to_batches(schema=source.schema, batch_readahead=0, **_scan_options(part), **options)


def _scan_options(fragment):
    """Those with which a local Parquet file is read piece by piece; far away, pyarrow's own save requests."""
    from pyarrow import dataset, fs

    if not hasattr(fragment, "split_by_row_group") or not isinstance(fragment.filesystem, fs.LocalFileSystem):
        return {}
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True, buffer_size=2**20)
    return {"fragment_scan_options": options}


def read_stream(source, rows, columns):
    """The same of an object of the Arrow stream protocol, such as a table, a reader or a data frame."""
    reader_type = pyarrow_for("Arrow data").RecordBatchReader
    # What polars makes itself has no types that Parquet does not know.
    reader = reader_type.from_stream(source.to_arrow() if hasattr(source, "to_arrow") else source)
    check_columns(reader.schema, columns)
    if columns is None:
        return _tables(reader, reader.schema, rows)
    batches = (batch.select(columns) for batch in reader)
    return _tables(batches, _projected(reader.schema, columns), rows)


def check_columns(schema, columns):
    """Refuse a column that is not there, or that is there twice."""
    for name in schema.names if columns is None else columns:
        found = schema.names.count(name)
        if found != 1:
            there = "no column" if not found else f"{found} columns"
            raise ValueError(f"The source has {there} {name!r}: its columns are {schema.names}.")


def data_columns(schema):
    """Names of the columns of a schema, without those that pandas wrote its row labels to."""
    labels = (schema.pandas_metadata or {}).get("index_columns", ())
    return [name for name in schema.names if name not in labels]


def matrix(table, columns):
    """The columns of a table as one array of numbers, in which nulls are NaN.

    Parameters
    ----------
    table : pyarrow.Table
    columns : sequence of str

    Returns
    -------
    ndarray of shape (n, d)
        Of the type to which NumPy promotes those of the columns; column by column in memory.

    Raises
    ------
    ValueError
        For a column of something else than numbers.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from skbsq.outofcore._arrow import matrix
    >>> matrix(pa.table({"a": [1, None], "b": [0.5, 2.5]}), ["b", "a"])
    array([[0.5, 1. ],
           [2.5, nan]])
    """
    numeric = [_numeric(table.column(name), name) for name in columns]
    out = np.empty((len(numeric), len(table)), dtype=np.result_type(*map(_numpy_type, numeric)))
    for row, column in zip(out, numeric, strict=True):
        at = 0
        for piece in column.chunks:
            row[at : at + len(piece)] = piece.to_numpy(zero_copy_only=False)
            at += len(piece)
    return out.T


def _numeric(column, name):
    from pyarrow import types

    kind = column.type
    if types.is_boolean(kind):
        return column.cast("uint8")
    if types.is_null(kind):
        return column.cast("float32")
    if not (types.is_integer(kind) or types.is_floating(kind)):
        raise ValueError(f"The column {name!r} must hold numbers, got {kind}: cast or encode it first.")
    return column


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
