"""The common part of the two predictors."""

import copy
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet
from torch import nn

from skbsq._validation import all_or_nothing, check_X, refuse_nan
from skbsq.codebook.checks import check_n_bits
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.labels import label
from skbsq.codebook.matrix import refuse_mask
from skbsq.codebook.origin import codes_of_origin, has_codes_of
from skbsq.codec import RowCodec, read_messages_of
from skbsq.nn.device import prediction_device
from skbsq.nn.randomness import own_randomness
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers.base import CATEGORY_DEFAULTS, FixedQuantizer, HasCodebook, takes_nan
from skbsq.quantizers.bitwise import BitwiseQuantizer, refuse_of_chunks, refuse_with_special
from skbsq.quantizers.estimator import LearnedEstimator
from skbsq.quantizers.inner import clone_with, fit_on, parameters_of
from skbsq.quantizers.learned import LearnedQuantizer
from skbsq.quantizers.threshold import with_codebook
from skbsq.training.checkpoint import checkpointed
from skbsq.training.coded_rows import read_coded_rows
from skbsq.training.identity import refit_identity
from skbsq.training.importances import feature_importances
from skbsq.training.net_state import net_around
from skbsq.training.rates import NO_RATES, Rate, codebooks_of, learn_with_rates, rate_of, relearn_rates
from skbsq.training.recipe import Recipe

# A learned quantizer takes these parameters from the predictor, even if it has other values for them.
_HEAD_PARAMETERS = (
    *("head", "loss", "quantile", "max_epochs", "batch_size", "lr", "lr_schedule"),
    *("weight_decay", "dropout", "hidden_sizes"),
    *("level_inputs", "validation_fraction", "early_stopping", "patience", "class_weight", "device", "checkpoint"),
    "verbose",
)
_QUANTIZER_PARAMETERS = (
    "missing",
    "guard",
    "special_values",
    *CATEGORY_DEFAULTS,
    "init",
    "bit_budget",
    "rates",
    "level_inputs",
    "forward",
    "space",
    "threshold_lr_ratio",
)
# Floats in the widest step of a batch at prediction: bounds the memory for any number of rows.
_BATCH_FLOATS = {"cpu": 2**20, "cuda": 2**26}


