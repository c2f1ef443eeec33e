"""Where rows come from: arrays and files of them, Arrow data, or chunks of either, read a chunk at a time."""

import mmap
import os
from collections.abc import Iterator

import numpy as np

from skbsq.outofcore import _arrow


def read(source, rows, columns, keep=()):
    """Read a source in chunks of at most `rows` rows.

    Parameters
    ----------
    source : path, ndarray, pyarrow.dataset.Dataset, Arrow stream, or a list, tuple or iterator of these
    rows : int
    columns : sequence of str, or None
        Columns to read where they have names; None: all.
    keep : sequence of str, default=()
        Those of them that need not hold numbers.

    Returns
    -------
    iterator of ndarray or pyarrow.Table
    """
    if isinstance(source, str | os.PathLike):
        if str(source).endswith(".npy"):
            return _slices(_load(source), rows)
        return _arrow.read_dataset(_arrow.dataset(source, keep), rows, columns)
    if isinstance(source, np.ndarray):
        return _slices(source, rows)
    if _arrow.is_dataset(source):
        return _arrow.read_dataset(source, rows, columns)
    if _arrow.is_stream(source):
        return _arrow.read_stream(source, rows, columns)
    if isinstance(source, Iterator | list | tuple):
        return (chunk for part in source for chunk in read(part, rows, columns, keep))
    raise ValueError(
        "Rows come from a path, an array, a pyarrow data set, Arrow data such as a data frame, a dask collection, or "
        f"a list or iterator of such parts; got {type(source).__name__}."
    )


def _load(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no file of an array: {error}") from error


def _slices(array, rows):
    if array.ndim != 2:
        raise ValueError(f"Rows must be 2-d, one row per reading, got shape {array.shape}.")
    return _walk(array, rows)


def _walk(array, rows):
    for start in range(0, max(1, len(array)), rows):
        yield array[start : start + rows]
        _forget_pages(array)


def _forget_pages(array):
    """Take what was read through a mapping out of the memory of the process: it would stay as long as the mapping.

    It is read again from the file when it is asked for. What was written through a private mapping is nowhere else.
    """
    mapping = array
    while isinstance(mapping, np.ndarray):
        mapping = mapping.base
    shared = isinstance(array, np.memmap) and array.mode in ("r", "r+", "w+")
    if shared and isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
