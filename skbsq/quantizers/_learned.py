"""Fitting a net on checked rows: shared by the learned quantizers and the predictors."""

import copy
import os
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils import compute_sample_weight
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import LRScheduler
from torch import nn

from skbsq import nn as sq
from skbsq._checkpoint import checkpointed
from skbsq._state import plain_state, restore
from skbsq._targets import check_class_weight, check_target
from skbsq._validation import check_groups, check_weights, check_X
from skbsq._work import work_of
from skbsq.codebook.labels import check_columns, columns_of
from skbsq.nn.batches import TensorBatches, auto_batch_size, n_batches
from skbsq.nn.device import training_device
from skbsq.nn.heads import shrink_output, start_at
from skbsq.nn.losses import check_class_criterion, standardizes_target, weigh_rows
from skbsq.nn.randomness import own_randomness
from skbsq.nn.resume import copied_state, put_state
from skbsq.nn.temperature import SCHEDULES
from skbsq.nn.threads import serial_after_fork
from skbsq.nn.training import default_net
from skbsq.quantizers._base import FixedQuantizer
from skbsq.quantizers._chunks import read_chunks
from skbsq.quantizers._held_out import hold_outs
from skbsq.quantizers._length import find_epochs, held_out_losses, outputs_of, usual_epochs
from skbsq.quantizers._ranks import levels_of_inputs
from skbsq.quantizers._rows import Rows
from skbsq.quantizers._start import INITS

MAX_INPUTS = 2**20
AUTO_SIZES, _N_MEMBERS = (128, 128), 4
_FEW_ROWS, _MANY_ROWS, _MANY_STEPS = 4096, 32768, 1500
_DROPOUT, _ROWS_FOR_DROPOUT = 0.1, 8192
# With patience, a constant rate and max_epochs="auto".
MOST_EPOCHS = 1000


@dataclass(frozen=True)
class Trained:
    """What comes out of training."""

    net: NeuralNet
    best_epoch: int | None
    target_mean: np.ndarray  # float64 (k,): y = output * target_scale + target_mean
    target_scale: np.ndarray
    search: pd.DataFrame | None  # lengths tried on held-out rows
    n_parts: int  # parts of the rows that were held out, one after the other


