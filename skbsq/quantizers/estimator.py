"""The one fit of all estimators that learn thresholds with a head."""

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
from skbsq.nn.randomness import draw_seed
from skbsq.nn.threads import serial_after_fork
from skbsq.thresholds.summary import DEFAULT_SIZE
from skbsq.training.checkpoint import checkpointed
from skbsq.training.chunks import read_chunks
from skbsq.training.learner import Learner
from skbsq.training.plain import plain_state, restore
from skbsq.training.recipe import Recipe
from skbsq.training.rows import read_rows
from skbsq.training.schedules import SCHEDULES
from skbsq.training.work import work_of


class LearnedEstimator(BaseEstimator):
    """The training parameters, and the one way to fit: check the rows, learn, keep what was learned.

    A subclass learns in `_learn`, and says in `_task` and `_missing` what is asked of the rows.
    """

    _required_attributes: frozenset = frozenset({"n_features_in_", "best_epoch_", "target_mean_", "target_scale_"})
    _optional_attributes: frozenset = frozenset({"feature_names_in_", "length_search_"})
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
            Rows of one group, such as those of one device, are held out together.
        X_val, y_val : array-likes, default=None
            Rows to find the length of training on, in place of rows held out of X. Nothing is learned from them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For rows, targets, weights or parameters that make no sense, naming the feature or the value; and if
            training diverges. The estimator then is as it was before.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            recipe = Recipe.of(self)
            given = {"groups": groups, "X_val": X_val, "y_val": y_val}
            rows = read_rows(self, X, y, sample_weight, self._task, self._missing, recipe.class_weight, **given)
            with checkpointed(self.checkpoint, lambda: work_of(self, rows, recipe.trained_on)) as checkpoint:
                self._learn(rows, checkpoint)
        return self

    def fit_chunks(self, chunks, *, validation=None, sketch_size=DEFAULT_SIZE):
        """Learn thresholds and head from rows that are more than fits into memory.

        Parameters
        ----------
        chunks : iterable, or callable that returns one
            Of chunks (X, y) or (X, y, sample_weight), each with rows as `fit` takes them. It is gone through once for
            what is known of the rows beforehand, once for every epoch, and once for levels and counts; and once more
            for an integer y with ``task="auto"``, or with `class_weight`. Every time it must give the same rows. The
            chunks of a sequence come in a new random order every epoch, others in their own; the rows of a chunk are
            shuffled.
        validation : (X, y) or (X, y, sample_weight), default=None
            Rows, in memory, on which the length of training is found; their loss is recorded every epoch. None: with
            ``max_epochs="auto"`` 30 epochs are trained, within 64 to 2048 steps.
        sketch_size : int, default=2048
            Up to so many distinct values of a feature are known exactly; beyond them initial thresholds come from a
            sketch of this size.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit` does, and for chunks that differ from pass to pass.
        ImportError
            If datasketches is not there: ``pip install 'skbsq[sketch]'``.

        Notes
        -----
        It is `fit` but for the order of the rows, and the start: ``init="auto"`` means "quantile", "tree" is refused,
        and so is `bit_budget`. `validation_fraction` is not used. A single chunk whose features have up to
        `sketch_size` distinct values gives what `fit` gives with the same `init`; but for LLTQuantizer, which draws
        values to start from. The thresholds of a `quantizer` that is fitted on the rows and then fixed come from the
        sketch, its levels and counts from all rows, in one more pass.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            if self.checkpoint is not None:
                raise ValueError(
                    "checkpoint is for fit: what fit_chunks has done of its work is not kept. Set it to None."
                )
            if self.early_stopping is True and validation is None:
                raise ValueError(
                    "early_stopping of fit_chunks needs validation=(X, y) or (X, y, sample_weight), rows in memory "
                    "that are not among the chunks: none are held out of these."
                )
            self._check_can_learn_in_chunks()
            rows = read_chunks(
                self,
                chunks,
                validation,
                task=self._task,
                missing=self._missing,
                class_weight=Recipe.of(self).class_weight,
                sketch_size=sketch_size,
            )
            self._learn(rows, None)
        return self

    @property
    def _task(self):
        """The task asked for: "auto", "regression" or "classification"."""
        raise NotImplementedError

    @property
    def _missing(self):
        """Whether NaN is refused: "error" or "code"."""
        return self.missing

    def _check_can_learn_in_chunks(self):
        """Refuse what needs all rows at once; rather now than after a pass over the chunks."""
        raise NotImplementedError

    def _learn(self, rows, checkpoint):
        """Learn from checked rows, and set the attributes of a fit.

        Parameters
        ----------
        rows : Rows or ChunkedRows
        checkpoint : Checkpoint or None
        """
        raise NotImplementedError

    def _learner(self, rows, checkpoint, recipe=None):
        seed = draw_seed(self.random_state)
        seed = seed if checkpoint is None else checkpoint.seed(seed)
        return Learner(rows, Recipe.of(self) if recipe is None else recipe, seed, checkpoint)

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
        vars(self).pop("length_search_", None)
        if learned.search is not None:
            self.length_search_ = learned.search
