"""All that the quantizers share."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_array, check_is_fitted

from skbsq._validation import (
    all_or_nothing,
    check_n_bits,
    check_weights,
    check_X,
    constant_features,
    nan_features,
)
from skbsq.codebook.checks import MISSING_RULES
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_numbers, as_table
from skbsq.codec.encodings import ENCODINGS, check_encode, decoded, encoded, encoded_names
from skbsq.thresholds.features import features_of
from skbsq.thresholds.filling import Widths, build_codebook, find_thresholds


class HasCodebook:
    """What a fitted estimator tells about its ``codebook_``."""

    @property
    def thresholds_(self):
        """List of d float32 arrays, strictly increasing, in the units of X."""
        check_is_fitted(self)
        return self.codebook_.thresholds

    @property
    def n_bits_(self):
        """Bits each feature costs after fit: int64 array of shape (d,)."""
        check_is_fitted(self)
        return self.codebook_.n_bits

    @property
    def n_levels_(self):
        """Codes each feature has after fit, the missing one included: int64 array of shape (d,)."""
        check_is_fitted(self)
        return self.codebook_.n_levels


class BaseQuantizer(HasCodebook, TransformerMixin, BaseEstimator):
    """A transformer that ends as a `Codebook`; a subclass's fit sets ``codebook_``."""

    @property
    def codebook_(self):
        """All that was learned."""
        return self._fitted_codebook()

    @codebook_.setter
    def codebook_(self, book):
        vars(self)["codebook_"] = book

    def _fitted_codebook(self):
        if "codebook_" not in vars(self):
            check_is_fitted(self)
        return vars(self)["codebook_"]

    # What a fit sets, and what may be there beside it: all that a file holds.
    _required_attributes: frozenset = frozenset({"n_features_in_", "codebook_"})
    _optional_attributes: frozenset = frozenset({"feature_names_in_", "_sklearn_output_config"})
    _parameter_constraints: dict = {
        "encode": [StrOptions(set(ENCODINGS))],
        "missing": [StrOptions(set(MISSING_RULES))],
    }

    def transform(self, X):
        """Quantize.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, d), (n, n_columns) or (n, row_bytes)
            By `encode`: "ordinal" codes (uint8, or uint16 if a feature has more than 8 bits), "thermometer"
            bits (uint8; columns ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...``), "value" levels (float32), or "packed"
            bytes (uint8), see `skbsq.codec.RowCodec`.
        """
        return encoded(self.codebook_, self._codes(X), self.encode)

    def inverse_transform(self, X):
        """Levels of what `transform` returned.

        Parameters
        ----------
        X : array-like of shape (n, d), (n, n_columns) or (n, row_bytes)
            Codes, thermometer bits, values or packed bytes, as `encode` says.

        Returns
        -------
        ndarray of float32 of shape (n, d)
            In the units of the features; NaN where the code is the missing one.
        """
        check_is_fitted(self)
        check_encode(self.encode)  # it may have been set after fit
        return decoded(self.codebook_, self._encoded_rows(X), self.encode)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features; None: those seen in fit, or x0, x1, ...

        Returns
        -------
        ndarray of str
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.asarray(encoded_names(self.codebook_, names, self.encode), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "code"
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _encoded_rows(self, X):
        """What `transform` returned, as a matrix, once its columns are known to be in order."""
        table = as_table(X, "X")
        columns = columns_of(table)
        X = check_array(as_numbers(table, "X"), dtype="numeric", ensure_all_finite="allow-nan", ensure_min_features=0)
        if columns is not None:
            named = hasattr(self, "feature_names_in_") and self.encode != "packed"
            check_columns(columns, self.get_feature_names_out(), "X", strict=named)
        return X

    def _codes(self, X):
        check_is_fitted(self)
        check_encode(self.encode)  # it may have been set after fit
        X = check_X(self, X, reset=False, missing=self.codebook_.missing)
        return self.codebook_.encode(X)


class FixedQuantizer(BaseQuantizer):
    """A quantizer whose thresholds need no gradient: a subclass says where they lie in `_cut`."""

    # n_bits is not among them: `check_n_bits` does it, once the features are known.
    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        "levels": [StrOptions({"mean", "midpoint"})],
    }

    def fit(self, X, y=None, sample_weight=None):
        """Find the thresholds and levels.

        Parameters
        ----------
        X : array-like of shape (n, d)
            It may be a memory map.
        y : array-like, default=None
            Ignored, unless the quantizer is a supervised one.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.

        Returns
        -------
        self
        """
        with all_or_nothing(self):
            self._validate_params()
            for name in ("summary_", "_pending"):  # of `partial_fit`
                vars(self).pop(name, None)
            X = check_X(self, X, reset=True, missing=self.missing)
            weights = check_weights(sample_weight, X)
            y = self._check_y(X, y, weights)
            kept = weights > 0
            if not kept.all():
                X, weights = X[kept], weights[kept]
                y = None if y is None else y[kept]
            names = getattr(self, "feature_names_in_", None)
            has_missing, cuts = self._cut_all(features_of(X, weights, y), names, constant_features(X), nan_features(X))
            self.codebook_ = build_codebook(
                X, weights, cuts, missing=self.missing, has_missing=has_missing, levels=self.levels, names=names
            )
        return self

    def _codebook_of(self, summary, names):
        """The codebook of a `Summary` of rows."""
        has_missing, cuts = self._cut_all(summary.features(), names, summary.constant, summary.n_missing > 0)
        return summary.codebook(cuts, missing=self.missing, has_missing=has_missing, levels=self.levels, names=names)

    def _check_can_summarize(self):
        """Refuse to be fitted on a `Summary`, where all rows are needed at once."""
        if self.__sklearn_tags__().target_tags.required:
            raise ValueError(
                f"{type(self).__name__} looks at all rows with their targets, which is not possible in chunks: fit it "
                "on some of the rows and give its thresholds_ to a ThresholdQuantizer, or take a quantizer or init "
                "that looks at X alone, such as QuantileQuantizer."
            )

    def _check_y(self, X, y, weights):
        return None

    def _cut_all(self, features, names, constant, nan_seen):
        """Thresholds for every feature, and which of them own a missing code."""
        widths = Widths.of(check_n_bits(self.n_bits, names, nan_seen.size), self.missing, constant, nan_seen)
        return widths.has_missing, find_thresholds(self._cut, features, widths.n_levels)

    def _cut(self, feature, n_levels):
        """Thresholds that split the feature into at most `n_levels` (at least 2) bins."""
        raise NotImplementedError