class BasePredictor(HasCodebook, LearnedEstimator):
    """Fit, and predict from codes; a subclass defines what the head's output means."""

    _required_attributes = LearnedEstimator._required_attributes | {"quantizer_"}
    # If a learned quantizer has the net, that quantizer's file contains it.
    _optional_attributes = LearnedEstimator._optional_attributes | {"net_", "rates_", "feature_importances_"}
    _parameter_constraints: dict = {
        **LearnedEstimator._parameter_constraints,
        **{name: BitwiseQuantizer._parameter_constraints[name] for name in _QUANTIZER_PARAMETERS},
        "quantizer": [None, StrOptions({"passthrough"}), HasMethods(["fit", "transform"])],
    }

    @property
    def codebook_(self):
        """Codebook of ``quantizer_``."""
        check_is_fitted(self)
        if self.quantizer_ is None:
            raise AttributeError('There is no codebook with quantizer="passthrough": the head reads floats.')
        return self.quantizer_.codebook_

    @property
    def codebooks_(self):
        """Codebook of each rate, from the finest to the coarsest: dict int -> Codebook."""
        check_is_fitted(self)
        return codebooks_of(vars(self).get("rates_"))

    @property
    def init_(self):
        """Method that chose the initial thresholds: that of ``quantizer_``."""
        return self._of_quantizer("init_")

    @property
    def initial_thresholds_(self):
        """Initial thresholds of ``quantizer_``, in the units of X."""
        return self._of_quantizer("initial_thresholds_")

    @property
    def allocation_(self):
        """DataFrame of the bits that each feature received from `bit_budget`: that of ``quantizer_``."""
        return self._of_quantizer("allocation_")

    def _of_quantizer(self, name):
        check_is_fitted(self)
        if not hasattr(self.quantizer_, name):
            raise AttributeError(
                f"This {type(self).__name__} has no {name}: only a fit with bit_budget has an allocation, and only "
                "learned thresholds have initial ones."
            )
        return getattr(self.quantizer_, name)

    def at(self, rate):
        """Return a fitted predictor that has a rate as its only one.

        Parameters
        ----------
        rate : int
            A key of ``codebooks_``.

        Returns
        -------
        BitwiseRegressor or BitwiseClassifier
            Of the same class. Its predictions are those of this predictor with the same `rate`, to the last bit. It
            shares no weights with this predictor. Its parameters are those of a head behind the thresholds of the rate
            (``quantizer=ThresholdQuantizer(...)``), and its history is that of the finest rate.

        Raises
        ------
        ValueError
            If there is no such rate.
        AttributeError
            If the predictor was fitted without `rates`.

        See Also
        --------
        BitwiseQuantizer.at : A transformer with the codebook of a rate.
        skbsq.model_selection.rate_curve : The score of each rate.

        Notes
        -----
        If `head` is a module instance, the head of the rate replaces it, because the inputs differ. A first layer
        without a bias has one at coarser rates, so that `skbsq.persistence.load` needs a head with that bias.

        Examples
        --------
        >>> from sklearn.datasets import make_friedman1
        >>> from skbsq import BitwiseRegressor
        >>> X, y = make_friedman1(200, random_state=0)
        >>> regressor = BitwiseRegressor(n_bits=3, rates=(1,), max_epochs=3, random_state=0).fit(X, y)
        >>> coarse = regressor.at(1)
        >>> coarse.codebook_.row_bits, bool((coarse.predict(X) == regressor.predict(X, rate=1)).all())
        (10, True)
        """
        book = rate_of(self.codebooks_, rate)
        made, module = self._shallow_copy(), copy.deepcopy(self.rates_[rate].module)
        made.quantizer_ = with_codebook(book, self.quantizer_)
        # set_params fails if a subclass's constructor lacks them.
        made.n_bits, made.bit_budget, made.rates, made.quantizer = None, None, (), clone(made.quantizer_)
        made.guard = False  # the quantizer says which features have guard codes
        made.head = _with_module(self.head, module.head)
        made.net_ = net_around(module, self)
        made._set_optional(rates_=None, feature_importances_=None)
        return made

    def refit_head(self, codes, y, sample_weight=None):
        """Train a new head for the codes of devices in the field, in place.

        The codebook stays, with its levels, counts and fingerprint, and so does the firmware. With `rates`, the
        codebook of each rate stays too.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
            As returned by ``codebook_.encode``, or received from devices. With `rates`: at the finest rate.
        y : array-like of shape (n,), or (n, k) for several targets of a regression
            The labels of a classifier need not be those of `fit`.
        sample_weight : array-like of shape (n,), default=None
            Rows of weight zero count as absent.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For codes, targets or weights that make no sense, with ``quantizer="passthrough"``, for a `checkpoint` of a
            different fit, and if training diverges. The estimator then stays as it was.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        fit : Learns the codebook too.

        Notes
        -----
        All parameters of the head and its training are used, with their present values; those of the thresholds are
        not. The new head does not start from the old one, unless `head` is a trained module. A `SoftQuantizer`,
        `LSQQuantizer` or `LLTQuantizer` also keeps the values that the head reads.

        Examples
        --------
        >>> from sklearn.datasets import make_friedman1
        >>> from skbsq import BitwiseRegressor
        >>> X, y = make_friedman1(200, random_state=0)
        >>> regressor = BitwiseRegressor(n_bits=2, max_epochs=20, random_state=0).fit(X, y)
        >>> codes, before = regressor.codebook_.encode(X), regressor.codebook_
        >>> regressor.refit_head(codes, 100 + y).codebook_ == before
        True
        >>> bool(regressor.predict_codes(codes).mean() > 110)
        True
        """
        check_is_fitted(self)
        if self.quantizer_ is None:
            raise ValueError(
                'refit_head trains on codes, and with quantizer="passthrough" there are none: the head reads floats. '
                "Use fit."
            )
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            recipe = Recipe.of(self)
            given = codes, y, sample_weight, self._task, recipe.class_weight
            rows = read_coded_rows(self, self.codebook_, *given)
            with checkpointed(self.checkpoint, lambda: refit_identity(self, rows, recipe.trained_on)) as checkpoint:
                self._relearn(rows, checkpoint)
        return self

    def predict_codes(self, codes, *, rate=None):
        """Predict from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
            As returned by ``codebook_.encode``, or by that of ``codebooks_[rate]``.
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            The same as `predict`.

        Raises
        ------
        ValueError
            If a code is out of range, the array has another number of features, or there is no such rate.
        AttributeError
            With ``quantizer="passthrough"``.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict : Predict from floats.
        predict_packed : Predict from bytes.
        """
        return self._from_output(self._output_of_codes(codes, rate))

    def predict_packed(self, data, codebook=None, *, rate=None):
        """Predict from the bytes that a device sent.

        Parameters
        ----------
        data : array-like of uint8 of shape (n, row_bytes), or bytes-like
            Packed rows. Bytes, and arrays of uint8 of shape (size,), are read as one or more messages.
        codebook : Codebook, default=None
            The codebook of the device, if `skbsq.export.to_codebook` folded the steps of a pipeline into it. None: the
            codebook of this model.
        rate : int, default=None
            A key of ``codebooks_``. None: the finest for packed rows; each message names its own rate by its
            fingerprint, so that one stream may mix rates.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            Exactly ``predict_codes`` of the codes in the bytes.

        Raises
        ------
        ValueError
            If the bytes are corrupt, empty or from another codebook, or if `codebook` was not folded from that of
            this model.
        AttributeError
            With ``quantizer="passthrough"``.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        skbsq.codec.RowCodec : Packed rows.
        skbsq.codec.dumps : Messages.
        """
        return self._from_output(self._output_of_packed(data, codebook, rate))

    def _output_of_packed(self, data, codebook, rate):
        """Return the head's output for packed rows or messages."""
        own = self._rate(rate).codebook
        if codebook is not None:
            self._check_folded(codebook, own)
        if not isinstance(data, bytes | bytearray | memoryview):
            array = refuse_mask(data, "The array of packed rows")
            if getattr(array, "ndim", 2) != 1 or array.dtype != np.uint8:
                sent = own if codebook is None else codebook
                return self._output_of_codes(codes_of_origin(sent, own, RowCodec(sent).unpack(array)), rate)
            data = np.ascontiguousarray(array).data
        if codebook is not None:
            ((_, codes),) = _joined(read_messages_of(data, [codebook]))
            return self._output_of_codes(codes_of_origin(codebook, own, codes), rate)
        rates = [self._rate(rate)] if rate is not None or not hasattr(self, "rates_") else self.rates_.values()
        modules = {found.codebook.fingerprint: found.module for found in rates}
        messages = _joined(read_messages_of(data, [found.codebook for found in rates]))
        return torch.cat([self._run(codes, modules[book.fingerprint]) for book, codes in messages])

    def _check_folded(self, codebook, own):
        """Reject a codebook whose rows differ from those of a codebook of this model."""
        if not isinstance(codebook, Codebook):
            raise ValueError(f"codebook must be a Codebook, got {type(codebook).__name__}.")
        if not has_codes_of(codebook, own):
            origin = codebook.folded_from or codebook.fingerprint
            raise ValueError(
                f"codebook was not folded from that of this {type(self).__name__}: it comes from the codebook "
                f"{origin.hex()}, but the model has {own.fingerprint.hex()}. Fold the pipeline of this model again "
                "with skbsq.export.to_codebook, and put that codebook on the device."
            )

    def predict(self, X, *, rate=None):
        """Predict targets or labels.

        Parameters
        ----------
        X : array-like of shape (n, d)
        rate : int, default=None
            A key of ``codebooks_``. None: the finest.

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            Exactly ``predict_codes(codebook_.encode(X))``, with the codebook of the rate.

        Raises
        ------
        ValueError
            If X has other features than in `fit`, infinite values, or NaN that the model has no code for.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.

        See Also
        --------
        predict_codes : Predict from codes.
        predict_packed : Predict from bytes.
        """
        return self._from_output(self._output(X, rate))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = takes_nan(self._missing)
        return tags

    def _learn(self, rows, checkpoint):
        if self.bit_budget is not None and self.quantizer is not None:
            raise ValueError(
                f"bit_budget={self.bit_budget} splits bits that are learned with the head, but "
                f"quantizer={self.quantizer!r} sets its bits itself: omit one of the two."
            )
        self._check_rates_are_possible()
        self._check_guards_are_possible(rows)
        self._check_special_are_possible()
        if isinstance(self.quantizer, str):
            _refuse_categories(rows)
            self.quantizer_ = None
            learned = self._learner(rows, checkpoint).learn_floats()
        elif self.quantizer is None or isinstance(self.quantizer, LearnedQuantizer):
            self.quantizer_ = self._quantizer_to_learn(rows.task)
            learned = self.quantizer_._learn(rows, checkpoint)
        else:
            learned = self._learn_behind_fixed(rows, checkpoint)
        self._keep(learned, rows)

    def _relearn(self, rows, checkpoint):
        """Learn a new head for the codebook."""
        learner = self._learner(rows, checkpoint)
        learned = learner.relearn(self.net_.module_, self.codebook_, level_inputs=self.level_inputs)
        if hasattr(self, "rates_"):
            learned = relearn_rates(learner, learned, self.rates_)
        if isinstance(self.quantizer_, LearnedQuantizer):
            # A copy, so that the attributes of the quantizer stay as they were after an error.
            self.quantizer_ = self.quantizer_._with_head(learned, rows)
        self._keep(learned, rows)

    def _check_rates_are_possible(self):
        is_rival = isinstance(self.quantizer, LearnedQuantizer) and not isinstance(self.quantizer, BitwiseQuantizer)
        if len(self.rates) and (is_rival or isinstance(self.quantizer, str)):
            raise ValueError(
                f"rates need a head that reads bits, which it does not with quantizer={self.quantizer!r}: use None, a "
                "BitwiseQuantizer, or a quantizer that does not learn with the head."
            )

    def _check_guards_are_possible(self, rows):
        if np.any(rows.guarded) and self.quantizer is not None and not hasattr(self.quantizer, "guard"):
            raise ValueError(
                f"guard={self.guard!r} needs a quantizer with guard codes, and quantizer={self.quantizer!r} has none: "
                "use None, a BitwiseQuantizer, or a quantizer that does not learn with the head."
            )

    def _check_special_are_possible(self):
        special = self._special
        if special is not None and self.quantizer is not None and not hasattr(self.quantizer, "special_values"):
            raise ValueError(
                f"special_values={special!r} need a quantizer with codes for them, and quantizer={self.quantizer!r} "
                "has none: use None, a BitwiseQuantizer, or a quantizer that finds thresholds without a gradient."
            )
        refuse_with_special(special, self.bit_budget, self.rates)

    def _keep(self, learned, rows):
        super()._keep(learned, rows)
        self._set_optional(rates_=learned.rates, feature_importances_=feature_importances(learned, rows))

    def _quantizer_to_learn(self, task):
        """Return the unfitted quantizer that is learned together with the head."""
        if self.quantizer is None:
            return BitwiseQuantizer(**parameters_of(self, BitwiseQuantizer))
        shared = {name: getattr(self, name) for name in _HEAD_PARAMETERS if hasattr(self, name)}
        shared |= {"missing": self._missing, "guard": self._guard, "special_values": self._special, "task": task}
        shared |= dict(zip(CATEGORY_DEFAULTS, self._categorical, strict=True))
        if len(self.rates):
            shared["rates"] = self.rates
        quantizer = clone_with(self.quantizer, "quantizer", seed=self.random_state, **shared)
        quantizer._validate_params()
        return quantizer

    def _learn_behind_fixed(self, rows, checkpoint):
        """Fit the quantizer on the rows, and then learn the head."""
        learner = self._learner(rows, checkpoint)
        given = {"missing": self._missing, "guard": self._guard, "task": rows.task, "seed": learner.seed}
        given |= {"special_values": self._special}
        given |= {"categorical_features": sorted(rows.categories) or None, "handle_unknown": rows.handle_unknown}
        self.quantizer_ = clone_with(self.quantizer, "quantizer", **given)
        with own_randomness(learner.seed, learner.recipe.trained_on):
            fit_on(self.quantizer_, rows)
        book = self.quantizer_.codebook_
        _refuse_other_categories(rows, book)
        n_bits = book.n_bits
        if hasattr(self.quantizer_, "n_bits"):
            n_bits = check_n_bits(self.quantizer_.n_bits, rows.names, book.n_features)
        learn = partial(learner.learn_on, book, n_bits, level_inputs=self.level_inputs)
        return learn_with_rates(learner, learn, n_bits, self.rates)

    def _check_can_learn_in_chunks(self):
        refuse_of_chunks(self.bit_budget, self.rates)
        if self.quantizer is None:
            BitwiseQuantizer(**parameters_of(self, BitwiseQuantizer))._check_can_learn_in_chunks()
        elif isinstance(self.quantizer, LearnedQuantizer):
            self.quantizer._check_can_learn_in_chunks()
        elif isinstance(self.quantizer, FixedQuantizer):
            self.quantizer._check_can_summarize()

    @property
    def _missing(self):
        """Rules for NaN: those of the predictor, unless they are the default; then those of `quantizer`."""
        is_default = isinstance(self.missing, str) and self.missing == "error"
        return getattr(self.quantizer, "missing", self.missing) if is_default else self.missing

    @property
    def _guard(self):
        """Which features get guard codes: as for the predictor, unless that is the default; then for `quantizer`."""
        return getattr(self.quantizer, "guard", self.guard) if self.guard is False else self.guard

    @property
    def _special(self):
        """Special values: those of the predictor, unless there are none; then those of `quantizer`."""
        if self.special_values is None:
            return getattr(self.quantizer, "special_values", None)
        return self.special_values

    @property
    def _categorical(self):
        """Those of the predictor, unless they are the default; then those of `quantizer`."""
        own, defaults = super()._categorical, CATEGORY_DEFAULTS.values()
        others = getattr(self.quantizer, "_categorical", own)
        is_default = [type(mine) is type(known) and mine == known for mine, known in zip(own, defaults, strict=True)]
        return tuple(theirs if is_one else mine for mine, theirs, is_one in zip(own, others, is_default, strict=True))

    def _rate(self, rate):
        """Return codebook and net of a rate; None means the finest."""
        check_is_fitted(self)
        if rate is None:
            return Rate(self.codebook_, self.net_.module_)
        if not hasattr(self, "rates_"):
            raise ValueError(f"There is no rate {rate!r}. {NO_RATES}")
        return rate_of(self.rates_, rate)

    def _output(self, X, rate):
        """Return the head's output for floats."""
        check_is_fitted(self)
        if self.quantizer_ is None and rate is None:
            X = check_X(self, X, reset=False)
            self._refuse_new_nan(X)
            return self._run(X, self.net_.module_, from_codes=False)
        found = self._rate(rate)
        X = check_X(self, X, reset=False, readers=found.codebook.category_readers)
        return self._run(found.codebook.encode_numbers(X), found.module)

    def _output_of_codes(self, codes, rate):
        """Return the head's output for codes."""
        found = self._rate(rate)
        return self._run(found.codebook.check_codes(codes), found.module)

    def _refuse_new_nan(self, X):
        """Reject NaN in features for which a head that reads floats has no indicator."""
        refused = np.ones(self.n_features_in_, dtype=bool)
        refused[self.net_.module_.quantization.missing.numpy()] = False
        why = 'there was none in fit: impute NaN first, or fit with missing="seen" on rows with NaN in this feature.'
        refuse_nan(X, refused, getattr(self, "feature_names_in_", None), why)

    def _run(self, rows, module, *, from_codes=True):
        """Return the output of a net for rows of codes, or of floats."""
        device = prediction_device(Recipe.of(self).device_given)
        if device.type != "cpu" or not from_codes:
            module = copy.deepcopy(module).to(device)  # net_ stays on the CPU, in float32
        dtype = np.int32
        if not from_codes:
            # The rounding of float32 depends on where a row stands among the others.
            dtype, module = np.float64, module.double()
        step = max(1, _BATCH_FLOATS[device.type] // max(rows.shape[1], module.row_floats(device)))

        def batch(start):
            return function(torch.from_numpy(rows[start : start + step].astype(dtype, order="C")).to(device))

        with torch.inference_mode(), serial_after_fork():
            function = module.decoder(device) if from_codes else module
            first = batch(0)
            # One output for all rows: the outputs of many batches would fragment the memory.
            out = first.new_empty(len(rows), *first.shape[1:], device="cpu")
            out[:step] = first
            for start in range(step, len(rows), step):
                out[start : start + step] = batch(start)
        return out


def _with_module(head, trained):
    """Return the parameter `head` for a model with this trained head: an instance has other inputs."""
    if isinstance(head, nn.Module):
        return copy.deepcopy(trained)
    if isinstance(head, NeuralNet) and isinstance(head.module, nn.Module):
        return clone(head).set_params(module=copy.deepcopy(trained))
    return head


def _refuse_categories(rows):
    """Reject categorical features in front of a head that reads floats."""
    if rows.categories:
        j = min(rows.categories)
        raise ValueError(
            f'The head reads floats with quantizer="passthrough", and {label(rows.names, j)} holds categories: put a '
            "OneHotEncoder or TargetEncoder of scikit-learn in front, in a ColumnTransformer."
        )


def _refuse_other_categories(rows, book):
    """Reject a codebook with categorical features that are numbers in the rows."""
    differing = np.flatnonzero(book.is_categorical & ~rows.is_categorical)
    if differing.size:
        raise ValueError(
            f"The quantizer has the codes of categories for {label(rows.names, differing[0])}, which is not "
            "categorical in X: name it in categorical_features."
        )


def _joined(messages):
    """Join the codes of neighbouring messages with the same codebook: a list of (codebook, codes)."""
    runs = [(book, [codes for _, codes in run]) for book, run in groupby(messages, key=itemgetter(0))]
    if not runs:
        raise ValueError("There are no bytes to predict from: a message has at least 22 bytes.")
    return [(book, np.concatenate(codes)) for book, codes in runs]
