"""Thresholds between the centres of one-dimensional k-means."""

from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.kmeans import kmeans

__all__ = ["KMeansQuantizer"]


class KMeansQuantizer(FixedQuantizer):
    """Thresholds halfway between the centres of k-means, feature by feature: least squared error.

    Deterministic. The partition is the exact optimum (dynamic programming) where distinct values times
    levels stay under 2^17; beyond that, Lloyd's iteration on the weighted distinct values, started from
    the optimum over a subset of the possible bin limits.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=4
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, or levels.
    missing : {"error", "code"}, default="error"
        "error" refuses NaN; "code" gives it the top code of a feature, and one level fewer to numbers.
    levels : {"mean", "midpoint"}, default="mean"
        What a code decodes to: the mean of its training rows (the centre), or the middle of its bin.

    Attributes
    ----------
    codebook_ : Codebook
        All that was learned.
    thresholds_ : list of d ndarrays of float32
        In the units of X.
    n_bits_, n_levels_ : ndarray of int64 of shape (d,)
        Bits and codes per feature.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X has string column names.

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

    def __init__(self, n_bits=4, *, encode="ordinal", missing="error", levels="mean"):
        self.n_bits = n_bits
        self.encode = encode
        self.missing = missing
        self.levels = levels

    def _cut(self, feature, n_levels):
        return kmeans(feature, n_levels)
