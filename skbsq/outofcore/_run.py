"""The two functions: what is to be done to the rows, where they come from, where results go."""

from contextlib import contextmanager
from functools import partial

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import numbered_names
from skbsq.codec.encodings import check_encode
from skbsq.exceptions import NotNumbersError
from skbsq.outofcore import _arrow, _dask, _outputs, _sources
from skbsq.outofcore._numbers import as_numbers
from skbsq.outofcore._paths import format_of
from skbsq.outofcore._work import Encode, call_of

# Values of a chunk, where the number of rows is not given: enough for every core, little beside a machine's memory.
_CHUNK_VALUES = 2**22


def transform(fitted, source, output=None, *, encode=None, columns=None, keep=(), batch_size=None):
    """Encode rows that need not fit in memory.

    Codes are exactly those of ``transform``, or of ``Codebook.encode``, on all rows at once.

    Parameters
    ----------
    fitted : quantizer, predictor or Codebook
        Fitted. The estimators refuse infinities, a codebook takes them.
    source : path, ndarray, Dataset, Arrow data, dask collection, or a list, tuple or iterator of parts
        One of:

        - the path of a file with the suffix ``.npy``, ``.parquet``, ``.csv``, ``.csv.gz``, ``.csv.bz2``, ``.csv.lz4``,
          ``.feather`` or ``.arrow``, in capitals or not, or of a folder of Parquet files;
        - an array, memory-mapped or not;
        - a `pyarrow.dataset.Dataset`, or an object with Arrow's stream protocol, such as a data frame of pandas or
          polars, a table or a RecordBatchReader;
        - a list, tuple or iterator of these, as parts one after the other;
        - an array or data frame of dask.

        Features must be numbers or bools. Nulls and masked values are NaN.
    output : path, default=None
        A ``.npy`` or ``.parquet`` file to write. It appears whole or not at all, and replaces an existing file. None:
        nothing is written. Always None for dask, whose collections write themselves.
    encode : {"ordinal", "thermometer", "value", "packed"}, default=None
        What to make of the codes, see the quantizers. None: what the quantizer says, "ordinal" for others.
    columns : sequence of str, default=None
        Columns of the source that hold the features, in their order. None: the names of the features, where they and
        the source's columns have names; otherwise all columns in order.
    keep : sequence of str, default=()
        Columns of the source to keep in front of the results, such as a key: from columns to Parquet or a dask data
        frame.
    batch_size : int, default=None
        Rows a chunk; None: so many that a chunk has 2 to 4 million values, or what becomes of it where that is more.
        Partitions of dask are its chunks.

    Returns
    -------
    memmap, Dataset, dask collection or iterator of ndarray
        Of an `output` the file, opened: a read-only memmap of shape (n, columns), or a `pyarrow.dataset.Dataset`.
        Packed bytes are one column of fixed size, ``packed``, in Parquet, and ``byte0``, ``byte1``, ... in a dask data
        frame. Of a dask collection another one, lazy, with the same chunks or partitions and index. Otherwise an
        iterator of the results of the chunks.

    Raises
    ------
    ValueError
        For a column that is missing, another number of features, or values that the quantizer refuses, with their rows.
        For a column of text, categories, dates, decimals or other values that are not numbers, for a source of another
        kind, and for a path with another suffix: the message says what to do instead. No new file is left then, and an
        existing file stays.
    FileNotFoundError
        If the source is a path that does not exist.
    ImportError
        Without pyarrow (``pip install 'skbsq[arrow]'``) or dask (``pip install 'skbsq[dask]'``) where they are needed.

    See Also
    --------
    predict : The same for predictions.
    skbsq.export.to_codebook : A pipeline of scalers and a quantizer as one codebook.

    Notes
    -----
    The metadata of a Parquet file holds the codebook as JSON, under ``skbsq-codebook``, and `encode`, under
    ``skbsq-encode``; both are left out if the codebook takes more than 16 MB, about 300,000 thresholds. `predict` uses
    them to refuse codes of another model. Files that dask writes have no such metadata.

    Workers of dask receive the codebook as JSON: they need NumPy, and import neither torch nor scikit-learn.

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
            f"transform wants a Codebook, or a fitted estimator that has one, got {fitted!r}: fit it first, make a "
            'pipeline a codebook by skbsq.export.to_codebook, or use predict(..., method="transform").'
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
        Fitted; any of scikit-learn's kind, pipelines included.
    source : path, ndarray, Dataset, Arrow data, dask collection, or a list, tuple or iterator of parts
        As in `transform`. For a `method` that reads codes or packed rows, it holds these instead of features: for
        example a file that `transform` wrote.
    output : path, default=None
        As in `transform`.
    method : str, default="predict"
        The method to call on each chunk: "predict", "predict_proba", "transform", ... A name that ends with ``_codes``,
        such as "predict_codes", reads one column of codes per feature. A name that ends with ``_packed`` reads packed
        rows: one column of byte strings, or one column per byte. Both are for estimators with a codebook.
    columns : sequence of str, default=None
        As in `transform`. None for packed rows: the column ``packed``, else the columns ``byte0``, ``byte1``, ...,
        else all columns.
    keep : sequence of str, default=()
        As in `transform`.
    batch_size : int, default=None
        As in `transform`.

    Returns
    -------
    memmap, Dataset, dask collection or iterator of ndarray
        As in `transform`. Columns of the method "transform" are named by ``get_feature_names_out`` of the estimator. A
        column of predictions is named ``prediction``, columns of probabilities ``probability_`` and the class, and
        others after the method. Where the estimator gives no names that fit, columns are numbered from 0. A dask data
        frame gives a series where there is one column.

    Raises
    ------
    ValueError
        As `transform` does. Also if the metadata of the source names another codebook, or another encoding than the
        method reads.
    FileNotFoundError
        As `transform` does.
    ImportError
        As `transform` does.

    See Also
    --------
    transform : Codes, levels or packed bytes.

    Notes
    -----
    The codes behind a prediction are exactly those of all rows at once. The numbers that a torch head makes of them may
    differ in the last bits: how a product of matrices is rounded depends on the number of rows in it. Each chunk is
    exactly what the method returns for it.

    Parquet and other Arrow data have metadata. Arrays, ``.npy`` files, and data frames of pandas, polars and dask have
    none: only the number of columns and the range of the codes can be checked for them.

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

    Predict from packed rows, as a device sends them:

    >>> from skbsq.outofcore import transform
    >>> packed = transform(model, X, encode="packed", batch_size=150)
    >>> [chunk.shape for chunk in predict(model, packed, method="predict_packed")]
    [(150,), (50,)]
    """
    if not callable(getattr(estimator, method, None)):
        raise ValueError(f"{type(estimator).__name__} has no method {method!r}.")
    if getattr(estimator, "n_features_in_", None) is None:
        raise ValueError(f"predict wants a fitted estimator, got {estimator!r}: fit it first.")
    return _apply(call_of(estimator, method), source, output, columns, keep, batch_size)


