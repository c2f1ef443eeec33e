"""Place thresholds between the centres of one-dimensional k-means."""

from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.kmeans import kmeans

__all__ = ["KMeansQuantizer"]


class KMeansQuantizer(FixedQuantizer):
    """Place the thresholds of each feature halfway between the centres of k-means, for the least squared error.

    The result is deterministic. The partition is the exact optimum (dynamic programming) as long as unique values
    times levels stay below 2^17. Beyond that, Lloyd's iteration runs on the weighted unique values, and starts from
    the optimum over a subset of the possible bin limits.

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
        What a code decodes to: the mean of its training rows (the centre), or the middle of its bin.
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which features are categorical. "from_dtype": the columns of a data frame that hold categories, strings or
        booleans. Or names, numbers of features, or a bool per feature. None: none.
    handle_unknown : {"error", "missing"}, default="error"
        What a category is that fit did not see: an error, or missing. Every categorical feature with bits then has a
        missing code.
    min_share : float, default=0.0
        Categories with a lower share of the rows are merged into one.

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
    QuantileQuantizer : Equal shares of the rows.
    BitwiseQuantizer : Thresholds learned with the model.

    Examples
    --------
    >>> from skbsq import KMeansQuantizer
    >>> X = [[0.0], [1.0], [10.0], [11.0], [12.0]]
    >>> quantizer = KMeansQuantizer(n_bits=1).fit(X)
    >>> quantizer.thresholds_, quantizer.codebook_.levels
    ([array([5.75], dtype=float32)], [array([ 0.5, 11. ], dtype=float32)])
    """

    def _thresholds_of(self, feature, n_levels):
        return kmeans(feature, n_levels)
