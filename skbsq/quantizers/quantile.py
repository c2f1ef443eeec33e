"""Place thresholds at quantiles."""

from sklearn.utils._param_validation import StrOptions

from skbsq.quantizers.incremental import IncrementalQuantizer
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.summary import DEFAULT_SIZE

__all__ = ["QuantileQuantizer"]


class QuantileQuantizer(IncrementalQuantizer):
    """Place thresholds at the training quantiles of each feature, so that codes are about equally frequent.

    With L levels the thresholds are the quantiles at k / L for k = 1 to L - 1.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=4
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, levels, or packed bytes.
    missing : {"error", "seen", "code"}, array-like, dict or pandas Series, default="error"
        Rule for NaN, for all features or one per feature. "error" rejects NaN in fit. "seen" gives a missing code to
        the features in which fit sees NaN, "code" to every feature with bits. With `n_bits` given, a missing code
        leaves one level fewer for numbers. After fit, NaN is rejected in a feature with bits and no missing code.
    guard : bool, array-like of bool of shape (d,), dict or pandas Series, default=False
        Whether the lowest and the highest code are kept for values below and above all rows of fit, so that a
        `skbsq.monitoring.CodeMonitor` sees a sensor that leaves its range. This takes two levels from a feature. A
        feature of 0 bits and a constant one have no such codes.
    special_values : array-like, dict, pandas Series or None, default=None
        Numbers such as -999 that stand for something other than a measurement. Each has a code of its own, and
        thresholds are found for the other values. One list for all numeric features, or a dict or Series with a list
        per feature, which may leave out features.
    levels : {"mean", "midpoint"}, default="mean"
        What a code decodes to: the mean of its training rows, or the middle of its bin.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which features are categorical. "from_dtype": the columns of a data frame that hold categories, strings or
        booleans. Or names, numbers of features, or a bool per feature. None: none.
    handle_unknown : {"error", "missing"}, default="error"
        What a category is that fit did not see: an error, or missing. Every categorical feature with bits then has a
        missing code.
    min_share : float, default=0.0
        Categories with a lower share of the rows are merged into one.
    ties : {"refill", "merge"}, default="refill"
        Repeated values make quantiles coincide. "refill" moves the thresholds that would be lost to where they
        split the heaviest bins, so that a feature has min(2^n_bits, unique values) levels. "merge" drops
        them, as the paper does.
    quantile_method : {"averaged_inverted_cdf", "linear"}, default="averaged_inverted_cdf"
        "averaged_inverted_cdf" is the same rule with and without weights. "linear" is the paper's rule, and takes no
        weights.
    sketch_size : int, default=2048
        For `partial_fit`: up to this many unique values of a feature are kept exactly. Beyond them a sketch of this
        size (at most 65535) keeps their distribution.

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
    summary_ : dict
        After `partial_fit`: the summary of all rows so far, from which the next call continues.

    See Also
    --------
    UniformQuantizer : Equal distances.
    BitwiseQuantizer : Thresholds learned with the model.

    Notes
    -----
    After `partial_fit`, thresholds, levels and counts equal those of `fit` on all rows as long as a feature has up to
    `sketch_size` unique values. Beyond that they are estimates from a t-digest, which depends on the rows and their
    order alone. A t-digest has no proven bound; the guide to fitting on chunks shows its error in ranks in practice.

    References
    ----------
    QQ in arXiv 2603.05172, Section 4.

    Examples
    --------
    >>> from skbsq import QuantileQuantizer
    >>> X = [[1.0], [2.0]] + [[3.0]] * 8
    >>> QuantileQuantizer(n_bits=1).fit(X).thresholds_
    [array([2.5], dtype=float32)]
    """

    _parameter_constraints: dict = {
        **IncrementalQuantizer._parameter_constraints,
        "ties": [StrOptions({"refill", "merge"})],
        "quantile_method": [StrOptions({"averaged_inverted_cdf", "linear"})],
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
        ties="refill",
        quantile_method="averaged_inverted_cdf",
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
            sketch_size=sketch_size,
        )
        self.ties = ties
        self.quantile_method = quantile_method

    def _thresholds_of(self, feature, n_levels):
        return quantile(feature, n_levels, ties=self.ties, method=self.quantile_method)

    def _check_can_summarize(self):
        if self.quantile_method == "linear":
            raise ValueError('quantile_method="linear" needs all rows at once: use "averaged_inverted_cdf" for chunks.')
