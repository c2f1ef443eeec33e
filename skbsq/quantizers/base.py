"""Share what all quantizers have in common: transform and its inverse, and the fit of those that need no gradient."""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import _check_feature_names_in, check_array, check_is_fitted

from skbsq._validation import all_or_nothing, check_weights, check_X, constant_features, nan_features
from skbsq.codebook.categories import UNKNOWN_RULES
from skbsq.codebook.checks import MISSING_RULES, check_guard, check_n_bits
from skbsq.codebook.frames import level_frame
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.codebook.matrix import as_numbers, as_table
from skbsq.codec.encodings import ENCODINGS, check_encode, decoded, encoded, encoded_names
from skbsq.quantizers.report import binning_table
from skbsq.thresholds.categories import Categories, SeenCategories, weight_at
from skbsq.thresholds.features import features_of
from skbsq.thresholds.filling import Widths, build_codebook, find_thresholds, may_be_missing
from skbsq.thresholds.orders import draw_folds, order_by_weight
from skbsq.thresholds.special import check_special, has_fixed, special_of_rows, with_fixed, without_special

# Types of the parameter `guard`, whose values `check_guard` checks once the features are known.
GUARD = ["boolean", "array-like", dict]
# Those of `special_values`, which `check_special` checks.
SPECIAL = [None, "array-like", dict]


def takes_nan(missing):
    """Return whether fit accepts NaN in any feature, for any value of the parameter `missing`."""
    rules = list(missing.values()) if isinstance(missing, dict) else missing
    return bool((np.asarray(rules, dtype=object) != "error").any())


# The parameters of all estimators that concern categories: their defaults, and rules for them.
CATEGORY_DEFAULTS: dict = {"categorical_features": "from_dtype", "handle_unknown": "error", "min_share": 0.0}
CATEGORY_CONSTRAINTS: dict = {
    "categorical_features": [None, "array-like", StrOptions({"from_dtype"})],
    "handle_unknown": [StrOptions(set(UNKNOWN_RULES))],
    "min_share": [Interval(Real, 0, 1, closed="left")],
}


class HasCodebook:
    """Attributes and a report that a fitted estimator derives from its ``codebook_``."""

    @property
    def thresholds_(self):
        """List of d float32 arrays, strictly increasing, in the units of X."""
        return self.codebook_.thresholds

    @property
    def n_bits_(self):
        """Bits that each feature costs after fit: int64 array of shape (d,)."""
        return self.codebook_.n_bits

    @property
    def n_levels_(self):
        """Codes that each feature has after fit, including the missing code: int64 array of shape (d,)."""
        return self.codebook_.n_levels

    def table(self, feature, X=None, y=None, sample_weight=None):
        """Report the codes of a feature: what each stands for, how many rows it has, and their target.

        Parameters
        ----------
        feature : str or int
            Name or number.
        X : array-like of shape (n, d), default=None
            Rows to count. None: the training rows, from the counts in the codebook.
        y : array-like of shape (n,), default=None
            Target of these rows: numbers or two classes, of which the second in their order is the event.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.

        Returns
        -------
        DataFrame
            A row per code, in order:

            - bin: an interval such as "(18.5, 25.0]", categories such as "open, shut", or "missing"
            - rows: number of rows
            - share: share of the rows, or of their weight
            - target_mean: mean of a numeric target
            - event_rate, woe, iv: of two classes, see Notes

            The last ones are there if y is given. `attrs` then has the total "iv", and the "event".

        Raises
        ------
        ValueError
            If there is no such feature; for y or weights without X; without X for a codebook without counts; for rows
            that `transform` or `predict` rejects; and for a target of more than two classes that are no numbers.

        Notes
        -----
        The weight of evidence of a code is ``ln(share of the other rows / share of the events)``: it is positive where
        events are rare. The information value is the difference of these shares times the weight of evidence, and its
        sum over the codes is the total. If a code has no events, or nothing else, half a row is added to both. A code
        without rows has neither rate nor weight of evidence. Floats of 0 and 1 are classes too.

        Examples
        --------
        >>> import pandas as pd
        >>> from skbsq import QuantileQuantizer
        >>> X = pd.DataFrame({"age": [20, 30, 40, 50], "home": ["rent", "own", "own", "rent"]})
        >>> quantizer = QuantileQuantizer(n_bits=1).fit(X)
        >>> table = quantizer.table("age", X, ["bad", "good", "good", "good"])
        >>> table.round(2)
                    bin  rows  share  event_rate   woe    iv
        0  (-inf, 35.0]     2    0.5         0.5  1.10  0.73
        1   (35.0, inf)     2    0.5         1.0 -0.51  0.17
        >>> table.attrs["event"]
        'good'
        >>> quantizer.table("home")["bin"].tolist()
        ['own', 'rent']
        """
        return binning_table(self, feature, X, y, sample_weight)