class JointTraining(BaseEstimator):
    """The training parameters, and what is done with them."""

    _parameter_constraints: dict = {
        "head": [None, nn.Module, NeuralNet, callable],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions({"one-cycle", "constant"})],
        "threshold_lr_ratio": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "hidden_sizes": ["array-like", StrOptions({"auto"})],
        "temperature_schedule": [StrOptions(set(SCHEDULES))],
        "temperature_start": [Interval(Real, 0, None, closed="neither")],
        "temperature_end": [Interval(Real, 0, None, closed="neither")],
        "validation_fraction": [
            Interval(Real, 0, 1, closed="neither"),
            StrOptions({"auto"}),
            HasMethods("split"),
        ],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "device": [str, torch.device],
        "checkpoint": [None, str, os.PathLike],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @property
    def head_(self):
        """The trained head: a torch module from the bits to the outputs."""
        check_is_fitted(self)
        return self.net_.module_.head

    @property
    def history_(self):
        """DataFrame with one row per epoch: losses, temperature, seconds."""
        check_is_fitted(self)
        rows = [{key: value for key, value in row.items() if key != "batches"} for row in self.net_.history]
        return pd.DataFrame(rows).drop(columns=["train_batch_count", "valid_batch_count"], errors="ignore")

    @property
    def n_iter_(self):
        """Number of epochs run."""
        check_is_fitted(self)
        return len(self.net_.history)

    def __getstate__(self):
        with serial_after_fork():
            return plain_state(self, dict(super().__getstate__()))

    def __setstate__(self, state):
        super().__setstate__(state)
        with serial_after_fork():
            restore(self)

    def _missing_rule(self):
        return self.missing

    def _check_rows(self, X, y, sample_weight, task, *, groups=None, X_val=None, y_val=None):
        """Validate what fit was given; sets ``n_features_in_`` and ``feature_names_in_``."""
        X = check_X(self, X, reset=True, missing=self._missing_rule(), min_rows=2, stacklevel=5)
        weights = check_weights(sample_weight, X)
        targets = columns_of(y)
        y, task = check_target(y, X, task, self, weights)
        groups = check_groups(groups, len(X))
        class_weight = getattr(self, "class_weight", None)
        if class_weight is not None:
            check_class_weight(class_weight, task)
            kept = weights > 0
            by_class = np.ones_like(weights)
            by_class[kept] = compute_sample_weight(class_weight, y[kept])
            weights = weights * by_class  # a new array: the old one may be the caller's
        kept = weights > 0
        if kept.sum() < 2:
            raise ValueError(f"At least 2 rows of positive weight are needed to learn thresholds, got {kept.sum()}.")
        if not kept.all():
            X, y, weights = X[kept], y[kept], weights[kept]
            groups = None if groups is None else groups[kept]
        X = np.ascontiguousarray(X)
        classes = None
        if task == "classification":
            classes = np.unique(y)
            if classes.size < 2:
                raise ValueError(f"y holds one class only, {classes.tolist()[0]!r}: a classifier needs at least two.")
        held_out = self._check_validation_rows(X_val, y_val, task, y, targets, classes)
        names = getattr(self, "feature_names_in_", None)
        return Rows(X, y, weights, task, names, classes, groups, held_out)

    def _check_validation_rows(self, X, y, task, y_fit, targets, classes):
        """(X, y, weights) of the rows to validate on that fit was given, or None."""
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError(f"{'X_val' if X is None else 'y_val'} is missing: X_val and y_val go together.")
        X = check_X(self, X, reset=False, missing=self._missing_rule())
        if targets is not None:
            check_columns(columns_of(y), targets, "y_val")
        y, _ = check_target(y, X, task, self)
        if y.shape[1:] != y_fit.shape[1:]:
            raise ValueError(f"y_val has shape {y.shape}, and y {y_fit.shape}: they need the same targets.")
        if classes is not None and (unknown := ~np.isin(y, classes)).any():
            raise ValueError(f"The label {y[unknown].tolist()[0]!r} in y_val is not in y.")
        return np.ascontiguousarray(X), y, np.ones(len(X))

    def _checkpointed(self, rows):
        """The progress of a fit, for a with block."""
        return checkpointed(self.checkpoint, lambda: work_of(self, rows, self._device()))

    def _check_chunks(self, chunks, validation, task, sketch_size):
        """Validate what `fit_chunks` was given; sets ``n_features_in_`` and ``feature_names_in_``."""
        if self.checkpoint is not None:
            raise ValueError("checkpoint is for fit: what fit_chunks has done of its work is not kept. Set it to None.")
        for own in (self, getattr(self, "quantizer", None)):
            if getattr(own, "bit_budget", None) is not None:
                raise ValueError(
                    "bit_budget needs all rows in memory: fit on some of the rows with it, and give the n_bits_ found "
                    "as n_bits to fit_chunks."
                )
            # Rather now than after a pass over the chunks.
            init = getattr(own, "init", None)
            for quantizer in (own, INITS[init]() if isinstance(init, str) and init in INITS else init):
                if isinstance(quantizer, FixedQuantizer):
                    quantizer._check_can_summarize()
        if self.early_stopping is True and validation is None:
            raise ValueError(
                "early_stopping of fit_chunks needs validation=(X, y) or (X, y, sample_weight), rows in memory that "
                "are not among the chunks: none are held out of these."
            )
        return read_chunks(
            self,
            chunks,
            validation,
            task=task,
            missing=self._missing_rule(),
            class_weight=getattr(self, "class_weight", None),
            sketch_size=sketch_size,
        )

    def _train(self, rows, quantization, n_inputs, seed, progress, column_map=None, levels=None):
        """Train a head behind a quantization layer, and the layer with it where it has parameters.

        Parameters
        ----------
        rows : Rows
        quantization : nn.Module
        n_inputs : int
            Columns the head reads.
        seed : int
            Of `own_randomness`, in whose block this is called.
        progress : Progress
        column_map : ndarray of int64 of shape (n_inputs,), default=None
            See `skbsq.nn.JointNet`.
        levels : tuple, default=None
            From `levels_of_inputs`, where the default head is to read levels in training.

        Returns
        -------
        Trained
        """
        constant = None
        if self.head is None:
            constant = torch.zeros(rows.n_outputs)
            if rows.task == "classification":
                constant = torch.from_numpy(np.log(rows.class_shares())).float()
        reads_levels = levels is not None and self.head is None

        def make(n_members):
            head = self._build_head(n_inputs, rows.n_outputs, rows.n_rows, n_members)
            if constant is not None:
                start_at(head, constant)
            if reads_levels:
                head[0] = sq.LevelLinear(head[0], *levels)
            return sq.JointNet(quantization, head, column_map=column_map)

        module = make(1)
        net = self._build_net(module, rows.task, rows.n_outputs)
        mean, scale = np.zeros(rows.n_outputs), np.ones(rows.n_outputs)
        if rows.task == "classification":
            check_class_criterion(net)
        elif standardizes_target(net):
            mean, scale = rows.target_moments()
        data, parts = self._parts(rows, mean, scale, seed)
        fit = partial(self._train_net, rows, seed=seed)
        search = None
        if isinstance(self.head, NeuralNet) or (self.early_stopping is True and self.lr_schedule == "constant"):
            # The user's own schedule: epochs end when patience does.
            training, validation = parts[0] if parts else (data, None)
            net, best_epoch = fit(module, training, validation, None, progress=progress)
        else:
            epochs, search = self._epochs(data, parts, partial(fit, module), constant, progress)
            kept = parts and (self.early_stopping is True or parts[0][0] is data)
            training, validation = parts[0] if kept else (data, None)
            if self.head is None and isinstance(self.hidden_sizes, str):
                n_steps = epochs * n_batches(len(training), self._batch_size(rows.n_rows))
                module = make(auto_members(rows.n_rows, n_steps))
            net, best_epoch = fit(module, training, validation, epochs, progress=progress)
        head = net.module_.head
        if reads_levels:
            head[0] = head[0].folded()
        if isinstance(head, sq.Ensemble):
            head = net.module_.head = head.folded()
        if search is not None and constant is not None:
            share = search.loc[search["epochs"] == net.max_epochs, "share"].item()
            shrink_output(head, share, constant)
        return Trained(net, best_epoch, mean, scale, search, len(parts))

    def _parts(self, rows, mean, scale, seed):
        """All rows as tensors, and the parts (training, validation) that are held out of them: none, one or several.

        Where validation rows are given, all rows are trained on.
        """
        data = rows.tensors(mean, scale)
        given = rows.validation_tensors(mean, scale)
        if given is not None:
            return data, [(data, given)]
        own = isinstance(self.head, NeuralNet)
        looked_for = self.early_stopping is True or (
            self.early_stopping == "auto" and self.max_epochs == "auto" and not own
        )
        if not looked_for or (self.early_stopping == "auto" and not rows.can_hold_out):
            return data, []
        splits = hold_outs(rows, self.validation_fraction, seed, single=self.early_stopping is True)
        return data, [tuple(data.take(torch.from_numpy(np.asarray(part))) for part in split) for split in splits]

    def _epochs(self, data, parts, fit, constant, progress):
        """Epochs to train, and the lengths that were tried on held-out rows (None where none were)."""
        fixed = self.max_epochs != "auto"
        if not parts or self.early_stopping is False or (fixed and self.early_stopping == "auto"):
            steps = n_batches(len(data), self._batch_size(len(data)))
            return (int(self.max_epochs) if fixed else usual_epochs(steps)), None
        held_out = parts[0][1]
        for _, more in parts[1:]:
            held_out = held_out.followed_by(more)
        # What a checkpoint holds: the output for held-out rows by trial, and the last module of each part.
        known = progress.recall("lengths") or {"outputs": {}, "modules": {}}
        modules: dict = {}
        shares: list = []

        def loss_after(epochs, cycle):
            outputs = []
            for k, (training, validation) in enumerate(parts):
                trial = f"{epochs} epochs, part {k + 1}"
                if trial not in known["outputs"]:
                    part = progress.part(trial)
                    start = modules.get(k, known["modules"].get(str(k)))
                    net, _ = fit(training, None, cycle, start=start, shift=epochs, progress=part, description=trial)
                    known["outputs"][trial] = outputs_of(net, validation)
                    modules[k] = net.module_
                    if progress:
                        known["modules"][str(k)] = copied_state(net.module_)
                        part.keep("training", None, write=False)
                        progress.keep("lengths", known)
                outputs.append(known["outputs"][trial])
            losses, share = held_out_losses(torch.cat(outputs), held_out, constant)
            shares.append(share)
            return losses

        steps = n_batches(len(parts[0][0]), self._batch_size(len(data)))
        epochs, tried = find_epochs(loss_after, steps, n_parts=len(parts), most=int(self.max_epochs) if fixed else None)
        return epochs, tried.assign(share=shares)

    def _train_net(
        self, rows, module, training, validation, epochs, *, seed, progress, start=None, shift=0, description=None
    ):
        """Train a copy of a module from its weights or others; epochs None: as many as the net itself says."""
        module = copy.deepcopy(module if start is None or isinstance(start, dict) else start)
        if isinstance(start, dict):
            put_state(module, start)
        net = self._build_net(module, rows.task, rows.n_outputs, epochs, rows.n_rows)
        if rows.weighted:
            weigh_rows(net)
            if isinstance(net, NeuralNetClassifier) and getattr(net, "callbacks__valid_acc", "on") is not None:
                net.set_params(callbacks__valid_acc=None)  # it cannot read the weights beside the labels
        self._add_schedules(net, module.quantization, TensorBatches(training, net.batch_size))
        with own_randomness(seed + shift, self._device()):
            best_epoch = sq.train(
                net,
                training,
                validation,
                generator=torch.Generator().manual_seed(seed + shift),
                patience=self.patience if self.early_stopping is True and epochs is None else None,
                mean_weights=self.head is None and self.lr_schedule == "one-cycle",
                verbose=self.verbose,
                description=description,
                own=not isinstance(self.head, NeuralNet),
                progress=progress,
            )
        return net, best_epoch

    def _batch_size(self, n_rows):
        """Rows per batch. The search uses those of the final training, so that an epoch has about as many steps."""
        return auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size

    def _train_on_bits(self, rows, quantization, thresholds, columns, n_bits, seed, progress):
        """Train a head on the bits of a layer.

        Parameters
        ----------
        rows : Rows
        quantization : BitwiseQuantization or Thermometer
        thresholds : list of d 1-d arrays
            Its thresholds, in rising order.
        columns : tuple
            Of its thresholds and missing bits, as `head_inputs` takes them.
        n_bits : ndarray of int64 of shape (d,)
        seed, progress
            See `_train`.

        Returns
        -------
        trained : Trained
        column_map : ndarray of int64 of shape (n_inputs,)
        """
        column_map = head_inputs(*columns, n_bits)
        levels = levels_of_inputs(rows, thresholds, columns[0], column_map) if self.level_inputs else None
        return self._train(rows, quantization, column_map.size, seed, progress, column_map, levels), column_map

    def _train_on_codebook(self, rows, book, n_bits, seed, progress):
        """Train a head on the bits of a codebook: see `_train_on_bits`."""
        sizes = np.diff(book.offsets)
        starts = book.offsets[:-1] + np.cumsum(book.has_missing) - book.has_missing
        columns = [np.arange(start, start + size) for start, size in zip(starts, sizes, strict=True)]
        layout = columns, np.where(book.has_missing, starts + sizes, -1)
        return self._train_on_bits(rows, sq.Thermometer(book), book.thresholds, layout, n_bits, seed, progress)

    def _keep(self, trained):
        self.net_ = trained.net
        self.best_epoch_ = trained.best_epoch
        self.target_mean_ = trained.target_mean
        self.target_scale_ = trained.target_scale
        vars(self).pop("length_search_", None)
        if trained.search is not None:
            self.length_search_ = trained.search

    def _device(self):
        """Where to train."""
        return training_device(self._device_given())

    def _device_given(self):
        return self.head.device if isinstance(self.head, NeuralNet) else self.device

    def _build_head(self, n_inputs, n_outputs, n_rows=1, n_members=1):
        if isinstance(self.head, NeuralNet):
            given = self.head.get_params_for("module")
            for name in {"n_inputs", "n_outputs"} & given.keys():
                raise ValueError(f"module__{name} is set from the data: leave it out of the skorch net.")
            return sq.build_head(self.head.module, n_inputs, n_outputs, **given)
        if self.head is None:
            given = {"dropout": auto_dropout(n_rows) if self.dropout == "auto" else self.dropout}
            auto = isinstance(self.hidden_sizes, str)
            given["hidden_sizes"] = AUTO_SIZES if auto else _check_sizes(self.hidden_sizes)
            if n_members > 1:
                return sq.Ensemble(n_inputs, n_outputs, n_members=n_members, **given).float()
            return sq.MLP(n_inputs, n_outputs, **given).float()
        return sq.build_head(self.head, n_inputs, n_outputs)

    def _build_net(self, module, task, n_outputs, max_epochs=None, n_rows=1, device=None):
        """The skorch net around a joint net: the user's, or one of our parameters."""
        device = self._device() if device is None else device
        if isinstance(self.head, NeuralNet):
            # Built anew: skorch lets no module be put into a net that has one.
            given = clone(self.head).get_params(deep=False)
            given = {key: value for key, value in given.items() if not key.startswith(("module", "iterator_"))}
            net = type(self.head)(module=module, **{**given, "device": str(device)})
            if isinstance(net, NeuralNetClassifier) and net.classes is None:
                net.classes = list(range(n_outputs))  # it cannot infer them from batches
            groups = net.get_params_for("optimizer").get("param_groups", [])
            groups = [(f"head.{pattern}", group) for pattern, group in groups]
            lr = net.get_params_for("optimizer").get("lr", net.lr)
        else:
            net = default_net(
                module,
                task,
                lr=self.lr,
                max_epochs=max_epochs or (MOST_EPOCHS if self.max_epochs == "auto" else self.max_epochs),
                batch_size=self._batch_size(n_rows),
                weight_decay=self.weight_decay,
                device=str(device),
            )
            groups, lr = [], self.lr
        if any(True for _ in module.quantization.parameters()):
            own = ("quantization.*", {"lr": lr * self._lr_ratio(), "weight_decay": 0.0})
            net.set_params(optimizer__param_groups=[own, *groups])
        elif groups:
            net.set_params(optimizer__param_groups=groups)
        return net

    def _lr_ratio(self):
        """Learning rate of the thresholds, in multiples of the head's."""
        return self.threshold_lr_ratio

    def _add_schedules(self, net, quantization, batches):
        callbacks = [] if net.callbacks in (None, "disable") else list(net.callbacks)
        if hasattr(quantization, "temperature"):
            callbacks.append(
                sq.TemperatureSchedule(
                    self.temperature_schedule, start=self.temperature_start, end=self.temperature_end
                )
            )
        n_steps = net.max_epochs * len(batches)
        # The only step of a cycle of one would be at its least rate.
        if not isinstance(self.head, NeuralNet) and self.lr_schedule == "one-cycle" and n_steps > 1:
            peaks = [group.get("lr", self.lr) for _, group in net.get_params_for("optimizer").get("param_groups", [])]
            callbacks.append(
                LRScheduler(
                    torch.optim.lr_scheduler.OneCycleLR,
                    max_lr=[*peaks, self.lr],
                    total_steps=n_steps,
                    step_every="batch",
                    event_name=None,
                )
            )
        net.callbacks = callbacks


