"""All that the quantizers learned with a head share."""

import numpy as np
from sklearn.utils._param_validation import HasMethods, StrOptions

from skbsq._targets import TASKS
from skbsq._validation import all_or_nothing, check_n_bits, nan_features
from skbsq.nn.randomness import draw_seed, own_randomness
from skbsq.quantizers._base import BaseQuantizer, build_codebook, owns_missing_code, regular_levels
from skbsq.quantizers._learned import JointTraining
from skbsq.quantizers._start import INITS, check_total, choose_init, make_init, start_thresholds


class LearnedQuantizer(JointTraining, BaseQuantizer):
    """A quantizer trained together with a head: a subclass says behind which layer in `_train_layer`."""

    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        **JointTraining._parameter_constraints,
        "task": [StrOptions(set(TASKS))],
    }

    def fit(self, X, y=None, sample_weight=None):
        """Learn the thresholds, together with a head.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,), or (n, k) for several targets of a regression
            Required.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.

        Returns
        -------
        self
        """
        with all_or_nothing(self):
            self._validate_params()
            rows = self._check_rows(X, y, sample_weight, self.task)
            with self._checkpointed(rows) as progress:
                self._fit_rows(rows, progress)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def _fit_rows(self, rows, progress):
        n_bits = check_n_bits(self.n_bits, rows.names, rows.X.shape[1])
        parts = zip(n_bits.tolist(), constant_features(rows.X), nan_features(rows.X), strict=True)
        has_missing = np.array([owns_missing_code(self.missing, *part) for part in parts])
        seed = progress.seed(draw_seed(self.random_state))
        with own_randomness(seed, self._device()):
            trained, thresholds, freeze = self._train_layer(rows, n_bits, has_missing, seed, progress)
        self.codebook_ = build_codebook(
            rows.X,
            rows.weights,
            thresholds,
            missing=self.missing,
            has_missing=has_missing,
            levels="mean",
            names=rows.names,
        )
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
        thresholds, values = layer.fold()
        return trained, thresholds, lambda codebook: trained.net.module_.freeze_values(codebook, values)

    def _make_layer(self, rows, n_bits, has_missing, seed, progress):
        raise NotImplementedError


def constant_features(X):
    """Which features hold one value, or none: bool array of shape (d,)."""
    low, high = np.fmin.reduce(X), np.fmax.reduce(X)
    return (low == high) | np.isnan(low)


def value_levels(rows, n_bits, has_missing):
    """Levels that numbers have at a width: one alone where the feature is constant."""
    levels = np.array([regular_levels(int(b), m) for b, m in zip(n_bits, has_missing, strict=True)])
    levels = np.where(constant_features(rows.X), 1, levels)
    check_total(int((levels - 1).sum()))
    return levels
