"""The values of one feature that come in chunks, in memory that does not grow with the rows.

A t-digest of Apache DataSketches keeps them. The error of the KLL and REQ sketches there has a proven bound, and that
of a t-digest has none. But they draw random bits that nobody can seed: the same rows would give another codebook in
every run. A t-digest depends on the rows and their order alone. It also keeps sums, and single values far out, which
levels want. `benchmarks.speed.chunks` measures its error beside that of KLL.
"""

import struct

import numpy as np

from skbsq.thresholds.features import rows_in_order, run_starts

# A t-digest counts whole rows: a row of weight 3 is three of them. Other weights go by their binary digits, one digest
# for each power of two. Of these so many count, which is as if a weight were off by up to a thousandth.
_MAX_REPEATS = 16
_WEIGHT_BITS = 10
# The serialized form of DataSketches, the same in all its languages: a header, the extremes, and pairs.
_HEADER = struct.Struct("<BBBHBH")
_SERIAL_VERSION, _FAMILY = 1, 20
_PARTS = 4
_CENTROID = np.dtype([("mean", "<f8"), ("weight", "<u8")])
MIN_SIZE, MAX_SIZE = 10, 2**16 - 1


class Sketch:
    """Weighted values of a feature: exact up to a number of distinct ones, a t-digest of the others.

    Where there are more, the most frequent ones keep places of their own: a value that many rows share is exact from
    the chunk on in which it stands out.

    Parameters
    ----------
    size : int
        Distinct values that are kept exactly, and the size (k) of the digest of the others.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.sketch import Sketch
    >>> sketch = Sketch(100)
    >>> sketch.update(np.float32([3, 1, 3]), np.ones(3))
    >>> sketch.update(np.float32([1]), np.ones(1))
    >>> sketch.cells
    (array([1., 3.], dtype=float32), array([2., 2.]))
    """

    def __init__(self, size):
        self.size = size
        self.values = np.empty(0, dtype=np.float32)
        self.mass = np.empty(0)
        # By exponent, whose rows weigh 2^exponent: digests, as objects or as bytes that were not needed so far, and
        # sorted values that wait to go into them. A digest takes many values in the time that it takes one.
        self.digests = {}
        self.waiting = {}

    @property
    def cells(self):
        """Values, strictly increasing, and the weight on each: (float32, float64) arrays."""
        if not self.digests and not self.waiting:
            return self.values, self.mass
        values, mass = [self.values], [self.mass]
        for exponent in self.digests:
            spread, shares = _spread(*_centroids(_bytes_of(self.digests[exponent]).tobytes()))
            values.append(spread.astype(np.float32) + np.float32(0))
            mass.append(np.ldexp(shares, exponent))
        for exponent, waiting in self.waiting.items():
            values.append(waiting)
            mass.append(np.full(waiting.size, np.ldexp(1.0, exponent)))
        return _merged(np.concatenate(values), np.concatenate(mass))

    def update(self, x, weights):
        """Take rows in.

        Parameters
        ----------
        x : ndarray of float32 of shape (n,)
            No NaN.
        weights : ndarray of float64 of shape (n,)
            Positive.
        """
        if x.size == 0:
            return
        x = x + np.float32(0)  # -0.0 + 0.0 is 0.0
        if (weights == weights[0]).all():
            x = np.sort(x)  # several times faster than to sort rows
        else:
            rows = rows_in_order(x)
            x, weights = x[rows], weights[rows]
        starts = run_starts(x)
        place, new = self._place(x[starts])
        mass = np.add.reduceat(weights, starts)
        if not new.all():
            self.mass = self.mass + np.bincount(place[~new], mass[~new], minlength=self.mass.size)
        elif self.values.size == self.size and mass.max() <= self.mass.min():
            self._digest(x, weights)  # none gets a place: as below, without sorting
            return
        left = new.copy()
        left[new] = self._keep(x[starts[new]], mass[new])
        if left.any():
            rows = np.repeat(left, np.diff(starts, append=x.size))
            self._digest(x[rows], weights[rows])

    def merge(self, other):
        """Take in what another sketch of the same size has seen.

        Parameters
        ----------
        other : Sketch
            Not changed.
        """
        values, mass = _merged(np.append(self.values, other.values), np.append(self.mass, other.mass))
        self.values, self.mass = np.empty(0, dtype=np.float32), np.empty(0)
        left = self._keep(values, mass)
        for exponent in other.digests:
            self._digest_of(exponent).merge(other._digest_of(exponent))
        for exponent, waiting in other.waiting.items():
            self._take(waiting, exponent)
        if left.any():
            self._digest(values[left], mass[left])

    def state(self):
        """All of it as a dict of arrays and plain values."""
        digests = {exponent: _bytes_of(digest) for exponent, digest in sorted(self.digests.items())}
        waiting = dict(sorted(self.waiting.items()))
        return {"values": self.values, "mass": self.mass, "digests": digests, "waiting": waiting}

    @classmethod
    def from_state(cls, size, state, *, own=False):
        """The sketch that `state` wrote down.

        Parameters
        ----------
        size : int
        state : dict
        own : bool, default=False
            This process wrote it: digests are not checked.

        Returns
        -------
        Sketch

        Raises
        ------
        ValueError
            For bytes that are no digest.
        """
        sketch = cls(size)
        sketch.values, sketch.mass = state["values"], state["mass"]
        sketch.digests = dict(state["digests"])
        sketch.waiting = dict(state.get("waiting", {}))  # files of before have none
        if not own:
            for data in sketch.digests.values():
                _read_digest(data.tobytes(), size)
        return sketch

    def _place(self, values):
        """Where each value is kept, and which ones are not."""
        if not self.values.size:
            return np.zeros(values.size, dtype=np.intp), np.ones(values.size, dtype=bool)
        place = np.minimum(np.searchsorted(self.values, values), self.values.size - 1)
        return place, self.values[place] != values

    def _keep(self, values, mass):
        """Give places to the heaviest of all values, those new ones included; tells which of these got none."""
        n_known = self.values.size
        values, mass = np.append(self.values, values), np.append(self.mass, mass)
        left = np.zeros(values.size, dtype=bool)
        if values.size > self.size:
            # Of values of equal weight those stay that are there.
            left[np.argsort(-mass, kind="stable")[self.size :]] = True
            gone = left[:n_known]
            if gone.any():
                self._digest(values[:n_known][gone], mass[:n_known][gone])
        self.values, self.mass = _merged(values[~left], mass[~left])
        return left[n_known:]

    def _digest(self, x, weights):
        if (weights == 1).all():
            self._take(x, 0)
            return
        repeats = np.where((weights <= _MAX_REPEATS) & (weights == np.rint(weights)), weights, 1).astype(np.int64)
        x, weights = np.repeat(x, repeats), np.repeat(weights / repeats, repeats)
        mantissa, exponent = np.frexp(weights)
        digits = np.rint(np.ldexp(mantissa, _WEIGHT_BITS)).astype(np.int64)
        used = int(np.bitwise_or.reduce(digits))
        for bit in (bit for bit in range(_WEIGHT_BITS + 1) if used >> bit & 1):
            counts = (digits >> bit & 1).astype(bool)
            powers = exponent[counts] + (bit - _WEIGHT_BITS)
            for power in np.unique(powers):
                self._take(x[counts][powers == power], int(power))

    def _take(self, x, exponent):
        """Take in rows of weight 2^exponent: into the digest, once there are many."""
        x = np.append(self.waiting.pop(exponent, np.empty(0, dtype=np.float32)), x)
        if x.size < self.size:
            self.waiting[exponent] = np.sort(x)
        else:
            self._digest_of(exponent).update(x.astype(np.float64))

    def _digest_of(self, exponent):
        digest = self.digests.get(exponent)
        if digest is None:
            digest = load_datasketches().tdigest_double(self.size)
        elif isinstance(digest, np.ndarray):
            digest = load_datasketches().tdigest_double.deserialize(digest.tobytes())
        self.digests[exponent] = digest
        return digest


