"""Use thresholds that the user gives."""

from collections.abc import Mapping

import numpy as np

from skbsq._validation import constant_features, nan_features
from skbsq.codebook.checks import check_guard
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.guards import inner_thresholds
from skbsq.codebook.labels import in_feature_order, label, labels_of, numbered_names, string_columns
from skbsq.codebook.matrix import refuse_mask
from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.categories import SeenCategories
from skbsq.thresholds.filling import build_codebook, may_be_missing

__all__ = ["ThresholdQuantizer"]


class ThresholdQuantizer(FixedQuantizer):
    """Use the given thresholds; fit learns the levels only.

    Parameters
    ----------
    thresholds : 1-d array-like, or list, dict or pandas Series of 1-d array-likes
        One array for every feature alike, or one array per feature. The labels of a dict or Series are names of
        features, or their numbers. Thresholds are in the units of X and finite; they are cast to float32, sorted and
        merged. A categorical feature has a dict of the code of each category, see `Codebook.from_thresholds`.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, levels, or packed bytes.
    missing : {"error", "seen", "code"}, array-like, dict or pandas Series, default="error"
        Rule for NaN, for all features or one per feature. "error" rejects NaN in fit. "seen" gives a missing code to
        the features in which fit sees NaN, "code" to every feature with bits. With `n_bits` given, a missing code
        leaves one level fewer for numbers. After fit, NaN is rejected in a feature with bits and no missing code.
    guard : bool, array-like of bool of shape (d,), dict or pandas Series, default=False
        Whether the lowest and the highest code are kept for values below and above all rows of fit, so that a
        `skbsq.monitoring.CodeMonitor` sees a sensor that leaves its range. This adds two thresholds to a feature.
        A feature without thresholds and a constant one have no such codes.
    levels : {"mean", "midpoint"}, default="mean"
        What a code decodes to: the mean of its training rows, or the middle of its bin.
    handle_unknown : {"error", "missing"}, default="error"
        What a value is that is none of the categories of its feature: an error, or missing, for which the feature then
        has a code.

    Attributes
    ----------
    codebook_ : Codebook
        Thresholds and levels of every feature.
    thresholds_ : list of d ndarrays of float32
        In the units of X.
    n_bits_, n_levels_ : ndarray of int64 of shape (d,)
        Bits and codes per feature.
    n_features_in_ : int
        Number of features, d.
    feature_names_in_ : ndarray of str
        Only if X has string column names.

    See Also
    --------
    Codebook.from_thresholds : A codebook of given thresholds, without rows.

    Examples
    --------
    >>> from skbsq import ThresholdQuantizer
    >>> quantizer = ThresholdQuantizer([[18.5, 25, 30], [0]]).fit([[22, -1], [31, 4]])
    >>> quantizer.transform([[25, 0], [25.1, 0.1]])
    array([[1, 0],
           [2, 1]], dtype=uint8)
    """

    _parameter_constraints: dict = {
        **FixedQuantizer._parameter_constraints,
        "thresholds": ["array-like", dict],
    }

    # Given thresholds say which values have codes of their own.
    _special = None

    @property
    def _categorical(self):
        labels = labels_of(self.thresholds)
        entries = [*self.thresholds.values()] if isinstance(self.thresholds, Mapping) else [*self.thresholds]
        found = [j if labels is None else labels[j] for j, entry in enumerate(entries) if isinstance(entry, Mapping)]
        return found or "from_dtype", self.handle_unknown, 0.0

    def __init__(
        self, thresholds, *, encode="ordinal", missing="error", guard=False, levels="mean", handle_unknown="error"
    ):
        self.thresholds = thresholds
        self.encode = encode
        self.missing = missing
        self.guard = guard
        self.levels = levels
        self.handle_unknown = handle_unknown

    def _seen_categories(self, X):
        if self._categorical[0] == "from_dtype":
            return SeenCategories(X, None)
        return _GivenCategories(self._given_codebook(string_columns(X), np.shape(X)[1]))

    def _given_codebook(self, names, n_features):
        given = _one_array_per_feature(self.thresholds, names, n_features)
        return Codebook.from_thresholds(given, feature_names=names, handle_unknown=self.handle_unknown)

    def _mixed_codebook(self, X, y, weights, categories, special, **given):
        book, seen = self._given_codebook(given["names"], X.shape[1]), (constant_features(X), nan_features(X))
        thresholds, filling = self._with_given_categories(book, given["names"], *seen)
        return build_codebook(X, weights, thresholds, categories=categories, **filling, **given)

    def _with_given_categories(self, book, names, constant, nan_seen):
        """Return the thresholds, and the options of `build_codebook` that follow from the given codebook."""
        thresholds, codes = self._all_thresholds(None, names, constant, nan_seen, {})
        codes["has_guard"] &= ~book.is_categorical
        codes["has_missing"] |= book.has_missing
        if self.handle_unknown == "missing":
            codes["has_missing"] |= book.is_categorical & (book.n_bits > 0)
        return thresholds, {**codes, "handle_unknown": self.handle_unknown}

    def _codebook_of(self, summary, names):
        book = self._given_codebook(names, summary.d)
        differing = sorted({*np.flatnonzero(book.is_categorical).tolist()} ^ summary.categories.keys())
        if differing:
            is_given = book.is_categorical[differing[0]]
            raise ValueError(
                f"thresholds has {'the codes of categories' if is_given else 'numbers'} for "
                f"{label(names, differing[0])}, which {'is not' if is_given else 'is'} categorical in the chunks: "
                "name the features of the codes, and no others, in categorical_features."
            )
        if not summary.categories:
            return super()._codebook_of(summary, names)
        floats, n_missing = {}, summary.n_missing.copy()
        for j, read in book.category_readers.items():
            weight, numbers = summary.category_weights[j], read(np.array(summary.categories[j], dtype=object))
            known = ~np.isnan(numbers)
            floats[j], n_missing[j] = (numbers[known], weight[known]), n_missing[j] + np.rint(weight[~known].sum())
        summary = summary.with_floats(floats)
        summary.n_missing = n_missing
        thresholds, filling = self._with_given_categories(book, names, summary.constant, summary.nan_seen)
        categories = _GivenCategories(book).categories
        return summary.codebook(thresholds, levels=self.levels, names=names, categories=categories, **filling)

    def _all_thresholds(self, features, names, constant, nan_seen, special):
        thresholds = self._given_codebook(names, nan_seen.size).thresholds
        sent = np.array([t.size > 0 for t in thresholds])
        has_missing = may_be_missing(self.missing, names, nan_seen) & (sent | nan_seen)
        has_guard = check_guard(self.guard, names, nan_seen.size) & sent & ~constant
        return thresholds, {"has_missing": has_missing, "has_guard": has_guard}


