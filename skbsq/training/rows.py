"""Training rows: what a fit asks of them, in memory or in chunks."""

from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np
import torch
from sklearn.utils import compute_sample_weight

from skbsq import nn as sq
from skbsq._targets import check_class_weight, check_target
from skbsq._validation import check_groups, check_weights, check_X, constant_features, nan_features, refuse_nan
from skbsq.codebook.checks import check_guard
from skbsq.codebook.columns import numbers_of
from skbsq.codebook.labels import check_columns, columns_of, label
from skbsq.codebook.matrix import as_table
from skbsq.thresholds.categories import SeenCategories
from skbsq.thresholds.features import at_places, features_of, target_sums
from skbsq.thresholds.filling import Widths, build_codebook, may_be_missing
from skbsq.thresholds.interactions import Interactions
from skbsq.thresholds.orders import Order, draw_folds, order_by_target, target_columns
from skbsq.thresholds.special import check_special, has_fixed, special_of_rows, without_special
from skbsq.training.batches import TensorRows
from skbsq.training.held_out import MIN_ROWS
from skbsq.training.ranks import rank_knots


class BaseRows:
    """Compute what follows from the features and targets of `Rows` or `ChunkedRows`.

    Attributes
    ----------
    categories, orders, special : dict
        See `Rows`.
    """

    categories: dict = {}
    orders: dict = {}
    special: dict = {}
    handle_unknown = "error"

    def in_order(self, n_bits, seed):
        """See `Rows.in_order`."""
        return self

    def in_order_of(self, book):
        """See `Rows.in_order_of`."""
        return self

    def placed(self, j, thresholds):
        """Move thresholds of a feature to where the codebook has them: between the places of its categories.

        Parameters
        ----------
        j : int
        thresholds : ndarray of float32

        Returns
        -------
        ndarray of float32
            Those of a numeric feature are not changed.
        """
        return self.orders[j].placed(thresholds) if j in self.orders else thresholds

    @property
    def is_categorical(self):
        """Categorical features: bool array of shape (d,)."""
        known = {*self.categories, *self.orders}
        return np.array([j in known for j in range(self.n_features)])

    @property
    def kept(self):
        """Features whose categories all keep their codes, so that their thresholds stay: bool array of shape (d,)."""
        return np.array([j in self.orders and self.orders[j].is_kept for j in range(self.n_features)])

    @property
    def one_hot(self):
        """Features in which the head reads one input per code: bool array of shape (d,)."""
        return np.array([j in self.orders and self.orders[j].is_one_hot for j in range(self.n_features)])

    def fixed(self, thresholds):
        """Return which thresholds stay where they are: those of kept categories, and those around special values.

        Parameters
        ----------
        thresholds : list of d ndarrays of float32

        Returns
        -------
        ndarray of bool of shape (T,)
            Feature by feature.
        """
        kept, nothing = self.kept, np.zeros(0, dtype=np.float32)
        fixed = [
            np.full(t.size, kept[j]) | np.isin(t, self.special[j].thresholds if j in self.special else nothing)
            for j, t in enumerate(thresholds)
        ]
        return np.concatenate(fixed)

    def widths(self, n_bits):
        """Find the features with missing and guard codes, and the levels that are left for numbers.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)

        Returns
        -------
        Widths
        """
        seen = self.may_be_missing, self.constant, self.nan_seen, self.guarded
        return Widths.of(n_bits, *seen, self.special)

    def moments(self):
        """Compute the weighted mean and standard deviation of each feature, without NaN.

        Returns
        -------
        mean, scale : ndarray of float64 of shape (d,)
            The scale is 1 where the standard deviation is 0.
        """
        mean, scale = zip(*(feature.moments for feature in self.features()), strict=True)
        return np.array(mean), np.array(scale)

    def space(self, kind):
        """Build the scaled space in which thresholds are optimised.

        Parameters
        ----------
        kind : {"standard", "rank"}
            Z-scores, or z-scores blended with ranks.

        Returns
        -------
        StandardSpace or RankSpace
        """
        if kind == "standard":
            mean, scale = self.moments()
            return sq.StandardSpace(mean=mean, scale=scale)
        return sq.RankSpace(*zip(*self.rank_knots, strict=True))

    @cached_property
    def rank_knots(self):
        """Knots of the rank space, one entry per feature, see `skbsq.training.ranks.rank_knots`."""
        return [rank_knots(feature) for feature in self.features()]

    def target_columns(self, y):
        """Return targets as the columns by which categories are ordered.

        Parameters
        ----------
        y : ndarray of shape (n,) or (n, k)

        Returns
        -------
        ndarray of float64 of shape (n, columns)
        """
        return target_columns(y, self.classes, *(self.target_moments() if self.classes is None else ()))

    def held_out_with(self, columns):
        """Return the validation rows that the caller gave, with other values in some features.

        Parameters
        ----------
        columns : dict int -> callable
            By feature, the function of its column.

        Returns
        -------
        (X, y, weights) or None
        """
        if self.held_out is None:
            return None
        X, *others = self.held_out
        X = X.copy()
        for j, function in columns.items():
            X[:, j] = function(X[:, j])
        return X, *others

    def target_moments(self):
        """Compute the weighted mean and standard deviation of each target.

        Returns
        -------
        mean, scale : ndarray of float64 of shape (k,)
            The scale is 1 where the standard deviation is 0.
        """
        _, mean, variance = self.target_sums()
        return mean, np.where(variance > 0, np.sqrt(variance), 1.0)

    def is_constant_target(self):
        """Return whether a regression has a single value per target."""
        return self.task == "regression" and all(target.is_constant for target in self.targets())

    def validation_tensors(self, mean, scale):
        """Convert the validation rows that the caller gave to tensors.

        Parameters
        ----------
        mean, scale : ndarray of float64 of shape (k,)
            Targets are standardised with them.

        Returns
        -------
        TensorRows or None
            None without such rows.
        """
        return None if self.held_out is None else self._as_tensors(*self.held_out, mean, scale)

    def _as_tensors(self, X, y, weights, mean, scale):
        """Convert checked rows: targets become float32 of shape (n, k), or int64 class numbers of shape (n,)."""
        if self.classes is not None:
            target = torch.from_numpy(np.searchsorted(self.classes, y))
        else:
            target = torch.from_numpy(((y.reshape(len(y), -1) - mean) / scale).astype(np.float32))
        weights = torch.from_numpy((weights / self.mean_weight).astype(np.float32)) if self.weighted else None
        return TensorRows(_tensor(X), target, weights)


