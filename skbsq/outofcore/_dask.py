"""Apply work to each block or partition of a dask collection. dask is imported on use.

The work is a separate argument of each task, so that a worker receives it only once. It is a codebook as text, for
which a worker needs NumPy and this package alone, or a whole estimator.
"""

import numpy as np

from skbsq.codebook.frames import level_frame
from skbsq.outofcore import _arrow
from skbsq.outofcore._sources import no_source


def is_dask(source):
    """Tell whether an object is a dask collection, without importing dask."""
    return hasattr(source, "__dask_graph__")


def apply(work, source, features, keep):
    """Return the collection of the results of all blocks or partitions.

    Parameters
    ----------
    work : Encode or Call
    source : dask.array.Array or dask.dataframe.DataFrame
    features : sequence of str, or None
    keep : list of str

    Returns
    -------
    dask.array.Array, dask.dataframe.DataFrame or dask.dataframe.Series
    """
    try:
        from dask import delayed
    except ImportError as error:
        raise ImportError("Dask collections need dask: pip install 'skbsq[dask]'.") from error

    shared = delayed(work, pure=True, traverse=False)
    n_dim = getattr(source, "ndim", None)
    if n_dim == 2 and hasattr(source, "map_partitions"):
        return _apply_to_frame(work, shared, source, features, keep)
    if n_dim == 2 and hasattr(source, "rechunk"):
        if keep:
            raise ValueError(f"The source is an array, which has no column {keep[0]!r} to keep.")
        return _apply_to_array(work, shared, source)
    way_out = ": give source.to_frame()" if hasattr(source, "to_frame") else ""
    raise ValueError(f"A dask collection must be a 2-d array or a data frame, got {source!r}{way_out}.")


def _apply_to_array(work, shared, X):
    work.check_width(X)
    work.rows_of_array(np.empty((0, X.shape[1]), dtype=X.dtype), work.features)
    empty = work.empty
    shape = {"drop_axis": 1} if empty.ndim == 1 else {"chunks": (X.chunks[0], (empty.shape[1],))}
    return X.rechunk({1: -1}).map_blocks(_call, work=shared, meta=empty, dtype=empty.dtype, **shape)


def _call(X, work):
    if not isinstance(X, np.ndarray):
        raise no_source(X)
    return work(work.rows_of_array(X, work.features))


def _apply_to_frame(work, shared, frame, features, keep):
    there = list(frame.columns)
    if features is None:
        features = work.choose(there, keep)
    _arrow.check_names(there, [*keep, *features])
    work.check_names(features)
    frame = frame[list(dict.fromkeys([*keep, *features]))]
    empty = frame._meta.iloc[:0]
    work.check_width(_rows_of(empty, work, features))
    names = work.names(features, work.empty)
    _arrow.check_kept(keep, names)
    arguments = {"features": list(features), "names": names, "keep": keep}
    meta = _result_frame(empty, work.empty, names, keep, work)
    return frame.map_partitions(_call_on_frame, work=shared, meta=meta, **arguments)


def _call_on_frame(frame, work, features, names, keep):
    return _result_frame(frame, work(_rows_of(frame, work, features)), names, keep, work)


def _rows_of(frame, work, features):
    table = _arrow.frame_table(frame, features)
    return work.rows(table, table.column_names, features)


def _result_frame(frame, out, names, keep, work):
    """Return results as a data frame, or as a series, with the index of the rows."""
    import pandas as pd

    if out.ndim == 1 and not keep:
        return pd.Series(out, index=frame.index, name=names[0])
    if work.kinds is not None and out.dtype == object:
        results = level_frame(work.book, out, names, frame.index)
    else:
        results = pd.DataFrame(out, index=frame.index, columns=names)
    return pd.concat([frame[keep], results], axis=1) if keep else results