class BaseQuantizer(HasCodebook, TransformerMixin, BaseEstimator):
    """A transformer whose fit sets ``codebook_``, which all other methods read."""

    @property
    def codebook_(self):
        """Thresholds and levels of every feature."""
        return self._fitted_codebook()

    @codebook_.setter
    def codebook_(self, book):
        vars(self)["codebook_"] = book

    def _fitted_codebook(self):
        if "codebook_" not in vars(self):
            check_is_fitted(self)
        return vars(self)["codebook_"]

    # Attributes that a fit sets, and attributes that may be there beside them. A file holds no others.
    _required_attributes: frozenset = frozenset({"n_features_in_", "codebook_"})
    _optional_attributes: frozenset = frozenset({"feature_names_in_", "_sklearn_output_config"})
    # Whether fit needs y.
    _is_supervised = False
    _parameter_constraints: dict = {
        "encode": [StrOptions(set(ENCODINGS))],
        "missing": [StrOptions(set(MISSING_RULES)), "array-like", dict],
    }

    def transform(self, X):
        """Quantize rows.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n, d), (n, n_columns) or (n, row_bytes)
            By `encode`: "ordinal" codes (uint8, or uint16 if a feature has more than 8 bits), "thermometer"
            bits (uint8; columns ``f0_t0, f0_t1, ..., f0_missing, f1_t0, ...``), "value" levels (float32), or "packed"
            bytes (uint8), see `skbsq.codec.RowCodec`. Levels of a codebook with categorical features are objects in an
            array, and have the types of `inverse_transform` in a frame that `set_output` asks for.

        Raises
        ------
        ValueError
            For an infinity, a value beyond float32, or NaN in a feature with bits and no missing code, naming the
            feature; and for other features than those of fit.
        """
        book = self.codebook_
        check_encode(self.encode)  # it may have been set after fit
        X = check_X(self, X, reset=False, readers=book.category_readers)
        codes = book.encode_numbers(X)
        if self.encode == "value" and book.is_categorical.any() and self._makes_frames():
            return level_frame(book, book.decode(codes), book.feature_names)
        return encoded(book, codes, self.encode)

    def inverse_transform(self, X):
        """Decode the output of `transform` into levels.

        Parameters
        ----------
        X : array-like of shape (n, d), (n, n_columns) or (n, row_bytes)
            Codes, thermometer bits, values or packed bytes, depending on `encode`.

        Returns
        -------
        ndarray of float32 of shape (n, d)
            In the units of the features; NaN for the missing code. If there are categorical features, a pandas
            DataFrame: float32 for numbers, bool and int64 for such categories ("boolean" and "Int64" if the feature has
            a missing code), and pandas categories for others.

        Raises
        ------
        ValueError
            If `transform` cannot have returned X: codes out of range, bits of no code, values that are no levels, or
            another number of columns.
        """
        check_is_fitted(self)
        check_encode(self.encode)  # it may have been set after fit
        book = self.codebook_
        levels = decoded(book, self._encoded_rows(X), self.encode)
        return level_frame(book, levels, book.feature_names) if book.is_categorical.any() else levels

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the features. None: those seen in fit, or x0, x1, ...

        Returns
        -------
        ndarray of str

        Raises
        ------
        ValueError
            If `input_features` are not as many as the features of fit, or differ from their names.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.asarray(encoded_names(self.codebook_, names, self.encode), dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = takes_nan(self.missing)
        tags.target_tags.required = self._is_supervised
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _makes_frames(self):
        """Return whether `set_output` asks for frames."""
        return _get_output_config("transform", self)["dense"] != "default"

    def _encoded_rows(self, X):
        """Return encoded rows as a matrix, or levels with categories as given, after checking the order of columns."""
        table = as_table(X, "X")
        columns = columns_of(table)
        if self.encode == "value" and self.codebook_.is_categorical.any():
            X = table
        else:
            numbers = as_numbers(table, "X")
            X = check_array(numbers, dtype="numeric", ensure_all_finite="allow-nan", ensure_min_features=0)
        if columns is not None:
            named = hasattr(self, "feature_names_in_") and self.encode != "packed"
            check_columns(columns, self.get_feature_names_out(), "X", strict=named)
        return X


class FixedQuantizer(BaseQuantizer):
    """A quantizer whose thresholds need no gradient: a subclass finds those of a feature in `_thresholds_of`."""

    # n_bits is not listed, because `check_n_bits` checks it once the features are known.
    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        **CATEGORY_CONSTRAINTS,
        "guard": GUARD,
        "special_values": SPECIAL,
        "levels": [StrOptions({"mean", "midpoint"})],
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
    ):
        self.n_bits = n_bits
        self.encode = encode
        self.missing = missing
        self.guard = guard
        self.special_values = special_values
        self.levels = levels
        self.categorical_features = categorical_features
        self.handle_unknown = handle_unknown
        self.min_share = min_share

    def fit(self, X, y=None, sample_weight=None):
        """Find the thresholds and levels.

        Parameters
        ----------
        X : array-like of shape (n, d)
            It may be a memory map.
        y : array-like, default=None
            Ignored, unless the quantizer is supervised.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For rows, targets, weights or parameters that make no sense, naming the feature or the value. The estimator
            then stays as it was.

        Warns
        -----
        PrecisionWarning
            If the cast to float32 merges many distinct values of a feature.
        MissingCodeWarning
            If ``missing="code"`` leaves a feature of 1 bit no threshold, although fit saw no NaN there.
        """
        with all_or_nothing(self):
            self._validate_params()
            for name in ("summary_", "_pending"):  # of `partial_fit`
                vars(self).pop(name, None)
            X = as_table(X, "X")
            seen = self._seen_categories(X)
            unknown = seen.features if self.handle_unknown == "missing" else ()
            X = check_X(self, X, reset=True, missing=self.missing, readers=seen.readers, may_be_missing=unknown)
            weights = check_weights(sample_weight, X)
            y = self._checked_target(X, y, weights)
            kept = weights > 0
            if not kept.all():
                X, weights = X[kept], weights[kept]
                y = None if y is None else y[kept]
            names = getattr(self, "feature_names_in_", None)
            special = special_of_rows(X, check_special(self._special, names, X.shape[1], seen.features))
            given = {"levels": self.levels, "names": names}
            if categories := seen.numbered(X, weights, self._categorical[-1]):
                self.codebook_ = self._mixed_codebook(X, y, weights, categories, special, **given)
                return self
            features = features_of(without_special(X, special), weights, y)
            thresholds, codes = self._all_thresholds(features, names, constant_features(X), nan_features(X), special)
            self.codebook_ = build_codebook(X, weights, thresholds, **given, **codes)
        return self

    @property
    def _special(self):
        """Special values, see `skbsq.thresholds.special.check_special`."""
        return self.special_values

    @property
    def _categorical(self):
        """categorical_features, handle_unknown, and the share of the rows below which categories are merged."""
        return self.categorical_features, self.handle_unknown, self.min_share

    def _seen_categories(self, X):
        """Return what reads the categorical columns of a table."""
        return SeenCategories(X, self.categorical_features)

    def _mixed_codebook(self, X, y, weights, categories, special, **given):
        """Build a codebook of numeric and categorical features; X holds the numbers of categories, and is changed."""
        constant, nan_seen, names = constant_features(X), nan_features(X), given["names"]
        widths, orders = self._widths(names, constant, nan_seen, special, categories), {}
        folds = draw_folds(len(X), seed=0)
        for j, of_feature in categories.items():
            room = int(widths.n_levels[j])
            orders[j], X[:, j] = self._order_of(of_feature, X[:, j].copy(), y, weights, room, folds)
        widths.warn_of_indicators(nan_seen, names, stacklevel=5)
        features = features_of(without_special(X, special), weights, y)
        thresholds = with_fixed(self._placed_thresholds(features, widths, orders), special, widths.n_bits)
        for j, order in orders.items():
            X[:, j] = order.ranks
        given |= {"has_missing": widths.has_missing, "has_guard": widths.has_guard, "special": special}
        given["handle_unknown"] = self.handle_unknown
        return build_codebook(X, weights, thresholds, categories={j: o.names for j, o in orders.items()}, **given)

    def _placed_thresholds(self, features, widths, orders):
        """Find the thresholds of all features, those of categories between their places in the order."""
        thresholds = find_thresholds(self._thresholds_of, features, widths.n_levels)
        for j, order in orders.items():
            found = order.placed(order.gaps if order.is_kept else np.asarray(thresholds[j], dtype=np.float32))
            thresholds[j] = np.unique(found[np.isfinite(found)])
        return thresholds

    def _order_of(self, categories, numbers, y, weights, room, folds):
        """Return the `Order` of the categories of a feature, with the ranks of the rows, and the float of each row."""
        order = order_by_weight(categories, weight_at(numbers, weights, len(categories.names)), room)
        order = order.of_rows(numbers)
        return order, order.floats

    def _widths(self, names, constant, nan_seen, special, categories=()):
        constant = constant & ~has_fixed(special, constant.size)
        n_bits = check_n_bits(self.n_bits, names, nan_seen.size)
        may = may_be_missing(self.missing, names, nan_seen)
        guarded = check_guard(self.guard, names, nan_seen.size) & ~constant
        guarded[list(categories)] = False
        if self.handle_unknown == "missing":
            may[list(categories)] = True
        widths = Widths.of(n_bits, may, constant, nan_seen, guarded, special)
        widths.refuse_without_guards(guarded, names)
        widths.refuse_without_special(names)
        return widths

    def _codebook_of(self, summary, names):
        """Build the codebook from a `Summary` of the rows."""
        if any(weight.any() for weight in summary.category_weights.values()):
            return self._mixed_codebook_of(summary, names)
        seen = summary.constant, summary.nan_seen, summary.special
        thresholds, codes = self._all_thresholds(summary.features(), names, *seen)
        return summary.codebook(thresholds, levels=self.levels, names=names, **codes)

    def _mixed_codebook_of(self, summary, names):
        """Build the codebook of numeric and categorical features from a `Summary` of the rows."""
        found = {
            j: Categories.of(values, summary.category_weights[j], self._categorical[-1])
            for j, values in summary.categories.items()
            if summary.category_weights[j].any()
        }
        seen, special = (summary.constant, summary.nan_seen), summary.special
        widths, orders, floats, places = self._widths(names, *seen, special, found), {}, {}, {}
        for j, (of_feature, number) in found.items():
            # Values without weight have the number NaN, and the others are numbered in their own order.
            weight = weight_at(number, summary.category_weights[j], len(of_feature.names))
            orders[j] = order_by_weight(of_feature, weight, int(widths.n_levels[j]))
            floats[j], places[j] = (orders[j].floats, weight), (orders[j].ranks, weight)
        widths.warn_of_indicators(summary.nan_seen, names, stacklevel=5)
        thresholds = self._placed_thresholds(summary.with_floats(floats).features(), widths, orders)
        thresholds = with_fixed(thresholds, special, widths.n_bits)
        given = {"has_missing": widths.has_missing, "has_guard": widths.has_guard, "names": names}
        given["handle_unknown"] = self.handle_unknown
        given["categories"] = {j: order.names for j, order in orders.items()}
        return summary.with_floats(places).codebook(thresholds, levels=self.levels, **given)

    def _check_can_summarize(self):
        """Reject a fit on a `Summary` if the quantizer needs all rows at once."""
        if self._is_supervised:
            raise ValueError(
                f"{type(self).__name__} looks at all rows with their targets, which is not possible in chunks: fit it "
                "on some of the rows and give its thresholds_ to a ThresholdQuantizer, or use a quantizer or init "
                "that looks at X alone, such as QuantileQuantizer."
            )

    def _checked_target(self, X, y, weights):
        return None

    def _all_thresholds(self, features, names, constant, nan_seen, special):
        """Return the thresholds of each feature, and what `build_codebook` needs to know of its other codes."""
        widths = self._widths(names, constant, nan_seen, special)
        widths.warn_of_indicators(nan_seen, names, stacklevel=4)
        thresholds = with_fixed(find_thresholds(self._thresholds_of, features, widths.n_levels), special, widths.n_bits)
        return thresholds, {"has_missing": widths.has_missing, "has_guard": widths.has_guard, "special": special}

    def _thresholds_of(self, feature, n_levels):
        """Find thresholds that split the feature into at most `n_levels` (at least 2) bins."""
        raise NotImplementedError
