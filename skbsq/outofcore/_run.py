"""The two functions: what is to be done to the rows, where they come from, where results go."""

from skbsq._codebook import Codebook
from skbsq._encodings import check_encode
from skbsq.outofcore import _arrow, _dask, _outputs, _sources
from skbsq.outofcore._work import Call, Encode

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
        A path of a ``.npy`` file, of a file or folder of Parquet, or of ``.csv``, ``.feather`` or ``.arrow``; an array,
        memory-mapped or not; a `pyarrow.dataset.Dataset`; anything with Arrow's stream protocol, such as a data frame
        of pandas or polars, a table or a RecordBatchReader; parts of these kinds one after the other; or an array or
        data frame of dask. Nulls are NaN.
    output : path, default=None
        Of a ``.npy`` or ``.parquet`` file to write; it appears whole or not at all, and replaces one that is there.
        None: nothing is written. Always None for dask, whose collections write themselves.
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
        For a column that is missing or holds no numbers, another number of features, or values that the quantizer
        refuses, with their rows. No file is left then, and one that was there stays.
    ImportError
        Without pyarrow (``pip install 'skbsq[arrow]'``) or dask (``pip install 'skbsq[dask]'``) where they are needed.

    See Also
    --------
    predict : The same for predictions.
    skbsq.export.to_codebook : A pipeline of scalers and a quantizer as one codebook.

    Notes
    -----
    The codebook of a Parquet file stands in its metadata, under ``skbsq-codebook``, unless its text is of more than
    16 MB, some 300,000 thresholds. To dask workers it is sent as JSON: they need NumPy, and import neither torch nor
    scikit-learn.

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
        As in `transform`.
    output : path, default=None
        As in `transform`.
    method : str, default="predict"
        The method to call on each chunk: "predict", "predict_proba", "transform", ...
    columns : sequence of str, default=None
        As in `transform`.
    keep : sequence of str, default=()
        As in `transform`.
    batch_size : int, default=None
        As in `transform`.

    Returns
    -------
    memmap, Dataset, dask collection or iterator of ndarray
        As in `transform`. The column of predictions is named ``prediction``, those of probabilities ``probability_``
        and the class, others as the method; a dask data frame gives a series where there is one column.

    Raises
    ------
    ValueError
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
    """
    if not callable(getattr(estimator, method, None)):
        raise ValueError(f"{type(estimator).__name__} has no method {method!r}.")
    if getattr(estimator, "n_features_in_", None) is None:
        raise ValueError(f"predict wants a fitted estimator, got {estimator!r}: fit it first.")
    return _apply(Call(estimator, method), source, output, columns, keep, batch_size)


def _apply(work, source, output, columns, keep, batch_size):
    if isinstance(columns, str) or isinstance(keep, str):
        raise ValueError(f"columns and keep are sequences of names, got {columns!r} and {keep!r}.")
    keep = list(keep)
    for what, names in (("columns", columns or ()), ("keep", keep)):
        if twice := [name for name in names if list(names).count(name) > 1]:
            raise ValueError(f"{what} names {twice[0]!r} twice.")
    features = work.features if columns is None else list(columns)
    if features is not None and len(features) != work.n_features:
        raise ValueError(f"columns names {len(features)} columns for {work.n_features} features.")
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
    if keep and not str(output).endswith(".parquet"):
        raise ValueError("keep wants a .parquet output, or a dask data frame, to keep columns in.")
    wanted = None if features is None else list(dict.fromkeys([*keep, *features]))
    chunks = _sources.read(source, batch_size, wanted, [name for name in keep if name not in (features or ())])
    results = _results(work, chunks, features, keep)
    return (out for out, *_ in results) if output is None else _outputs.write(output, results, work)


def _results(work, chunks, features, keep):
    """Results, the names of their columns, and the columns that are kept; for no chunks those of no rows."""
    at, out, waiting = 0, None, []
    for chunk in chunks:
        X, names = _rows_of(chunk, work, features, keep)
        kept = chunk.select(keep) if keep else None
        if hasattr(chunk, "column_names"):
            features = names  # the first part says which columns, and the others may have them in another order
        if not len(X) and out is None:
            waiting.append(kept)  # until there is a result: only then it is known what none looks like
            continue
        try:
            out = work(X) if len(X) else out[:0]
        except ValueError as error:
            raise ValueError(f"In the chunk of rows {at} to {at + len(X) - 1}: {error}") from error
        at += len(X)
        for empty in waiting:
            yield out[:0], work.names(names, out), empty
        waiting = []
        yield out, work.names(names, out), kept
    if out is None:
        out = work.empty()
        for empty in waiting or [None]:
            yield out, work.names(features or _numbered(work), out), empty


def _rows_of(chunk, work, features, keep):
    """A chunk as a matrix, and the names of its columns."""
    if hasattr(chunk, "column_names"):
        names = features or [name for name in _arrow.data_columns(chunk.schema) if name not in keep]
        _arrow.check_columns(chunk.schema, [*keep, *names])
        X = _arrow.matrix(chunk, names)
    elif keep:
        raise ValueError(f"The source is an array, which has no column {keep[0]!r} to keep.")
    else:
        X, names = chunk, features or _numbered(work)
    if X.shape[1] != work.n_features:
        raise ValueError(f"The source has {X.shape[1]} columns for {work.n_features} features: name them in columns.")
    return X, names


def _numbered(work):
    return [f"x{j}" for j in range(work.n_features)]
