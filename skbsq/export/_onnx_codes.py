"""Encode floats in ONNX exactly as `Codebook.encode` does, and turn codes into bits and values."""

import numpy as np


def encode(graph, x, book):
    """Encode floats as codes.

    Parameters
    ----------
    graph : Graph
    x : str
        float32 of shape (n, d).
    book : Codebook

    Returns
    -------
    str
        Codes, int32 of shape (n, d). NaN has the missing code of its feature, or code 0 if there is none.
    """
    # A binary search runs for all features side by side, without branches. `code` is the number of thresholds known to
    # lie below x. If x also exceeds the threshold `hop` places further, `code` rises by `hop`. This takes one Gather
    # and one Greater per bit, each of shape (n, d). Comparing with every threshold would take far more memory: 20 kB
    # per row for 81 features of 8 bits. A feature of b hops has 2^b - 1 table entries, padded with infinity. A feature
    # with fewer hops reads the last entry in the first hops: infinity, which no value exceeds.
    sizes = np.diff(book.offsets)
    hops = np.array([int(size).bit_length() for size in sizes.tolist()])
    starts = np.concatenate([[0], np.cumsum(2**hops - 1)])
    table = np.full(starts[-1] + 1, np.inf, dtype=np.float32)
    for start, t in zip(starts.tolist(), book.thresholds, strict=False):
        table[start : start + t.size] = t

    code = None
    for hop in reversed(range(max(1, int(hops.max())))):
        probes = np.where(hop < hops, starts[:-1] + 2**hop - 1, table.size - 1).astype(np.int32)
        threshold = table[probes] if code is None else graph.add("Gather", table, graph.add("Add", code, probes))
        below = graph.cast(graph.add("Greater", x, threshold), np.int32)
        below = graph.add("Mul", below, np.int32(2**hop)) if hop else below
        code = below if code is None else graph.add("Add", code, below)
    if book.has_missing.any():
        missing = np.where(book.has_missing, book.n_levels - 1, 0).astype(np.int32)
        code = graph.add("Where", graph.add("IsNaN", x), missing, code)
    return code


def rows_with_nan(graph, x):
    """Find the rows that hold NaN.

    Parameters
    ----------
    graph : Graph
    x : str
        float32 of shape (n, d).

    Returns
    -------
    str
        bool of shape (n,).
    """
    return any_in_row(graph, graph.add("IsNaN", x))


def any_in_row(graph, flags):
    """Find the rows in which something is true.

    Parameters
    ----------
    graph : Graph
    flags : str
        bool of shape (n, m).

    Returns
    -------
    str
        bool of shape (n,).
    """
    count = graph.add("ReduceSum", graph.cast(flags, np.int32), np.array([1], dtype=np.int64), keepdims=0)
    return graph.cast(count, np.bool_)


def bits_of(graph, codes, columns):
    """Compute the bits ``low < code[j] <= high``.

    Parameters
    ----------
    graph : Graph
    codes : str
        int32 of shape (n, d).
    columns : ndarray of int of shape (m, 3)
        Rows (j, low, high), see `Codebook.columns`.

    Returns
    -------
    str
        bool of shape (n, m).
    """
    feature, low, high = columns.T.astype(np.int32)
    code = graph.add("Gather", codes, feature, axis=1)
    return graph.add("And", graph.add("Greater", code, low), graph.add("LessOrEqual", code, high))


def values_of(graph, codes, values):
    """Look up the value of each code.

    Parameters
    ----------
    graph : Graph
    codes : str
        int32 of shape (n, d).
    values : list of d ndarrays of float32
        Values of the codes of each feature.

    Returns
    -------
    str
        float32 of shape (n, d).
    """
    starts = np.cumsum([0, *map(len, values[:-1])]).astype(np.int32)
    return graph.add("Gather", np.concatenate(values), graph.add("Add", codes, starts))