def _bytes_of(digest):
    """A digest as an array of bytes."""
    if isinstance(digest, np.ndarray):
        return digest
    return np.frombuffer(digest.serialize(), dtype=np.uint8).copy()


def load_datasketches():
    """The module, which is an optional part of an installation."""
    try:
        import datasketches
    except ImportError as error:
        raise ImportError("Fitting on chunks needs datasketches: pip install 'skbsq[sketch]'.") from error
    return datasketches


def _merged(values, mass):
    order = np.argsort(values, kind="stable")
    values, mass = values[order], mass[order]
    starts = run_starts(values)
    return values[starts], np.add.reduceat(mass, starts) if starts.size else mass


def _spread(means, weights):
    """Values in the place of the rows of each centroid, and their weights: with the same sum.

    A centroid stands for rows that reach half way to its neighbours. As one value it would make thresholds jump.
    """
    weights = weights.astype(np.float64)
    stop = np.cumsum(weights)
    within = (np.arange(_PARTS) + 0.5) / _PARTS
    ranks = (stop - weights)[:, None] + weights[:, None] * within
    values = np.interp(ranks, stop - weights / 2, means)
    values += (means - values.mean(axis=1))[:, None]
    lone = weights == 1
    values[lone] = means[lone, None]
    return np.clip(values, means[0], means[-1]).ravel(), np.repeat(weights / _PARTS, _PARTS)


def _centroids(data):
    """Means, ascending, and weights that a serialized digest holds, its rows in no buffer."""
    header, version, family, *_ = _HEADER.unpack_from(data)
    if (version, family) != (_SERIAL_VERSION, _FAMILY) or header not in (1, 2):
        raise ValueError(f"No t-digest of version {_SERIAL_VERSION}: it begins with {data[:8].hex()}.")
    if header == 1:  # one row, or none
        means = np.frombuffer(data, dtype="<f8", offset=8)
        return means, np.ones(means.size, dtype=np.uint64)
    n, buffered = struct.unpack_from("<II", data, 8)
    if buffered or len(data) != 32 + n * _CENTROID.itemsize:
        raise ValueError(f"A t-digest of {n} centroids does not take {len(data)} bytes.")
    pairs = np.frombuffer(data, dtype=_CENTROID, offset=32)
    return pairs["mean"], pairs["weight"]


def _read_digest(data, size):
    try:
        means, weights = _centroids(data)
        digest = load_datasketches().tdigest_double.deserialize(data)
    except (IndexError, ValueError, struct.error) as error:
        raise ValueError(f"The bytes of a sketch are no t-digest: {error}") from None
    limit = float(np.finfo(np.float32).max)
    ends = digest.get_min_value(), digest.get_max_value()
    sound = means.size > 0 and digest.k == size and -limit <= ends[0] <= means[0] <= means[-1] <= ends[1] <= limit
    if not sound or not (means[1:] >= means[:-1]).all() or not (weights > 0).all():
        raise ValueError("The t-digest of a sketch is not sound.")
    return digest
