"""Summarize the values of one feature that come in chunks, in memory that does not grow with the rows.

The sketch is a t-digest of Apache DataSketches. The error of the KLL and REQ sketches of that library has a proven
bound, and the error of a t-digest has none. But those draw random bits that cannot be seeded: the same rows would give
another codebook in every run. A t-digest depends on the rows and their order alone. It also keeps sums, and single
values far out, which levels need. `benchmarks.speed.chunks` measures its error beside that of KLL.
"""

import struct

import numpy as np

from skbsq.thresholds.features import rows_in_order, run_starts, weighted_unique

# A t-digest counts whole rows. Integer weights up to this one are counted by repeating the row.
_MAX_REPEATS = 16
# Other weights are split by their binary digits, with one digest for each power of two. Rounding a weight to so many
# digits changes it by a thousandth at most.
_WEIGHT_BITS = 10
# The serialized form of DataSketches, the same in all its languages: a header, the extremes, and pairs.
_HEADER = struct.Struct("<BBBHBH")
_SERIAL_VERSION, _FAMILY = 1, 20
_CENTROID = np.dtype([("mean", "<f8"), ("weight", "<u8")])
# Values that stand for the rows of one centroid.
_PARTS = 4
MIN_SIZE, MAX_SIZE = 10, 2**16 - 1


