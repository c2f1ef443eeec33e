"""What a fit asks its training rows for, whether they are in memory or come in chunks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from skbsq import nn as sq
from skbsq._validation import nan_features
from skbsq.nn.batches import TensorRows
from skbsq.quantizers._base import build_codebook
from skbsq.quantizers._cells import features_of
from skbsq.quantizers._held_out import MIN_ROWS
from skbsq.quantizers._ranks import rank_knots


class BaseRows:
    """What follows from `features`."""

    def moments(self):
        """Weighted mean and standard deviation per feature, NaN left out; 1 for a deviation of 0."""
        mean, scale = zip(*(feature.moments for feature in self.features()), strict=True)
        return np.array(mean), np.array(scale)

    def space(self, kind):
        """The scaled space of each feature: "standard", or "rank" for ranks blended with standardized values."""
        if kind == "standard":
            mean, scale = self.moments()
            return sq.StandardSpace(mean=mean, scale=scale)
        return sq.RankSpace(*zip(*self.rank_knots, strict=True))

    @cached_property
    def rank_knots(self):
        """Of each feature, see `skbsq.quantizers._ranks.rank_knots`."""
        return [rank_knots(feature) for feature in self.features()]


@dataclass(frozen=True)
class Rows(BaseRows):
    """Training rows in memory, checked, without those of zero weight."""

    X: np.ndarray  # float32 (n, d)
    y: np.ndarray  # float64 (n,) or (n, k), or labels (n,)
    weights: np.ndarray  # float64 (n,), positive, class weights included
    task: str
    names: np.ndarray | None
    classes: np.ndarray | None  # sorted labels, for classification
    groups: np.ndarray | None = None  # (n,)
    held_out: tuple | None = None  # (X, y, weights) to validate on, where they were given

    @property
    def n_features(self):
        return self.X.shape[1]

    @property
    def n_rows(self):
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
        return len(self.classes) if self.task == "classification" else self.y[:1].size

    @property
    def target_ndim(self):
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

    def distinct(self):
        """Yield the distinct values of each feature, ascending."""
        for column in self.X.T:
            values = np.unique(column)
            yield values[~np.isnan(values)]

    def drawn(self, n, seed):
        """Some features of `n` rows drawn at random (all where there are fewer), as a list."""
        drawn = np.random.RandomState(seed).permutation(len(self.X))[:n]
        return list(features_of(self.X[drawn], self.weights[drawn]))

    def target_sums(self):
        """Weight of the rows, weighted mean and variance of each target."""
        return target_sums(self.y, self.weights)

    def target_moments(self):
        """Weighted mean and standard deviation of each target; 1 for a deviation of 0."""
        _, mean, variance = self.target_sums()
        return mean, nonzero(np.sqrt(variance))

    def fit(self, quantizer):
        """Fit an unfitted quantizer on the rows, and return it."""
        X = self.X if self.names is None else pd.DataFrame(self.X, columns=self.names, copy=False)
        return quantizer.fit(X, self.y, sample_weight=self.weights)

    def cut(self, quantizer):
        """Thresholds that an unfitted quantizer finds on the rows: list of d float32 arrays."""
        return self.fit(quantizer).thresholds_

    def codebook(self, thresholds, **given):
        """The codebook of thresholds, see `build_codebook`."""
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
        """The rows to validate on that were given, or None; see `tensors`."""
        return None if self.held_out is None else self._as_tensors(self.held_out, mean, scale)

    def _as_tensors(self, rows, mean, scale):
        mean_weight = self.weights.mean() if self.weighted else None
        return as_tensors(*rows, self.classes, mean, scale, mean_weight)


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


def constant_features(X):
    """Which features hold one value, or none: bool array of shape (d,)."""
    low, high = np.fmin.reduce(X), np.fmax.reduce(X)
    return (low == high) | np.isnan(low)


def target_sums(y, weights):
    """Weight in all, weighted means and variances of the targets; see `Feature.sums`."""
    y = y.reshape(len(y), -1)
    mean = np.average(y, axis=0, weights=weights)
    return weights.sum(), mean, np.average((y - mean) ** 2, axis=0, weights=weights)


def nonzero(scale):
    return np.where(scale > 0, scale, 1.0)
