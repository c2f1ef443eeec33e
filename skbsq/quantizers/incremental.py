"""Fit quantizers chunk by chunk, and merge quantizers that have seen different rows."""

import copy
import warnings
from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skbsq._validation import all_or_nothing, check_chunk_weights, check_X
from skbsq.codebook.categories import check_kinds
from skbsq.codebook.checks import check_guard, check_missing, check_n_bits
from skbsq.codebook.labels import label
from skbsq.codebook.matrix import as_table
from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.categories import SeenCategories
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.thresholds.special import check_special
from skbsq.thresholds.summary import DEFAULT_SIZE, Summary

# Attributes that a call of `partial_fit` or `merge` replaces.
_RESULTS = ("codebook_", "summary_", "_pending")
# Parameters with a value per feature, and the function that reads them.
_PER_FEATURE = {"n_bits": check_n_bits, "missing": check_missing, "guard": check_guard, "special_values": check_special}


class IncrementalQuantizer(FixedQuantizer):
    """A fixed quantizer with `partial_fit` and `merge`, which keeps a `Summary` of the rows as ``summary_``."""

    _optional_attributes = FixedQuantizer._optional_attributes | {"summary_"}
    _parameter_constraints: dict = {
        **FixedQuantizer._parameter_constraints,
        "sketch_size": [Interval(Integral, MIN_SIZE, MAX_SIZE, closed="both")],
    }

    def __init__(
        self,
        n_bits=4,
        *,
        encode="ordinal",
        missing="error",
        guard=False,
        special_values=None,
        levels="mean",
        categorical_features="from_dtype",
        handle_unknown="error",
        min_share=0.0,
        sketch_size=DEFAULT_SIZE,
    ):
        super().__init__(
            n_bits,
            encode=encode,
            missing=missing,
            guard=guard,
            special_values=special_values,
            levels=levels,
            categorical_features=categorical_features,
            handle_unknown=handle_unknown,
            min_share=min_share,
        )
        self.sketch_size = sketch_size

    def _fitted_codebook(self):
        """Return the codebook of `fit`; after `partial_fit` or `merge` it is made when it is first used."""
        pending = vars(self).get("_pending")
        return super()._fitted_codebook() if pending is None else pending.codebook()

    def __getstate__(self):
        state = dict(super().__getstate__())
        pending = state.pop("_pending", None)
        if pending is not None:
            state["codebook_"] = pending.codebook()
        return state

    def partial_fit(self, X, y=None, sample_weight=None):
        """Find the thresholds and levels of these rows and of the rows of all earlier calls.

        After every call the quantizer is fitted; its codebook is made when it is first used. Parameters except
        `sketch_size`, `special_values` and `categorical_features` may change between calls. A category may come first
        in any of them. Whole chunks are much faster than single rows.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Some of the rows. If the first rows had feature names, all others need them too.
        y : None
            Ignored.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent. Unlike in `fit`, weights are compared across calls: a weight of 2
            counts twice as much as a row of another call without weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For rows, weights or parameters that make no sense, naming the feature or the value. The quantizer then
            stays as it was.
        ImportError
            If a sketch is needed and datasketches is not installed: ``pip install 'skbsq[sketch]'``.

        Warns
        -----
        UserWarning
            If the quantizer was fitted by `fit`, which keeps no summary. `partial_fit` then starts again.
        """
        with all_or_nothing(self):
            self._validate_params()
            self._check_can_summarize()
            first = not hasattr(self, "summary_")
            if first and "codebook_" in vars(self):
                warnings.warn(
                    f"This {type(self).__name__} was fitted by fit, which keeps only the codebook: partial_fit starts "
                    "again. Give it all rows from the start, or use another quantizer for the new rows.",
                    UserWarning,
                    stacklevel=2,
                )
            summary = None if first else self._summary()
            X = as_table(X, "X")
            seen = SeenCategories(X, self.categorical_features, None if first else summary.categories)
            unknown = seen.features if self.handle_unknown == "missing" else ()
            given = {"missing": self.missing, "readers": seen.readers, "may_be_missing": unknown}
            X = check_X(self, X, reset=first, **given)
            names = getattr(self, "feature_names_in_", None)
            special = check_special(self.special_values, names, X.shape[1], seen.features)
            summary = Summary(X.shape[1], self._size_of_sketch(), seen.features, special) if first else summary
            summary.check_special(special, names)
            weights = check_chunk_weights(sample_weight, X)
            kept = weights > 0
            if kept.any():
                summary.add(*((X, weights) if kept.all() else (X[kept], weights[kept])), seen.values)
            elif first:
                raise ValueError("sample_weight is zero for every row: there is nothing to fit.")
            self._keep_summary(summary)
        return self

    def merge(self, *others):
        """Add the rows that other quantizers have seen, as if `partial_fit` had received them.

        So each gateway of a fleet can fit on its rows and send its quantizer, by `skbsq.persistence.save` or
        another way. A quantizer contains no row, but the extremes, moments and some values of each feature.

        Parameters
        ----------
        *others : quantizers
            Of the same class, parameters and features, fitted by `partial_fit`; not changed. `encode` may differ.

        Returns
        -------
        self
            Changed in place: use a copy to keep what it was.

        Raises
        ------
        ValueError
            If a quantizer is of another class, has other parameters or features, or was fitted by `fit`.
        """
        with all_or_nothing(self):
            summary = self._summary()
            for other in others:
                self._check_same(other)
                self._check_same_categories(summary, others_summary := other._summary())
                summary.merge(others_summary)
            self._keep_summary(summary)
        return self

    def _size_of_sketch(self):
        """Return the size of each feature's sketch; None if thresholds and levels need only the extremes."""
        return self.sketch_size

    def _summary(self):
        """Return a summary of the rows of all calls so far, which the caller may change."""
        check_is_fitted(self)
        if not hasattr(self, "summary_"):
            raise ValueError(
                f"This {type(self).__name__} was fitted by fit, which keeps only the codebook: fit it by partial_fit "
                "to merge it with others."
            )
        pending = vars(self).get("_pending")
        summary = Summary.from_state(self.summary_, trusted=pending is not None and pending.state is self.summary_)
        if summary.size != self._size_of_sketch():
            before, now = (
                "no sketch" if size is None else f"a sketch of size {size}"
                for size in (summary.size, self._size_of_sketch())
            )
            raise ValueError(
                f"Earlier rows were summarized with {before}, and the parameters now ask for {now}: keep levels and "
                "sketch_size as they were in the first call."
            )
        return summary

    def _keep_summary(self, summary):
        names = getattr(self, "feature_names_in_", None)
        refused = summary.nan_seen & (check_missing(self.missing, names, summary.d) == "error")
        if self.handle_unknown == "missing":
            refused[list(summary.categories)] = False
        if refused.any():
            where = label(names, int(np.argmax(refused)))
            raise ValueError(f'missing="error" was set after NaN had been seen in {where}: set it back to what it was.')
        check_n_bits(self.n_bits, names, summary.d)
        check_guard(self.guard, names, summary.d)
        self.summary_ = summary.state()
        self._pending = _PendingCodebook(self)
        vars(self).pop("codebook_", None)

    def _check_same(self, other):
        """Reject another class, other parameters and other features."""
        if type(other) is not type(self):
            raise ValueError(f"A {type(self).__name__} merges with others of its class, got {other!r}.")
        check_is_fitted(other)
        ours, theirs = self.get_params(deep=False), other.get_params(deep=False)
        names = getattr(self, "feature_names_in_", None)
        for name in ours.keys() - {"encode"}:
            pair = ours[name], theirs[name]
            if name in _PER_FEATURE:  # one value, an array, a dict or a Series
                pair = tuple(_PER_FEATURE[name](value, names, self.n_features_in_) for value in pair)
            if name == "special_values":
                pair = tuple({j: values.tolist() for j, values in of_features.items()} for of_features in pair)
            if not np.array_equal(*pair):  # for numbers, strings and arrays alike
                raise ValueError(f"{name} is {theirs[name]!r} in a quantizer to merge, and {ours[name]!r} in this one.")
        mine, its = (getattr(q, "feature_names_in_", np.arange(q.n_features_in_)) for q in (self, other))
        if not np.array_equal(mine, its):
            raise ValueError(
                f"The features of a quantizer to merge are {its.tolist()}, those of this one {mine.tolist()}."
            )

    def _check_same_categories(self, mine, its):
        """Reject a summary in which other features are categorical, or have categories of another kind."""
        names = getattr(self, "feature_names_in_", None)
        if differing := sorted(mine.categories.keys() ^ its.categories.keys()):
            raise ValueError(
                f"{label(names, differing[0])} holds categories in one of the quantizers to merge, and numbers in "
                "another: name the categorical_features."
            )
        for j, values in mine.categories.items():
            check_kinds([*values, *its.categories[j]], label(names, j))


class _PendingCodebook:
    """A codebook that is made when it is first used, because that takes much longer than adding a few rows.

    `partial_fit` replaces this object as a whole. So a thread that uses the quantizer meanwhile sees the codebook of
    before or of after.

    Parameters
    ----------
    quantizer : IncrementalQuantizer
        Its present parameters count, even if they change before the codebook is made.
    """

    def __init__(self, quantizer):
        kept = {name: value for name, value in vars(quantizer).items() if name not in _RESULTS}
        self.quantizer = object.__new__(type(quantizer))  # not a clone: a subclass may fix parameters
        vars(self.quantizer).update(copy.deepcopy(kept))
        self.state, self.book = quantizer.summary_, None

    def codebook(self):
        """Return the codebook, made in the first call."""
        if self.book is None:
            with np.errstate(under="ignore"):
                names = getattr(self.quantizer, "feature_names_in_", None)
                self.book = self.quantizer._codebook_of(Summary.from_state(self.state, trusted=True), names)
        return self.book
