"""All that the quantizers share."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_array, check_is_fitted

from skbsq._encodings import ENCODINGS, check_encode, encoded, encoded_names
from skbsq._validation import all_or_nothing, check_n_bits, check_weights, check_X, nan_features
from skbsq.codebook.checks import MISSING_RULES, midpoint_levels
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.kernels import as_float32
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_numbers, as_table
from skbsq.codec import RowCodec
from skbsq.quantizers._cells import features_of


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
        book = self.codebook_
        X = self._encoded_rows(X)
        if self.encode == "ordinal":
            return book.decode(X)
        if self.encode == "thermometer":
            return book.decode(book.codes_from_thermometer(X))
        if self.encode == "packed":
            return book.decode(RowCodec(book).unpack(X))
        return self._check_values(X)

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

    def _check_values(self, X):
        book = self.codebook_
        if X.shape[1] != book.n_features:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} was fitted with {book.n_features}."
            )
        values = as_float32(X)
        for j, levels in enumerate(book.levels):
            known = np.isin(values[:, j], levels) | (np.isnan(values[:, j]) & book.has_missing[j])
            if not known.all():
                wrong = X[np.argmin(known), j]
                raise ValueError(f"Column {j} of X holds {wrong}, which is no level of this quantizer.")
        return values


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
            has_missing, cuts = self._cut_all(features_of(X, weights, y), names, nan_features(X))
            self.codebook_ = build_codebook(
                X, weights, cuts, missing=self.missing, has_missing=has_missing, levels=self.levels, names=names
            )
        return self

    def _codebook_of(self, summary, names):
        """The codebook of a `Summary` of rows."""
        has_missing, cuts = self._cut_all(summary.features(), names, summary.n_missing > 0)
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

    def _cut_all(self, features, names, nan_seen):
        """Thresholds for every feature, and which of them own a missing code."""
        n_bits = check_n_bits(self.n_bits, names, nan_seen.size)
        has_missing, cuts = [], []
        for feature, width, nan in zip(features, n_bits.tolist(), nan_seen.tolist(), strict=True):
            constant = feature.x.size == 0 or feature.x.min() == feature.x.max()
            has_missing.append(owns_missing_code(self.missing, width, constant, nan))
            n_levels = regular_levels(width, has_missing[-1])
            cuts.append([] if constant or n_levels < 2 else self._cut(feature, n_levels))
        return np.array(has_missing), cuts

    def _cut(self, feature, n_levels):
        """Thresholds that split the feature into at most `n_levels` (at least 2) bins."""
        raise NotImplementedError


def adapted(quantizer, what, *, seed, **given):
    """A copy of somebody's quantizer with those of the `given` parameters that it has.

    Parameters
    ----------
    quantizer : BaseQuantizer
    what : str
        The parameter it came in, for the message.
    seed : int, RandomState or None
        Its random_state, where it has one and that is None.
    **given
        Values for n_bits, missing, task and the like.

    Returns
    -------
    BaseQuantizer
    """
    if not isinstance(quantizer, BaseQuantizer):
        raise ValueError(f"{what} must be one of the quantizers of skbsq, got {quantizer!r}.")
    if getattr(quantizer, "random_state", seed) is None:
        given["random_state"] = seed
    made = clone(quantizer)
    for key, value in given.items():
        if key in vars(made):  # not set_params: a subclass may set a parameter that its constructor does not take
            setattr(made, key, value)
    return made


def parameters_of(estimator, kind):
    """The parameters of a class as an estimator of a related class has them.

    Read from its attributes, because a subclass may add constructor parameters and drop others.

    Parameters
    ----------
    estimator : BaseEstimator
    kind : type

    Returns
    -------
    dict
        Those that the estimator has.
    """
    return {name: getattr(estimator, name) for name in kind._get_param_names() if hasattr(estimator, name)}


def owns_missing_code(missing, n_bits, constant, nan_seen):
    """The rule of ``missing="code"``: every feature that is sent, unless it is constant and never missing."""
    return bool(missing == "code" and n_bits >= 1 and (nan_seen or not constant))


def regular_levels(n_bits, has_missing):
    """Levels left for numbers at a width: one is given up for the missing code."""
    return 2**n_bits - has_missing


def build_codebook(X, weights, thresholds, *, missing, has_missing, levels, names):
    """The codebook of given thresholds, with levels and counts learned from rows.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    weights : ndarray of float64 of shape (n,)
        Positive.
    thresholds : list of d 1-d arrays
    missing : {"error", "code"}
    has_missing : ndarray of bool of shape (d,)
    levels : {"mean", "midpoint"}
        The weighted mean of the bin's rows (midpoint where it has none), or the midpoint throughout.
    names : sequence of str or None

    Returns
    -------
    Codebook
    """
    filling = CodebookFilling(thresholds, missing=missing, has_missing=has_missing, names=names)
    filling.add(X, weights)
    return filling.codebook(levels)


class CodebookFilling:
    """A codebook of given thresholds whose levels and counts come from rows, in one chunk or in several.

    Parameters
    ----------
    thresholds, missing, has_missing, names
        See `build_codebook`.
    """

    def __init__(self, thresholds, *, missing, has_missing, names):
        self.given = {"missing": missing, "has_missing": has_missing, "feature_names": names}
        self.book = Codebook.from_thresholds(thresholds, **self.given)
        self.counts = [np.zeros(n, dtype=np.int64) for n in self.book.n_levels.tolist()]
        self.mass = [np.zeros(t.size + 1) for t in self.book.thresholds]
        self.total = [np.zeros(t.size + 1) for t in self.book.thresholds]
        self.low = np.full(self.book.n_features, np.nan)
        self.high = np.full(self.book.n_features, np.nan)

    def add(self, X, weights):
        """Count rows in.

        Parameters
        ----------
        X : ndarray of float32 of shape (n, d)
        weights : ndarray of float64 of shape (n,)
            Positive.
        """
        codes = self.book.encode(X)
        self.low, self.high = np.fmin(self.low, np.fmin.reduce(X)), np.fmax(self.high, np.fmax.reduce(X))
        for j, n_levels in enumerate(self.book.n_levels.tolist()):
            # Copies of a column: several passes are made over each, and bincount wants intp.
            x, code, w = np.ascontiguousarray(X[:, j]), codes[:, j].astype(np.intp), weights
            self.counts[j] += np.bincount(code, minlength=n_levels)
            seen = ~np.isnan(x)
            if not seen.all():
                x, code, w = x[seen], code[seen], w[seen]
            self.mass[j] += np.bincount(code, weights=w, minlength=self.mass[j].size)
            self.total[j] += np.bincount(code, weights=w * x, minlength=self.mass[j].size)

    def codebook(self, levels):
        """The codebook with what was counted.

        Parameters
        ----------
        levels : {"mean", "midpoint"}

        Returns
        -------
        Codebook
        """
        sums = zip(self.book.thresholds, self.low, self.high, self.mass, self.total, strict=True)
        all_levels = [level_means(*own, mean=levels == "mean") for own in sums]
        return Codebook.from_thresholds(self.book.thresholds, levels=all_levels, counts=self.counts, **self.given)


def level_means(thresholds, low, high, mass, total, *, mean):
    """Levels of a feature's regular codes.

    Parameters
    ----------
    thresholds : ndarray of float32
    low, high : float
        Extremes of the rows; NaN without any.
    mass, total : ndarray of float64, one more than thresholds
        Weight of the rows of each code, and weighted sum of their values.
    mean : bool
        The mean of a code's rows where it has some; else the midpoint, unless there is but one code.

    Returns
    -------
    ndarray of float64
    """
    span = 0.0 if np.isnan(low) else float(high) - float(low)
    level = midpoint_levels(thresholds, lone_gap=span or None).astype(np.float64)
    if mean or thresholds.size == 0:
        np.divide(total, mass, out=level, where=mass > 0)
    return level