@dataclass(frozen=True)
class Rows(BaseRows):
    """Training rows in memory: checked, and without rows of zero weight.

    n is the number of rows, d of features, k of targets.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    y : ndarray
        float64 of shape (n,) or (n, k), or labels of shape (n,).
    weights : ndarray of float64 of shape (n,)
        Positive. Class weights are included.
    task : {"regression", "classification"}
    names : ndarray of str of shape (d,), default=None
        Feature names.
    classes : ndarray, default=None
        Sorted labels, for classification.
    groups : ndarray of int of shape (n,), default=None
        Rows of a group are held out together.
    held_out : (X, y, weights), default=None
        Validation rows that the caller gave.
    may_be_missing : ndarray of bool of shape (d,) or bool, default=False
        Features in which NaN has a missing code. No other feature may hold NaN.
    guarded : ndarray of bool of shape (d,) or bool, default=False
        Features that have guard codes if these have room.
    categories : dict int -> Categories, default={}
        By categorical feature; X holds the numbers of categories.
    orders : dict int -> Order, default={}
        By categorical feature, once its categories are in order; X then holds the floats that training reads.
    handle_unknown : {"error", "missing"}, default="error"
        See `skbsq.BitwiseQuantizer`.
    special : dict int -> Special, default={}
        Special values by feature. `features`, `distinct` and `drawn` leave out rows with them.

    See Also
    --------
    Learner : Learns from rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.training import Rows
    >>> Rows(np.float32([[1, 5], [1, 6]]), np.array([0.0, 1.0]), np.ones(2), "regression").constant
    array([ True, False])
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    task: str
    names: np.ndarray | None = None
    classes: np.ndarray | None = None
    groups: np.ndarray | None = None
    held_out: tuple | None = None
    may_be_missing: np.ndarray | bool = False
    guarded: np.ndarray | bool = False
    categories: dict = field(default_factory=dict)
    orders: dict = field(default_factory=dict)
    handle_unknown: str = "error"
    special: dict = field(default_factory=dict)

    def in_order(self, n_bits, seed):
        """Put the categories of each feature into the order in which codes group them, if they are in none yet.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
            A feature with codes for all of its categories reads their places, another one means of the target.
        seed : int
            Draws the folds outside of which these means are computed.

        Returns
        -------
        Rows
            With `orders`.
        """
        n_levels = self.widths(n_bits).n_levels
        if not self.categories:
            orders = {j: replace(order, room=int(n_levels[j])) for j, order in self.orders.items()}
            return replace(self, orders=orders) if orders else self
        X, orders, floats = self.X.copy(), {}, {}
        target, folds = self.target_columns(self.y), draw_folds(self.n_rows, seed, self.groups)
        interactions = Interactions(target, self._numbers(), self.weights)
        for j, of_feature in self.categories.items():
            columns = interactions.added_to(target, of_feature, self.X[:, j])
            given = of_feature, self.X[:, j], columns, self.weights, int(n_levels[j]), folds
            orders[j], X[:, j] = order_by_target(*given)
            floats[j] = partial(orders[j].floats_of, of_feature)
        return replace(self, X=X, held_out=self.held_out_with(floats), categories={}, orders=orders)

    def _numbers(self):
        """Return numeric features, and those of at most two categories as numbers."""
        many = [j for j, known in self.categories.items() if known.group.max() > 1]
        return np.delete(self.X, many, axis=1)

    def in_order_of(self, book):
        """Put the categories of each feature into the order of a codebook; X then holds their numbers there.

        Parameters
        ----------
        book : Codebook

        Returns
        -------
        Rows
            With `orders`.
        """
        if not (self.categories or self.orders):
            return self
        X, orders, floats = self.X.copy(), {}, {}
        for j in {**self.categories, **self.orders}:
            known, places = (
                (self.categories[j].names, self.X[:, j])
                if self.categories
                else (self.orders[j].names, self.orders[j].ranks)
            )
            order = Order.of_book(known, book, j)
            floats[j], orders[j] = partial(at_places, order.ranks), order.of_rows(places)
            X[:, j] = orders[j].ranks
        return replace(self, X=X, held_out=self.held_out_with(floats), categories={}, orders=orders)

    @property
    def n_features(self):
        """Number of features, d."""
        return self.X.shape[1]

    @property
    def n_rows(self):
        """Number of rows, n."""
        return len(self.X)

    @property
    def can_hold_out(self):
        """Whether there are enough rows to hold some out."""
        return self.n_rows >= MIN_ROWS

    @property
    def n_outputs(self):
        """Number of targets, or of classes."""
        return len(self.classes) if self.task == "classification" else self.y[:1].size

    @property
    def target_ndim(self):
        """Number of dimensions of y."""
        return self.y.ndim

    @property
    def weighted(self):
        """Whether rows differ in weight."""
        return np.ptp(self.weights) > 0

    @property
    def mean_weight(self):
        """Mean weight of a row."""
        return self.weights.mean()

    @property
    def constant(self):
        """Features with at most one distinct value, special values included: bool array of shape (d,)."""
        return constant_features(self.X) & ~has_fixed(self.special, self.n_features)

    @cached_property
    def _others(self):
        """X with NaN in place of special values."""
        return without_special(self.X, self.special)

    @property
    def nan_seen(self):
        """Features with a NaN: bool array of shape (d,)."""
        return nan_features(self.X)

    def class_shares(self):
        """Compute the share of each class in the total weight.

        Returns
        -------
        ndarray of float64
        """
        weight = np.bincount(np.searchsorted(self.classes, self.y), self.weights)
        return weight / weight.sum()

    def features(self):
        """Yield the features one by one.

        Yields
        ------
        Feature
        """
        return features_of(self._others, self.weights)

    def features_with_target(self):
        """Yield the features one by one, each with the target.

        Yields
        ------
        Feature
            Its target holds numbers, or class numbers.
        """
        y = self.y if self.classes is None else np.searchsorted(self.classes, self.y)
        return features_of(self._others, self.weights, y)

    def some(self, index, features=None):
        """Select rows, and optionally features. The result has no validation rows.

        Parameters
        ----------
        index : ndarray of int
        features : ndarray of int, default=None
            None selects all.

        Returns
        -------
        Rows
        """
        X = self.X[index] if features is None else self.X[np.ix_(index, features)]
        # What all rows have shown, although these rows may hold no NaN, or be constant.
        codes = (np.broadcast_to(given, self.n_features) for given in (self.may_be_missing, self.guarded))
        may_be_missing, guarded = (given if features is None else given[features] for given in codes)
        return replace(
            self,
            X=X,
            y=self.y[index],
            weights=self.weights[index],
            names=self.names if features is None or self.names is None else self.names[features],
            groups=None if self.groups is None else self.groups[index],
            held_out=None,
            may_be_missing=may_be_missing,
            guarded=guarded,
            categories=_of_features(self.categories, features),
            special=_of_features(self.special, features),
            orders={j: order.some(index) for j, order in _of_features(self.orders, features).items()},
        )

    def distinct(self):
        """Yield the distinct values of each feature.

        Yields
        ------
        ndarray of float32
            Ascending, without NaN.
        """
        for column in self._others.T:
            values = np.unique(column)
            yield values[~np.isnan(values)]

    def drawn(self, n, seed):
        """Draw rows at random, and return their features.

        Parameters
        ----------
        n : int
            Number of rows. All rows are taken if there are fewer.
        seed : int

        Returns
        -------
        list of d Features
        """
        drawn = np.random.RandomState(seed).permutation(len(self.X))[:n]
        return list(features_of(self._others[drawn], self.weights[drawn]))

    def target_sums(self):
        """Compute the total weight, and the weighted mean and variance of each target.

        Returns
        -------
        weight : float
        mean, variance : ndarray of float64 of shape (k,)
        """
        return target_sums(self.y, self.weights)

    def target_range(self):
        """Compute the lowest and the highest value of each target.

        Returns
        -------
        low, high : ndarrays of shape (k,)
        """
        y = self.y.reshape(len(self.y), -1)
        return y.min(axis=0), y.max(axis=0)

    def targets(self):
        """Yield the values of the targets one by one.

        Yields
        ------
        Feature
        """
        return features_of(self.y.reshape(len(self.y), -1).astype(np.float32), self.weights)

    def codebook(self, thresholds, **given):
        """Build the codebook of thresholds, with levels and counts from the rows.

        Parameters
        ----------
        thresholds : list of d 1-d arrays
            As `placed` returns them.
        **given
            See `skbsq.thresholds.filling.build_codebook`.

        Returns
        -------
        Codebook
        """
        X = self.X
        if self.orders:
            X = X.copy()
            for j, order in self.orders.items():
                X[:, j] = order.ranks
            given |= {"categories": {j: order.names for j, order in self.orders.items()}}
            given |= {"handle_unknown": self.handle_unknown}
        return build_codebook(X, self.weights, thresholds, names=self.names, special=self.special, **given)

    def tensors(self, mean, scale):
        """Convert the rows to tensors, as a net is trained on them.

        Parameters
        ----------
        mean, scale : ndarray of float64 of shape (k,)
            Targets are standardised with them.

        Returns
        -------
        TensorRows
        """
        return self._as_tensors(self.X, self.y, self.weights, mean, scale)


def _of_features(by_feature, features):
    """Select entries by feature, and number them among the selected features."""
    if features is None:
        return by_feature
    return {k: by_feature[j] for k, j in enumerate(features.tolist()) if j in by_feature}


def read_rows(
    estimator,
    X,
    y,
    sample_weight,
    task,
    missing,
    guard,
    class_weight,
    *,
    categorical=(None, "error", 0.0),
    groups=None,
    X_val=None,
    y_val=None,
    special_values=None,
):
    """Check the arguments of a fit.

    Parameters
    ----------
    estimator : BaseEstimator
        ``n_features_in_`` and ``feature_names_in_`` are set on it.
    X, y, sample_weight, groups, X_val, y_val : array-likes or None
        As `fit` takes them.
    task : {"auto", "regression", "classification"}
    missing : str, array-like, dict or Series
        See `skbsq.codebook.checks.check_missing`.
    guard : bool, array-like, dict or Series
        See `skbsq.codebook.checks.check_guard`.
    class_weight : dict, "balanced" or None
    categorical : (categorical_features, handle_unknown, min_share)
        See `skbsq.BitwiseQuantizer`.
    special_values : array-like, dict, Series or None
        See `skbsq.thresholds.special.check_special`.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        For an invalid argument. The message names the argument, and the feature or row.
    """
    categorical_features, handle_unknown, min_share = categorical
    X = as_table(X, "X")
    seen = SeenCategories(X, categorical_features)
    unknown = seen.features if handle_unknown == "missing" else []
    given = {"missing": missing, "readers": seen.readers, "may_be_missing": unknown}
    X = check_X(estimator, X, reset=True, min_rows=2, stacklevel=5, **given)
    targets = columns_of(y)
    rows = rows_with_target(estimator, X, y, sample_weight, groups, task, class_weight)
    may = may_be_missing(missing, rows.names, rows.nan_seen)
    may[unknown] = True
    special = special_of_rows(rows.X, check_special(special_values, rows.names, rows.n_features, seen.features))
    rows = replace(rows, special=special)
    guarded = check_guard(guard, rows.names, rows.n_features) & ~rows.constant
    guarded[seen.features] = False
    categories = seen.numbered(rows.X, rows.weights, min_share)
    rows = replace(rows, may_be_missing=may, guarded=guarded, categories=categories, handle_unknown=handle_unknown)
    if X_val is None and y_val is None:
        return rows
    return replace(rows, held_out=_read_validation_rows(estimator, rows, X_val, y_val, targets))


def rows_with_target(estimator, X, y, sample_weight, groups, task, class_weight):
    """Check targets, weights and groups beside checked features, and leave out rows of zero weight.

    Parameters
    ----------
    estimator : BaseEstimator
        It has the names of the features.
    X : ndarray of float32 of shape (n, d)
    y, sample_weight, groups, task, class_weight
        See `read_rows`.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        For an invalid argument. The message names the argument, and the row.
    """
    weights = check_weights(sample_weight, X)
    y, task = check_target(y, X, task, estimator, weights)
    groups = check_groups(groups, len(X))
    if class_weight is not None:
        check_class_weight(class_weight, task)
        kept = weights > 0
        by_class = np.ones_like(weights)
        by_class[kept] = compute_sample_weight(class_weight, y[kept])
        weights = weights * by_class  # not in place: the array may be the caller's
    kept = weights > 0
    if not kept.all():
        X, y, weights = X[kept], y[kept], weights[kept]
        groups = None if groups is None else groups[kept]
    classes = np.unique(y) if task == "classification" else None
    check_enough(len(X), classes)
    names = getattr(estimator, "feature_names_in_", None)
    return Rows(np.ascontiguousarray(X), y, weights, task, names, classes, groups)


def check_enough(n_rows, classes):
    """Reject fewer than two rows of positive weight, or fewer than two classes.

    Parameters
    ----------
    n_rows : int
    classes : ndarray or None

    Raises
    ------
    ValueError
        If there are too few.
    """
    if n_rows < 2:
        raise ValueError(f"At least 2 rows of positive weight are needed to learn thresholds, got {n_rows}.")
    if classes is not None and classes.size < 2:
        raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs at least two.")


def _read_validation_rows(estimator, rows, X, y, target_names):
    """Check X_val and y_val of a fit, and return (X, y, weights)."""
    if X is None or y is None:
        raise ValueError(f"{'X_val' if X is None else 'y_val'} is missing: X_val and y_val go together.")
    readers = readers_of(rows.categories, rows.names, rows.handle_unknown)
    X = check_X(estimator, X, reset=False, readers=readers)
    refuse_new_nan(X, rows.may_be_missing, rows.names, "X_val", "X")
    if target_names is not None:
        check_columns(columns_of(y), target_names, "y_val")
    y, _ = check_target(y, X, rows.task, estimator)
    if y.shape[1:] != rows.y.shape[1:]:
        raise ValueError(f"y_val has shape {y.shape}, and y {rows.y.shape}: they need the same targets.")
    if rows.classes is not None and (unknown := ~np.isin(y, rows.classes)).any():
        raise ValueError(f"The label {y[unknown].tolist()[0]!r} in y_val is not in y.")
    return np.ascontiguousarray(X), y, np.ones(len(X))


def readers_of(categories, names, handle_unknown):
    """Return what turns the columns of categories into their numbers in training rows.

    Parameters
    ----------
    categories : dict int -> Categories
    names : ndarray of str or None
    handle_unknown : {"error", "missing"}

    Returns
    -------
    dict int -> callable
    """
    return {
        j: partial(numbers_of, categories=known.number_of, feature=label(names, j), unknown=handle_unknown)
        for j, known in categories.items()
    }


def refuse_new_nan(X, may_be_missing, names, what, fitted_on):
    """Reject NaN in features for which the rows of fit have no missing code.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    may_be_missing : ndarray of bool of shape (d,)
    names : ndarray of str or None
    what, fitted_on : str
        What the message calls X, and the rows of fit.

    Raises
    ------
    ValueError
        If there is such a NaN. The message names its feature and row.
    """
    why = f'{fitted_on} has none there, so there is no code for it: impute NaN first, or set missing="code".'
    refuse_nan(X, ~may_be_missing, names, why, what=what)


class _Writable:
    """Present a read-only array as writable, and keep it alive."""

    def __init__(self, array):
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.array = array


def _tensor(X):
    """Share the memory of X with a tensor if it is contiguous. Nothing writes to the tensor."""
    X = np.ascontiguousarray(X)
    # Torch warns about read-only memory, and a copy of a large memory-mapped file would be expensive.
    return torch.from_numpy(X if X.flags.writeable else np.asarray(_Writable(X)))
