"""All that the quantizers learned with a head share."""

import numpy as np
from sklearn.utils._param_validation import HasMethods, StrOptions

from skbsq._checkpoint import checkpointed
from skbsq._targets import TASKS
from skbsq._validation import all_or_nothing, check_n_bits
from skbsq.nn.randomness import draw_seed, own_randomness
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers._base import BaseQuantizer, owns_missing_code, regular_levels
from skbsq.quantizers._learned import JointTraining
from skbsq.quantizers._start import INITS, check_total, choose_init, make_init, start_thresholds
from skbsq.quantizers._summary import DEFAULT_SIZE


class LearnedQuantizer(JointTraining, BaseQuantizer):
    """A quantizer trained together with a head: a subclass says behind which layer in `_train_layer`."""

    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        **JointTraining._parameter_constraints,
        "task": [StrOptions(set(TASKS))],
    }

    def fit(self, X, y=None, sample_weight=None, *, groups=None, X_val=None, y_val=None):
        """Learn the thresholds, together with a head.

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
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            rows = self._check_rows(X, y, sample_weight, self.task, groups=groups, X_val=X_val, y_val=y_val)
            with self._checkpointed(rows) as progress:
                self._fit_rows(rows, progress)
        return self

    def fit_chunks(self, chunks, *, validation=None, sketch_size=DEFAULT_SIZE):
        """Learn the thresholds from rows that are more than fits into memory.

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
        ImportError
            If datasketches is not there: ``pip install 'skbsq[sketch]'``.

        Notes
        -----
        It is `fit` but for the order of the rows, and the start: ``init="auto"`` means "quantile", "tree" is refused,
        and so is `bit_budget`. `validation_fraction` is not used. A single chunk whose features have up to
        `sketch_size` distinct values gives what `fit` gives with the same `init`; but for LLTQuantizer, which draws
        values to start from.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            rows = self._check_chunks(chunks, validation, self.task, sketch_size)
            with checkpointed(None, None) as progress:
                self._fit_rows(rows, progress)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _fit_rows(self, rows, progress):
        n_bits = check_n_bits(self.n_bits, rows.names, rows.n_features)
        parts = zip(n_bits.tolist(), rows.constant, rows.nan_seen, strict=True)
        has_missing = np.array([owns_missing_code(self.missing, *part) for part in parts])
        seed = progress.seed(draw_seed(self.random_state))
        with own_randomness(seed, self._device()):
            trained, thresholds, freeze = self._train_layer(rows, n_bits, has_missing, seed, progress)
        self.codebook_ = rows.codebook(thresholds, missing=self.missing, has_missing=has_missing, levels="mean")
        freeze(self.codebook_)
        self.task_ = rows.task
        self._keep(trained)

    def _train_layer(self, rows, n_bits, has_missing, seed, progress):
        """Train a layer and a head behind it.

        Parameters
        ----------
        rows : Rows
        n_bits : ndarray of int64 of shape (d,)
        has_missing : ndarray of bool of shape (d,)
        seed : int
            Of `own_randomness`, in whose block this is called.
        progress : Progress

        Returns
        -------
        trained : Trained
        thresholds : list of d ndarrays of float32
        freeze : callable
            Puts the codebook of these thresholds in the place of the layer.
        """
        raise NotImplementedError


class StartsFromThresholds(LearnedQuantizer):
    """One whose layer starts from thresholds, as `init` says."""

    _parameter_constraints: dict = {
        **LearnedQuantizer._parameter_constraints,
        "init": [StrOptions({"auto", *INITS}), HasMethods(["fit", "transform"])],
    }

    def _start(self, rows, n_bits, has_missing, seed, progress):
        """Thresholds to start from, one array per feature; sets ``init_`` and ``initial_thresholds_``."""
        start = progress.recall("start")
        if start is None:
            chosen = self.init
            if isinstance(chosen, str) and chosen == "auto":
                chosen = choose_init(rows, n_bits, self.missing, seed)
            init = make_init(chosen, n_bits, self.missing, rows.task, seed)
            thresholds = start_thresholds(init, rows, n_bits, has_missing)
            start = {"init": chosen if isinstance(chosen, str) else None, "thresholds": thresholds}
            progress.keep("start", start)
        self.init_ = start["init"] or self.init
        self.initial_thresholds_ = start["thresholds"]
        return self.initial_thresholds_


class ValueQuantizer(LearnedQuantizer):
    """One whose head reads a value per feature: a subclass makes the layer in `_make_layer`."""

    def _train_layer(self, rows, n_bits, has_missing, seed, progress):
        layer = self._make_layer(rows, n_bits, has_missing, seed, progress)
        trained = self._train(rows, layer, has_missing.size + np.count_nonzero(has_missing), seed, progress)
        thresholds, values = trained.net.module_.quantization.fold()
        return trained, thresholds, lambda codebook: trained.net.module_.freeze_values(codebook, values)

    def _make_layer(self, rows, n_bits, has_missing, seed, progress):
        raise NotImplementedError


def value_levels(rows, n_bits, has_missing):
    """Levels that numbers have at a width: one alone where the feature is constant."""
    levels = np.array([regular_levels(int(b), m) for b, m in zip(n_bits, has_missing, strict=True)])
    levels = np.where(rows.constant, 1, levels)
    check_total(int((levels - 1).sum()))
    return levels
