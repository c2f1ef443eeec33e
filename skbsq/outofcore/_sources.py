"""Read rows in chunks from arrays, files, Arrow data, or parts of these."""

import mmap
import os
from collections.abc import Iterator
from numbers import Number

import numpy as np

from skbsq.outofcore import _arrow
from skbsq.outofcore._paths import check_source, format_of

# How to turn an unsupported object into a source, by an attribute of the object.
_WAYS_OUT = {
    "readline": "give the path of the file",
    "toPandas": "give source.toPandas()",
    "collect": "give source.collect(), or write it to Parquet and give the path",
    "compute": "give a dask collection alone, and join several first, as dask.dataframe.concat does",
    "to_frame": "give source.to_frame()",
    "toarray": "give source.toarray(), in parts such as (source[i : i + 10_000].toarray() for i in ...)",
    "iter_batches": "give source.iter_batches()",
    "files": 'give one of its arrays, such as source["name"]',
    "keys": "give pandas.DataFrame(source), or one of its arrays",
    "numpy": "give source.numpy(), or source.detach().cpu().numpy() for torch",
    "to_numpy": 'give pyarrow.table({"name": source})',
    "__array__": "give numpy.asarray(source), or an iterator of its parts as arrays",
    "decode": "give os.fsdecode(source) for a path",
}


def read(source, rows, columns, check, *, categorical=None):
    """Read a source in chunks of at most `rows` rows.

    Parameters
    ----------
    source : path, ndarray, pyarrow.dataset.Dataset, Arrow stream, or a list, tuple or iterator of these
    rows : int
    columns : sequence of str or callable
        Names of the columns to read, if the source has names. A callable returns them for an Arrow schema.
    check : callable
        Is called with the metadata of Arrow data, and raises an error to refuse the data.
    categorical : sequence of str, default=None
        See `skbsq.outofcore._arrow.dataset`.

    Returns
    -------
    iterator of ndarray or pyarrow.Table

    Raises
    ------
    ValueError
        If the object, or its content, cannot be a source. The message names the alternative.
    """
    if isinstance(source, str | os.PathLike):
        return _read_path(os.fspath(source), rows, columns, check, categorical)
    if isinstance(source, np.ndarray):
        return _slices(source, rows)
    if _arrow.is_dataset(source):
        return _arrow.read_dataset(source, rows, columns, check)
    if _arrow.is_stream(source):
        return _arrow.read_stream(source, rows, columns, check)
    if isinstance(source, Iterator | list | tuple) and not hasattr(source, "readline"):
        given = rows, columns, check
        return (chunk for part in source for chunk in read(part, *given, categorical=categorical))
    raise no_source(source)


def no_source(source):
    """Return the error for an object that is not a source, with the way out if there is one.

    Parameters
    ----------
    source : object

    Returns
    -------
    ValueError
    """
    way_out = next((way for name, way in _WAYS_OUT.items() if hasattr(source, name)), None)
    if isinstance(source, Number):
        way_out = "give numpy.array(...) for nested lists of numbers"
    return ValueError(
        "source must be a path, an array, a pyarrow data set, Arrow data such as a data frame, a dask collection, or "
        f"a list or iterator of such parts, got {type(source).__module__}.{type(source).__name__}"
        + (f": {way_out}." if way_out else ".")
    )


def _read_path(path, rows, columns, check, categorical):
    check_source(path)
    if format_of(path) == "npy" and not os.path.isdir(path):
        return _slices(_load(path), rows)
    return _arrow.read_dataset(_arrow.dataset(path, categorical=categorical), rows, columns, check)


def _load(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a .npy file of an array: {error}") from error


def _slices(array, rows):
    if array.dtype.names:
        raise ValueError(
            f"Rows must be an array of numbers, got a structured array with the fields {list(array.dtype.names)}: give "
            "pandas.DataFrame(array), or numpy.lib.recfunctions.structured_to_unstructured(array)."
        )
    if array.ndim != 2:
        way_out = ": array.reshape(-1, 1) is one feature, array[None] one row" if array.ndim == 1 else ""
        raise ValueError(f"Rows must be 2-d, one row per reading, got shape {array.shape}{way_out}.")
    return _chunks(array, rows)


def _chunks(array, rows):
    for start in range(0, max(1, len(array)), rows):
        yield array[start : start + rows]
        _forget_pages(array)


def _forget_pages(array):
    """Free the memory of a memory-mapped file: pages that were read stay in memory as long as the mapping exists.

    The pages can be read again from the file. Pages that were written through a private mapping cannot, so they stay.
    """
    mapping = array
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    shared = isinstance(array, np.memmap) and array.mode in ("r", "r+", "w+")
    if shared and isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
