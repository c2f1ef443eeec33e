"""Where rows come from: arrays and files of them, Arrow data, or chunks of either, read a chunk at a time."""

import mmap
import os
from collections.abc import Iterator

import numpy as np

from skbsq.outofcore import _arrow


def read(source, rows, columns):
    """Read a source in chunks of at most `rows` rows.

    Parameters
    ----------
    source : path, ndarray, pyarrow.dataset.Dataset, Arrow stream, or a list, tuple or iterator of these
    rows : int
    columns : sequence of str, or None
        Columns to read where they have names; None: all.

    Returns
    -------
    iterator of ndarray or pyarrow.Table
    """
    if isinstance(source, str | os.PathLike):
        if str(source).endswith(".npy"):
            # Opened again for each chunk: a mapping keeps in memory what was read through it, as long as it lasts.
            return _slices(lambda: _load(source), rows)
        return _arrow.read_dataset(_arrow.dataset(source), rows, columns)
    if isinstance(source, np.ndarray):
        return _slices(_opener(source), rows)
    if _arrow.is_dataset(source):
        return _arrow.read_dataset(source, rows, columns)
    if _arrow.is_stream(source):
        return _arrow.read_stream(source, rows, columns)
    if isinstance(source, Iterator | list | tuple):
        return (chunk for part in source for chunk in read(part, rows, columns))
    raise ValueError(
        "Rows come from a path, an array, a pyarrow data set, Arrow data such as a data frame, a dask collection, or "
        f"a list or iterator of such parts; got {type(source).__name__}."
    )


def _load(path):
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{path} is no file of an array: {error}") from error


def _opener(array):
    """A function that returns the array, through a mapping of its own where it is one of a whole file."""
    whole = isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap)
    if not whole or array.mode == "c" or array.filename is None:
        return lambda: array
    order = "C" if array.flags.c_contiguous else "F"
    return lambda: np.memmap(array.filename, array.dtype, "r", array.offset, array.shape, order)


def _slices(opened, rows):
    array = opened()
    if array.ndim != 2:
        raise ValueError(f"Rows must be 2-d, one row per reading, got shape {array.shape}.")
    n = len(array)
    del array
    return (opened()[start : start + rows] for start in range(0, max(1, n), rows))
