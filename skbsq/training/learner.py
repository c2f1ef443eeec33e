"""Learning, as a plain package: thresholds and a head from rows, by a recipe."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet, NeuralNetClassifier

from skbsq import nn as sq
from skbsq.codebook.codebook import Codebook
from skbsq.nn.heads import shrink_output, start_at
from skbsq.nn.losses import check_class_criterion, standardizes_target, weigh_rows
from skbsq.nn.randomness import own_randomness
from skbsq.thresholds.filling import Widths
from skbsq.training.batches import TensorBatches, n_batches
from skbsq.training.feeds import codebook_feed, float_feed
from skbsq.training.held_out import hold_outs
from skbsq.training.length import find_epochs, held_out_losses, outputs_of, usual_epochs
from skbsq.training.loop import train
from skbsq.training.nets import add_schedules, head_of, net_of
from skbsq.training.recipe import auto_members
from skbsq.training.starts import check_starts


@dataclass(frozen=True)
class Learned:
    """What is learned from rows, see `Learner.learn`.

    Parameters
    ----------
    net : skorch.NeuralNet
        Trained and frozen, on the CPU.
    best_epoch : int or None
        That training went back to, from 1.
    target_mean, target_scale : ndarray of float64 of shape (k,)
        The target is ``output * target_scale + target_mean``.
    search : DataFrame or None
        Lengths that were tried on held-out rows.
    n_parts : int
        Parts of the rows that were held out, one after the other.
    codebook : Codebook or None
        None where the head reads floats.
    lr_ratio : float
        Learning rate of the thresholds, in multiples of the head's; 0 where they stayed.
    rule : str or None
        The rule that the thresholds started from, where it is one of `skbsq.training.starts.RULES`.
    starts : list of d ndarrays of float32, or None
        Where the thresholds started.
    allocation : DataFrame or None
        What a budget gave to each feature.

    Examples
    --------
    >>> from skbsq.training import Learned
    >>> [name for name in Learned.__dataclass_fields__ if name.startswith("target")]
    ['target_mean', 'target_scale']
    """

    net: NeuralNet
    best_epoch: int | None
    target_mean: np.ndarray
    target_scale: np.ndarray
    search: pd.DataFrame | None
    n_parts: int
    codebook: Codebook | None = None
    lr_ratio: float = 0.0
    rule: str | None = None
    starts: list | None = None
    allocation: pd.DataFrame | None = None


class Learner:
    """Learns from rows by a recipe.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    recipe : Recipe
    seed : int
        Determines what is learned, on the CPU.
    checkpoint : Checkpoint, default=None
        Of the fit; each training keeps its state in it.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_friedman1
    >>> from skbsq.training import Bits, Learner, Recipe, Rows, RuleStart
    >>> X, y = make_friedman1(200, random_state=0)
    >>> rows = Rows(X.astype(np.float32), y, np.ones(200), "regression")
    >>> learner = Learner(rows, Recipe(max_epochs=3, hidden_sizes=(8,)), seed=0)
    >>> learned = learner.learn(Bits(), np.full(10, 2), RuleStart("quantile"))
    >>> learned.codebook.row_bits, learned.net.module_.head[0].in_features
    (20, 30)
    """

    def __init__(self, rows, recipe, seed, checkpoint=None):
        self.rows = rows
        self.recipe = recipe
        self.seed = seed
        self.checkpoint = checkpoint

    def learn(self, kind, n_bits, start=None):
        """Learn a codebook and the head that reads it.

        Parameters
        ----------
        kind : Bits, Soft, Steps or Table
            The layer that is trained, see `skbsq.training.feeds`.
        n_bits : ndarray of int64 of shape (d,)
        start : RuleStart, GivenStart or the like, default=None
            Where thresholds start; None where the kind has none to start from.

        Returns
        -------
        Learned
        """
        rows, missing = self.rows, self.recipe.missing
        widths = Widths.of(n_bits, missing, rows.constant, rows.nan_seen)
        rule = starts = None
        with own_randomness(self.seed, self.recipe.trained_on):
            if start is not None:
                rule, found = start.thresholds(rows, widths, missing, self.seed)
                starts = check_starts(found, rows, widths)
            learned = self._still_or_moving(kind, widths, starts)
        module = learned.net.module_
        thresholds, folded = module.quantization.fold()
        book = rows.codebook(thresholds, missing=missing, has_missing=widths.has_missing, levels="mean")
        module.freeze(book, folded)
        return replace(learned, codebook=book, rule=rule, starts=starts)

    def learn_on(self, book, n_bits, *, level_inputs=True):
        """Learn the head of a codebook.

        Parameters
        ----------
        book : Codebook
        n_bits : ndarray of int64 of shape (d,)
            Widths that the inputs of the head have room for.
        level_inputs : bool, default=True
            See `skbsq.BitwiseQuantizer`.

        Returns
        -------
        Learned
        """
        with own_randomness(self.seed, self.recipe.trained_on):
            return replace(self._train(codebook_feed(self.rows, book, n_bits, level_inputs)), codebook=book)

    def learn_floats(self):
        """Learn a head that reads standardized floats.

        Returns
        -------
        Learned
        """
        with own_randomness(self.seed, self.recipe.trained_on):
            return self._train(float_feed(self.rows, self.recipe.missing == "code"))

    def _still_or_moving(self, kind, widths, starts):
        """Train with thresholds that move, that stay, or whichever does better on held-out rows."""
        can_stay = hasattr(kind, "still_feed")
        if can_stay and self.recipe.threshold_lr_ratio == 0:
            return self._train(kind.still_feed(self, widths, starts))
        moving = replace(self._train(kind.feed(self, widths, starts)), lr_ratio=self.recipe.lr_ratio)
        if not can_stay or self.recipe.threshold_lr_ratio != "auto" or moving.n_parts < 2:
            return moving
        # Few rows: moving thresholds may learn noise.
        with own_randomness(self.seed, self.recipe.trained_on):
            still = self._train(kind.still_feed(self, widths, starts))
        return moving if still.search["loss"].min() >= moving.search["loss"].min() else still

    def _train(self, feed):
        """Train a head behind a layer, and the layer with it where it has parameters."""
        rows, recipe = self.rows, self.recipe
        constant = self._constant_output() if recipe.head is None else None
        module = self._joint_net(feed, constant)
        net = net_of(recipe, module, rows.task, rows.n_outputs)
        mean, scale = np.zeros(rows.n_outputs), np.ones(rows.n_outputs)
        if rows.task == "classification":
            check_class_criterion(net)
        elif standardizes_target(net):
            mean, scale = rows.target_moments()
        data, parts = self._parts(rows.tensors(mean, scale), rows.validation_tensors(mean, scale))
        epochs = search = None
        training, validation = parts[0] if parts else (data, None)
        if not recipe.own_net and not (recipe.early_stopping is True and recipe.lr_schedule == "constant"):
            # Else it is the user's own schedule: epochs end when patience does.
            epochs, search = self._epochs(module, data, parts, constant)
            if not (parts and (recipe.early_stopping is True or training is data)):
                training, validation = data, None
            if recipe.auto_sizes:
                n_steps = epochs * n_batches(len(training), recipe.batch_size_for(rows.n_rows))
                module = self._joint_net(feed, constant, auto_members(rows.n_rows, n_steps))
        net, best_epoch = self._train_net(module, training, validation, epochs)
        share = None
        if search is not None and constant is not None:
            share = search.loc[search["epochs"] == net.max_epochs, "share"].item()
        _fold_head(net.module_, share, constant)
        return Learned(net, best_epoch, mean, scale, search, len(parts))

    def _constant_output(self):
        """What the default head says before it has learned anything: the mean target, or the shares of the classes."""
        if self.rows.task == "classification":
            return torch.from_numpy(np.log(self.rows.class_shares())).float()
        return torch.zeros(self.rows.n_outputs)

    def _joint_net(self, feed, constant, n_members=1):
        head = head_of(self.recipe, feed.n_inputs, self.rows.n_outputs, n_rows=self.rows.n_rows, n_members=n_members)
        if constant is not None:
            start_at(head, constant)
            if feed.levels is not None:
                head[0] = sq.LevelLinear(head[0], *feed.levels)
        return sq.JointNet(feed.layer, head, column_map=feed.column_map)

    def _parts(self, data, given):
        """All rows, and the parts (training, validation) that are held out of them: none, one or several.

        Where validation rows are given, all rows are trained on.
        """
        rows, recipe = self.rows, self.recipe
        if given is not None:
            return data, [(data, given)]
        looked_for = recipe.early_stopping is True or (
            recipe.early_stopping == "auto" and recipe.max_epochs == "auto" and not recipe.own_net
        )
        if not looked_for or (recipe.early_stopping == "auto" and not rows.can_hold_out):
            return data, []
        splits = hold_outs(rows, recipe.validation_fraction, self.seed, single=recipe.early_stopping is True)
        return data, [tuple(data.take(torch.from_numpy(np.asarray(part))) for part in split) for split in splits]

    def _epochs(self, module, data, parts, constant):
        """Epochs to train, and the lengths that were tried on held-out rows (None where none were)."""
        recipe = self.recipe
        fixed, batch_size = recipe.max_epochs != "auto", recipe.batch_size_for(len(data))
        if not parts or recipe.early_stopping is False or (fixed and recipe.early_stopping == "auto"):
            return (int(recipe.max_epochs) if fixed else usual_epochs(n_batches(len(data), batch_size))), None
        held_out = parts[0][1]
        for _, more in parts[1:]:
            held_out = held_out.followed_by(more)
        reached = [module] * len(parts)
        shares: list = []

        def loss_after(epochs, cycle):
            outputs = []
            for k, (training, validation) in enumerate(parts):
                description = f"{epochs} epochs, part {k + 1}"
                net, _ = self._train_net(reached[k], training, None, cycle, shift=epochs, description=description)
                reached[k] = net.module_
                outputs.append(outputs_of(net, validation))
            losses, share = held_out_losses(torch.cat(outputs), held_out, constant)
            shares.append(share)
            return losses

        epochs, tried = find_epochs(
            loss_after,
            n_batches(len(parts[0][0]), batch_size),
            n_parts=len(parts),
            most=int(recipe.max_epochs) if fixed else None,
        )
        return epochs, tried.assign(share=shares)

    def _train_net(self, module, training, validation, epochs, *, shift=0, description=None):
        """Train a copy of a module; epochs None: as many as the net itself says."""
        rows, recipe = self.rows, self.recipe
        net = net_of(recipe, copy.deepcopy(module), rows.task, rows.n_outputs, max_epochs=epochs, n_rows=rows.n_rows)
        if rows.weighted:
            weigh_rows(net)
            if isinstance(net, NeuralNetClassifier) and getattr(net, "callbacks__valid_acc", "on") is not None:
                net.set_params(callbacks__valid_acc=None)  # it cannot read the weights beside the labels
        add_schedules(recipe, net, len(TensorBatches(training, net.batch_size)))
        with own_randomness(self.seed + shift, recipe.trained_on):
            best_epoch = train(
                net,
                training,
                validation,
                generator=torch.Generator().manual_seed(self.seed + shift),
                patience=recipe.patience if recipe.early_stopping is True and epochs is None else None,
                mean_weights=recipe.head is None and recipe.lr_schedule == "one-cycle",
                verbose=recipe.verbose,
                description=description,
                own=not recipe.own_net,
                checkpoint=self.checkpoint,
            )
        return net, best_epoch


def _fold_head(module, share, constant):
    """Make one plain network of a trained default head, whose output is shrunk to a share; others stay as they are."""
    head = module.head
    if constant is None:
        return
    if isinstance(head[0], sq.LevelLinear):
        head[0] = head[0].folded()
    if isinstance(head, sq.Ensemble):
        head = module.head = head.folded()
    if share is not None:
        shrink_output(head, share, constant)
