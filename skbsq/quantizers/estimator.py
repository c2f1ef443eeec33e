"""Fit all estimators that learn thresholds with a head."""

import os
from numbers import Integral, Real

import pandas as pd
import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn

from skbsq._validation import all_or_nothing
from skbsq.nn.losses import LOSSES
from skbsq.nn.randomness import draw_seed
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers.base import CATEGORY_CONSTRAINTS
from skbsq.thresholds.summary import DEFAULT_SIZE
from skbsq.training.checkpoint import checkpointed
from skbsq.training.chunks import read_chunks
from skbsq.training.identity import fit_identity
from skbsq.training.learner import Learner
from skbsq.training.net_state import plain_state, restore
from skbsq.training.rate_state import plain_rates, restore_rates
from skbsq.training.recipe import Recipe
from skbsq.training.rows import read_rows
from skbsq.training.schedules import SCHEDULES
from skbsq.training.targets import check_loss


class LearnedEstimator(BaseEstimator):
    """The training parameters, and the shared fit: check the rows, learn, keep the result.

    A subclass learns in `_learn`; `_task` and `_missing` define which rows it accepts.
    """

    _required_attributes: frozenset = frozenset({"n_features_in_", "best_epoch_", "target_mean_", "target_scale_"})
    _optional_attributes: frozenset = frozenset({"feature_names_in_", "length_search_"})
    _parameter_constraints: dict = {
        **CATEGORY_CONSTRAINTS,
        "head": [None, nn.Module, NeuralNet, callable],
        "loss": [StrOptions(set(LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
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
        """The trained head: a torch module that maps bits to outputs."""
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
        """Number of epochs trained."""
        check_is_fitted(self)
        return len(self.net_.history)

    def __getstate__(self):
        with serial_after_fork():
            return plain_rates(plain_state(self, dict(super().__getstate__())))

    def __setstate__(self, state):
        super().__setstate__(state)
        with serial_after_fork():
            restore(self)
            restore_rates(self)

    def fit(self, X, y=None, sample_weight=None, *, groups=None, X_val=None, y_val=None):
        """Learn thresholds and head together.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,), or (n, k) for several targets of a regression
            Required.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.
        groups : array-like of shape (n,), default=None
            Labels of groups. Rows of a group, such as those of one device, are held out together.
        X_val, y_val : array-likes, default=None
            Rows for finding the length of training, instead of rows held out of X. Nothing is learned from them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For rows, targets, weights or parameters that make no sense, naming the feature or the value; for a
            `checkpoint` of a different fit; and if training diverges. The estimator then stays as it was.

        Warns
        -----
        PrecisionWarning
            If the cast to float32 merges many distinct values of a feature.
        MissingCodeWarning
            If ``missing="code"`` leaves a feature of 1 bit no threshold, although fit saw no NaN there.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            recipe = Recipe.of(self)
            given = {"groups": groups, "X_val": X_val, "y_val": y_val}
            given |= {"categorical": self._categorical, "special_values": self._special}
            rules = self._task, self._missing, self._guard, recipe.class_weight
            rows = read_rows(self, X, y, sample_weight, *rules, **given)
            with checkpointed(self.checkpoint, lambda: fit_identity(self, rows, recipe.trained_on)) as checkpoint:
                self._learn(rows, checkpoint)
        return self

    def fit_chunks(self, chunks, *, validation=None, sketch_size=DEFAULT_SIZE):
        """Learn thresholds and head together from more rows than fit into memory.

        Parameters
        ----------
        chunks : iterable, or callable that returns one
            Chunks (X, y) or (X, y, sample_weight), each with rows as `fit` takes them. Every pass must give the same
            rows: one pass summarizes them, each epoch takes one, and the last computes levels and counts. An integer y
            with ``task="auto"``, `class_weight` and categorical features take one pass more each. If categories share
            codes, every pass must also give the same chunks, in which rows are found by their place. The chunks of a
            sequence are read in a new random order every epoch, other chunks in the given order; the rows of a chunk
            are shuffled.
        validation : (X, y) or (X, y, sample_weight), default=None
            Rows in memory for finding the length of training; their loss is recorded every epoch. None:
            ``max_epochs="auto"`` then means 30, within 64 to 2048 steps.
        sketch_size : int, default=2048
            Up to this many unique values of a feature are known exactly. Beyond them, initial thresholds come from a
            sketch of this size.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As for `fit`; for chunks that differ from pass to pass; and for parameters that need all rows at once.
        ImportError
            If datasketches is not installed: ``pip install 'skbsq[sketch]'``.

        Notes
        -----
        The result differs from that of `fit` by the order of the rows and by the initial thresholds:
        ``init="auto"`` means "quantile". ``init="tree"``, `bit_budget` and `rates` are rejected, and
        `validation_fraction` is not used. A single chunk whose features have up to `sketch_size` unique values gives
        the result of `fit` with the same `init`, except for LLTQuantizer, which draws values to start from. A
        `quantizer` that is fitted on the rows and then fixed takes its thresholds from the sketch, and its levels and
        counts from all rows, in one more pass.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            if self.checkpoint is not None:
                raise ValueError("checkpoint is for fit: fit_chunks cannot save its state. Set it to None.")
            if self.early_stopping is True and validation is None:
                raise ValueError(
                    "early_stopping of fit_chunks needs validation=(X, y) or (X, y, sample_weight), rows in memory "
                    "that are not among the chunks, because no rows of the chunks are held out."
                )
            if self._special is not None:
                raise ValueError(
                    "special_values need all rows in memory: fit on some of the rows, and give the quantizer's "
                    "thresholds_ to a ThresholdQuantizer."
                )
            self._check_can_learn_in_chunks()
            rows = read_chunks(
                self,
                chunks,
                validation,
                task=self._task,
                missing=self._missing,
                guard=self._guard,
                class_weight=Recipe.of(self).class_weight,
                sketch_size=sketch_size,
                categorical=self._categorical,
            )
            self._learn(rows, None)
        return self

    @property
    def _task(self):
        """The requested task: "auto", "regression" or "classification"."""
        raise NotImplementedError

    @property
    def _missing(self):
        """Rules for NaN, see `skbsq.codebook.checks.check_missing`."""
        return self.missing

    @property
    def _categorical(self):
        """The parameters that concern categories: categorical_features, handle_unknown, min_share."""
        return self.categorical_features, self.handle_unknown, self.min_share

    @property
    def _guard(self):
        """Which features get guard codes, see `skbsq.codebook.checks.check_guard`."""
        return False

    @property
    def _special(self):
        """Special values, see `skbsq.thresholds.special.check_special`."""
        return None

    def _check_can_learn_in_chunks(self):
        """Reject parameters that need all rows at once, before a pass over the chunks."""

    def _learn(self, rows, checkpoint):
        """Learn from checked rows, and set the attributes of a fit.

        Parameters
        ----------
        rows : Rows or ChunkedRows
        checkpoint : Checkpoint or None
        """
        raise NotImplementedError

    def _learner(self, rows, checkpoint):
        seed = draw_seed(self.random_state)
        seed = seed if checkpoint is None else checkpoint.seed(seed)
        recipe = Recipe.of(self)
        check_loss(recipe.regression_loss, rows)
        return Learner(rows, recipe, seed, checkpoint)

    def _keep(self, learned, rows):
        """Set the attributes of a fit.

        Parameters
        ----------
        learned : Learned
        rows : Rows or ChunkedRows
        """
        self.net_ = learned.net
        self.best_epoch_ = learned.best_epoch
        self.target_mean_ = learned.target_mean
        self.target_scale_ = learned.target_scale
        self._set_optional(length_search_=learned.search)

    def _shallow_copy(self):
        """Return a copy that shares all attributes. `copy.copy` would build the net anew, as unpickling does."""
        made = type(self).__new__(type(self))
        vars(made).update(vars(self))
        return made

    def _set_optional(self, **attributes):
        """Set the attributes that are not None, and remove the others, which an earlier fit may have left."""
        for name, value in attributes.items():
            vars(self).pop(name, None)
            if value is not None:
                setattr(self, name, value)
