"""Bits split over features: a wide model is narrowed where that costs least, and trained on, until it fits the budget.

What a feature is worth depends on the others: of two that say the same either can go, not both. So bits are taken away
in rounds, a part of them at a time, and after each the model is trained on with what is left. What a narrower feature
would cost is measured on rows held out: two neighbouring levels become one, and the head reads their mean.
"""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import nn

from skbsq.budget import allocate_bits
from skbsq.codebook.labels import numbered_names
from skbsq.nn.randomness import draw_seed
from skbsq.thresholds.features import group_starts
from skbsq.training.learner import Learner
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import GivenStart

# Where narrowing starts, unless the budget has room for more.
_PILOT_BITS = 5
# Share of the bits that a round leaves, and the least of the epochs that each round trains on.
_KEPT = 0.75
_EPOCHS_OF_ROUND = 0.1
_EPOCHS_OF_PILOT = 0.5
_HELD_OUT = 0.2
_MAX_HELD_OUT = 4096
_WARM_TEMPERATURE = 0.2
# Rounds at the end in which bits that bring nothing are taken away.
_MOST_TRIMS = 5
# Levels of a feature that are parted as well as can be.
_MOST_POINTS = 512


def learn_within(learner, kind, caps, budget, start):
    """Learn as `Learner.learn` does, with a budget of bits per row split over the features.

    Parameters
    ----------
    learner : Learner
    kind : Bits
    caps : ndarray of int64 of shape (d,)
        Most bits of each feature.
    budget : int
    start : RuleStart, GivenStart or the like
        Where the thresholds of the wide model start.

    Returns
    -------
    Learned
        With its allocation.
    """
    # What is trained here has a seed of its own, drawn from that of the fit.
    rows, recipe, seed = learner.rows, learner.recipe, draw_seed(learner.seed)
    order = np.random.RandomState(learner.seed).permutation(rows.n_rows)
    n_held_out = min(_MAX_HELD_OUT, max(1, int(_HELD_OUT * rows.n_rows)))
    held_out, kept = (rows.some(part) for part in np.split(order, [n_held_out]))
    # One network is enough to see what bits bring.
    sizes = AUTO_SIZES if recipe.auto_sizes else recipe.hidden_sizes
    rounds = Learner(kept, replace(recipe, hidden_sizes=sizes, verbose=0), seed, learner.checkpoint)
    model = _narrowed_to(rounds, held_out, kind, caps, budget, start)
    # A rule that was asked for cuts features anew; else the thresholds are those left of the wide model.
    start = GivenStart(model.thresholds) if start.is_narrowed else start
    learned = Learner(rows, recipe, seed, learner.checkpoint).learn(kind, model.n_bits, start)
    return replace(learned, allocation=_report(model, caps, rows))


