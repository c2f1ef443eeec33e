"""Thresholds at quantiles."""

from sklearn.utils._param_validation import StrOptions

from skbsq.quantizers.incremental import IncrementalQuantizer
from skbsq.thresholds.quantile import quantile
from skbsq.thresholds.summary import DEFAULT_SIZE

__all__ = ["QuantileQuantizer"]


class QuantileQuantizer(IncrementalQuantizer):
    """Thresholds at the training quantiles of each feature, so that codes are about equally frequent.

    With L levels the thresholds are the quantiles at k / L for k = 1 to L - 1.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=4
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent.
    encode : {"ordinal", "thermometer", "value", "packed"}, default="ordinal"
        What `transform` returns: codes, thermometer bits, or levels.
    missing : {"error", "code"}, default="error"
        "error" refuses NaN; "code" gives it the top code of a feature, and one level fewer to numbers.
    levels : {"mean", "midpoint"}, default="mean"
        What a code decodes to: the mean of its training rows, or the middle of its bin.
    ties : {"refill", "merge"}, default="refill"
        Repeated values make quantiles coincide. "refill" puts the thresholds that would be lost where they
        split the heaviest bins, so that a feature has min(2^n_bits, distinct values) levels; "merge" leaves
        them out, as the paper does.
    quantile_method : {"averaged_inverted_cdf", "linear"}, default="averaged_inverted_cdf"
        The first is the same rule with and without weights. "linear" is the paper's, without weights only.
    sketch_size : int, default=2048
        Of `partial_fit`: so many distinct values of a feature are kept exactly, and beyond them their distribution by a
        sketch of this size (at most 65535).

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
    summary_ : dict
        After `partial_fit`: what it goes on from.

    See Also
    --------
    UniformQuantizer : Equal distances.
    BitwiseQuantizer : Thresholds learned with the model.

    Notes
    -----
    After `partial_fit` thresholds, levels and counts are those of `fit` on all rows where a feature has up to
    `sketch_size` distinct values. Beyond them they are estimates from a t-digest, which depends on the rows and their
    order alone. It has no proven bound; what its error in ranks is in practice is in the guide to fitting on chunks.

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
        levels="mean",
        ties="refill",
        quantile_method="averaged_inverted_cdf",
        sketch_size=DEFAULT_SIZE,
    ):
        self.n_bits = n_bits
        self.encode = encode
        self.missing = missing
        self.levels = levels
        self.ties = ties
        self.quantile_method = quantile_method
        self.sketch_size = sketch_size

    def _cut(self, feature, n_levels):
        return quantile(feature, n_levels, ties=self.ties, method=self.quantile_method)

    def _check_can_summarize(self):
        if self.quantile_method == "linear":
            raise ValueError('quantile_method="linear" needs all rows at once: use "averaged_inverted_cdf" for chunks.')
