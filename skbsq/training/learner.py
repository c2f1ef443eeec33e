"""Learn thresholds and a head from rows, by a recipe."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet, NeuralNetClassifier

from skbsq import nn as sq
from skbsq.codebook.codebook import Codebook
from skbsq.nn.heads import shrink_output, start_at
from skbsq.nn.losses import check_class_criterion, row_criterion, standardizes_target, weigh_rows
from skbsq.nn.randomness import own_randomness
from skbsq.training.batches import TensorBatches, TensorRows, n_batches
from skbsq.training.feeds import codebook_feed, float_feed, frozen_feed
from skbsq.training.held_out import hold_outs
from skbsq.training.length import find_epochs, held_out_losses, outputs_of, usual_epochs
from skbsq.training.loop import train
from skbsq.training.nets import add_schedules, head_of, net_of
from skbsq.training.recipe import auto_members
from skbsq.training.starts import check_starts
from skbsq.training.targets import target_scaling


@dataclass(frozen=True)
class Learned:
    """Store what `Learner.learn` learned.

    d is the number of features, k of targets or classes.

    Parameters
    ----------
    net : skorch.NeuralNet
        Trained and frozen, on the CPU.
    best_epoch : int or None
        Epoch whose weights were restored, from 1.
    target_mean, target_scale : ndarray of float64 of shape (k,)
        The target is ``output * target_scale + target_mean``, for a Poisson loss ``exp(output) * target_scale``.
    search : DataFrame or None
        Lengths that were tried on held-out rows.
    codebook : Codebook or None
        None if the head reads floats.
    lr_ratio : float
        Learning rate of the thresholds, as a multiple of the head's; 0 if they stayed where they started.
    rule : str or None
        Rule that found the initial thresholds, if it is one of `skbsq.training.starts.RULES`.
    starts : list of d ndarrays of float32, or None
        Initial thresholds.
    allocation : DataFrame or None
        Bits that each feature received from a budget.
    rates : dict int -> Rate, or None
        This model and its coarse codebooks, from the highest to the lowest rate.

    See Also
    --------
    Learner : Learns, and returns this.

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
    codebook: Codebook | None = None
    lr_ratio: float = 0.0
    rule: str | None = None
    starts: list | None = None
    allocation: pd.DataFrame | None = None
    rates: dict | None = None


