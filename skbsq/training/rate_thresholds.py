"""Choose the thresholds that coarse rates keep."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from skbsq.codebook.guards import inner_thresholds
from skbsq.training.budget import WideModel, best_partition, merged_points
from skbsq.training.feeds import Bits
from skbsq.training.learner import Learner
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import GivenStart, RuleStart

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
    Beginning with the lowest rate would be worse: the thresholds of few bits would take places where a finer codebook
    needs none.
    """
    narrow = _NarrowModel(learner, model.rows, epochs, kind, start)
    found, finer, finer_bits = {}, [np.arange(t.size) for t in model.thresholds], model.n_bits
    for rate, bits in n_bits.items():
        kept = model.kept(bits, finer)
        if learner.recipe.lr_ratio and (has_few := (bits <= FEW_BITS) & (bits < finer_bits)).any():
            trained = narrow.learn(bits)
            for j in np.flatnonzero(has_few):
                kept[j] = _like(model, j, int(bits[j]), finer[j], trained[j])
        found[rate], finer, finer_bits = kept, kept, bits
    return found


class _NarrowModel:
    """Train models with few bits, to learn where their thresholds belong."""

    def __init__(self, learner, rows, epochs, kind, start):
        self.rows, self.before = rows, None
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

    def learn(self, n_bits):
        """Train the next model, and return its thresholds.

        It starts from the thresholds that remain of the model before. Otherwise it may find quite different ones, which
        are not among those of the finer rate.
        """
        start = self.start
        if self.before is not None:
            before = WideModel.of(self.before, self.rows)
            kept = before.kept(np.minimum(n_bits, before.n_bits))
            start = GivenStart([t[numbers] for t, numbers in zip(before.thresholds, kept, strict=True)])
        self.before = self.learner.learn(self.kind, n_bits, start)
        return inner_thresholds(self.before.codebook)


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
    groups = best_partition(*merged_points(points, weights, starts), model.max_codes(j, n_bits))
    alike = starts[groups][1:] - 1
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
