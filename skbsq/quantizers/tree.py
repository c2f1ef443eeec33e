"""Place the thresholds of a feature where a small decision tree splits it."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skbsq._targets import TASKS, check_target
from skbsq.quantizers.base import FixedQuantizer
from skbsq.thresholds.features import target_sums
from skbsq.thresholds.orders import order_by_target, target_columns
from skbsq.thresholds.tree import tree

__all__ = ["TreeQuantizer"]


class TreeQuantizer(FixedQuantizer):
    """Place thresholds where a small decision tree on the feature alone splits the target.

    The thresholds are learned with y, so score them on held-out rows.

    A feature of more than 65,536 unique values is first divided into at most 65,536 groups of neighbouring values, of
    about equal weight, and the tree splits between these groups. For k classes there are 65,536 / k groups, or 64 for
    each level if that is more.

    Parameters
    ----------
    n_bits : int, array-like of shape (d,), dict or pandas Series name -> int, or None, default=4
        Bits per feature, 0 to 16; None means 4. A feature of 0 bits is not sent. A tree stops early where no
        split helps, so a feature may end with fewer levels.
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
    task : {"auto", "regression", "classification"}, default="auto"
        "auto": floating y means regression, even if all values are integers; bool, string and category mean
        classification; integer y means classification up to 20 classes, and regression beyond.
    min_share : float, default=0.1
        Least weight of a bin, where 1 is an equal share for each of the 2^n_bits bins. It keeps single
        outliers of y from using up thresholds.

    Attributes
    ----------
    codebook_ : Codebook
        Thresholds and levels of every feature.
    task_ : {"regression", "classification"}
        The task that was solved.
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
    BitwiseQuantizer : Thresholds of all features learned together, with the model.

    Examples
    --------
    >>> from skbsq import TreeQuantizer
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> TreeQuantizer(n_bits=1).fit(X, [5.0, 5.0, 5.0, 9.0]).thresholds_
    [array([2.5], dtype=float32)]
    """

    _is_supervised = True
    _required_attributes = FixedQuantizer._required_attributes | {"task_"}
    _parameter_constraints: dict = {
        **FixedQuantizer._parameter_constraints,
        "task": [StrOptions(set(TASKS))],
        "min_share": [Interval(Real, 0, 1, closed="both")],
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
        task="auto",
        min_share=0.1,
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
        )
        self.task = task

    @property
    def _categorical(self):
        return *super()._categorical[:2], 0.0  # min_share is that of bins

    def _order_of(self, categories, numbers, y, weights, room, folds):
        if self.task_ == "classification":
            target = target_columns(y, np.unique(y))
        else:
            _, mean, variance = target_sums(y, weights)
            target = target_columns(y, None, mean, np.where(variance > 0, np.sqrt(variance), 1.0))
        return order_by_target(categories, numbers, target, weights, room, folds)

    def _checked_target(self, X, y, weights):
        y, self.task_ = check_target(y, X, self.task, self, weights)
        # Only equality of labels matters, and integers compare fast.
        return np.unique(y, return_inverse=True)[1] if self.task_ == "classification" else y

    def _thresholds_of(self, feature, n_levels):
        return tree(feature, n_levels, task=self.task_, min_share=self.min_share)
