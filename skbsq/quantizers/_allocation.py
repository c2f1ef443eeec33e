"""Bits split over features: a wide model is narrowed where that costs least, and trained on, until it fits the budget.

What a feature is worth depends on the others: of two that say the same either can go, not both. So bits are taken away
in rounds, a part of them at a time, and after each the model is trained on with what is left. What a narrower feature
would cost is measured on rows held out: two neighbouring levels become one, and the head reads their mean.
"""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from torch import nn

from skbsq.budget import allocate_bits
from skbsq.codebook.labels import numbered_names
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers._base import regular_levels
from skbsq.quantizers._cells import group_starts
from skbsq.quantizers.threshold import ThresholdQuantizer

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


@dataclass(frozen=True)
class Allocation:
    """What each feature gets.

    Attributes
    ----------
    n_bits : ndarray of int64 of shape (d,)
    thresholds : list of d ndarrays of float32
        What is left of those of the wide model.
    report : DataFrame
        See ``allocation_`` of `BitwiseQuantizer`.
    """

    n_bits: np.ndarray
    thresholds: list
    report: pd.DataFrame


def split_budget(train, rows, caps, budget, max_epochs, seed, *, from_caps=False):
    """Split a budget of bits per row over features.

    Parameters
    ----------
    train : callable
        ``train(rows, n_bits, thresholds, head, max_epochs)`` fits a quantizer on rows: of no thresholds and head of its
        own if these are None, else going on from them; max_epochs None: as long as the rows ask for.
    rows : Rows
    caps : ndarray of int64 of shape (d,)
        Most bits of each feature.
    budget : int
    max_epochs : int or "auto"
        Epochs of a complete training. "auto" takes the number that the wide model was trained for.
    seed : int
    from_caps : bool, default=False
        Begin with all that features may have, as thresholds that are given need.

    Returns
    -------
    Allocation
    """
    n, d = rows.X.shape
    order = np.random.RandomState(seed).permutation(n)
    n_held_out = min(_MAX_HELD_OUT, max(1, int(_HELD_OUT * n)))
    held_out, kept = (_some(rows, part) for part in np.split(order, [n_held_out]))
    wide = caps if from_caps else np.minimum(caps, max(_PILOT_BITS, -(-3 * budget // (2 * max(d, 1)))))
    auto = max_epochs == "auto"
    pilot = train(kept, wide, None, None, None if auto else max(1, round(_EPOCHS_OF_PILOT * max_epochs)))
    of_round = max(1, round(_EPOCHS_OF_ROUND * (pilot.n_iter_ if auto else max_epochs)))
    model = WideModel(pilot, held_out)

    def narrower(n_bits):
        return WideModel(train(kept, n_bits, *model.narrowed(n_bits), of_round), held_out)

    while model.n_bits.sum() > budget:
        model = narrower(allocate_bits(model.costs(), max(budget, int(_KEPT * model.n_bits.sum()))))
    for _ in range(_MOST_TRIMS):
        # Bits that cost nothing when taken away one feature at a time may still do when taken away together.
        costs = model.costs()
        needed = np.array([np.flatnonzero(cost <= 0)[0] for cost in costs])
        if (needed == model.n_bits).all():
            break
        trimmed = narrower(needed)
        if trimmed.loss > model.loss:
            break
        model = trimmed
    costs = model.costs()
    report = pd.DataFrame(
        {
            "n_bits": model.n_bits,
            "cap": caps,
            "loss_if_dropped": [cost[0] for cost in costs],
            "loss_of_one_bit_less": [cost[-2] if cost.size > 1 else np.nan for cost in costs],
        },
        index=pd.Index(numbered_names(d) if rows.names is None else rows.names, name="feature"),
    )
    return Allocation(model.n_bits, model.thresholds, report)


def go_on_narrower(model, X, y, n_bits, share):
    """Narrow a fitted predictor of learned thresholds, and train it on.

    Parameters
    ----------
    model : BitwiseRegressor or BitwiseClassifier
        With the default head.
    X, y : array-likes
        What it was fitted on.
    n_bits : int
        Most bits of a feature.
    share : float
        Of its epochs that are trained.

    Returns
    -------
    BitwiseRegressor or BitwiseClassifier
        A new one.
    """
    with serial_after_fork():
        wide = WideModel(model.quantizer_, clone(model)._check_rows(X, y, None, model._task))
        widths = np.minimum(wide.n_bits, n_bits)
        thresholds, head = wide.narrowed(widths)
        going_on = {"n_bits": widths, "head": head, **warm_start(thresholds, model.temperature_start)}
        narrow = clone(model)
        # Not set_params: a subclass may set a parameter that its constructor does not take.
        epochs = model.n_iter_ if model.max_epochs == "auto" else model.max_epochs
        vars(narrow).update(going_on, max_epochs=max(1, round(share * epochs)))
        return narrow.fit(X, y)


def warm_start(thresholds, temperature_start):
    """Parameters that go on from thresholds: where they are is known, so the surrogate need not see far."""
    return {"init": ThresholdQuantizer(thresholds), "temperature_start": min(_WARM_TEMPERATURE, temperature_start)}


def _some(rows, index):
    groups = None if rows.groups is None else rows.groups[index]
    return replace(rows, X=rows.X[index], y=rows.y[index], weights=rows.weights[index], groups=groups)


class WideModel:
    """A fitted quantizer, its head as a table of what each code adds to the first layer, and held-out rows."""

    def __init__(self, fitted, rows):
        self.book = fitted.codebook_
        self.n_bits = np.asarray(self.book.n_bits, dtype=np.int64)
        self.thresholds = [np.asarray(t) for t in self.book.thresholds]
        module = fitted.net_.module_
        self.head = module.head
        table, self.layers_behind = module.first_table()
        *self.tables, bias = table.split([*self.book.n_levels.tolist(), 1])
        self.mass = [own / max(own.sum(), 1) for own in self.book.counts]
        self.codes = torch.from_numpy(self.book.encode(rows.X).astype(np.int64))
        self.weights = torch.from_numpy(rows.weights / rows.weights.mean())
        if rows.task == "classification":
            self.target = torch.from_numpy(np.searchsorted(rows.classes, rows.y))
        else:
            y = (rows.y.reshape(len(rows.y), -1) - fitted.target_mean_) / fitted.target_scale_
            self.target = torch.from_numpy(y.astype(np.float32))
        hidden = bias.repeat(len(self.codes), 1)
        for j, table in enumerate(self.tables):
            hidden += table[self.codes[:, j]]
        self.hidden = hidden
        with torch.inference_mode():
            self.loss = self._loss(hidden).item()
        self.importance = self._importance()

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
        head[0] = nn.Linear(weight.shape[1], len(bias))
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
        return best_partition(rows.numpy(), mass.numpy(), regular_levels(b, bool(self.book.has_missing[j])))

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
