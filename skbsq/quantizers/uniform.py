"""Place thresholds at equal distances."""

from skbsq.quantizers.incremental import IncrementalQuantizer
from skbsq.thresholds.uniform import uniform

__all__ = ["UniformQuantizer"]


class UniformQuantizer(IncrementalQuantizer):
    """Place thresholds at equal distances over the training range of each feature.

    With K thresholds, lo and hi the training range and s = (hi - lo) / K, the thresholds lie at
    lo + s (k + 1/2) for k = 0 to K - 1. So the K + 1 midpoint levels run from lo to hi.

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
    sketch_size : int, default=2048
        For `partial_fit`: up to this many unique values of a feature are kept exactly. Beyond them a sketch of this
        size (at most 65535) keeps their distribution. It is used for ``levels="mean"`` only.

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
    QuantileQuantizer : Equal shares of the rows.
    BitwiseQuantizer : Thresholds learned with the model.

    Notes
    -----
    `partial_fit` gives exactly the thresholds of `fit` on all rows; with ``levels="midpoint"`` the levels too. With
    ``levels="mean"``, bins move as more rows come, so levels and counts come from a sketch of the values. They are
    exact up to `sketch_size` unique values of a feature, and otherwise estimates that lie in their bins.

    References
    ----------
    MQ in arXiv 2603.05172, Section 4.

    Examples
    --------
    >>> from skbsq import UniformQuantizer
    >>> X = [[0.0], [1.0], [5.0], [6.0]]
    >>> quantizer = UniformQuantizer(n_bits=2).fit(X)
    >>> quantizer.thresholds_
    [array([1., 3., 5.], dtype=float32)]
    >>> quantizer.transform(X).ravel()
    array([0, 0, 2, 3], dtype=uint8)
    """

    def _thresholds_of(self, feature, n_levels):
        return uniform(feature, n_levels)

    def _size_of_sketch(self):
        return self.sketch_size if self.levels == "mean" else None
