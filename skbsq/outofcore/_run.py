"""Encode and predict rows chunk by chunk."""

from contextlib import contextmanager
from functools import partial

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import numbered_names
from skbsq.codec.encodings import check_encode
from skbsq.exceptions import NotNumbersError
from skbsq.outofcore import _arrow, _dask, _outputs, _sources
from skbsq.outofcore._paths import format_of
from skbsq.outofcore._work import Encode, call_of

# Values per chunk if batch_size is None: enough to keep every core busy, and small compared with the memory.
_CHUNK_VALUES = 2**22


def transform(fitted, source, output=None, *, encode=None, columns=None, keep=(), batch_size=None):
    """Encode rows that need not fit in memory.

    Codes are exactly those of ``transform``, or of ``Codebook.encode``, on all rows at once.

    Parameters
    ----------
    fitted : quantizer, predictor or Codebook
        Fitted. Estimators refuse infinities, a codebook accepts them.
    source : path, ndarray, Dataset, Arrow data, dask collection, or a list, tuple or iterator of parts
        Rows of d features, as one of:

        - the path of a file with the suffix ``.npy``, ``.parquet``, ``.csv``, ``.csv.gz``, ``.csv.bz2``, ``.csv.lz4``,
          ``.feather`` or ``.arrow``, in capitals or not, or of a folder of Parquet files;
        - an array, memory-mapped or not;
        - a `pyarrow.dataset.Dataset`, or an object with Arrow's stream protocol, such as a data frame of pandas or
          polars, a table or a RecordBatchReader;
        - a list, tuple or iterator of these, which are parts of the rows;
        - an array or data frame of dask.

        Features must be numbers or bools, and categorical features hold their categories: text, dictionaries, integers
        or bools. Nulls and masked values count as NaN.
    output : path, default=None
        A ``.npy`` or ``.parquet`` file to write. The write is atomic and replaces an existing file. None: nothing is
        written. Must be None for dask: call a writing method of the result, such as ``to_parquet``.
    encode : {"ordinal", "thermometer", "value", "packed"}, default=None
        Form of the result, see the quantizers. None: the `encode` of a quantizer, "ordinal" for a predictor or
        codebook.
    columns : sequence of str, default=None
        Columns of the source that hold the features, in the order of the features. None: the names of the features, if
        the features and the columns have names; otherwise all columns in order.
    keep : sequence of str, default=()
        Columns of the source to keep before the results, such as a key. This needs a source with columns, and a Parquet
        output or a dask data frame.
    batch_size : int, default=None
        Rows per chunk. None: as many as make 2 to 4 million values per chunk, counted before or after encoding,
        whichever is more. A dask collection keeps its blocks or partitions.

    Returns
    -------
    memmap, Dataset, dask collection or iterator of ndarray
        With an `output`, the opened file: a read-only memmap of shape (n, n_columns), or a `pyarrow.dataset.Dataset`.
        For a dask collection, a lazy collection with the same chunks, or with the same partitions and index. Otherwise
        an iterator of one result per chunk. Packed bytes are one column of fixed size, ``packed``, in Parquet, and the
        columns ``byte0``, ``byte1``, ... in a dask data frame. Levels of categorical features are objects in an array;
        in Parquet and in dask data frames each column has the type of its categories.

    Raises
    ------
    ValueError
        If a column is missing, if the number of features differs, if the column of a numeric feature does not hold
        numbers (text, categories, dates, decimals, ...), if a value is no category, if the quantizer refuses a value
        (the message gives the rows of the chunk), or if the source or the suffix of a path is not supported. The
        message gives the way out. No new file is left then, and an existing file stays.
    FileNotFoundError
        If the source is a path that does not exist.
    ImportError
        If pyarrow (``pip install 'skbsq[arrow]'``) or dask (``pip install 'skbsq[dask]'``) is needed and not installed.

    See Also
    --------
    predict : Predict for rows that need not fit in memory.
    skbsq.export.to_codebook : Fold a pipeline of scalers and a quantizer into one codebook.

    Notes
    -----
    The metadata of a Parquet file holds the codebook as JSON under ``skbsq-codebook``, and `encode` under
    ``skbsq-encode``. Both are left out if the JSON takes more than 16 MB, which is about 300,000 thresholds. `predict`
    uses them to refuse codes of another model. Files that dask writes have no such metadata.

    Dask workers receive the codebook as JSON: they need NumPy, and import neither torch nor scikit-learn.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.outofcore import transform
    >>> book = Codebook.from_thresholds([[0.0, 1.0], [5.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "rows.npy")
    ...     np.save(path, [[0.5, 6.0], [2.0, 4.0], [-1.0, 9.0]])
    ...     codes = transform(book, path, os.path.join(folder, "codes.npy"), batch_size=2)
    ...     np.array(codes)
    array([[1, 1],
           [2, 0],
           [0, 1]], dtype=uint8)
    """
    book = fitted if isinstance(fitted, Codebook) else getattr(fitted, "codebook_", None)
    if book is None:
        raise ValueError(
            f"transform needs a Codebook, or a fitted estimator that has one, got {fitted!r}: fit it first, turn a "
            'pipeline into a codebook with skbsq.export.to_codebook, or use predict(..., method="transform").'
        )
    if encode is None:
        encode = getattr(fitted, "encode", "ordinal") if book is not fitted else "ordinal"
    check_encode(encode)
    work = Encode(book.to_json(), encode, finite=book is not fitted)
    return _apply(work, source, output, columns, keep, batch_size)


