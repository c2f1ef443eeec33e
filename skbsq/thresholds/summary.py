"""Summarize rows that come in chunks, or that another estimator has seen, as far as fits need to know them."""

import copy
from dataclasses import dataclass

import numpy as np

from skbsq.codebook.labels import label
from skbsq.thresholds.categories import weight_at
from skbsq.thresholds.features import Feature, features_of, joined_sums, sums_of_columns, weighted_unique
from skbsq.thresholds.filling import CodebookBuilder
from skbsq.thresholds.sketch import Sketch, load_datasketches
from skbsq.thresholds.special import Special, without_special

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

    Rows hold places of categories in a categorical feature. Their weights are exact.

    Parameters
    ----------
    d : int
        Number of features.
    size : int or None
        Size of each feature's `skbsq.thresholds.sketch.Sketch`; None keeps no sketches.
    categorical : iterable of int, default=()
        Categorical features.
    special : dict int -> ndarray of float32, default=None
        Special values by feature. Only their weight is kept, exactly: extremes, moments and sketches are those of the
        other values.

    Attributes
    ----------
    categories : dict int -> list
        By categorical feature, the category of each place, see `note`.
    category_weights : dict int -> ndarray of float64
        Weight of the rows of each category.

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

    def __init__(self, d, size, categorical=(), special=None):
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
        self.categories = {j: [] for j in categorical}
        self.category_weights = {j: np.zeros(0) for j in categorical}
        self.special_values = special or {}
        self.special_weights = {j: np.zeros(values.size) for j, values in self.special_values.items()}
        # Features whose values are known exactly, see `with_floats`: values and weights.
        self.floats = {}

    @property
    def d(self):
        return self.low.size

    @property
    def constant(self):
        """Which features have at most one unique value beside special values: bool array of shape (d,)."""
        constant = (self.low == self.high) | np.isnan(self.low)
        for j, weight in self.category_weights.items():
            constant[j] = np.count_nonzero(weight) <= 1
        return constant

    @property
    def special(self):
        """Special values, and the thresholds around them: dict int -> Special."""
        return {j: Special.of(values, self.low[j], self.high[j]) for j, values in self.special_values.items()}

    def check_special(self, special, names):
        """Reject other special values than those of earlier rows.

        Parameters
        ----------
        special : dict int -> ndarray of float32
        names : sequence of str or None

        Raises
        ------
        ValueError
            If they differ. The message names the feature.
        """
        nothing = np.zeros(0, dtype=np.float32)
        for j in range(self.d):
            before, now = (of_feature.get(j, nothing).tolist() for of_feature in (self.special_values, special))
            if before != now:
                raise ValueError(
                    f"special_values are {now} for {label(names, j)}, and were {before} for earlier rows: set them "
                    "back to what they were."
                )

    def add(self, X, weights, categories=None):
        """Add rows.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
            At least one row.
        weights : ndarray of float64 of shape (n,)
            Positive.
        categories : dict int -> list, default=None
            The category of each place in the categorical features: those of earlier rows first, and in their order.
        """
        for j in self.categories:
            before, self.categories[j] = self.category_weights[j], categories[j]
            self.category_weights[j] = weight_at(X[:, j], weights, len(categories[j]))
            self.category_weights[j][: before.size] += before
        self._add_numbers(X, weights)

    def _add_numbers(self, X, weights):
        self.n_rows += len(X)
        self.weights_are_ones &= bool((weights == 1).all())
        n_missing = np.isnan(X).sum(axis=0)
        X = self._without_special(X, weights)
        self.low = np.fmin(self.low, np.fmin.reduce(X) + np.float32(0))
        self.high = np.fmax(self.high, np.fmax.reduce(X) + np.float32(0))
        if X.size <= _FEW_VALUES and not (n_missing.any() or (self.special_values and np.isnan(X).any())):
            columns = np.ascontiguousarray(X.T)
            sums = sums_of_columns(columns, weights)
            for j, sketch in enumerate(self.sketches or ()):
                if j not in self.categories:
                    sketch.update(columns[j], weights)
        else:
            sums = np.zeros_like(self.sums)
            for j, feature in enumerate(features_of(X, weights)):
                sums[:, j] = feature.sums
                if self.sketches is not None and j not in self.categories:
                    self.sketches[j].update(feature.x, feature.weights)
        self.n_missing = self.n_missing + n_missing
        self.sums = np.array(joined_sums(self.sums, sums))

    def _without_special(self, X, weights):
        """Count the special values of rows, and return the rows with NaN in their place."""
        for j, values in self.special_values.items():
            self.special_weights[j] = self.special_weights[j] + [weights[X[:, j] == value].sum() for value in values]
        return without_special(X, self.special)

    def merge(self, other):
        """Add the rows that another summary of the same features and size has seen.

        Parameters
        ----------
        other : Summary
            Not changed.
        """
        for j, values in other.categories.items():
            place = {value: k for k, value in enumerate(self.categories[j])}
            places = np.array([place.setdefault(value, len(place)) for value in values], dtype=np.int64)
            merged = np.bincount(places, other.category_weights[j], minlength=len(place)).astype(np.float64)
            merged[: self.category_weights[j].size] += self.category_weights[j]
            self.categories[j], self.category_weights[j] = list(place), merged
        for j, weight in other.special_weights.items():
            self.special_weights[j] = self.special_weights[j] + weight
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
            if j in self.floats:
                yield Feature(*self.floats[j])
                continue
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

    def with_floats(self, floats):
        """Return a summary of the same rows with floats in place of categories.

        Parameters
        ----------
        floats : dict int -> (values, weights)
            By categorical feature, float32 values and their weights.

        Returns
        -------
        Summary
            It is only to be read.
        """
        made = copy.copy(self)
        made.low, made.high = self.low.copy(), self.high.copy()
        made.floats = {j: weighted_unique(*of_feature) for j, of_feature in floats.items()}
        for j, (values, _) in made.floats.items():
            if not values.size:
                continue
            made.low[j], made.high[j] = values[0], values[-1]
        made.categories, made.category_weights = {}, {}
        return made

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
            See `skbsq.thresholds.filling.CodebookBuilder`. Categories need `with_floats` of their places.

        Returns
        -------
        Codebook
            Without counts if the rows have weights, or if there is no sketch.
        """
        options.setdefault("special", self.special)
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
            if j in builder.categories:
                builder.category_weights[j][feature.x.astype(np.int64)] = feature.weights
            if j in self.special_values:
                values, weights = self.special_values[j], self.special_weights[j]
                code = np.searchsorted(t, values)
                np.add.at(builder.weights[j], code, weights)
                np.add.at(builder.sums[j], code, weights * values)
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
        state = {**vars(self), "sketches": sketches}
        del state["floats"], state["category_weights"], state["special_values"], state["special_weights"]
        if self.special_values:
            state["special"] = {
                j: {"values": values, "weights": self.special_weights[j]} for j, values in self.special_values.items()
            }
        state["categories"] = {
            j: {"values": list(values), "weights": self.category_weights[j]} for j, values in self.categories.items()
        }
        if not self.categories:
            del state["categories"]
        return state

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
        others = {name: value for name, value in state.items() if name not in ("categories", "special")}
        vars(summary).update(others)
        for j, of_feature in state.get("special", {}).items():
            summary.special_values[j], summary.special_weights[j] = of_feature["values"], of_feature["weights"]
        for j, of_feature in state.get("categories", {}).items():
            summary.categories[j], summary.category_weights[j] = list(of_feature["values"]), of_feature["weights"]
        if state["sketches"] is not None:
            summary.sketches = [Sketch.from_state(summary.size, one, trusted=trusted) for one in state["sketches"]]
        return summary