def _apply(work, source, output, columns, keep, batch_size):
    if isinstance(columns, str) or isinstance(keep, str):
        raise ValueError(f"columns and keep are sequences of names, got {columns!r} and {keep!r}.")
    keep = list(keep)
    columns = None if columns is None else list(columns)
    for what, names in (("columns", columns or ()), ("keep", keep)):
        if twice := [name for name in names if list(names).count(name) > 1]:
            raise ValueError(f"{what} names {twice[0]!r} twice.")
    features = work.features if columns is None else list(columns)
    if features is not None and not work.may_read(len(features)):
        raise ValueError(f"columns names {len(features)} columns for {work.n_features} {work.noun}.")
    if _dask.is_dask(source):
        if output is not None:
            raise ValueError(
                "A dask collection writes itself: leave output out, and call to_parquet or to_zarr on the result."
            )
        return _dask.apply(work, source, features, keep)
    if batch_size is None:
        # A power of two: it suits the kernels.
        batch_size = 1 << (max(1, _CHUNK_VALUES // work.width).bit_length() - 1)
    elif batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if output is not None:
        _outputs.check_output(output)
    if keep and (output is None or format_of(output) != "parquet"):
        raise ValueError("keep wants a .parquet output, or a dask data frame, to keep columns in.")

    def wanted(schema):
        return list(dict.fromkeys([*keep, *work.choose(_arrow.data_columns(schema), keep)]))

    names = wanted if features is None else list(dict.fromkeys([*keep, *features]))
    check = partial(work.check_source, named=columns is not None)
    chunks = _sources.read(source, batch_size, names, check)
    results = _results(work, chunks, features, keep)
    return (out for out, *_ in results) if output is None else _outputs.write(output, results, work)


def _results(work, chunks, features, keep):
    """Results, the names of their columns, and the columns that are kept; for no chunks those of no rows."""
    at, out, waiting = 0, None, []
    for chunk in chunks:
        names = _columns_of(chunk, work, features, keep)
        kept = chunk.select(keep) if keep else None
        if hasattr(chunk, "column_names"):
            features = names  # the first part says which columns, and the others may have them in another order
        if not len(chunk) and out is None:
            _rows_of(chunk, work, names)  # refuses columns that hold no numbers
            waiting.append(kept)  # until there is a result: only then it is known what none looks like
            continue
        with _naming_rows(at, len(chunk)):
            X = _rows_of(chunk, work, names)
            out = work(X) if len(X) else out[:0]
        at += len(chunk)
        for empty in waiting:
            yield out[:0], work.names(names, out), empty
        waiting = []
        yield out, work.names(names, out), kept
    if out is None:
        out = work.empty()
        for empty in waiting or [None]:
            yield out, work.names(features or numbered_names(work.n_features), out), empty


@contextmanager
def _naming_rows(at, n):
    """Name the chunk of rows in the message of a ValueError; a NotNumbersError keeps its type."""
    try:
        yield
    except ValueError as error:
        kind = NotNumbersError if isinstance(error, NotNumbersError) else ValueError
        where = f"the chunk of rows {at} to {at + n - 1}" if n else f"the empty chunk at row {at}"
        raise kind(f"In {where}: {error}") from error


def _columns_of(chunk, work, features, keep):
    """Names of the columns of a chunk to read; x0, x1, ... for an array without names."""
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
    """A chunk as a matrix of numbers."""
    if not hasattr(chunk, "column_names"):
        return as_numbers(chunk, names)
    X = work.rows(chunk, names, names)
    work.check_width(X)
    return X