def head_inputs(thresholds, missing, n_bits):
    """For each input of the head the column of the layer that feeds it; -1 where none does.

    A feature of b bits has 2^b - 1 inputs whatever the data, so that the head's size does not depend on them: first
    its thresholds, last its missing bit.

    Parameters
    ----------
    thresholds : list of d ndarrays of int
        Columns of each feature's thresholds.
    missing : ndarray of int of shape (d,)
        Column of each feature's missing bit, or -1.
    n_bits : ndarray of int64 of shape (d,)

    Returns
    -------
    ndarray of int64 of shape (n_inputs,)

    Raises
    ------
    ValueError
        For more inputs than a head can reasonably have.
    """
    total = int((2**n_bits - 1).sum())
    if total > MAX_INPUTS:
        raise ValueError(
            f"n_bits gives the head {total} inputs, 2^n_bits - 1 per feature; at most 2^20 = {MAX_INPUTS} are trained. "
            "Lower n_bits."
        )
    # Where nothing is sent there is one input of zeros, because a layer of no inputs is a corner of torch.
    inputs = np.full(max(total, 1), -1, dtype=np.int64)
    start = 0
    for own, missing_column, width in zip(thresholds, missing, n_bits.tolist(), strict=True):
        inputs[start : start + len(own)] = own
        start += 2**width - 1
        if missing_column >= 0:
            inputs[start - 1] = missing_column
    return inputs


def auto_members(n_rows, n_steps):
    """Number of networks that the default head averages.

    Several networks help where rows are few, and where rows are not many and long training helps. Elsewhere the error
    that remains is noise of the target or lost in the codes, and averaging does not reduce it.
    """
    return _N_MEMBERS if n_rows < _FEW_ROWS or (n_rows < _MANY_ROWS and n_steps >= _MANY_STEPS) else 1


def auto_dropout(n_rows):
    """Share of units that the default head drops in training: the more rows there are, the less it is needed."""
    return _DROPOUT * min(1.0, _ROWS_FOR_DROPOUT / n_rows)


def _check_sizes(hidden_sizes):
    sizes = list(hidden_sizes)
    for size in sizes:
        if not isinstance(size, Integral) or size < 1:
            raise ValueError(f"hidden_sizes must be positive integers, got {size!r}.")
    return sizes
