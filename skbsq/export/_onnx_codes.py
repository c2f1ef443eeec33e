"""Floats to codes in ONNX, equal to those of `Codebook.encode` to the last bit; and what codes stand for."""

import numpy as np


def encode(graph, x, book):
    """Codes of floats.

    Parameters
    ----------
    graph : Graph
    x : str
        float32 of shape (n, d).
    book : Codebook

    Returns
    -------
    str
        Codes, int32 of shape (n, d). NaN has its missing code, or 0 where there is none.
    """
    # A binary search that all features make side by side, without branches: `code` thresholds are known to lie below x,
    # and where x also exceeds the one `hop` places on, `hop` more do. That is a Gather and a Greater per bit, (n, d)
    # each, where comparing with every threshold would take memory for n times all thresholds: 20 kB a row for 81
    # features of 8 bits. The table is padded to 2^b - 1 thresholds for a feature of b hops; one that needs fewer hops
    # looks at the last entry in the first ones. It is infinity, and nothing exceeds that.
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
    """Which rows hold NaN.

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
    nan = graph.cast(graph.add("IsNaN", x), np.int32)
    return graph.cast(graph.add("ReduceSum", nan, np.array([1], dtype=np.int64), keepdims=0), np.bool_)


def bits_of(graph, codes, columns):
    """Bits ``low < code[j] <= high`` of codes.

    Parameters
    ----------
    graph : Graph
    codes : str
        int32 of shape (n, d).
    columns : ndarray of int of shape (k, 3)
        Rows (j, low, high), see `Codebook.columns`.

    Returns
    -------
    str
        bool of shape (n, k).
    """
    feature, low, high = columns.T.astype(np.int32)
    code = graph.add("Gather", codes, feature, axis=1)
    return graph.add("And", graph.add("Greater", code, low), graph.add("LessOrEqual", code, high))


def values_of(graph, codes, values):
    """A value per code.

    Parameters
    ----------
    graph : Graph
    codes : str
        int32 of shape (n, d).
    values : list of d ndarrays of float32
        Of each feature's codes.

    Returns
    -------
    str
        float32 of shape (n, d).
    """
    starts = np.cumsum([0, *(len(own) for own in values[:-1])]).astype(np.int32)
    return graph.add("Gather", np.concatenate(values), graph.add("Add", codes, starts))
