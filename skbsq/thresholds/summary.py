"""Summarize rows that come in chunks, or that another estimator has seen, as far as fits need to know them."""

from dataclasses import dataclass

import numpy as np

from skbsq.thresholds.features import Feature, features_of, joined_sums, sums_of_columns
from skbsq.thresholds.filling import CodebookBuilder
from skbsq.thresholds.sketch import Sketch, load_datasketches

DEFAULT_SIZE = 2048
# Up to this many values in a chunk, the sums of all features are computed at once, which is faster for a few rows.
_FEW_VALUES = 2**16


@dataclass(frozen=True)
class SummarizedFeature(Feature):
    """A feature whose values stand for rows no longer in memory, and whose moments are those of the rows."""

    true_sums: tuple = (0.0, 0.0, 0.0)

    @property
    def sums(self):
        return self.true_sums


class Summary:
    """Extremes, moments and missing values of features, exact, and a sketch of their values.

    Parameters
    ----------
    d : int
        Number of features.
    size : int or None
        Size of each feature's `skbsq.thresholds.sketch.Sketch`; None keeps no sketches.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.thresholds.summary import Summary
    >>> summary = Summary(1, size=100)
    >>> for X in np.float32([[[1], [2]], [[np.nan], [9]]]):
    ...     summary.add(X, np.ones(2))
    >>> summary.low, summary.high, summary.n_missing
    (array([1.], dtype=float32), array([9.], dtype=float32), array([1]))
    >>> [feature.sums[1] for feature in summary.features()]
    [np.float64(4.0)]
    """

    def __init__(self, d, size):
        if size is not None:
            load_datasketches()  # fails now rather than in the middle of the rows
        self.size = size
        self.n_rows = 0
        self.weights_are_ones = True
        self.low = np.full(d, np.nan, dtype=np.float32)
        self.high = np.full(d, np.nan, dtype=np.float32)
        self.n_missing = np.zeros(d, dtype=np.int64)
        self.sums = np.zeros((3, d))  # see `Feature.sums`
        self.sketches = None if size is None else [Sketch(size) for _ in range(d)]

    @property
    def d(self):
        return self.low.size

    @property
    def constant(self):
        """Which features have at most one unique value: bool array of shape (d,)."""
        return (self.low == self.high) | np.isnan(self.low)

    def add(self, X, weights):
        """Add rows.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
            At least one row.
        weights : ndarray of float64 of shape (n,)
            Positive.
        """
        self.n_rows += len(X)
        self.weights_are_ones &= bool((weights == 1).all())
        self.low = np.fmin(self.low, np.fmin.reduce(X) + np.float32(0))
        self.high = np.fmax(self.high, np.fmax.reduce(X) + np.float32(0))
        n_missing = np.isnan(X).sum(axis=0)
        if X.size <= _FEW_VALUES and not n_missing.any():
            columns = np.ascontiguousarray(X.T)
            sums = sums_of_columns(columns, weights)
            for sketch, column in zip(self.sketches or (), columns, strict=self.sketches is not None):
                sketch.update(column, weights)
        else:
            sums = np.zeros_like(self.sums)
            for j, feature in enumerate(features_of(X, weights)):
                sums[:, j] = feature.sums
                if self.sketches is not None:
                    self.sketches[j].update(feature.x, feature.weights)
        self.n_missing = self.n_missing + n_missing
        self.sums = np.array(joined_sums(self.sums, sums))

    def merge(self, other):
        """Add the rows that another summary of the same features and size has seen.

        Parameters
        ----------
        other : Summary
            Not changed.
        """
        self.n_rows += other.n_rows
        self.weights_are_ones &= other.weights_are_ones
        self.low, self.high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        self.n_missing = self.n_missing + other.n_missing
        self.sums = np.array(joined_sums(self.sums, other.sums))
        for sketch, other_sketch in zip(self.sketches or (), other.sketches or (), strict=True):
            sketch.merge(other_sketch)

    def features(self):
        """Yield each feature with the values of its sketch, or with its extremes if there is no sketch."""
        for j, sums in enumerate(zip(*self.sums, strict=True)):
            if self.sketches is None:
                extremes = np.array([self.low[j], self.high[j]])
                values = np.unique(extremes[~np.isnan(extremes)])
                weights = np.ones(values.size)
            else:
                values, weights = self.sketches[j].weighted_unique
                if values.size > 1 and (values[0], values[-1]) != (self.low[j], self.high[j]):
                    # A digest may merge an extreme with its neighbours.
                    values = np.concatenate([self.low[j : j + 1], values[1:-1], self.high[j : j + 1]])
            yield SummarizedFeature(values, weights, true_sums=sums)

    @property
    def nan_seen(self):
        """Which features have a NaN: bool array of shape (d,)."""
        return self.n_missing > 0

    def codebook(self, thresholds, *, levels, **options):
        """Build the codebook of given thresholds, with levels and counts as far as they are known.

        Parameters
        ----------
        thresholds : list of d 1-d arrays
        levels : {"mean", "midpoint"}
            See `skbsq.thresholds.filling.CodebookBuilder.codebook`.
        **options
            has_missing, has_guard and names: see `skbsq.thresholds.filling.CodebookBuilder`.

        Returns
        -------
        Codebook
            Without counts if the rows have weights, or if there is no sketch.
        """
        builder = CodebookBuilder(thresholds, **options)
        builder.low, builder.high = self.low, self.high
        for j, (feature, t) in enumerate(zip(self.features(), builder.book.thresholds, strict=True)):
            if t.size == 0:  # known without a sketch
                weight, mean, _ = feature.sums
                builder.weights[j], builder.sums[j] = np.array([weight]), np.array([weight * mean])
            else:
                code = np.searchsorted(t, feature.x)
                builder.weights[j] = np.bincount(code, weights=feature.weights, minlength=t.size + 1)
                builder.sums[j] = np.bincount(code, weights=feature.weights * feature.x, minlength=t.size + 1)
            # Rounding the running sum gives whole rows and loses none.
            counts = np.diff(np.rint(np.cumsum(builder.weights[j])).astype(np.int64), prepend=0)
            # Missing rows have the last code: the missing code, or code 0 of a feature that is not sent.
            builder.counts[j][: counts.size] = counts
            builder.counts[j][-1] += self.n_missing[j]
        if not self.weights_are_ones or self.sketches is None:
            builder.counts = None
        return builder.codebook(levels)

    def state(self):
        """Return the whole summary as a dict of arrays and plain values."""
        sketches = None if self.sketches is None else [sketch.state() for sketch in self.sketches]
        return {**vars(self), "sketches": sketches}

    @classmethod
    def from_state(cls, state, *, trusted=False):
        """Restore the summary that `state` describes, without ever writing to its arrays.

        Parameters
        ----------
        state : dict
        trusted : bool, default=False
            Whether this process made the state, so that its digests need no check.

        Returns
        -------
        Summary
        """
        summary = cls(state["low"].size, None)
        vars(summary).update(state)
        if state["sketches"] is not None:
            summary.sketches = [Sketch.from_state(summary.size, one, trusted=trusted) for one in state["sketches"]]
        return summary
