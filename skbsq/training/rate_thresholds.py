"""Choose the thresholds that coarse rates keep."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from skbsq.training.budget import best_partition, merged_points
from skbsq.training.feeds import Bits
from skbsq.training.learner import Learner
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import RuleStart

# Thresholds of features with up to this many bits are trained before they are chosen.
FEW_BITS = 2
# Thresholds near to wanted ones may lose this share of what those tell about the output.
_MAX_LOSS = 0.2


def nested_thresholds(learner, model, n_bits, epochs, kind=None, start=None):
    """Choose the thresholds of each rate among those of the rates before it.

    Features keep the thresholds between the levels that differ most. With few bits each threshold matters: a model of
    these bits is trained for a while, and thresholds near to its thresholds are taken.

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
    With many bits the choice begins at the highest rate, because a finer codebook may need no threshold at the places
    where a coarse one needs it. With few bits it begins at the lowest rate: there the places matter most.
    """
    found, finer = {}, [np.arange(t.size) for t in model.thresholds]
    choices = finer[:]  # for few bits: those of the last rate with many
    for rate, bits in n_bits.items():
        found[rate] = finer = model.kept(bits, finer)
        choices = [kept if b > FEW_BITS else of for kept, b, of in zip(finer, bits, choices, strict=True)]
    if not learner.recipe.lr_ratio:
        return found
    narrow, coarser, coarser_bits = _NarrowModel(learner, epochs, kind, start), None, None
    for rate in reversed(found):
        bits = n_bits[rate]
        if (has_few := (bits <= FEW_BITS) & (bits < model.n_bits)).any():
            trained = narrow.thresholds(bits)
            for j in np.flatnonzero(has_few):
                if coarser is None or bits[j] > coarser_bits[j]:
                    wanted = _like(model, j, int(bits[j]), choices[j], trained[j])
                    found[rate][j] = wanted if coarser is None else _including(coarser[j], wanted)
                else:
                    found[rate][j] = coarser[j]
        coarser, coarser_bits = found[rate], bits
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


def _like(model, j, n_bits, numbers, wanted):
    """Choose thresholds that separate what the wanted ones separate.

    Those near to the wanted ones do so, except if a few rows matter much, and the threshold beside them is not among
    the numbers. Then the choice is that whose groups of codes read most nearly what the groups of the wanted
    thresholds read, in the table of the model.

    Parameters
    ----------
    model : WideModel
    j, n_bits : int
        The feature, and its bits.
    numbers : ndarray of int64
        Numbers of the thresholds to choose from.
    wanted : ndarray of float32

    Returns
    -------
    ndarray of int64
    """
    near = _near(model.thresholds[j], numbers, wanted)
    if not near.size:
        return near
    thresholds, (points, weights) = model.thresholds[j].astype(np.float64), model.points(j)
    middles = (thresholds[1:] + thresholds[:-1]) / 2
    points = _means_of_groups(points, weights, np.searchsorted(middles, wanted))
    starts = np.append(0, numbers + 1)
    max_groups = 2**n_bits - bool(model.book.has_missing[j])
    alike = starts[best_partition(*merged_points(points, weights, starts), max_groups)][1:] - 1
    losses = [
        weights @ np.square(_means_of_groups(points, weights, kept) - points).sum(1)
        for kept in (near, alike, np.zeros(0, dtype=np.int64))
    ]
    return alike if losses[0] - losses[1] > _MAX_LOSS * losses[2] else near


def _means_of_groups(points, weights, kept):
    """Replace each point by the mean of its group, between the thresholds that are kept."""
    starts = np.union1d(0, kept + 1)
    means, _ = merged_points(points, weights, starts)
    return means[np.searchsorted(starts, np.arange(len(points)), side="right") - 1]


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
