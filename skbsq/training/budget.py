"""Split a budget of bits over features: train a wide model, and narrow it until it fits the budget.

The value of a feature depends on the others: if two features carry the same information, one of them can go, but not
both. So bits are taken away in rounds, some of them at a time, and after each round the rest of the model is trained
further. The cost of a narrower feature is measured on held-out rows: neighbouring levels are merged, and the head reads
their mean.
"""

import copy
from dataclasses import replace
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import nn

from skbsq.budget import allocate_bits
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.guards import inner_thresholds
from skbsq.codebook.labels import numbered_names
from skbsq.codebook.nesting import recoding
from skbsq.nn.losses import row_criterion, row_losses
from skbsq.nn.randomness import draw_seed
from skbsq.thresholds.features import group_starts
from skbsq.thresholds.filling import guards_have_room
from skbsq.training.learner import Learner
from skbsq.training.nets import begins_with_linear
from skbsq.training.recipe import AUTO_SIZES
from skbsq.training.starts import GivenStart

# Bits per feature of the wide model, unless the budget has room for more.
_WIDE_BITS = 5
# A round keeps this share of the bits, and trains for this share of the epochs of the wide model.
_KEPT_PER_ROUND = 0.75
_EPOCHS_PER_ROUND = 0.1
# The wide model is trained for this share of a given max_epochs.
_EPOCHS_OF_WIDE = 0.5
_HELD_OUT = 0.2
_MAX_HELD_OUT = 4096
_WARM_TEMPERATURE = 0.2
# Final rounds, which take away bits that do not lower the loss.
_MAX_TRIMS = 5
# Up to this number of levels, the best partition is found exactly.
_MAX_EXACT_POINTS = 512


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
        Finds the initial thresholds of the wide model.

    Returns
    -------
    Learned
        With its allocation.
    """
    # The rounds use another seed than the final training, drawn from it.
    rows, recipe, seed = learner.rows, learner.recipe, draw_seed(learner.seed)
    order = np.random.RandomState(learner.seed).permutation(rows.n_rows)
    n_held_out = min(_MAX_HELD_OUT, max(1, int(_HELD_OUT * rows.n_rows)))
    held_out, kept = (rows.some(part) for part in np.split(order, [n_held_out]))
    rounds = Learner(kept, _recipe_of_rounds(recipe, caps, rows.n_outputs), seed, learner.checkpoint)
    model = _narrow_to(rounds, held_out, kind, caps, budget, start)
    # A given rule finds new thresholds; otherwise the start is what remains of the wide model.
    start = GivenStart(model.thresholds) if start.is_narrowed else start
    learned = Learner(rows, recipe, seed, learner.checkpoint).learn(kind, model.n_bits, start)
    return replace(learned, allocation=_report(model, caps, rows))


def _recipe_of_rounds(recipe, n_bits, n_outputs):
    """Return the recipe of the models that measure the value of bits."""
    # A single network is enough.
    sizes = AUTO_SIZES if recipe.auto_sizes else recipe.hidden_sizes
    # Merged levels become one only in front of a linear layer. The default head stands in for other heads.
    head = recipe.head if begins_with_linear(recipe, n_bits, n_outputs) else None
    return replace(recipe, head=head, hidden_sizes=sizes, verbose=0)


def _narrow_to(rounds, held_out, kind, caps, budget, start):
    """Train a wide model, and take away the bits with the lowest value until it fits the budget."""
    recipe, d = rounds.recipe, caps.size
    wide = caps if start.is_given else np.minimum(caps, max(_WIDE_BITS, -(-3 * budget // (2 * max(d, 1)))))
    # Categories that are merged from the start can never be told apart.
    wide = np.where(rounds.rows.is_categorical, caps, wide)
    auto = recipe.max_epochs == "auto"
    pilot = rounds if auto else _for_epochs(rounds, _EPOCHS_OF_WIDE * recipe.max_epochs)
    learned = pilot.learn(kind, wide, start)
    epochs = _EPOCHS_PER_ROUND * (len(learned.net.history) if auto else recipe.max_epochs)
    model = WideModel.of(learned, held_out)

    def narrower(n_bits):
        thresholds, head = model.narrowed(n_bits)
        learner = _for_epochs(rounds, epochs, **_warm(recipe, head))
        return WideModel.of(learner.learn(kind, n_bits, GivenStart(thresholds)), held_out)

    while model.n_bits.sum() > budget:
        model = narrower(allocate_bits(model.costs(), max(budget, int(_KEPT_PER_ROUND * model.n_bits.sum()))))
    for _ in range(_MAX_TRIMS):
        # Bits that cost nothing one feature at a time may cost something together.
        needed = np.array([np.flatnonzero(cost <= 0)[0] for cost in model.costs()])
        if (needed == model.n_bits).all():
            break
        trimmed = narrower(needed)
        if trimmed.loss > model.loss:
            break
        model = trimmed
    return model


def _for_epochs(learner, epochs, **changes):
    """Copy a learner, to train for a number of epochs on all of its rows."""
    changes |= {"max_epochs": max(1, round(epochs)), "early_stopping": False}
    return Learner(learner.rows, replace(learner.recipe, **changes), learner.seed, learner.checkpoint)


def _warm(recipe, head):
    """Return the changes to a recipe when a trained head and its thresholds are trained further.

    The thresholds move little from there, so the surrogate starts narrower.
    """
    return {"head": head, "temperature_start": min(_WARM_TEMPERATURE, recipe.temperature_start)}


def _report(model, caps, rows):
    """Build ``allocation_`` of `skbsq.BitwiseQuantizer`."""
    costs = model.costs()
    names = numbered_names(caps.size) if rows.names is None else rows.names
    return pd.DataFrame(
        {
            "n_bits": model.n_bits,
            "cap": caps,
            "loss_if_dropped": [cost[0] for cost in costs],
            "loss_of_one_bit_less": [cost[-2] if cost.size > 1 else np.nan for cost in costs],
        },
        index=pd.Index(names, name="feature"),
    )


class WideModel:
    """Measure the value of bits: a codebook, a table of what each code adds to the first layer, and held-out rows.

    d is the number of features, k of targets or classes.

    Parameters
    ----------
    book : Codebook
    net : skorch.NeuralNet
        Trained and frozen; its head begins with a linear layer.
    target_mean, target_scale : ndarray of float64 of shape (k,)
        The target is ``output * target_scale + target_mean``.
    rows : Rows
        Held-out rows.
    """

    def __init__(self, book, net, target_mean, target_scale, rows):
        module = net.module_
        self.book, self.rows, self.criterion = book, rows, row_criterion(net)
        self.n_bits = np.asarray(book.n_bits, dtype=np.int64)
        self.head = module.head
        table, self.layers_behind = module.first_table()
        *tables, (self.bias,) = table.split([*book.n_levels.tolist(), 1])
        # A guard code is merged with the code next to it, which the head reads for it.
        self.thresholds = inner_thresholds(book)
        parts = zip(self.thresholds, book.categories, strict=True)
        parts = [t if known is None else known for t, known in parts]
        inner = Codebook.from_thresholds(parts, missing="seen", has_missing=book.has_missing)
        merged = recoding(book, inner)
        firsts = (np.unique(codes, return_index=True)[1] for codes in merged)
        self.tables = [table[first] for table, first in zip(tables, firsts, strict=True)]
        parts = zip(merged, book.counts, strict=True)
        self.code_shares = [np.bincount(codes, counts) / max(counts.sum(), 1) for codes, counts in parts]
        self.codes = torch.from_numpy(inner.encode_numbers(rows.in_order_of(book).X).astype(np.int64))
        self.weights = torch.from_numpy(rows.weights / rows.weights.mean())
        self.target = rows.tensors(target_mean, target_scale).y
        self.hidden = self.bias.repeat(len(self.codes), 1)
        for j, table in enumerate(self.tables):
            self.hidden += table[self.codes[:, j]]
        with torch.inference_mode():
            self.loss = self._loss(self.hidden).item()

    @classmethod
    def of(cls, learned, rows):
        """Build a wide model from `Learned` and held-out rows."""
        return cls(learned.codebook, learned.net, learned.target_mean, learned.target_scale, rows)

    def costs(self):
        """Compute by how much the loss increases if a single feature has fewer bits.

        Returns
        -------
        list of d ndarrays of float64
            For 0, 1, ... up to the present bits of the feature, which cost nothing.
        """
        with torch.inference_mode():
            return [self._costs_of(j) for j in range(len(self.tables))]

    def has_guard(self, n_bits):
        """Return which features keep their guard codes if each feature has `n_bits`.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)

        Returns
        -------
        ndarray of bool of shape (d,)
        """
        return np.array([self._has_guard(j, b) for j, b in enumerate(n_bits.tolist())])

    def max_codes(self, j, n_bits):
        """Return how many codes for numbers feature j has room for with `n_bits`, apart from guard codes.

        Parameters
        ----------
        j, n_bits : int

        Returns
        -------
        int
        """
        return 2**n_bits - self._has_missing(j, n_bits) - 2 * self._has_guard(j, n_bits)

    def costs_of_dropping(self):
        """Compute by how much the loss increases if a single feature has no bits.

        Returns
        -------
        ndarray of float64 of shape (d,)
        """
        with torch.inference_mode():
            return np.array([self._cost(j, [0]) for j in range(len(self.tables))])

    def kept(self, n_bits, among=None):
        """Find the thresholds between the levels that lose least if each feature has `n_bits`.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
            At most the present bits.
        among : list of d ndarrays of int64, default=None
            Numbers of the thresholds to choose from. None: all.

        Returns
        -------
        list of d ndarrays of int64
            Numbers of the thresholds that remain.
        """
        among = [np.arange(t.size) for t in self.thresholds] if among is None else among
        starts = (self._partition(j, b, np.append(0, among[j] + 1)) for j, b in enumerate(n_bits.tolist()))
        return [
            np.array([start for start in of_feature[1:] if start <= t.size], dtype=np.int64) - 1
            for of_feature, t in zip(starts, self.thresholds, strict=True)
        ]

    def narrowed(self, n_bits, kept=None):
        """Merge neighbouring levels until each feature has `n_bits`; the head then reads the mean of merged levels.

        Parameters
        ----------
        n_bits : ndarray of int64 of shape (d,)
            At most the present bits. A feature that keeps its bits is not changed.
        kept : list of d ndarrays of int, default=None
            Numbers of the thresholds that remain. None: as `kept` finds them.

        Returns
        -------
        thresholds : list of d ndarrays of float32
        head : nn.Module
            Its first layer has the inputs of these bits.
        """
        bias, thresholds, weights = self.bias.clone(), [], []
        kept = self.kept(n_bits) if kept is None else kept
        for j, b in enumerate(n_bits.tolist()):
            has_missing, n_regular = self._has_missing(j, b), kept[j].size + 1
            starts = [0, *(kept[j] + 1).tolist(), *[self.thresholds[j].size + 1] * has_missing]
            merged = self._merged(j, starts)
            thresholds.append(self.thresholds[j][kept[j]])
            bias += merged[0]
            missing = [merged[-1] - merged[0]] if has_missing else []
            n_unused = 2**b - len(starts)
            is_one_hot = self.book.is_one_hot[j] and n_regular == len(self.tables[j]) - has_missing
            own = merged[1:n_regular] - merged[0] if is_one_hot else merged[:n_regular].diff(dim=0)
            weights += [*own, *[torch.zeros_like(bias)] * n_unused, *missing]
        weight = torch.stack(weights, dim=1) if weights else torch.zeros(len(bias), 1)
        first = nn.utils.skip_init(nn.Linear, weight.shape[1], len(bias))  # draws no random numbers
        first.weight.data, first.bias.data = weight.contiguous(), bias
        if not isinstance(self.head, nn.Sequential):
            return thresholds, first
        head = copy.deepcopy(self.head)
        head[0] = first
        return thresholds, head

    def _has_missing(self, j, b):
        return b > 0 and bool(self.book.has_missing[j])

    def _has_guard(self, j, b):
        has_room = b >= self.n_bits[j] or guards_have_room(b, bool(self.book.has_missing[j]))
        return bool(self.book.has_guard[j]) and bool(has_room)

    def _costs_of(self, j):
        # A budget never pays for bits that leave a feature without its guard codes: they are worth no more than none.
        is_paid = [b == 0 or self._has_guard(j, b) == self.book.has_guard[j] for b in range(int(self.n_bits[j]))]
        return np.array([*(self._cost(j, self._partition(j, b * paid)) for b, paid in enumerate(is_paid)), 0.0])

    def _cost(self, j, starts):
        """Compute the increase of the loss if the codes of feature j are merged into the groups that begin there."""
        table = self.tables[j]
        group = torch.from_numpy(np.searchsorted(starts, np.arange(len(table)), side="right") - 1)
        change = self._merged(j, starts)[group] - table
        return self._loss(self.hidden + change[self.codes[:, j]]).item() - self.loss

    def _merged(self, j, starts):
        """Compute the weighted mean row of the table of feature j for each group of codes."""
        table, share = self.tables[j].double(), torch.from_numpy(self.code_shares[j])
        means = []
        for start, stop in zip(starts, [*starts[1:], len(table)], strict=True):
            weights = share[start:stop, None]
            total = weights.sum()
            means.append((weights * table[start:stop]).sum(0) / total if total > 0 else table[start:stop].mean(0))
        return torch.stack(means).float()

    def points(self, j):
        """Return the rows of the table of a feature, scaled by importance, and their weights.

        Parameters
        ----------
        j : int

        Returns
        -------
        points : ndarray of float64 of shape (regular codes, units)
        weights : ndarray of float64 of shape (regular codes,)
            Positive.
        """
        n_regular = self.thresholds[j].size + 1
        points = (self.tables[j][:n_regular].double() * self._importance).numpy()
        return points, self.code_shares[j][:n_regular] + 1e-12

    def _partition(self, j, b, starts=None):
        """Find the groups of codes that lose least with b bits: the first code of each. The missing code is alone.

        With `starts` given, only these codes can begin a group.
        """
        if b == 0:
            return [0]
        (points, weights), has_missing = self.points(j), self._has_missing(j, b)
        starts = np.arange(len(points)) if starts is None else starts
        groups = best_partition(*merged_points(points, weights, starts), self.max_codes(j, b))
        return [*starts[groups].tolist(), *([len(points)] if has_missing else [])]

    @cached_property
    @torch.inference_mode(False)  # the first use is in a method without gradients
    @torch.enable_grad()
    def _importance(self):
        """The root mean square gradient of the loss for each unit of the first layer."""
        hidden = self.hidden.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self._loss(hidden) * len(hidden), hidden)
        return gradient.double().square().mean(0).sqrt()

    def _loss(self, hidden):
        output = hidden
        for layer in self.layers_behind:
            output = layer(output)
        return (row_losses(self.criterion, output, self.target) * self.weights).mean()


def best_partition(points, weights, max_groups):
    """Split points into contiguous groups with the least sum of weighted squared distances to their means.

    Parameters
    ----------
    points : ndarray of shape (m, k)
    weights : ndarray of shape (m,)
        Positive.
    max_groups : int
        At least 1.

    Returns
    -------
    list of int
        First point of each group.
    """
    m = len(points)
    if max_groups >= m:
        return list(range(m))
    if m > _MAX_EXACT_POINTS:
        # The exact answer takes m^2 steps per group, and so many levels are close to each other. Neighbours are merged
        # first: half of the groups by number, and half by weight, because one level may have nearly all the weight.
        # Many groups are merged by number alone.
        half = _MAX_EXACT_POINTS // 2
        by_number = group_starts(np.ones(m), max(max_groups, half))
        by_weight = group_starts(weights, half) if max_groups <= half else by_number
        starts = np.union1d(by_number, by_weight)
        return [int(starts[first]) for first in best_partition(*merged_points(points, weights, starts), max_groups)]
    total = np.concatenate([[0.0], np.cumsum(weights)])
    first = np.vstack([np.zeros(points.shape[1]), np.cumsum(weights[:, None] * points, axis=0)])
    second = np.concatenate([[0.0], np.cumsum(weights * (points**2).sum(axis=1))])
    # cost[a, b] is the cost of one group from point a up to before point b.
    products = first @ first.T
    norms = np.diag(products)
    spans = norms[None, :] + norms[:, None] - 2 * products
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = second[None, :] - second[:, None] - spans / (total[None, :] - total[:, None])
    cost = np.where(np.arange(m + 1)[:, None] < np.arange(m + 1), np.maximum(cost, 0.0), np.inf)
    best, starts = cost[0].copy(), []
    for _ in range(max_groups - 1):
        candidates = best[:, None] + cost
        starts.append(candidates.argmin(axis=0))
        best = candidates.min(axis=0)
    groups, stop = [], m
    for start in reversed(starts):
        stop = int(start[stop])
        groups.append(stop)
    return sorted({0, *groups})


def merged_points(points, weights, starts):
    """Merge groups of neighbouring points.

    Parameters
    ----------
    points : ndarray of shape (m, k)
    weights : ndarray of shape (m,)
    starts : sequence of int
        First point of each group.

    Returns
    -------
    means : ndarray of shape (groups, k)
    weights : ndarray of shape (groups,)
    """
    joint = np.add.reduceat(weights, starts)
    return np.add.reduceat(weights[:, None] * points, starts, axis=0) / joint[:, None], joint