class _GivenCategories:
    """The categories of a given codebook, with the interface of `SeenCategories`."""

    def __init__(self, book):
        self.readers = book.category_readers
        self.features = [j for j in self.readers if book.has_missing[j] or book.handle_unknown == "missing"]
        self.categories = {j: tuple(known for known in book.categories[j] if known is not None) for j in self.readers}

    def numbered(self, X, weights, min_share):
        return self.categories


def _one_array_per_feature(thresholds, names, n_features):
    labels = labels_of(thresholds)
    known = numbered_names(n_features) if names is None else names
    # A Series may be the one array for all features. Its index then means nothing, because thresholds are sorted.
    is_one_array = (
        not isinstance(thresholds, dict)
        and all(np.ndim(value) == 0 and not isinstance(value, Mapping) for value in thresholds)
        and set(labels or ()).isdisjoint(known)
    )
    if labels is not None and not is_one_array:
        return in_feature_order(thresholds, names, n_features, "thresholds")
    thresholds = list(refuse_mask(thresholds, "thresholds"))
    if not thresholds or (np.ndim(thresholds[0]) == 0 and not any(isinstance(t, Mapping) for t in thresholds)):
        return [thresholds] * n_features
    if len(thresholds) != n_features:
        raise ValueError(f"thresholds has {len(thresholds)} arrays, but X has {n_features} features.")
    return thresholds


def with_codebook(codebook, quantizer):
    """Return a fitted transformer with a codebook.

    Parameters
    ----------
    codebook : Codebook
    quantizer : BaseQuantizer
        Fitted. It gives `encode`, the output container and the features.

    Returns
    -------
    ThresholdQuantizer
    """
    missing = np.where(codebook.has_missing, "seen", "error").tolist()
    guard = codebook.has_guard.tolist() if codebook.has_guard.any() else False
    given = {"encode": quantizer.encode, "missing": missing, "handle_unknown": codebook.handle_unknown, "guard": guard}
    parts = zip(inner_thresholds(codebook), codebook.categories, strict=True)
    made = ThresholdQuantizer([t if known is None else known for t, known in parts], **given)
    for name in ("n_features_in_", "feature_names_in_", "_sklearn_output_config"):
        if hasattr(quantizer, name):
            setattr(made, name, getattr(quantizer, name))
    made.codebook_ = codebook
    return made
