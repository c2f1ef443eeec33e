"""All that the two predictors share."""

import copy
from dataclasses import replace

import numpy as np
import torch
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbsq._validation import check_n_bits, check_X
from skbsq.codebook.checks import MISSING_RULES
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.matrix import refuse_mask
from skbsq.codec import RowCodec, read_messages
from skbsq.nn.device import prediction_device
from skbsq.nn.randomness import own_randomness
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers.base import FixedQuantizer, HasCodebook
from skbsq.quantizers.bitwise import BitwiseQuantizer, refuse_budget_of_chunks
from skbsq.quantizers.estimator import LearnedEstimator
from skbsq.quantizers.inner import clone_with, fit_on, parameters_of
from skbsq.quantizers.learned import LearnedQuantizer
from skbsq.training.recipe import Recipe

# What a predictor says about the training of a head, also to a learned quantizer that has a say of its own.
_HEAD_PARAMETERS = (
    *("head", "max_epochs", "batch_size", "lr", "lr_schedule", "weight_decay", "dropout", "hidden_sizes"),
    *("level_inputs", "validation_fraction", "early_stopping", "patience", "class_weight", "device", "checkpoint"),
    "verbose",
)
# Floats of the widest step of a batch at prediction: bounds the memory whatever the number of rows.
_BATCH_FLOATS = {"cpu": 2**20, "cuda": 2**26}