def _narrowed_to(rounds, held_out, kind, caps, budget, start):
    """The model of a wide one's bits that are worth most, within a budget."""
    recipe, d = rounds.recipe, caps.size
    wide = caps if start.is_given else np.minimum(caps, max(_PILOT_BITS, -(-3 * budget // (2 * max(d, 1)))))
    auto = recipe.max_epochs == "auto"
    pilot = rounds if auto else _for_epochs(rounds, _EPOCHS_OF_PILOT * recipe.max_epochs)
    learned = pilot.learn(kind, wide, start)
    of_round = _EPOCHS_OF_ROUND * (len(learned.net.history) if auto else recipe.max_epochs)
    model = WideModel.of(learned, held_out)

    def narrower(n_bits):
        thresholds, head = model.narrowed(n_bits)
        going_on = _for_epochs(rounds, of_round, **warm(recipe, head))
        return WideModel.of(going_on.learn(kind, n_bits, GivenStart(thresholds)), held_out)

    while model.n_bits.sum() > budget:
        model = narrower(allocate_bits(model.costs(), max(budget, int(_KEPT * model.n_bits.sum()))))
    for _ in range(_MOST_TRIMS):
        # Bits that cost nothing when taken away one feature at a time may still do when taken away together.
        needed = np.array([np.flatnonzero(cost <= 0)[0] for cost in model.costs()])
        if (needed == model.n_bits).all():
            break
        trimmed = narrower(needed)
        if trimmed.loss > model.loss:
            break
        model = trimmed
    return model


def _for_epochs(learner, epochs, **changes):
    """A learner like another that trains for so many epochs, on all of the rows."""
    changes |= {"max_epochs": max(1, round(epochs)), "early_stopping": False}
    return Learner(learner.rows, replace(learner.recipe, **changes), learner.seed, learner.checkpoint)


def warm(recipe, head):
    """What a recipe changes to where a head goes on from thresholds: these are near, so the surrogate looks less far.

    Parameters
    ----------
    recipe : Recipe
    head : nn.Module

    Returns
    -------
    dict
    """
    return {"head": head, "temperature_start": min(_WARM_TEMPERATURE, recipe.temperature_start)}


def _report(model, caps, rows):
    """See ``allocation_`` of `skbsq.BitwiseQuantizer`."""
    costs = model.costs()
    return pd.DataFrame(
        {
            "n_bits": model.n_bits,
            "cap": caps,
            "loss_if_dropped": [cost[0] for cost in costs],
            "loss_of_one_bit_less": [cost[-2] if cost.size > 1 else np.nan for cost in costs],
        },
        index=pd.Index(numbered_names(caps.size) if rows.names is None else rows.names, name="feature"),
    )


class WideModel:
    """A codebook, its head as a table of what each code adds to the first layer, and held-out rows.

    Parameters
    ----------
    book : Codebook
    module : JointNet
        Frozen; its head begins with a linear layer.
    target_mean, target_scale : ndarray of float64 of shape (k,)
        The target is ``output * target_scale + target_mean``.
    rows : Rows
        To see on what bits are worth.
    """

    def __init__(self, book, module, target_mean, target_scale, rows):
        self.book = book
        self.n_bits = np.asarray(self.book.n_bits, dtype=np.int64)
        self.thresholds = [np.asarray(t) for t in self.book.thresholds]
        self.head = module.head
        table, self.layers_behind = module.first_table()
        *self.tables, bias = table.split([*self.book.n_levels.tolist(), 1])
        self.mass = [own / max(own.sum(), 1) for own in self.book.counts]
        self.codes = torch.from_numpy(self.book.encode(rows.X).astype(np.int64))
        self.weights = torch.from_numpy(rows.weights / rows.weights.mean())
        if rows.task == "classification":
            self.target = torch.from_numpy(np.searchsorted(rows.classes, rows.y))
        else:
            y = (rows.y.reshape(len(rows.y), -1) - target_mean) / target_scale
            self.target = torch.from_numpy(y.astype(np.float32))
        hidden = bias.repeat(len(self.codes), 1)
        for j, table in enumerate(self.tables):
            hidden += table[self.codes[:, j]]
        self.hidden = hidden
        with torch.inference_mode():
            self.loss = self._loss(hidden).item()
        self.importance = self._importance()

    @classmethod
    def of(cls, learned, rows):
        """What was learned, as a wide model."""
        return cls(learned.codebook, learned.net.module_, learned.target_mean, learned.target_scale, rows)

    def costs(self):
        """What each feature would cost with fewer bits: for 0, 1, ... up to its own, which cost nothing."""
        with torch.inference_mode():
            return [self._costs_of(j, self.loss) for j in range(len(self.tables))]

    def narrowed(self, n_bits):
        """Thresholds and head with these bits: neighbouring levels have become one, and the head reads their mean.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
            Features whose bits are as many as now stay as they are.

        Returns
        -------
        thresholds : list of d ndarrays of float32
        head : nn.Module
            Its first layer has the inputs of these bits.
        """
        head = copy.deepcopy(self.head)
        bias, thresholds, weights = head[0].bias.detach().clone(), [], []
        for j, b in enumerate(n_bits.tolist()):
            own = self.thresholds[j]
            groups = self._partition(j, b)
            merged = self._merged(j, groups)
            thresholds.append(own[:0] if groups is None else own[np.array(groups[1:], dtype=int) - 1])
            bias += merged[0]
            missing = [self.tables[j][-1] - merged[0]] if b and self.book.has_missing[j] else []
            spare = 2**b - 1 - (len(merged) - 1) - len(missing)
            weights += [*merged.diff(dim=0), *[torch.zeros_like(bias)] * spare, *missing]
        weight = torch.stack(weights, dim=1) if weights else torch.zeros(len(bias), 1)
        head[0] = nn.utils.skip_init(nn.Linear, weight.shape[1], len(bias))  # draws no random numbers
        head[0].weight.data, head[0].bias.data = weight.contiguous(), bias
        return thresholds, head

    def _costs_of(self, j, now):
        costs = np.zeros(int(self.n_bits[j]) + 1)
        for b in range(int(self.n_bits[j])):
            groups = self._partition(j, b)
            merged = self._merged(j, groups)
            if groups is None:
                by_code = merged.expand_as(self.tables[j])
            else:
                n_regular = self.thresholds[j].size + 1
                of_code = np.searchsorted(groups, np.arange(n_regular), side="right") - 1
                by_code = torch.cat([merged[torch.from_numpy(of_code)], self.tables[j][n_regular:]])
            costs[b] = self._loss(self.hidden + (by_code - self.tables[j])[self.codes[:, j]]).item() - now
        return costs

    def _merged(self, j, groups):
        """Mean rows of groups of codes; of all codes, the missing one included, without groups."""
        table, mass = self.tables[j].double(), torch.from_numpy(self.mass[j])
        starts = [0] if groups is None else groups
        stops = [len(table)] if groups is None else [*groups[1:], self.thresholds[j].size + 1]
        means = []
        for start, stop in zip(starts, stops, strict=True):
            own = mass[start:stop, None]
            total = own.sum()
            means.append((own * table[start:stop]).sum(0) / total if total > 0 else table[start:stop].mean(0))
        return torch.stack(means).float()

    def _partition(self, j, b):
        """First codes of the groups that lose least with b bits; None where nothing is sent."""
        if b == 0:
            return None
        n_regular = self.thresholds[j].size + 1
        rows = self.tables[j][:n_regular].double() * self.importance
        mass = torch.from_numpy(self.mass[j][:n_regular]) + 1e-12
        return best_partition(rows.numpy(), mass.numpy(), 2**b - bool(self.book.has_missing[j]))

    @torch.enable_grad()
    def _importance(self):
        """Root mean square gradient of each unit: how much it matters to the loss what it is given."""
        hidden = self.hidden.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._loss(hidden) * len(hidden), hidden)
        return gradient.double().square().mean(0).sqrt()

    def _loss(self, hidden):
        output = hidden
        for layer in self.layers_behind:
            output = layer(output)
        if self.target.dtype == torch.int64:
            loss = nn.functional.cross_entropy(output, self.target, reduction="none")
        else:
            loss = (output - self.target).square().mean(1)
        return (loss * self.weights).mean()


def best_partition(points, mass, most):
    """Contiguous groups of points whose weighted squared distances to their means are least in sum.

    Parameters
    ----------
    points : ndarray of shape (m, k)
    mass : ndarray of shape (m,)
        Positive.
    most : int
        Groups; at least 1.

    Returns
    -------
    list of int
        First point of each group.
    """
    m = len(points)
    if most >= m:
        return list(range(m))
    if m > _MOST_POINTS:
        # The exact answer takes m^2 steps a group. So many levels are close to each other: neighbours go first, by mass
        # and by number, because one may have nearly all the mass; for many groups by number alone.
        by_number = group_starts(np.ones(m), max(most, _MOST_POINTS // 2))
        by_mass = group_starts(mass, _MOST_POINTS // 2) if most <= _MOST_POINTS // 2 else by_number
        starts = np.union1d(by_number, by_mass)
        joint = np.add.reduceat(mass, starts)
        means = np.add.reduceat(mass[:, None] * points, starts, axis=0) / joint[:, None]
        return [int(starts[first]) for first in best_partition(means, joint, most)]
    total = np.concatenate([[0.0], np.cumsum(mass)])
    first = np.vstack([np.zeros(points.shape[1]), np.cumsum(mass[:, None] * points, axis=0)])
    second = np.concatenate([[0.0], np.cumsum(mass * (points**2).sum(axis=1))])
    # cost[a, b]: of one group from point a up to before point b.
    products = first @ first.T
    norms = np.diag(products)
    spans = norms[None, :] + norms[:, None] - 2 * products
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = second[None, :] - second[:, None] - spans / (total[None, :] - total[:, None])
    cost = np.where(np.arange(m + 1)[:, None] < np.arange(m + 1), np.maximum(cost, 0.0), np.inf)
    best, starts = cost[0].copy(), []
    for _ in range(most - 1):
        candidates = best[:, None] + cost
        starts.append(candidates.argmin(axis=0))
        best = candidates.min(axis=0)
    groups, stop = [], m
    for start in reversed(starts):
        stop = int(start[stop])
        groups.append(stop)
    return sorted({0, *groups})
