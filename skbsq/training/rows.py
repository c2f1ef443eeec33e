"""What a fit asks its training rows for, whether they are in memory or come in chunks."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from sklearn.utils import compute_sample_weight

from skbsq import nn as sq
from skbsq._targets import check_class_weight, check_target
from skbsq._validation import check_groups, check_weights, check_X, constant_features, nan_features
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.thresholds.features import features_of
from skbsq.thresholds.filling import build_codebook
from skbsq.training.batches import TensorRows
from skbsq.training.held_out import MIN_ROWS
from skbsq.training.ranks import rank_knots


class BaseRows:
    """What follows from `features`."""

    def moments(self):
        """Weighted mean and standard deviation per feature, NaN left out; 1 for a deviation of 0."""
        mean, scale = zip(*(feature.moments for feature in self.features()), strict=True)
        return np.array(mean), np.array(scale)

    def space(self, kind):
        """The scaled space in which thresholds move.

        Parameters
        ----------
        kind : {"standard", "rank"}
            Standardized values, or ranks blended with them.

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
        """Of each feature, see `skbsq.training.ranks.rank_knots`."""
        return [rank_knots(feature) for feature in self.features()]


@dataclass(frozen=True)
class Rows(BaseRows):
    """Training rows in memory, checked, without those of zero weight.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    y : ndarray
        float64 of shape (n,) or (n, k), or labels of shape (n,).
    weights : ndarray of float64 of shape (n,)
        Positive, class weights included.
    task : {"regression", "classification"}
    names : ndarray of str of shape (d,), default=None
        Of the features.
    classes : ndarray, default=None
        Sorted labels, for a classification.
    groups : ndarray of int of shape (n,), default=None
        Rows of a group are held out together.
    held_out : (X, y, weights), default=None
        Rows to validate on, where they were given.

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

    @property
    def n_features(self):
        """Features, d."""
        return self.X.shape[1]

    @property
    def n_rows(self):
        """Rows, n."""
        return len(self.X)

    @property
    def can_hold_out(self):
        """Whether there are rows enough to hold some out."""
        return self.n_rows >= MIN_ROWS

    def class_shares(self):
        """Share of each class in the weight of the rows."""
        weight = np.bincount(np.searchsorted(self.classes, self.y), self.weights)
        return weight / weight.sum()

    @property
    def n_outputs(self):
        """Targets, or classes."""
        return len(self.classes) if self.task == "classification" else self.y[:1].size

    @property
    def target_ndim(self):
        """Dimensions of y."""
        return self.y.ndim

    @property
    def weighted(self):
        """Whether rows differ in weight."""
        return np.ptp(self.weights) > 0

    @property
    def constant(self):
        """Which features hold one value, or none: bool array of shape (d,)."""
        return constant_features(self.X)

    @property
    def nan_seen(self):
        """Which features hold a NaN: bool array of shape (d,)."""
        return nan_features(self.X)

    def features(self):
        """Yield one `Feature` per column."""
        return features_of(self.X, self.weights)

    def features_with_target(self):
        """Yield one `Feature` per column, with the target: numbers, or the numbers of classes."""
        y = self.y if self.classes is None else np.searchsorted(self.classes, self.y)
        return features_of(self.X, self.weights, y)

    def some(self, index, features=None):
        """Some of the rows, and of their features; rows to validate on are left out.

        Parameters
        ----------
        index : ndarray of int
        features : ndarray of int, default=None
            None: all.

        Returns
        -------
        Rows
        """
        X = self.X[index] if features is None else self.X[np.ix_(index, features)]
        return replace(
            self,
            X=X,
            y=self.y[index],
            weights=self.weights[index],
            names=self.names if features is None or self.names is None else self.names[features],
            groups=None if self.groups is None else self.groups[index],
            held_out=None,
        )

    def distinct(self):
        """Yield the distinct values of each feature, ascending."""
        for column in self.X.T:
            values = np.unique(column)
            yield values[~np.isnan(values)]

    def drawn(self, n, seed):
        """The features of rows drawn at random.

        Parameters
        ----------
        n : int
            Rows; all where there are fewer.
        seed : int

        Returns
        -------
        list of d Features
        """
        drawn = np.random.RandomState(seed).permutation(len(self.X))[:n]
        return list(features_of(self.X[drawn], self.weights[drawn]))

    def target_sums(self):
        """Weight of the rows, weighted mean and variance of each target."""
        return target_sums(self.y, self.weights)

    def target_moments(self):
        """Weighted mean and standard deviation of each target; 1 for a deviation of 0."""
        _, mean, variance = self.target_sums()
        return mean, nonzero(np.sqrt(variance))

    def codebook(self, thresholds, **given):
        """The codebook of thresholds, with levels and counts of the rows.

        Parameters
        ----------
        thresholds : list of d 1-d arrays
        **given
            See `skbsq.thresholds.filling.build_codebook`.

        Returns
        -------
        Codebook
        """
        return build_codebook(self.X, self.weights, thresholds, names=self.names, **given)

    def tensors(self, mean, scale):
        """The rows as a net is trained on them.

        Parameters
        ----------
        mean, scale : ndarray of float64 of shape (k,)
            What the target is standardized with.

        Returns
        -------
        TensorRows
        """
        return self._as_tensors((self.X, self.y, self.weights), mean, scale)

    def validation_tensors(self, mean, scale):
        """The rows to validate on that were given, as tensors.

        Parameters
        ----------
        mean, scale : ndarray of float64 of shape (k,)
            What the target is standardized with.

        Returns
        -------
        TensorRows or None
        """
        return None if self.held_out is None else self._as_tensors(self.held_out, mean, scale)

    def _as_tensors(self, rows, mean, scale):
        mean_weight = self.weights.mean() if self.weighted else None
        return as_tensors(*rows, self.classes, mean, scale, mean_weight)


def read_rows(estimator, X, y, sample_weight, task, missing, class_weight, *, groups=None, X_val=None, y_val=None):
    """Check what a fit was given.

    Parameters
    ----------
    estimator : BaseEstimator
        Gets ``n_features_in_`` and ``feature_names_in_``.
    X, y, sample_weight, groups, X_val, y_val : array-likes or None
        As `fit` takes them.
    task : {"auto", "regression", "classification"}
    missing : {"error", "code"}
    class_weight : dict, "balanced" or None

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        Naming what makes no sense, and where.
    """
    X = check_X(estimator, X, reset=True, missing=missing, min_rows=2, stacklevel=5)
    weights = check_weights(sample_weight, X)
    targets = columns_of(y)
    y, task = check_target(y, X, task, estimator, weights)
    groups = check_groups(groups, len(X))
    if class_weight is not None:
        check_class_weight(class_weight, task)
        kept = weights > 0
        by_class = np.ones_like(weights)
        by_class[kept] = compute_sample_weight(class_weight, y[kept])
        weights = weights * by_class  # a new array: the old one may be the caller's
    kept = weights > 0
    if kept.sum() < 2:
        raise ValueError(f"At least 2 rows of positive weight are needed to learn thresholds, got {kept.sum()}.")
    if not kept.all():
        X, y, weights = X[kept], y[kept], weights[kept]
        groups = None if groups is None else groups[kept]
    classes = None
    if task == "classification":
        classes = np.unique(y)
        if classes.size < 2:
            raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs at least two.")
    names = getattr(estimator, "feature_names_in_", None)
    rows = Rows(np.ascontiguousarray(X), y, weights, task, names, classes, groups)
    if X_val is None and y_val is None:
        return rows
    return replace(rows, held_out=_read_validation_rows(estimator, rows, X_val, y_val, targets, missing))


def _read_validation_rows(estimator, rows, X, y, targets, missing):
    """(X, y, weights) of the rows to validate on that a fit was given; `targets` are the names of those of y."""
    if X is None or y is None:
        raise ValueError(f"{'X_val' if X is None else 'y_val'} is missing: X_val and y_val go together.")
    X = check_X(estimator, X, reset=False, missing=missing)
    if targets is not None:
        check_columns(columns_of(y), targets, "y_val")
    y, _ = check_target(y, X, rows.task, estimator)
    if y.shape[1:] != rows.y.shape[1:]:
        raise ValueError(f"y_val has shape {y.shape}, and y {rows.y.shape}: they need the same targets.")
    if rows.classes is not None and (unknown := ~np.isin(y, rows.classes)).any():
        raise ValueError(f"The label {y[unknown].tolist()[0]!r} in y_val is not in y.")
    return np.ascontiguousarray(X), y, np.ones(len(X))


def as_tensors(X, y, weights, classes, mean, scale, mean_weight):
    """Checked rows as tensors.

    Parameters
    ----------
    X : ndarray of float32 of shape (n, d)
    y : ndarray
        Labels of shape (n,), or float64 of shape (n,) or (n, k).
    weights : ndarray of float64 of shape (n,)
    classes : ndarray or None
        Sorted labels.
    mean, scale : ndarray of float64 of shape (k,)
    mean_weight : float or None
        None where all rows weigh the same.

    Returns
    -------
    TensorRows
        Targets float32 of shape (n, k), or int64 class numbers of shape (n,).
    """
    if classes is not None:
        target = torch.from_numpy(np.searchsorted(classes, y))
    else:
        target = torch.from_numpy(((y.reshape(len(y), -1) - mean) / scale).astype(np.float32))
    if mean_weight is not None:
        weights = torch.from_numpy((weights / mean_weight).astype(np.float32))
    return TensorRows(_tensor(X), target, None if mean_weight is None else weights)


class _Writable:
    """A read-only array that says it can be written to."""

    def __init__(self, array):
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self.array = array  # lives as long


def _tensor(X):
    """A tensor of the memory of X where that is contiguous: nothing writes to it."""
    X = np.ascontiguousarray(X)
    # Torch warns of memory that is read-only; a copy of it, such as of a whole file that is mapped, would be dear.
    return torch.from_numpy(X if X.flags.writeable else np.asarray(_Writable(X)))


def target_sums(y, weights):
    """Weight in all, weighted means and variances of the targets; see `Feature.sums`."""
    y = y.reshape(len(y), -1)
    mean = np.average(y, axis=0, weights=weights)
    return weights.sum(), mean, np.average((y - mean) ** 2, axis=0, weights=weights)


def nonzero(scale):
    return np.where(scale > 0, scale, 1.0)