def predict(estimator, source, output=None, *, method="predict", columns=None, keep=(), batch_size=None):
    """Predict for rows that need not fit in memory.

    Parameters
    ----------
    estimator : estimator
        Fitted; any estimator of scikit-learn's kind, including pipelines.
    source : path, ndarray, Dataset, Arrow data, dask collection, or a list, tuple or iterator of parts
        As in `transform`. For a `method` that reads codes or packed rows, the source holds these instead of features:
        for example a file that `transform` wrote.
    output : path, default=None
        As in `transform`.
    method : str, default="predict"
        Method to call on each chunk: "predict", "predict_proba", "transform", ... A method whose name ends with
        ``_codes``, such as "predict_codes", reads one column of codes per feature. A method whose name ends with
        ``_packed`` reads packed rows: one column of byte strings, or one column per byte. Both need an estimator with a
        codebook.
    columns : sequence of str, default=None
        As in `transform`. For packed rows, None means the column ``packed`` if it exists, else the columns ``byte0``,
        ``byte1``, ... if they exist, else all columns.
    keep : sequence of str, default=()
        As in `transform`.
    batch_size : int, default=None
        As in `transform`.

    Returns
    -------
    memmap, Dataset, dask collection or iterator of ndarray
        As in `transform`. ``get_feature_names_out`` of the estimator names the columns of the method "transform". A
        column of predictions is named ``prediction``. Columns of probabilities are named ``probability_`` and the
        class. Columns of other methods are named after the method. If the estimator has no suitable names, columns are
        numbered from 0. A dask data frame becomes a series if the result has one column.

    Raises
    ------
    ValueError
        For the reasons of `transform`. Also if the estimator is not fitted or lacks the method, if the metadata of the
        source names another codebook, or if it names another encoding than the method reads.
    FileNotFoundError
        If the source is a path that does not exist.
    ImportError
        If pyarrow or dask is needed and not installed.

    See Also
    --------
    transform : Encode rows that need not fit in memory.

    Notes
    -----
    The codes behind a prediction are exactly those of all rows at once. The output of a torch head may differ in the
    last bits, because the rounding of a matrix product depends on the number of rows in it. Each chunk is exactly what
    the method returns for the rows of the chunk.

    Parquet and other Arrow data have metadata. Arrays, ``.npy`` files, and data frames of pandas, polars and dask have
    none, so only the number of columns and the range of the codes can be checked for them.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq import BitwiseRegressor
    >>> from skbsq.outofcore import predict
    >>> X, y = make_friedman1(200, random_state=0)
    >>> model = BitwiseRegressor(n_bits=2, max_epochs=2, random_state=0).fit(X, y)
    >>> [chunk.shape for chunk in predict(model, X, batch_size=150)]
    [(150,), (50,)]

    Predict from packed rows, such as a device sends:

    >>> from skbsq.outofcore import transform
    >>> packed = transform(model, X, encode="packed", batch_size=150)
    >>> [chunk.shape for chunk in predict(model, packed, method="predict_packed")]
    [(150,), (50,)]
    """
    if not callable(getattr(estimator, method, None)):
        raise ValueError(f"{type(estimator).__name__} has no method {method!r}.")
    if getattr(estimator, "n_features_in_", None) is None:
        raise ValueError(f"predict needs a fitted estimator, got {estimator!r}: fit it first.")
    return _apply(call_of(estimator, method), source, output, columns, keep, batch_size)


