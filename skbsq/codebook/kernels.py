"""Floats to codes, and codes to levels and bits: the hot loops of `Codebook`. Needs NumPy alone.

Every kernel counts the thresholds below a value, ``x > t`` in float32, so all of them give equal codes. They differ in
the tables for which they are fast, see `Encoder`.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise

import numpy as np

# Values per block: large enough that threads seldom wait for each other between two calls of NumPy, small enough for
# the cache. It also bounds the memory beyond input and output, for any number of rows.
BLOCK = 2**19
# Comparisons held in memory at once.
_MAX_COMPARISONS = 2**21
# Features per block when features are encoded one after the other: their floats fill one cache line.
_FEATURES_PER_BLOCK = 16
# Values that share one row of tiled thresholds when whole rows are compared.
_TILE = 2**13
# Up to this many thresholds, comparing with all of them is faster than searching.
_MAX_THRESHOLDS_COUNTED = 20
# Up to this many values, one search over all features is faster than a call per feature.
_MAX_VALUES_SEARCHED = 2**10
# From this many values on, a second thread is faster.
_VALUES_PER_THREAD = 2**20
# A grid has a cell for each combination of the upper 16 bits of a float32.
_GRID_CELLS = 2**16
_MAX_GRID_BYTES = 2**25

KERNELS = ("search", "rows", "columns", "grid")


def as_float32(X):
    """Cast to float32, the type of every comparison in the package.

    A value beyond the range of float32 becomes an infinity without a warning, because it lies outside every
    threshold anyway. NaN stays NaN, a signaling NaN too. If `X` is already float32, the result is `X` itself.

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
    """Encode floats with the fastest of several kernels.

    Parameters
    ----------
    thresholds : ndarray of float32, flat
        Strictly increasing within a feature.
    offsets : ndarray of int64 of shape (d + 1,)
        Feature j has the thresholds ``thresholds[offsets[j]:offsets[j + 1]]``.
    nan_codes : ndarray of int of shape (d,)
        Code of NaN per feature.
    refuses_nan : ndarray of bool of shape (d,)
        Features in which NaN is rejected.
    dtype : dtype
        Type of the codes.

    Notes
    -----
    The kernels:

    - "search": one binary search for all values of all features, for few rows.
    - "rows": every threshold is compared with whole rows at once, for few thresholds.
    - "columns": the same for one feature after the other.
    - "grid": a table of the codes at the ends of a fine grid, then a few halvings, for many thresholds.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.codebook.kernels import Encoder
    >>> encoder = Encoder(np.float32([0, 1, 5]), np.array([0, 2, 3]), np.zeros(2), np.ones(2, dtype=bool), np.uint8)
    >>> encoder.encode(np.array([[0.5, 5.0], [2.0, 6.0]]))
    (array([[1, 0],
           [2, 1]], dtype=uint8), None)
    """

    def __init__(self, thresholds, offsets, nan_codes, refuses_nan, dtype):
        self.thresholds = thresholds
        self.offsets = offsets
        self.sizes = np.diff(offsets)
        self.dtype = np.dtype(dtype)
        self.nan_codes = nan_codes.astype(self.dtype)
        self.refuses_nan = refuses_nan
        self._feature_encoders = {}

    def encode(self, X, kernel=None):
        """Encode floats: the code is the number of thresholds t with x > t, in float32.

        Parameters
        ----------
        X : ndarray of a real type, shape (n, d)
        kernel : str, default=None
            One of `KERNELS`. None: the fastest for the number of rows, their layout, and the thresholds per feature.

        Returns
        -------
        codes : ndarray of shape (n, d)
            Fortran-contiguous if X is and features are encoded one after the other, else C-contiguous.
        refused : tuple of int or None
            Row and feature of the first NaN that is rejected, or None.
        """
        n, d = X.shape
        if kernel is None and X.size <= _MAX_VALUES_SEARCHED:
            kernel = "search"
        if kernel == "search":
            codes, clean = self._search(as_float32(X))
            return codes, None if clean else _first_nan(X, self.refuses_nan)

        by_row = kernel == "rows"
        if kernel is None:
            by_row = X.flags.c_contiguous and d <= _TILE and self.sizes.max() <= _MAX_THRESHOLDS_COUNTED
        in_columns = X.flags.f_contiguous and not X.flags.c_contiguous and not by_row
        codes = np.empty((n, d), dtype=self.dtype, order="F" if in_columns else "C")
        features_at_once = d if by_row else 1 if in_columns else min(d, _FEATURES_PER_BLOCK)
        counted = np.clip(self.sizes.max(), 1, _MAX_THRESHOLDS_COUNTED)
        block = min(BLOCK, _MAX_COMPARISONS // counted) if by_row or in_columns else BLOCK
        encode_block = self._encode_rows if by_row else self._encode_features

        def worker():
            scratch = np.empty(max(min(_MAX_COMPARISONS, counted * X.size), d), dtype=bool)
            return lambda rows: encode_block(X[rows], codes[rows], kernel, scratch)

        clean = for_blocks(worker, n, block // features_at_once, total=X.size)
        return codes, None if clean else _first_nan(X, self.refuses_nan)

    # -- few rows ------------------------------------------------------------------------------------

    @cached_property
    def _keys(self):
        feature = np.repeat(np.arange(self.sizes.size, dtype=np.int64), self.sizes)
        return _keys(self.thresholds, feature)

    def _search(self, X):
        """Search for all values at once, among thresholds in the order of (feature, threshold)."""
        keys = _keys(X, np.arange(X.shape[1], dtype=np.int64))
        # side="left" counts the thresholds below x, which is the strict comparison x > t.
        codes = np.searchsorted(self._keys, keys, side="left") - self.offsets[:-1]
        nan = np.isnan(X)
        if nan.any():
            if (nan & self.refuses_nan).any():
                return codes, False
            np.copyto(codes, self.nan_codes, where=nan)
        return codes.astype(self.dtype), True

    # -- few thresholds ------------------------------------------------------------------------------

    @cached_property
    def _tiles(self):
        """Thresholds of whole rows. Row k repeats threshold k of every feature; infinity if a feature has no more."""
        d = self.sizes.size
        tile = np.full((d, max(1, self.sizes.max())), np.inf, dtype=np.float32)
        for row, (start, stop) in zip(tile, pairwise(self.offsets.tolist()), strict=True):
            row[: stop - start] = self.thresholds[start:stop]
        return np.tile(tile.T, (1, max(1, _TILE // d)))

    def _encode_rows(self, X, codes, kernel, scratch):
        X = np.ascontiguousarray(as_float32(X))
        nan = _nan_in(X)
        if nan is not None and (nan & self.refuses_nan).any():
            return False
        width = self._tiles.shape[1]
        whole = X.size - X.size % width
        x, out = X.reshape(-1), codes.reshape(-1)
        _count(x[:whole].reshape(-1, width), self._tiles[:, None], out[:whole].reshape(-1, width), scratch)
        _count(x[whole:], self._tiles[:, : X.size - whole], out[whole:], scratch)
        if nan is not None:
            np.copyto(codes, self.nan_codes, where=nan)
        return True

    # -- many thresholds, or columns in memory -------------------------------------------------------

    def _encode_features(self, X, codes, kernel, scratch):
        for first in range(0, X.shape[1], _FEATURES_PER_BLOCK):
            part = slice(first, first + _FEATURES_PER_BLOCK)
            columns, out = _contiguous_rows(as_float32(X[:, part]).T), codes[:, part].T
            nan = _nan_in(columns)
            if nan is not None and (nan & self.refuses_nan[part, None]).any():
                return False
            found = _contiguous_rows(out)
            for j, (x, code) in enumerate(zip(columns, found, strict=True), start=first):
                self._feature_encoder(j, kernel)(x, code, scratch)
            if nan is not None:
                np.copyto(found, self.nan_codes[part, None], where=nan)
            if found is not out:
                out[...] = found
        return True

    def _feature_encoder(self, j, kernel):
        """Return the function (x, out, scratch) that encodes a feature."""
        if (j, kernel) not in self._feature_encoders:
            t = self.thresholds[self.offsets[j] : self.offsets[j + 1]]
            if kernel == "columns" or (kernel is None and t.size <= _MAX_THRESHOLDS_COUNTED):
                self._feature_encoders[j, kernel] = lambda x, out, scratch: _count(x, t[:, None], out, scratch)
            else:
                n_grids = max(1, np.count_nonzero(self.sizes > _MAX_THRESHOLDS_COUNTED))
                grid = Grid(t, self.dtype, fine=n_grids * _GRID_CELLS * self.dtype.itemsize <= _MAX_GRID_BYTES)
                self._feature_encoders[j, kernel] = lambda x, out, scratch: grid.encode(x, out)
        return self._feature_encoders[j, kernel]


class Grid:
    """Encode one feature of many thresholds by a table lookup and a few halvings.

    The upper 16 bits of a float32 (sign, exponent, 7 bits of the fraction) divide the floats into cells, each an
    interval. The table holds for every cell how many thresholds lie below it. A binary search runs over the thresholds
    within the cell. The cells are finest around zero, so `x` is shifted first if that separates the thresholds better.
    Rounding does not matter: the shift keeps the order of x and t, or makes them equal so that they share a cell. The
    comparison itself uses the unshifted values.

    Parameters
    ----------
    thresholds : ndarray of float32, strictly increasing
    dtype : dtype
        Type of the codes.
    fine : bool, default=True
        False: one cell for all floats, so that only the binary search remains.

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
        # Padded, so that no halving reads beyond the end.
        self.padded = np.concatenate([thresholds, np.full(2**depth, np.inf, dtype=np.float32)])
        self.hops = [2**step for step in reversed(range(depth))]

    def encode(self, x, out):
        """Write the codes of `x`, which is float32 and contiguous, into `out`."""
        if self.table is None:
            out[:] = 0
        else:
            shifted = x if self.shift is None else _shifted(x, self.shift)
            np.take(self.table, shifted.view(np.uint32) >> 16, out=out, mode="clip")
        probe, above = np.empty_like(x), np.empty(x.shape, dtype=bool)
        for hop in self.hops:
            # If x lies above the threshold `hop` places on, it lies above all thresholds up to there.
            np.take(self.padded[hop - 1 :], out, out=probe, mode="clip")
            np.greater(x, probe, out=above)
            np.add(out, above if hop == 1 else above * out.dtype.type(hop), out=out)


def _table(thresholds, dtype):
    """Count the `thresholds` (increasing, possibly equal) below each cell, and the halvings needed within a cell."""
    bits = np.arange(_GRID_CELLS, dtype=np.uint32) << 16
    ends = np.stack([bits, bits | 0xFFFF]).view(np.float32)
    # The bits of a cell begin at its end towards zero, which is the lower end of positive floats only.
    low, high = np.where(bits >> 31, ends[::-1], ends)
    # A cell with NaN at one end has an infinity at the other.
    low, high = np.fmin(low, high), np.fmax(low, high)
    below = np.searchsorted(thresholds, low, side="left")
    # x > t may become equal by the shift, so a threshold at the upper end counts as within.
    within = (np.searchsorted(thresholds, high, side="right") - below)[~np.isnan(low)]
    return below.astype(dtype), int(within.max()).bit_length()


def _shifted(x, shift):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return x - shift


def _count(x, thresholds, out, scratch):
    """Count the thresholds, or rows of thresholds, below x: ``out = sum(x > t)``.

    It makes few calls on much memory, because threads wait for each other between calls.
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
    """Map (feature, x) to integers of the same order: int64 with the feature in the upper half."""
    with np.errstate(invalid="ignore"):  # a signaling NaN
        bits = (x + np.float32(0.0)).view(np.int32)  # -0.0 + 0.0 is 0.0
    # The bits of negative floats are in reverse order; inverting them gives the order of the integers.
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)) + (feature << 32)


def _contiguous_rows(block):
    """Return the block itself if each of its rows is contiguous in memory, else a copy."""
    return block if block.strides[1] == block.itemsize else np.ascontiguousarray(block)


def for_blocks(worker, n, block, *, total):
    """Process slices of at most `block` rows, in threads if there are enough values in `total`.

    Each thread calls ``worker()`` once for a function, and calls that function slice by slice. Returns whether all
    these calls returned a true value. After a false value the remaining slices are skipped.
    """
    block = max(1, block)

    def process(start, stop):
        work = worker()
        return all(work(slice(at, min(at + block, stop))) for at in range(start, stop, block))

    workers = min(_cpu_count(), max(1, total // _VALUES_PER_THREAD))
    if workers == 1:
        return process(0, n)
    bounds = [n * i // workers for i in range(workers + 1)]
    with ThreadPoolExecutor(workers) as pool:
        return all(pool.map(process, bounds[:-1], bounds[1:]))


def _nan_in(block):
    """Return a mask of the NaN in a block, or None if there are none."""
    return np.isnan(block) if block.size and np.isnan(block.min()) else None


def _first_nan(X, refused):
    """Return row and feature of the first NaN in the refused features of X."""
    rows = max(1, BLOCK // X.shape[1])
    starts = range(0, len(X), rows)
    found = ((start, np.argwhere(np.isnan(X[start : start + rows]) & refused)) for start in starts)
    start, places = next((start, places) for start, places in found if len(places))
    row, j = places[0].tolist()
    return start + row, j


def _cpu_count():
    """Return the number of threads to use: OMP_NUM_THREADS, or the cores that this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_range(codes, n_levels):
    """Check whether ``0 <= code[j] < n_levels[j]`` in every row of integer codes of shape (n, d)."""
    if codes.dtype.kind != "u" or not codes.flags.c_contiguous:
        return not len(codes) or bool(((codes.min(axis=0) >= 0) & (codes.max(axis=0) < n_levels)).all())
    # Many rows are compared at once with as many copies of the highest codes: far faster than a maximum per feature.
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
    """Look up the levels of codes: shape (n, d), of the type of the levels.

    Parameters
    ----------
    codes : ndarray of int of shape (n, d)
        In range.
    levels : ndarray, flat
    offsets : ndarray of int64 of shape (d,)
        The levels of feature j start at ``offsets[j]``.
    """
    out = np.empty(codes.shape, dtype=levels.dtype)

    def look_up(rows):
        np.take(levels, codes[rows].astype(np.intp) + offsets, out=out[rows], mode="clip")
        return True

    for_blocks(lambda: look_up, len(codes), BLOCK // codes.shape[1], total=codes.size)
    return out


def thermometer(codes, columns):
    """Compute the bit ``low < code[j] <= high`` for each row (j, low, high) of `columns`: uint8, (n, n_columns)."""
    out = np.empty((codes.shape[0], len(columns)), dtype=np.uint8)
    features, first = np.unique(columns[:, 0], return_index=True)
    parts = []
    for j, (start, stop) in zip(features.tolist(), pairwise([*first.tolist(), len(columns)]), strict=True):
        _, low, high = columns[start:stop].T
        code = np.arange(high.max() + 1)[:, None]
        # The bits of every code, to be copied row by row. A table is faster only if there are more rows than codes.
        table = ((low < code) & (code <= high)).astype(np.uint8) if len(code) <= len(codes) else None
        parts.append((j, slice(start, stop), low, high, table))

    def look_up(rows):
        for j, where, low, high, table in parts:
            if table is not None:
                out[rows, where] = np.take(table, codes[rows, j], axis=0, mode="clip")
            else:
                code = codes[rows, j, None]
                out[rows, where] = (low < code) & (code <= high)
        return True

    for_blocks(lambda: look_up, len(out), BLOCK // max(1, out.shape[1]), total=out.size)
    return out
