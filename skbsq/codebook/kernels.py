"""Floats to codes, and codes to levels and bits: the hot loops behind `Codebook`. NumPy alone.

Every encoder counts thresholds below a value, ``x > t`` in float32, and all of them give equal codes. They differ in
what they are fast for, see `Encoder`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import numpy as np

# Values per block: large enough that threads seldom wait for each other between two calls of NumPy, small enough for
# the cache. It also bounds the memory beyond input and output, however many rows come in.
BLOCK = 2**19
# Comparisons that are held at once.
_SCRATCH = 2**21
# Features side by side in a block that is worked on column by column: their floats fill one line of the cache.
_COLUMNS = 16
# Values that share one row of tiled thresholds where whole rows are compared.
_TILE = 2**13
# Up to this many thresholds, comparing with every one is faster than searching.
_MAX_COUNTED = 20
# Up to this many values, one search over all features is faster than a call per feature.
_MAX_SEARCHED = 2**10
# A second thread pays from this many values on.
_VALUES_PER_THREAD = 2**20
# A grid has a cell for each of the upper 16 bits of a float32.
_CELLS = 2**16
_MAX_GRID_BYTES = 2**25

KERNELS = ("search", "abreast", "count", "grid")


def as_float32(X):
    """Cast to float32, the type in which every comparison of the package is made.

    A value beyond the range of float32 becomes an infinity, silently: it lies outside every
    threshold anyway. NaN stays NaN, a signaling one too. The result is `X` itself where it already is float32.

    Parameters
    ----------
    X : ndarray of shape (n, d)
        Real numbers: bool, integer or floating.

    Returns
    -------
    ndarray of float32

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.kernels import as_float32
    >>> as_float32(np.array([[0.1, 1e300]]))
    array([[0.1, inf]], dtype=float32)
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return X.astype(np.float32, copy=False)