class Sketch:
    """Weighted unique values of a feature: exact up to a number of values, a t-digest of the others.

    If there are more values, the most frequent ones stay exact: a value that many rows share is exact from the chunk
    on in which it stands out.

    Parameters
    ----------
    size : int
        Number of unique values that are kept exactly, and the size (k) of the digest of the others.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.sketch import Sketch
    >>> sketch = Sketch(100)
    >>> sketch.update(np.float32([3, 1, 3]), np.ones(3))
    >>> sketch.update(np.float32([1]), np.ones(1))
    >>> sketch.weighted_unique
    (array([1., 3.], dtype=float32), array([2., 2.]))
    """

    def __init__(self, size):
        self.size = size
        self.values = np.empty(0, dtype=np.float32)
        self.weights = np.empty(0)
        # Both dicts go by exponent: their rows weigh 2^exponent. A digest is an object, or bytes that were not needed
        # so far. Sorted values wait for their digest, because a digest takes many values in the time of a single one.
        self.digests = {}
        self.waiting = {}

    @property
    def weighted_unique(self):
        """Values, strictly increasing, and the weight of each: (float32, float64) arrays."""
        if not self.digests and not self.waiting:
            return self.values, self.weights
        values, weights = [self.values], [self.weights]
        for exponent, digest in self.digests.items():
            spread, shares = _spread(*_centroids(_bytes_of(digest).tobytes()))
            values.append(spread.astype(np.float32) + np.float32(0))
            weights.append(np.ldexp(shares, exponent))
        for exponent, waiting in self.waiting.items():
            values.append(waiting)
            weights.append(np.full(waiting.size, np.ldexp(1.0, exponent)))
        return weighted_unique(np.concatenate(values), np.concatenate(weights))

    def update(self, x, weights):
        """Add rows.

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
            x = np.sort(x)  # several times faster than sorting rows
        else:
            rows = rows_in_order(x)
            x, weights = x[rows], weights[rows]
        starts = run_starts(x)
        place = np.searchsorted(self.values, x[starts])
        new = np.append(self.values, np.nan)[place] != x[starts]
        added = np.add.reduceat(weights, starts)
        if not new.all():
            self.weights = self.weights + np.bincount(place[~new], added[~new], minlength=self.weights.size)
        elif self.values.size == self.size and added.max() <= self.weights.min():
            self._digest(x, weights)  # all are left over, as below, but found without sorting
            return
        left = new.copy()
        left[new] = self._keep(x[starts[new]], added[new])
        if left.any():
            rows = np.repeat(left, np.diff(starts, append=x.size))
            self._digest(x[rows], weights[rows])

    def merge(self, other):
        """Add the rows that another sketch of the same size has seen.

        Parameters
        ----------
        other : Sketch
            Not changed.
        """
        values, weights = weighted_unique(np.append(self.values, other.values), np.append(self.weights, other.weights))
        self.values, self.weights = np.empty(0, dtype=np.float32), np.empty(0)
        left = self._keep(values, weights)
        for exponent in other.digests:
            self._digest_of(exponent).merge(other._digest_of(exponent))
        for exponent, waiting in other.waiting.items():
            self._take(waiting, exponent)
        if left.any():
            self._digest(values[left], weights[left])

    def state(self):
        """Return the whole sketch as a dict of arrays and plain values."""
        digests = {exponent: _bytes_of(digest) for exponent, digest in sorted(self.digests.items())}
        waiting = dict(sorted(self.waiting.items()))
        return {"values": self.values, "mass": self.weights, "digests": digests, "waiting": waiting}

    @classmethod
    def from_state(cls, size, state, *, trusted=False):
        """Restore the sketch that `state` describes.

        Parameters
        ----------
        size : int
        state : dict
        trusted : bool, default=False
            Whether this process made the state, so that its digests need no check.

        Returns
        -------
        Sketch

        Raises
        ------
        ValueError
            For bytes that are no digest.
        """
        sketch = cls(size)
        sketch.values, sketch.weights = state["values"], state["mass"]
        sketch.digests = dict(state["digests"])
        sketch.waiting = dict(state.get("waiting", {}))  # files of earlier versions have none
        if not trusted:
            for data in sketch.digests.values():
                _check_digest(data.tobytes(), size)
        return sketch

    def _keep(self, values, weights):
        """Keep the heaviest of the kept and the new values, and return which of the new values are left over."""
        n_known = self.values.size
        values, weights = np.append(self.values, values), np.append(self.weights, weights)
        left = np.zeros(values.size, dtype=bool)
        if values.size > self.size:
            # The sort is stable: among equal weights, kept values stay.
            left[np.argsort(-weights, kind="stable")[self.size :]] = True
            dropped = left[:n_known]
            if dropped.any():
                self._digest(values[:n_known][dropped], weights[:n_known][dropped])
        self.values, self.weights = weighted_unique(values[~left], weights[~left])
        return left[n_known:]

    def _digest(self, x, weights):
        """Add rows to digests, each digest for rows of one power of two."""
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
        """Add rows of weight 2^exponent to the values that wait; to the digest, once there are many."""
        x = np.append(self.waiting.pop(exponent, np.empty(0, dtype=np.float32)), x)
        if x.size < self.size:
            self.waiting[exponent] = np.sort(x)
        else:
            self._digest_of(exponent).update(x.astype(np.float64))

    def _digest_of(self, exponent):
        """Return the digest of an exponent as an object, new if there is none."""
        digest = self.digests.get(exponent)
        if digest is None:
            digest = load_datasketches().tdigest_double(self.size)
        elif isinstance(digest, np.ndarray):
            digest = load_datasketches().tdigest_double.deserialize(digest.tobytes())
        self.digests[exponent] = digest
        return digest


def _bytes_of(digest):
    """Return a digest as an array of bytes."""
    if isinstance(digest, np.ndarray):
        return digest
    return np.frombuffer(digest.serialize(), dtype=np.uint8).copy()


def load_datasketches():
    """Import datasketches, which is an optional part of an installation.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra to install.
    """
    try:
        import datasketches
    except ImportError as error:
        raise ImportError("Fitting on chunks needs datasketches: pip install 'skbsq[sketch]'.") from error
    return datasketches


def _spread(means, weights):
    """Replace each centroid by several values with the same weighted sum.

    A centroid stands for rows that reach halfway to its neighbours. As a single value it would make thresholds jump.
    """
    weights = weights.astype(np.float64)
    stop = np.cumsum(weights)
    within = (np.arange(_PARTS) + 0.5) / _PARTS
    ranks = (stop - weights)[:, None] + weights[:, None] * within
    values = np.interp(ranks, stop - weights / 2, means)
    values += (means - values.mean(axis=1))[:, None]
    single = weights == 1
    values[single] = means[single, None]
    return np.clip(values, means[0], means[-1]).ravel(), np.repeat(weights / _PARTS, _PARTS)


def _centroids(data):
    """Read means, ascending, and weights from a serialized digest that has no rows in its buffer."""
    header, version, family, *_ = _HEADER.unpack_from(data)
    if (version, family) != (_SERIAL_VERSION, _FAMILY) or header not in (1, 2):
        raise ValueError(f"No t-digest of version {_SERIAL_VERSION}: it begins with {data[:8].hex()}.")
    if header == 1:  # at most one row
        means = np.frombuffer(data, dtype="<f8", offset=8)
        return means, np.ones(means.size, dtype=np.uint64)
    n, buffered = struct.unpack_from("<II", data, 8)
    if buffered or len(data) != 32 + n * _CENTROID.itemsize:
        raise ValueError(f"A t-digest of {n} centroids does not take {len(data)} bytes.")
    pairs = np.frombuffer(data, dtype=_CENTROID, offset=32)
    return pairs["mean"], pairs["weight"]


def _check_digest(data, size):
    """Reject bytes that are no t-digest of finite float32 values."""
    try:
        means, weights = _centroids(data)
        digest = load_datasketches().tdigest_double.deserialize(data)
    except (IndexError, ValueError, struct.error) as error:
        raise ValueError(f"The bytes of a sketch are no t-digest: {error}") from None
    limit = float(np.finfo(np.float32).max)
    low, high = digest.get_min_value(), digest.get_max_value()
    sound = means.size > 0 and digest.k == size and -limit <= low <= means[0] <= means[-1] <= high <= limit
    if not sound or not (means[1:] >= means[:-1]).all() or not (weights > 0).all():
        raise ValueError("The t-digest of a sketch is not sound.")
