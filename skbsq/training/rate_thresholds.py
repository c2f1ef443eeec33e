"""Choose the thresholds that coarse rates keep."""

from dataclasses import replace

import numpy as np

from skbsq.training.feeds import Bits
from skbsq.training.learner import Learner
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import RuleStart

# Thresholds of features with up to this many bits are trained before they are chosen.
_FEW_BITS = 2


def nested_thresholds(learner, model, n_bits, epochs, kind=None, start=None):
    """Choose the thresholds of each rate among those of the model, such that a rate has those of the lower rates.

    With few bits each threshold matters. So a model of these bits is trained for a while, and the thresholds nearest to
    its thresholds are taken. Features of more bits keep those between the levels that differ most.

    Parameters
    ----------
    learner : Learner
    model : WideModel
        The finest rate.
    n_bits : dict int -> ndarray of int64 of shape (d,)
        Bits per feature at each rate, from the highest to the lowest.
    epochs : int
        Length of the training of a model with few bits.
    kind, start
        See `skbsq.training.learn_rates`.

    Returns
    -------
    dict int -> list of d ndarrays of int64
        Numbers of the thresholds that each rate keeps.
    """
    narrow = _NarrowModel(learner, epochs, kind, start)
    found, coarser = {}, [np.zeros(0, dtype=np.int64)] * len(model.thresholds)
    for rate in reversed(n_bits):
        wanted = model.kept(n_bits[rate])
        if learner.recipe.lr_ratio and (has_few := (n_bits[rate] <= _FEW_BITS) & (n_bits[rate] < model.n_bits)).any():
            trained = narrow.thresholds(n_bits[rate])
            for j in np.flatnonzero(has_few):
                wanted[j] = _nearest(model.thresholds[j], trained[j])
        found[rate] = coarser = [_including(*pair) for pair in zip(coarser, wanted, strict=True)]
    return found


class _NarrowModel:
    """Train a model with few bits from the start, to learn where its thresholds belong."""

    def __init__(self, learner, epochs, kind, start):
        # A given head may have a fixed number of inputs: the default head stands in for it.
        given = {"head": None, "max_epochs": epochs, "early_stopping": learner.recipe.early_stopping is True}
        if learner.recipe.auto_sizes:
            given["hidden_sizes"] = AUTO_SIZES  # thresholds need no average of several networks
        recipe = replace(learner.recipe, **given)
        self.learner = Learner(learner.rows, recipe, learner.seed, learner.checkpoint)
        self.kind = Bits() if kind is None else kind
        # Thresholds that are given for the fine model are too many here.
        is_auto = start is None or start.is_given
        self.start = RuleStart("auto", recipe.regression_loss) if is_auto else start

    def thresholds(self, n_bits):
        return self.learner.learn(self.kind, n_bits, self.start).codebook.thresholds


def _nearest(thresholds, wanted):
    """Return the numbers of the thresholds that are nearest to other values."""
    middles = (thresholds[1:].astype(np.float64) + thresholds[:-1]) / 2
    return np.unique(np.searchsorted(middles, wanted))


def _including(needed, wanted):
    """Add to the needed thresholds all wanted ones, except the nearest one for each that is needed.

    Parameters
    ----------
    needed, wanted : ndarrays of int64
        Numbers of thresholds.

    Returns
    -------
    ndarray of int64
        At most as many as the larger of the two.
    """
    left = wanted
    for k in needed:
        if left.size:
            left = np.delete(left, np.argmin(np.abs(left - k)))
    return np.union1d(needed, left)