class Encoder:
    """The thresholds of all features, laid out for the kernels that count them.

    Parameters
    ----------
    thresholds : ndarray of float32, flat
        Strictly increasing within a feature.
    offsets : ndarray of int64 of shape (d + 1,)
        Feature j owns ``thresholds[offsets[j]:offsets[j + 1]]``.
    nan_codes : ndarray of int of shape (d,), or None
        What NaN becomes; None refuses it.
    dtype : dtype
        Of the codes.

    Notes
    -----
    The kernels, any of which `encode` can be told to use:

    - "search": one binary search for all values of all features, for few rows.
    - "abreast": every threshold is compared with whole rows at once, for few thresholds.
    - "count": the same column by column.
    - "grid": a table of the codes at the ends of a fine grid, then a few halvings, for many thresholds.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.kernels import Encoder
    >>> encoder = Encoder(np.float32([0, 1, 5]), np.array([0, 2, 3]), None, np.uint8)
    >>> encoder.encode(np.array([[0.5, 5.0], [2.0, 6.0]]))
    (array([[1, 0],
           [2, 1]], dtype=uint8), None)
    """

    def __init__(self, thresholds, offsets, nan_codes, dtype):
        self.thresholds = thresholds
        self.offsets = offsets
        self.sizes = np.diff(offsets)
        self.nan_codes = nan_codes
        self.dtype = np.dtype(dtype)
        self._columns = {}

    def encode(self, X, kernel=None):
        """Codes of floats: the number of thresholds t with x > t, in float32.

        Parameters
        ----------
        X : ndarray of a real type, shape (n, d)
        kernel : str, default=None
            One of `KERNELS`; None: the fastest for the number of rows, their layout, and each feature's thresholds.

        Returns
        -------
        codes : ndarray of shape (n, d)
            Column by column in memory where X is and they are worked on so, else row by row.
        refused : (row, feature) of the first NaN where it is refused, else None
        """
        n, d = X.shape
        if kernel is None and X.size <= _MAX_SEARCHED:
            kernel = "search"
        if kernel == "search":
            codes, clean = self._search(as_float32(X))
            return codes, None if clean else _first_nan(X)

        abreast = kernel == "abreast"
        if kernel is None:
            abreast = X.flags.c_contiguous and d <= _TILE and self.sizes.max() <= _MAX_COUNTED
        in_columns = X.flags.f_contiguous and not X.flags.c_contiguous and not abreast
        codes = np.empty((n, d), dtype=self.dtype, order="F" if in_columns else "C")
        side_by_side = d if abreast else 1 if in_columns else min(d, _COLUMNS)
        counted = np.clip(self.sizes.max(), 1, _MAX_COUNTED)
        block = min(BLOCK, _SCRATCH // counted) if abreast or in_columns else BLOCK
        work = self._encode_abreast if abreast else self._encode_by_column

        def worker():
            scratch = np.empty(max(min(_SCRATCH, counted * X.size), d), dtype=bool)
            return lambda rows: work(X[rows], codes[rows], kernel, scratch)

        clean = for_blocks(worker, n, block // side_by_side, total=X.size)
        return codes, None if clean else _first_nan(X)

    # -- few rows ------------------------------------------------------------------------------------

    @cached_property
    def _keys(self):
        feature = np.repeat(np.arange(self.sizes.size, dtype=np.int64), self.sizes)
        return _keys(self.thresholds, feature)

    def _search(self, X):
        """Search all values at once, among thresholds that are ordered by feature first."""
        keys = _keys(X, np.arange(X.shape[1], dtype=np.int64))
        # side="left" counts the thresholds below x, which is the strict comparison x > t.
        codes = np.searchsorted(self._keys, keys, side="left") - self.offsets[:-1]
        nan = np.isnan(X)
        if nan.any():
            if self.nan_codes is None:
                return codes, False
            np.copyto(codes, self.nan_codes, where=nan)
        return codes.astype(self.dtype), True

    # -- few thresholds ------------------------------------------------------------------------------

    @cached_property
    def _tiles(self):
        """Row k: threshold k of every feature, over and over; infinite where a feature has no more."""
        d = self.sizes.size
        tile = np.full((d, max(1, self.sizes.max())), np.inf, dtype=np.float32)
        for row, (start, stop) in zip(tile, pairwise(self.offsets.tolist()), strict=True):
            row[: stop - start] = self.thresholds[start:stop]
        return np.tile(tile.T, (1, max(1, _TILE // d)))

    def _encode_abreast(self, X, codes, kernel, scratch):
        X = np.ascontiguousarray(as_float32(X))
        nan = _nan_in(X)
        if nan is not None and self.nan_codes is None:
            return False
        width = self._tiles.shape[1]
        whole = X.size - X.size % width
        x, out = X.reshape(-1), codes.reshape(-1)
        _count(x[:whole].reshape(-1, width), self._tiles[:, None], out[:whole].reshape(-1, width), scratch)
        _count(x[whole:], self._tiles[:, : X.size - whole], out[whole:], scratch)
        if nan is not None:
            np.copyto(codes, self.nan_codes.astype(self.dtype), where=nan)
        return True

    # -- many thresholds, or columns in memory -------------------------------------------------------

    def _encode_by_column(self, X, codes, kernel, scratch):
        for first in range(0, X.shape[1], _COLUMNS):
            part = slice(first, first + _COLUMNS)
            columns, out = _contiguous_rows(as_float32(X[:, part]).T), codes[:, part].T
            nan = _nan_in(columns)
            if nan is not None and self.nan_codes is None:
                return False
            found = _contiguous_rows(out)
            for j, (x, code) in enumerate(zip(columns, found, strict=True), start=first):
                self._column(j, kernel)(x, code, scratch)
            if nan is not None:
                np.copyto(found, self.nan_codes[part, None].astype(self.dtype), where=nan)
            if found is not out:
                out[...] = found
        return True

    def _column(self, j, kernel):
        """The function (x, out, scratch) that encodes one feature."""
        if (j, kernel) not in self._columns:
            self._columns[j, kernel] = self._make_column(j, kernel)
        return self._columns[j, kernel]

    def _make_column(self, j, kernel):
        t = self.thresholds[self.offsets[j] : self.offsets[j + 1]]
        if kernel is None:
            kernel = "count" if t.size <= _MAX_COUNTED else "grid"
        if kernel == "count":
            return lambda x, out, scratch: _count(x, t[:, None], out, scratch)
        n_wide = max(1, np.count_nonzero(self.sizes > _MAX_COUNTED))
        grid = Grid(t, self.dtype, fine=n_wide * _CELLS * self.dtype.itemsize <= _MAX_GRID_BYTES)
        return lambda x, out, scratch: grid.encode(x, out)


class Grid:
    """A table lookup and a few halvings in place of a binary search: for many thresholds.

    The upper 16 bits of a float32 (sign, exponent, 7 bits of the fraction) part the floats into cells, each an
    interval. For every cell the table holds how many thresholds lie below it; the thresholds within it are searched.
    The cells are finest around zero, so `x` is shifted first where that parts the thresholds better. Rounding does not
    matter: the shift keeps the order of x and t (or makes them equal, and so shares the cell), and the comparison is
    made between the unshifted two.

    Parameters
    ----------
    thresholds : ndarray of float32, strictly increasing
    dtype : dtype
        Of the codes.
    fine : bool, default=True
        False: one cell for all floats, so that nothing but halvings is left.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.kernels import Grid
    >>> codes = np.empty(3, dtype=np.uint8)
    >>> Grid(np.float32([0, 1, 5]), np.uint8).encode(np.float32([0, 1.5, 9]), codes)
    >>> codes
    array([0, 2, 3], dtype=uint8)
    """

    def __init__(self, thresholds, dtype, *, fine=True):
        n = thresholds.size
        self.table, self.shift, depth = None, None, n.bit_length()
        if fine and n:
            middle = thresholds[n // 2]
            tables = [_table(_shifted(thresholds, shift), dtype) for shift in (np.float32(0), middle)]
            best = min(range(2), key=lambda i: tables[i][1])
            self.table, depth = tables[best]
            self.shift = middle if best else None
        # Padded, so that no halving looks beyond the end.
        self.padded = np.concatenate([thresholds, np.full(2**depth, np.inf, dtype=np.float32)])
        self.hops = [2**step for step in reversed(range(depth))]

    def encode(self, x, out):
        """Write the codes of `x` (float32, contiguous) into `out`."""
        if self.table is None:
            out[:] = 0
        else:
            shifted = x if self.shift is None else _shifted(x, self.shift)
            np.take(self.table, shifted.view(np.uint32) >> 16, out=out, mode="clip")
        probe, above = np.empty_like(x), np.empty(x.shape, dtype=bool)
        for hop in self.hops:
            # Where x lies above the threshold `hop` places on, all of these lie below it.
            np.take(self.padded[hop - 1 :], out, out=probe, mode="clip")
            np.greater(x, probe, out=above)
            np.add(out, above if hop == 1 else above * out.dtype.type(hop), out=out)


def _table(thresholds, dtype):
    """For each cell the number of `thresholds` (increasing, maybe equal) below it; and the halvings left within one."""
    bits = np.arange(_CELLS, dtype=np.uint32) << 16
    ends = np.stack([bits, bits | 0xFFFF]).view(np.float32)
    # Towards zero comes first in the bits of a positive number, last in those of a negative one.
    low, high = np.where(bits >> 31, ends[::-1], ends)
    # Cells that are NaN at one end hold an infinity at the other.
    low, high = np.fmin(low, high), np.fmax(low, high)
    below = np.searchsorted(thresholds, low, side="left")
    # A shifted x may equal a shifted t that it lies above: t at the upper end counts as within.
    within = (np.searchsorted(thresholds, high, side="right") - below)[~np.isnan(low)]
    return below.astype(dtype), int(within.max()).bit_length()


def _shifted(x, shift):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return x - shift


def _count(x, thresholds, out, scratch):
    """Count the thresholds (or rows of them) below x: ``out = sum(x > t)``.

    In few calls on much memory, because threads wait for each other between calls.
    """
    at_once = max(1, len(scratch) // max(1, x.size))
    for start in range(0, max(1, len(thresholds)), at_once):
        some = thresholds[start : start + at_once]
        above = scratch[: len(some) * x.size].reshape(len(some), *x.shape)
        np.greater(x, some, out=above)
        if start:
            np.add(out, above.sum(axis=0, dtype=out.dtype), out=out)
        else:
            np.add.reduce(above.view(np.uint8), axis=0, dtype=out.dtype, out=out)


def _keys(x, feature):
    """Integers in the order of (feature, x): int64 with the feature in the upper half."""
    with np.errstate(invalid="ignore"):  # of a signaling NaN
        bits = (x + np.float32(0.0)).view(np.int32)  # -0.0 + 0.0 is 0.0
    # Negative floats grow in magnitude with their bits: turned round, all are in the order of the integers.
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)) + (feature << 32)


def _contiguous_rows(block):
    """The block itself where each of its rows is contiguous in memory, else a copy."""
    return block if block.strides[1] == block.itemsize else np.ascontiguousarray(block)


def for_blocks(worker, n, block, *, total):
    """Work through slices of at most `block` rows, in threads where `total` values pay.

    Each thread asks ``worker()`` for a function of its own and calls it slice by slice. Returns whether all calls did
    return a true value; the rest is left undone once one did not.
    """
    block = max(1, block)

    def share(start, stop):
        work = worker()
        return all(work(slice(at, min(at + block, stop))) for at in range(start, stop, block))

    workers = min(_cpu_count(), max(1, total // _VALUES_PER_THREAD))
    if workers == 1:
        return share(0, n)
    bounds = [n * i // workers for i in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        return all(pool.map(share, bounds[:-1], bounds[1:]))


def _nan_in(block):
    """Where a block holds NaN; None if nowhere."""
    return np.isnan(block) if block.size and np.isnan(block.min()) else None


def _first_nan(X):
    rows = max(1, BLOCK // X.shape[1])
    for start in range(0, len(X), rows):
        found = np.argwhere(np.isnan(X[start : start + rows]))
        if len(found):
            row, j = found[0].tolist()
            return start + row, j
    raise AssertionError("there is no NaN")


def _cpu_count():
    """Threads to use: as many as OMP_NUM_THREADS says, or as there are cores for this process."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_range(codes, n_levels):
    """Whether ``0 <= code[j] < n_levels[j]`` in every row.

    Parameters
    ----------
    codes : ndarray of int of shape (n, d)
    n_levels : ndarray of int64 of shape (d,)
    """
    if codes.dtype.kind != "u" or not codes.flags.c_contiguous:
        return not len(codes) or bool(((codes.min(axis=0) >= 0) & (codes.max(axis=0) < n_levels)).all())
    # Many rows at a time beside as many copies of the highest codes: far faster than a maximum per column.
    highest = np.minimum(n_levels - 1, min(2**16, np.iinfo(codes.dtype).max)).astype(codes.dtype)
    highest = np.tile(highest, max(1, min(_TILE, codes.size) // highest.size))
    whole = codes.size - codes.size % highest.size
    flat = codes.reshape(-1)
    below = flat[:whole].reshape(-1, highest.size)
    step = BLOCK // highest.size
    return all((below[at : at + step] <= highest).all() for at in range(0, len(below), step)) and bool(
        (flat[whole:] <= highest[: codes.size - whole]).all()
    )


def decode(codes, levels, offsets):
    """Levels of codes: float32 of shape (n, d).

    Parameters
    ----------
    codes : ndarray of int of shape (n, d)
        In range.
    levels : ndarray of float32, flat
    offsets : ndarray of int64 of shape (d,)
        Feature j owns the levels from ``offsets[j]`` on.
    """
    out = np.empty(codes.shape, dtype=np.float32)

    def look_up(rows):
        np.take(levels, codes[rows].astype(np.intp) + offsets, out=out[rows], mode="clip")
        return True

    for_blocks(lambda: look_up, len(codes), BLOCK // codes.shape[1], total=codes.size)
    return out


def thermometer(codes, columns):
    """Bits ``low < code[j] <= high`` for each row (j, low, high) of `columns`: uint8 of shape (n, n_columns)."""
    out = np.empty((codes.shape[0], len(columns)), dtype=np.uint8)
    features, first = np.unique(columns[:, 0], return_index=True)
    parts = []
    for j, (start, stop) in zip(features.tolist(), pairwise([*first.tolist(), len(columns)]), strict=True):
        _, low, high = columns[start:stop].T
        code = np.arange(high.max() + 1)[:, None]
        # The bits of every code, to be copied row by row; but a table pays only for more rows than it has.
        table = ((low < code) & (code <= high)).astype(np.uint8) if len(code) <= len(codes) else None
        parts.append((j, slice(start, stop), low, high, table))

    def look_up(rows):
        for j, own, low, high, table in parts:
            if table is not None:
                out[rows, own] = np.take(table, codes[rows, j], axis=0, mode="clip")
            else:
                code = codes[rows, j, None]
                out[rows, own] = (low < code) & (code <= high)
        return True

    for_blocks(lambda: look_up, len(out), BLOCK // max(1, out.shape[1]), total=out.size)
    return out