def _apply(work, source, output, columns, keep, batch_size):
    if isinstance(columns, str) or isinstance(keep, str):
        raise ValueError(f"columns and keep must be sequences of names, got {columns!r} and {keep!r}.")
    keep = list(keep)
    columns = None if columns is None else list(columns)
    for what, names in (("columns", columns or ()), ("keep", keep)):
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{what} names {twice[0]!r} twice.")
    features = work.features if columns is None else columns
    if features is not None and not work.may_read(len(features)):
        raise ValueError(f"columns names {len(features)} columns for {work.n_features} {work.noun}.")
    if _dask.is_dask(source):
        if output is not None:
            raise ValueError(
                "output must be None for a dask collection: call to_parquet or to_zarr on the result instead."
            )
        return _dask.apply(work, source, features, keep)
    if batch_size is None:
        # The kernels are fastest for a power of two.
        batch_size = 1 << (max(1, _CHUNK_VALUES // work.width).bit_length() - 1)
    elif batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if output is not None:
        _outputs.check_output(output)
    if keep and (output is None or format_of(output) != "parquet"):
        raise ValueError("keep needs a .parquet output, or a dask data frame.")

    def wanted(schema):
        return list(dict.fromkeys([*keep, *work.choose(_arrow.data_columns(schema), keep)]))

    names = wanted if features is None else list(dict.fromkeys([*keep, *features]))
    check = partial(work.check_source, named=columns is not None)
    categorical = [name for name in features or () if name not in keep] if work.takes_categories else None
    chunks = _sources.read(source, batch_size, names, check, categorical=categorical)
    results = _results(work, chunks, features, keep)
    return (out for out, *_ in results) if output is None else _outputs.write(output, results, work)


def _results(work, chunks, features, keep):
    """Yield results, the names of their columns, and the columns to keep. Without rows, yield an empty result."""
    at, out, waiting = 0, None, []
    for chunk in chunks:
        names = _columns_of(chunk, work, features, keep)
        kept = chunk.select(keep) if keep else None
        if hasattr(chunk, "column_names"):
            features = names  # the first part chooses the columns; later parts may have them in another order
        with _naming_rows(at, len(chunk)):
            X = _rows_of(chunk, work, names)
            if not len(X) and out is None:
                waiting.append(kept)  # the form of an empty result is known only after the first rows
                continue
            out = work(X) if len(X) else out[:0]
        at += len(chunk)
        for empty in waiting:
            yield out[:0], work.names(names, out), empty
        waiting = []
        yield out, work.names(names, out), kept
    if out is None:
        for empty in waiting or [None]:
            yield work.empty, work.names(features or numbered_names(work.n_features), work.empty), empty


@contextmanager
def _naming_rows(at, n):
    """Add the rows of a chunk to the message of a ValueError. A NotNumbersError keeps its type."""
    try:
        yield
    except ValueError as error:
        kind = NotNumbersError if isinstance(error, NotNumbersError) else ValueError
        where = f"the chunk of rows {at} to {at + n - 1}" if n else f"the empty chunk at row {at}"
        raise kind(f"In {where}: {error}") from error


def _columns_of(chunk, work, features, keep):
    """Return the names of the columns of a chunk to read; x0, x1, ... for an array without names."""
    if hasattr(chunk, "column_names"):
        names = features or work.choose(_arrow.data_columns(chunk.schema), keep)
        _arrow.check_columns(chunk.schema, [*keep, *names])
        work.check_names(names)
        return names
    if keep:
        raise ValueError(f"The source is an array, which has no column {keep[0]!r} to keep.")
    work.check_width(chunk)
    return features or numbered_names(work.n_features)


def _rows_of(chunk, work, names):
    """Return a chunk as a matrix of numbers."""
    if not hasattr(chunk, "column_names"):
        return work.rows_of_array(chunk, names)
    X = work.rows(chunk, names, names)
    work.check_width(X)
    return X
