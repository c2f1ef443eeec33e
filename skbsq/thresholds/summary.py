"""What fits need to know of rows that come in chunks, and of rows that others have seen."""

from dataclasses import dataclass

import numpy as np

from skbsq.codebook.codebook import Codebook
from skbsq.thresholds.features import Feature, features_of, joined_sums, sums_of_columns
from skbsq.thresholds.filling import level_means
from skbsq.thresholds.sketch import Sketch, load_datasketches

DEFAULT_SIZE = 2048
# Up to so many values of a chunk, the sums of all features are taken at once: less work for a few rows.
_FEW_VALUES = 2**16


@dataclass(frozen=True)
class SummarizedFeature(Feature):
    """A feature whose values stand for rows that are gone, and whose moments are those of the rows."""

    true_sums: tuple = (0.0, 0.0, 0.0)

    @property
    def sums(self):
        return self.true_sums


class Summary:
    """Extremes, moments and missing values of features, exact, and a sketch of their values.

    Parameters
    ----------
    d : int
        Features.
    size : int or None
        Of a feature's sketch, see `skbsq.thresholds.sketch.Sketch`; None keeps none.

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
            load_datasketches()  # rather now than in the middle of the rows
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
        """Which features hold one value, or none: bool array of shape (d,)."""
        return (self.low == self.high) | np.isnan(self.low)

    def add(self, X, weights):
        """Take rows in.

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
        n_missing, sums = np.isnan(X).sum(axis=0), None
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
        """Take in what another summary of the same features and size has seen.

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
        for sketch, more in zip(self.sketches or (), other.sketches or (), strict=True):
            sketch.merge(more)

    def features(self):
        """Yield for each feature the values of its sketch, or its extremes where there is none."""
        for j, sums in enumerate(zip(*self.sums, strict=True)):
            if self.sketches is not None:
                values, mass = self.sketches[j].cells
                if values.size > 1 and (values[0], values[-1]) != (self.low[j], self.high[j]):
                    # A digest may take an extreme together with its neighbours.
                    values = np.concatenate([self.low[j : j + 1], values[1:-1], self.high[j : j + 1]])
                yield SummarizedFeature(values, mass, true_sums=sums)
            else:
                ends = np.array([self.low[j], self.high[j]])
                ends = np.unique(ends[~np.isnan(ends)])
                yield SummarizedFeature(ends, np.ones(ends.size), true_sums=sums)

    def codebook(self, thresholds, *, missing, has_missing, levels, names):
        """The codebook of given thresholds, with levels and counts as far as they are known.

        Parameters
        ----------
        thresholds, missing, has_missing, levels, names
            See `skbsq.thresholds.filling.build_codebook`.

        Returns
        -------
        Codebook
            Without counts where the rows have weights, or there is no sketch.
        """
        given = {"missing": missing, "has_missing": has_missing, "feature_names": names}
        cuts = Codebook.from_thresholds(thresholds, **given).thresholds
        all_levels, all_counts = [], []
        for j, (feature, t) in enumerate(zip(self.features(), cuts, strict=True)):
            if t.size == 0:  # known without a sketch
                weight, mean, _ = feature.sums
                mass, total = np.array([weight]), np.array([weight * mean])
            else:
                code = np.searchsorted(t, feature.x)
                mass = np.bincount(code, weights=feature.weights, minlength=t.size + 1)
                total = np.bincount(code, weights=feature.weights * feature.x, minlength=t.size + 1)
            all_levels.append(level_means(t, self.low[j], self.high[j], mass, total, mean=levels == "mean"))
            counts = np.diff(np.rint(np.cumsum(mass)).astype(np.int64), prepend=0)  # whole rows, and none is lost
            if has_missing[j]:
                counts = np.append(counts, self.n_missing[j])
            else:
                counts[0] += self.n_missing[j]  # a feature that is not sent
            all_counts.append(counts)
        known = self.weights_are_ones and self.sketches is not None
        return Codebook.from_thresholds(cuts, levels=all_levels, counts=all_counts if known else None, **given)

    def state(self):
        """All of it as a dict of arrays and plain values."""
        return {
            "size": self.size,
            "n_rows": self.n_rows,
            "weights_are_ones": self.weights_are_ones,
            "low": self.low,
            "high": self.high,
            "n_missing": self.n_missing,
            "sums": self.sums,
            "sketches": None if self.sketches is None else [sketch.state() for sketch in self.sketches],
        }

    @classmethod
    def from_state(cls, state, *, own=False):
        """The summary that `state` wrote down; its arrays are not written to.

        Parameters
        ----------
        state : dict
        own : bool, default=False
            This process wrote it, so that its digests need no check.

        Returns
        -------
        Summary
        """
        summary = cls(state["low"].size, None)
        vars(summary).update({name: value for name, value in state.items() if name != "sketches"})
        if state["sketches"] is not None:
            summary.sketches = [Sketch.from_state(summary.size, part, own=own) for part in state["sketches"]]
        return summary