class Learner:
    """Learn from rows by a recipe.

    d is the number of features.

    Parameters
    ----------
    rows : Rows or ChunkedRows
    recipe : Recipe
    seed : int
        Determines the result on the CPU.
    checkpoint : Checkpoint, default=None
        Each training keeps its state there.

    See Also
    --------
    train : Trains one net; a learner calls it for each training.

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
            Layer that is trained, see `skbsq.training.feeds`.
        n_bits : ndarray of int64 of shape (d,)
        start : RuleStart, GivenStart or the like, default=None
            Finds the initial thresholds. None if the kind has no initial thresholds.

        Returns
        -------
        Learned

        Raises
        ------
        ValueError
            If the bits ask for too many thresholds, the head does not fit, the rows cannot be split, or training
            diverges.
        """
        return self._on(self.rows.in_order(n_bits, self.seed))._learn(kind, n_bits, start)

    def in_order_of(self, book):
        """Return a learner whose rows hold the numbers of categories in a codebook.

        Parameters
        ----------
        book : Codebook

        Returns
        -------
        Learner
        """
        return self._on(self.rows.in_order_of(book))

    def _on(self, rows):
        return self if rows is self.rows else Learner(rows, self.recipe, self.seed, self.checkpoint)

    def _learn(self, kind, n_bits, start):
        rows = self.rows
        widths = rows.widths(n_bits)
        rule = starts = None
        with own_randomness(self.seed, self.recipe.trained_on):
            if start is not None:
                rule, found = start.thresholds(rows, widths, self.seed)
                starts = check_starts(found, rows, widths)
            learned = self._learn_with_best_ratio(kind, widths, starts)
        module = learned.net.module_
        thresholds, folded = module.quantization.fold(rows.placed)
        codes = {"has_missing": widths.has_missing, "has_guard": widths.has_guard}
        codebook = rows.codebook(thresholds, levels="mean", **codes)
        module.freeze(codebook, folded)
        if rows.orders and starts is not None:
            placed = [rows.placed(j, t) for j, t in enumerate(starts)]
            starts = [np.unique(t[np.isfinite(t)]) for t in placed]
        return replace(learned, codebook=codebook, rule=rule, starts=starts)

    def learn_on(self, book, n_bits, *, level_inputs=True):
        """Learn a head that reads the bits of a fixed codebook.

        Parameters
        ----------
        book : Codebook
        n_bits : ndarray of int64 of shape (d,)
            Bits per feature for which the head has inputs.
        level_inputs : bool, default=True
            See `skbsq.BitwiseQuantizer`.

        Returns
        -------
        Learned

        Raises
        ------
        ValueError
            As `learn` does.
        """
        learner = self.in_order_of(book)
        with own_randomness(self.seed, self.recipe.trained_on):
            feed = codebook_feed(learner.rows, book, n_bits, level_inputs)
            return replace(learner._learn_head(feed), codebook=book)

    def relearn(self, module, book, *, level_inputs=True):
        """Learn a new head that reads what the head of a frozen net reads.

        Parameters
        ----------
        module : JointNet
            Not changed.
        book : Codebook
            That of the net.
        level_inputs : bool, default=True
            See `skbsq.BitwiseQuantizer`.

        Returns
        -------
        Learned
            The head has as many inputs as before.

        Raises
        ------
        ValueError
            As `learn` does.
        """
        with own_randomness(self.seed, self.recipe.trained_on):
            return replace(self._learn_head(frozen_feed(self.rows, module, book, level_inputs)), codebook=book)

    def learn_floats(self):
        """Learn a head that reads standardised floats.

        Returns
        -------
        Learned

        Raises
        ------
        ValueError
            As `learn` does.
        """
        with own_randomness(self.seed, self.recipe.trained_on):
            return self._learn_head(float_feed(self.rows))

    def tune(self, module, scaling, epochs, *, description=None):
        """Train a net further, from its present weights.

        Parameters
        ----------
        module : JointNet
            Not changed. Weights that do not require gradients stay.
        scaling : (mean, scale), ndarrays of float64 of shape (k,)
            See `Learned`.
        epochs : int
        description : str, default=None
            Shown before the progress bar.

        Returns
        -------
        skorch.NeuralNet
            Trained, on the CPU.

        Raises
        ------
        ValueError
            If the rows cannot be split, or training diverges.
        """
        training, validation = self.rows.tensors(*scaling), None
        if self.recipe.early_stopping is True:
            # The held-out rows are never trained on, but callbacks of a skorch net may read their loss.
            training, validation = self._parts(training, self.rows.validation_tensors(*scaling))[0]
        return self._train_net(module, training, validation, epochs, description=description)[0]

    def _learn_with_best_ratio(self, kind, widths, starts):
        """Train with thresholds that move or stay; with ratio "auto" and few rows, try both on held-out rows."""
        ratio, can_stay = self.recipe.threshold_lr_ratio, hasattr(kind, "still_feed")
        if can_stay and ratio == 0:
            return self._learn_head(kind.still_feed(self, widths, starts))
        moving = self._search(kind.feed(self, widths, starts))
        if can_stay and ratio == "auto" and len(moving.parts) > 1:
            # With few rows, moving thresholds may fit noise.
            with own_randomness(self.seed, self.recipe.trained_on):
                still = self._search(kind.still_feed(self, widths, starts))
                if still.lowest_loss < moving.lowest_loss:
                    return self._finish(still)
        return replace(self._finish(moving), lr_ratio=self.recipe.lr_ratio)

    def _learn_head(self, feed):
        """Find the length of training, and train a head, with the parameters of its layer if there are any."""
        return self._finish(self._search(feed))

    def _search(self, feed):
        """Build a net, and find the length of its training."""
        rows, recipe = self.rows, self.recipe
        constant = self._constant_output() if recipe.head is None else None
        module = self._joint_net(feed, constant)
        scaling = self._target_scaling(module)
        data = rows.tensors(*scaling)
        parts = self._parts(data, rows.validation_tensors(*scaling))
        epochs = tried = None
        # With a skorch net, or a constant rate and patience, the user's schedule holds.
        if not recipe.own_net and not (recipe.early_stopping is True and recipe.lr_schedule == "constant"):
            epochs, tried = self._find_epochs(module, data, parts, constant)
        return _Search(feed, module, constant, scaling, data, parts, epochs, tried)

    def _finish(self, found):
        """Train with the length that was found."""
        rows, recipe, data, parts, epochs = self.rows, self.recipe, found.data, found.parts, found.epochs
        module, (training, validation) = found.module, parts[0] if parts else (data, None)
        if epochs is not None:
            if not (parts and (recipe.early_stopping is True or training is data)):
                training, validation = data, None
            if recipe.auto_sizes:
                n_steps = epochs * n_batches(len(training), recipe.batch_size_for(rows.n_rows))
                module = self._joint_net(found.feed, found.constant, auto_members(rows.n_rows, n_steps))
        net, best_epoch = self._train_net(module, training, validation, epochs)
        tried = found.tried
        if found.constant is not None:
            share = None if tried is None else tried.loc[tried["epochs"] == net.max_epochs, "share"].item()
            share = 0.0 if rows.is_constant_target() else share
            _fold_head(net.module_, share, found.constant)
        return Learned(net, best_epoch, *found.scaling, tried)

    def _constant_output(self):
        """Output of the untrained default head: the best constant for the loss, or the log of the class shares."""
        if self.rows.task == "classification":
            return torch.from_numpy(np.log(self.rows.class_shares())).float()
        return torch.zeros(self.rows.n_outputs)

    def _joint_net(self, feed, constant, n_members=1):
        """Build the layer of a feed and an untrained head behind it."""
        head = head_of(self.recipe, feed.n_inputs, self.rows.n_outputs, n_rows=self.rows.n_rows, n_members=n_members)
        if constant is not None:
            start_at(head, constant)
            if feed.levels is not None:
                head[0] = sq.LevelLinear(head[0], *feed.levels)
        return sq.JointNet(feed.layer, head, column_map=feed.column_map)

    def _target_scaling(self, module):
        """Compute the mean and scale of the targets: 0 and 1 for criteria of a skorch net that are no difference."""
        rows, net = self.rows, net_of(self.recipe, module, self.rows.task, self.rows.n_outputs)
        if rows.task == "classification":
            check_class_criterion(net)
        elif not self.recipe.own_net:
            return target_scaling(self.recipe.regression_loss, rows)
        elif standardizes_target(net):
            return rows.target_moments()
        return np.zeros(rows.n_outputs), np.ones(rows.n_outputs)

    def _parts(self, data, given):
        """Split the rows into parts (training, validation): none, one or several.

        Given validation rows are the only part, with all rows to train on.
        """
        rows, recipe = self.rows, self.recipe
        if given is not None:
            return [(data, given)]
        single = recipe.early_stopping is True
        searches = recipe.early_stopping == "auto" and recipe.max_epochs == "auto" and not recipe.own_net
        if not single and not (searches and rows.can_hold_out):
            return []
        splits = hold_outs(rows, recipe.validation_fraction, self.seed, single=single)
        return [tuple(data.take(torch.from_numpy(np.asarray(part))) for part in split) for split in splits]

    def _find_epochs(self, module, data, parts, constant):
        """Return the epochs to train, and the lengths tried on held-out rows (None if none were tried)."""
        recipe = self.recipe
        max_epochs = None if recipe.max_epochs == "auto" else int(recipe.max_epochs)
        batch_size = recipe.batch_size_for(len(data))
        if not parts or recipe.early_stopping is False or (max_epochs and recipe.early_stopping == "auto"):
            return max_epochs or usual_epochs(n_batches(len(data), batch_size)), None
        held_out = parts[0][1]
        for _, more in parts[1:]:
            held_out = held_out.followed_by(more)
        modules = [module] * len(parts)
        shares: list = []

        def loss_after(epochs, cycle):
            outputs = []
            for k, (training, validation) in enumerate(parts):
                description = f"{epochs} epochs, part {k + 1}"
                net, _ = self._train_net(modules[k], training, None, cycle, shift=epochs, description=description)
                modules[k] = net.module_
                outputs.append(outputs_of(net, validation))
            losses, share = held_out_losses(torch.cat(outputs), held_out, constant, row_criterion(net))
            shares.append(share)
            return losses

        steps_per_epoch = n_batches(len(parts[0][0]), batch_size)
        epochs, tried = find_epochs(loss_after, steps_per_epoch, n_parts=len(parts), max_epochs=max_epochs)
        return epochs, tried.assign(share=shares)

    def _train_net(self, module, training, validation, epochs, *, shift=0, description=None):
        """Train a copy of a module. With `epochs` None, the max_epochs of the net hold."""
        rows, recipe = self.rows, self.recipe
        net = net_of(recipe, copy.deepcopy(module), rows.task, rows.n_outputs, max_epochs=epochs, n_rows=rows.n_rows)
        if rows.weighted:
            weigh_rows(net)
            if isinstance(net, NeuralNetClassifier) and getattr(net, "callbacks__valid_acc", "on") is not None:
                net.set_params(callbacks__valid_acc=None)  # it cannot read targets with weights
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


@dataclass(frozen=True)
class _Search:
    """A net before its final training, and the lengths that were tried."""

    feed: object
    module: sq.JointNet
    constant: torch.Tensor | None
    scaling: tuple
    data: TensorRows
    parts: list
    epochs: int | None
    tried: pd.DataFrame | None

    @property
    def lowest_loss(self):
        return self.tried["loss"].min()


def _fold_head(module, share, constant):
    """Turn a trained default head into one plain network, and shrink its output to a share if one was found."""
    head = module.head
    if isinstance(head[0], sq.LevelLinear):
        head[0] = head[0].folded()
    if isinstance(head, sq.Ensemble):
        head = module.head = head.folded()
    if share is not None:
        shrink_output(head, share, constant)
