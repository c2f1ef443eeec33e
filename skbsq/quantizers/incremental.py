"""Quantizers that are fitted chunk by chunk, and joined where several have seen some of the rows."""

import copy
import warnings
from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from skbsq._validation import all_or_nothing, check_chunk_weights, check_n_bits, check_X
from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.sketch import MAX_SIZE, MIN_SIZE
from skbsq.thresholds.summary import Summary

_MADE = ("codebook_", "summary_", "_pending")


class IncrementalQuantizer(FixedQuantizer):
    """A fixed quantizer with `partial_fit` and `merge`; it keeps a `Summary` of the rows as ``summary_``."""

    _optional_attributes = FixedQuantizer._optional_attributes | {"summary_"}
    _parameter_constraints: dict = {
        **FixedQuantizer._parameter_constraints,
        "sketch_size": [Interval(Integral, MIN_SIZE, MAX_SIZE, closed="both")],
    }

    def _fitted_codebook(self):
        """The codebook: that of `fit`, or made when it is first used after `partial_fit` or `merge`."""
        pending = vars(self).get("_pending")
        return super()._fitted_codebook() if pending is None else pending.codebook()

    def __getstate__(self):
        state = dict(super().__getstate__())
        pending = state.pop("_pending", None)
        if pending is not None:
            state["codebook_"] = pending.codebook()
        return state

    def partial_fit(self, X, y=None, sample_weight=None):
        """Find the thresholds and levels of these rows and of all that earlier calls got.

        After every call the quantizer is fitted; its codebook is made when it is first used. Parameters except
        `sketch_size` may be changed between calls. Whole chunks are much faster than single rows.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Some of the rows; with names where the first ones had names.
        y : None
            Ignored.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent. Unlike those of `fit`, weights of 2 count twice as much as rows of
            another call that have none.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If it needs a sketch, and datasketches is not there: ``pip install 'skbsq[sketch]'``.

        Warns
        -----
        UserWarning
            If the quantizer was fitted by `fit`, which keeps nothing to go on from: it begins anew.
        """
        with all_or_nothing(self):
            self._validate_params()
            self._check_can_summarize()
            first = not hasattr(self, "summary_")
            if first and "codebook_" in vars(self):
                warnings.warn(
                    f"This {type(self).__name__} was fitted by fit, which keeps its codebook alone: partial_fit begins "
                    "anew. Give it all rows to begin with, or use another quantizer for the new ones.",
                    UserWarning,
                    stacklevel=2,
                )
            X = check_X(self, X, reset=first, missing=self.missing)
            summary = Summary(X.shape[1], self._size_of_sketch()) if first else self._summary()
            weights = check_chunk_weights(sample_weight, X)
            kept = weights > 0
            if kept.any():
                summary.add(*((X, weights) if kept.all() else (X[kept], weights[kept])))
            elif first:
                raise ValueError("sample_weight is zero for every row: there is nothing to fit.")
            self._keep_summary(summary)
        return self

    def merge(self, *others):
        """Take in what other quantizers have seen, as if `partial_fit` had got their rows as well.

        So each gateway of a fleet fits on its own rows and sends what it has fitted, by `skbsq.persistence.save` or
        another way. No row is in it, but the extremes, moments and some values of each feature are.

        Parameters
        ----------
        *others : quantizers
            Of the same class, parameters and features, fitted by `partial_fit`; not changed. `encode` may differ.

        Returns
        -------
        self
            It has changed: use a copy to keep what it was.
        """
        with all_or_nothing(self):
            summary = self._summary()
            for other in others:
                self._check_same(other)
                summary.merge(other._summary())
            self._keep_summary(summary)
        return self

    def _size_of_sketch(self):
        """Of each feature; None where thresholds and levels need no more than the extremes."""
        return self.sketch_size

    def _summary(self):
        """What all calls so far have seen, to be changed."""
        check_is_fitted(self)
        if not hasattr(self, "summary_"):
            raise ValueError(
                f"A {type(self).__name__} that was fitted by fit keeps its codebook alone: fit it by partial_fit to "
                "merge it with others."
            )
        pending = vars(self).get("_pending")
        summary = Summary.from_state(self.summary_, trusted=pending is not None and pending.state is self.summary_)
        if summary.size != self._size_of_sketch():
            raise ValueError(
                f"The rows so far were seen with {_named(summary.size)}, and it takes {_named(self._size_of_sketch())} "
                "now: levels and sketch_size must stay as they were in the first call."
            )
        return summary

    def _keep_summary(self, summary):
        if self.missing == "error" and summary.n_missing.any():
            raise ValueError('missing="error" was set after rows with NaN had been seen: set it back to "code".')
        check_n_bits(self.n_bits, getattr(self, "feature_names_in_", None), summary.d)
        self.summary_ = summary.state()
        self._pending = _Pending(self)
        vars(self).pop("codebook_", None)

    def _check_same(self, other):
        if type(other) is not type(self):
            raise ValueError(f"A {type(self).__name__} merges with others of its class, got {other!r}.")
        check_is_fitted(other)
        ours, theirs = self.get_params(deep=False), other.get_params(deep=False)
        names = getattr(self, "feature_names_in_", None)
        for name in ours.keys() - {"encode"}:
            pair = ours[name], theirs[name]
            if name == "n_bits":  # a number, an array, a dict or a Series
                pair = tuple(check_n_bits(n_bits, names, self.n_features_in_).tolist() for n_bits in pair)
            if not np.array_equal(*pair):  # of numbers, strings and arrays alike
                raise ValueError(f"{name} is {theirs[name]!r} in a quantizer to merge, and {ours[name]!r} in this one.")
        mine, its = (getattr(q, "feature_names_in_", np.arange(q.n_features_in_)) for q in (self, other))
        if not np.array_equal(mine, its):
            raise ValueError(
                f"The features of a quantizer to merge are {its.tolist()}, those of this one {mine.tolist()}."
            )


class _Pending:
    """The codebook of some rows, which takes much longer to make than a few rows take to be counted in.

    It is one object, which `partial_fit` replaces whole, so that threads that use the quantizer meanwhile get the
    codebook of before or of after.

    Parameters
    ----------
    quantizer : IncrementalQuantizer
        Its parameters of now count, whatever is set later.
    """

    def __init__(self, quantizer):
        kept = {name: value for name, value in vars(quantizer).items() if name not in _MADE}
        self.rule = object.__new__(type(quantizer))  # not a clone: a subclass may fix parameters of ours
        vars(self.rule).update(copy.deepcopy(kept))
        self.state, self.book = quantizer.summary_, None

    def codebook(self):
        """Make the codebook, once."""
        if self.book is None:
            with np.errstate(under="ignore"):
                names = getattr(self.rule, "feature_names_in_", None)
                self.book = self.rule._codebook_of(Summary.from_state(self.state, trusted=True), names)
        return self.book


def _named(size):
    return "no sketch" if size is None else f"a sketch of size {size}"
