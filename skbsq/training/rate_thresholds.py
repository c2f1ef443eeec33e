"""Choose the thresholds that coarse rates keep."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from skbsq.training.feeds import Bits
from skbsq.training.learner import Learner
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import RuleStart

# Thresholds of features with up to this many bits are trained before they are chosen.
_FEW_BITS = 2


def nested_thresholds(learner, model, n_bits, epochs, kind=None, start=None):
    """Choose the thresholds of each rate among those of the rate before it.

    With few bits each threshold matters. So a model of these bits is trained for a while, and thresholds near to its
    thresholds are taken. Features of more bits keep those between the levels that differ most.

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

    Notes
    -----
    Beginning with the lowest rate would make 3 bits worse (by 12 % on generated data, for 1 % at 2 bits), because there
    the thresholds of 2 bits would take places where a finer codebook needs none.
    """
    narrow = _NarrowModel(learner, epochs, kind, start)
    found, finer, finer_bits = {}, [np.arange(t.size) for t in model.thresholds], model.n_bits
    for rate, bits in n_bits.items():
        kept = model.kept(bits, finer)
        if learner.recipe.lr_ratio and (has_few := (bits <= _FEW_BITS) & (bits < finer_bits)).any():
            trained = narrow.thresholds(bits)
            for j in np.flatnonzero(has_few):
                kept[j] = _near(model.thresholds[j], finer[j], trained[j])
        found[rate], finer, finer_bits = kept, kept, bits
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


def _near(thresholds, numbers, wanted):
    """Choose a threshold near to each of the wanted ones.

    Parameters
    ----------
    thresholds : ndarray of float32
    numbers : ndarray of int64
        Numbers of the thresholds to choose from.
    wanted : ndarray of float32

    Returns
    -------
    ndarray of int64
        Different numbers, as many as there are wanted thresholds, if there are enough.
    """
    if not numbers.size:
        return numbers
    # Distances are counted in thresholds, because the units of a feature may be skewed.
    places = np.interp(wanted, thresholds, np.arange(thresholds.size))
    _, chosen = linear_sum_assignment(np.abs(places[:, None] - numbers))
    return np.sort(numbers[chosen])