class BasePredictor(HasCodebook, LearnedEstimator):
    """Fit and the one path from codes to the head's output; a subclass says what the output means."""

    _required_attributes = LearnedEstimator._required_attributes | {"quantizer_"}
    # The net of a learned quantizer is written down with that.
    _optional_attributes = LearnedEstimator._optional_attributes | {"net_"}
    _parameter_constraints: dict = {
        **LearnedEstimator._parameter_constraints,
        "init": BitwiseQuantizer._parameter_constraints["init"],
        "bit_budget": BitwiseQuantizer._parameter_constraints["bit_budget"],
        "level_inputs": BitwiseQuantizer._parameter_constraints["level_inputs"],
        "forward": BitwiseQuantizer._parameter_constraints["forward"],
        "space": BitwiseQuantizer._parameter_constraints["space"],
        "threshold_lr_ratio": BitwiseQuantizer._parameter_constraints["threshold_lr_ratio"],
        "missing": [StrOptions(set(MISSING_RULES))],
        "quantizer": [None, StrOptions({"passthrough"}), HasMethods(["fit", "transform"])],
    }

    @property
    def codebook_(self):
        """The codebook of ``quantizer_``."""
        check_is_fitted(self)
        if self.quantizer_ is None:
            raise AttributeError('There is no codebook with quantizer="passthrough": the head reads floats.')
        return self.quantizer_.codebook_

    @property
    def init_(self):
        """What the thresholds started from: that of ``quantizer_``."""
        return self._of_quantizer("init_")

    @property
    def initial_thresholds_(self):
        """Initial thresholds, in the units of X: those of ``quantizer_``."""
        return self._of_quantizer("initial_thresholds_")

    @property
    def allocation_(self):
        """DataFrame of the bits of each feature, with `bit_budget`: that of ``quantizer_``."""
        return self._of_quantizer("allocation_")

    def _of_quantizer(self, name):
        check_is_fitted(self)
        if not hasattr(self.quantizer_, name):
            raise AttributeError(
                f"This {type(self).__name__} has no {name}: bits are split only with bit_budget, and thresholds start "
                "somewhere only where they are learned."
            )
        return getattr(self.quantizer_, name)

    def predict_codes(self, codes):
        """Predict from codes.

        Parameters
        ----------
        codes : array-like of int of shape (n, d)
            What ``codebook_.encode`` returns.

        Returns
        -------
        ndarray
            As `predict`.
        """
        return self._from_output(self._output_of_codes(self._checked_codes(codes)))

    def predict_packed(self, data, codebook=None):
        """Predict from what a device sent.

        Parameters
        ----------
        data : array-like of uint8 of shape (n, row_bytes), or bytes-like
            Packed rows. Bytes, and arrays of uint8 of shape (size,), are read as messages, one or several after the
            other.
        codebook : Codebook, default=None
            The codebook of the device, where `skbsq.export.to_codebook` folded the scalers of a pipeline into it. None:
            that of this model.

        Returns
        -------
        ndarray
            As `predict`: exactly ``predict_codes`` of the codes in the bytes.

        Raises
        ------
        ValueError
            For bytes of another codebook, for corrupt bytes or none, and for a `codebook` that was not folded from
            that of this model.

        See Also
        --------
        skbsq.codec.RowCodec : Packed rows.
        skbsq.codec.dumps : Messages.
        """
        return self._from_output(self._output_of_codes(self._received_codes(data, codebook)))

    def _checked_codes(self, codes):
        check_is_fitted(self)
        return self.codebook_.check_codes(codes)

    def _received_codes(self, data, codebook):
        """Codes of packed rows or messages, by this model's codebook."""
        check_is_fitted(self)
        own = RowCodec(self.codebook_)
        if codebook is not None:
            self._check_folded(codebook)
        if not isinstance(data, bytes | bytearray | memoryview):
            array = refuse_mask(data, "The array of packed rows")
            if getattr(array, "ndim", 2) != 1 or array.dtype != np.uint8:
                return own.unpack(array)
            data = np.ascontiguousarray(array).data
        sent = own.codebook if codebook is None else codebook
        messages = list(read_messages(data, sent))
        if not messages:
            raise ValueError("There are no bytes to predict from: a message takes at least 22.")
        codes = np.concatenate(messages)
        # The rows are the same bytes by either codebook, whatever features of 0 bits stand between.
        return codes if codebook is None else own.unpack(RowCodec(sent).pack(codes))

    def _check_folded(self, codebook):
        """Refuse a codebook whose rows are not those of this model."""
        own = self.codebook_
        if not isinstance(codebook, Codebook):
            raise ValueError(f"codebook must be a Codebook, got {type(codebook).__name__}.")
        sent_levels, own_levels = ([n for n in book.n_levels.tolist() if n > 1] for book in (codebook, own))
        if own.fingerprint not in (codebook.fingerprint, codebook.folded_from) or sent_levels != own_levels:
            origin = codebook.folded_from or codebook.fingerprint
            raise ValueError(
                f"codebook was not folded from that of this {type(self).__name__}: it comes from the codebook "
                f"{origin.hex()}, and the model has {own.fingerprint.hex()}. Fold the pipeline of this model again "
                "with skbsq.export.to_codebook, and give the device that codebook."
            )

    def predict(self, X):
        """Predict.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of shape (n,) or (n, k)
            Exactly ``predict_codes(codebook_.encode(X))``.
        """
        return self._from_output(self._output(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._missing == "code"
        return tags

    def _learn(self, rows, checkpoint):
        if self.bit_budget is not None and self.quantizer is not None:
            raise ValueError(
                f"bit_budget={self.bit_budget} is for bits learned with the head, and quantizer={self.quantizer!r} has "
                "its own: leave one of them out."
            )
        if isinstance(self.quantizer, str):
            self.quantizer_ = None
            recipe = replace(Recipe.of(self), missing=self._missing)
            learned = self._learner(rows, checkpoint, recipe).learn_floats()
        elif self.quantizer is None or isinstance(self.quantizer, LearnedQuantizer):
            self.quantizer_ = self._quantizer_to_learn(rows.task)
            learned = self.quantizer_._learn(rows, checkpoint)
        else:
            learned = self._learn_behind_fixed(rows, checkpoint)
        self._keep(learned, rows)

    def _learn_bits(self, rows, recipe, start):
        """Learn from rows that are checked already, by a recipe and from thresholds that are not its own.

        Parameters
        ----------
        rows : Rows
        recipe : Recipe
        start : GivenStart

        Returns
        -------
        self
        """
        self.quantizer_ = self._quantizer_to_learn(rows.task)
        self._keep(self.quantizer_._learn(rows, None, recipe=recipe, start=start), rows)
        return self

    def _quantizer_to_learn(self, task):
        """The quantizer that the head is learned with, unfitted."""
        if self.quantizer is None:
            return BitwiseQuantizer(**parameters_of(self, BitwiseQuantizer))
        shared = {name: getattr(self, name) for name in _HEAD_PARAMETERS if hasattr(self, name)}
        shared |= {"missing": self._missing, "task": task}
        quantizer = clone_with(self.quantizer, "quantizer", seed=self.random_state, **shared)
        quantizer._validate_params()
        return quantizer

    def _learn_behind_fixed(self, rows, checkpoint):
        learner = self._learner(rows, checkpoint)
        given = {"missing": self._missing, "task": rows.task, "seed": learner.seed}
        self.quantizer_ = clone_with(self.quantizer, "quantizer", **given)
        with own_randomness(learner.seed, learner.recipe.trained_on):
            fit_on(self.quantizer_, rows)
        book = self.quantizer_.codebook_
        n_bits = book.n_bits
        if hasattr(self.quantizer_, "n_bits"):
            n_bits = check_n_bits(self.quantizer_.n_bits, rows.names, book.n_features)
        return learner.learn_on(book, n_bits, level_inputs=self.level_inputs)

    def _check_can_learn_in_chunks(self):
        refuse_budget_of_chunks(self.bit_budget)
        if self.quantizer is None:
            BitwiseQuantizer(**parameters_of(self, BitwiseQuantizer))._check_can_learn_in_chunks()
        elif isinstance(self.quantizer, LearnedQuantizer):
            self.quantizer._check_can_learn_in_chunks()
        elif isinstance(self.quantizer, FixedQuantizer):
            self.quantizer._check_can_summarize()

    @property
    def _missing(self):
        return "code" if "code" in (self.missing, getattr(self.quantizer, "missing", None)) else "error"

    def _output(self, X):
        """The head's output for floats."""
        check_is_fitted(self)
        if self.quantizer_ is None:
            missing = "code" if self.net_.module_.quantization.indicators else "error"
            return self._run(check_X(self, X, reset=False, missing=missing))
        X = check_X(self, X, reset=False, missing=self.codebook_.missing)
        return self._output_of_codes(self.codebook_.encode(X))

    def _output_of_codes(self, codes):
        return self._run(codes, from_codes=True)

    def _run(self, rows, *, from_codes=False):
        """The output for rows of floats, or of codes."""
        dtype = np.int32 if from_codes else np.float32
        module, device = self.net_.module_, prediction_device(Recipe.of(self).device_given)
        if device.type != "cpu":
            module = copy.deepcopy(module).to(device)  # the net itself stays on the CPU
        step = max(1, _BATCH_FLOATS[device.type] // max(rows.shape[1], module.row_floats(device)))

        def batch(start):
            return function(torch.from_numpy(rows[start : start + step].astype(dtype, order="C")).to(device))

        with torch.inference_mode(), serial_after_fork():
            function = module.decoder(device) if from_codes else module
            first = batch(0)
            # One output for all: small ones that stay would part the memory that the large ones give back.
            out = first.new_empty(len(rows), *first.shape[1:], device="cpu")
            out[:step] = first
            for start in range(step, len(rows), step):
                out[start : start + step] = batch(start)
        return out
