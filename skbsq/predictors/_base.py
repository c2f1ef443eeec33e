"""All that the two predictors share."""

import copy

import numpy as np
import torch
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted

from skbsq import nn as sq
from skbsq._checkpoint import checkpointed
from skbsq._validation import all_or_nothing, check_n_bits, check_X
from skbsq.codebook.checks import MISSING_RULES
from skbsq.codebook.codebook import Codebook
from skbsq.codebook.matrix import refuse_mask
from skbsq.codec import RowCodec, read_messages
from skbsq.nn.device import prediction_device
from skbsq.nn.joint import JointNet
from skbsq.nn.randomness import draw_seed, own_randomness
from skbsq.nn.threads import serial_after_fork
from skbsq.quantizers._base import HasCodebook, adapted, parameters_of
from skbsq.quantizers._joint import LearnedQuantizer
from skbsq.quantizers._learned import JointTraining
from skbsq.quantizers._summary import DEFAULT_SIZE
from skbsq.quantizers.bitwise import BitwiseQuantizer

# What a predictor says about the training of a head, also to a learned quantizer that has a say of its own.
_HEAD_PARAMETERS = (
    *("head", "max_epochs", "batch_size", "lr", "lr_schedule", "weight_decay", "dropout", "hidden_sizes"),
    *("level_inputs", "validation_fraction", "early_stopping", "patience", "class_weight", "device", "checkpoint"),
    "verbose",
)
# Floats of the widest step of a batch at prediction: bounds the memory whatever the number of rows.
_BATCH_FLOATS = {"cpu": 2**20, "cuda": 2**26}


class BasePredictor(HasCodebook, JointTraining):
    """Fit and the one path from codes to the head's output; a subclass says what the output means."""

    _parameter_constraints: dict = {
        **JointTraining._parameter_constraints,
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

    def fit(self, X, y, sample_weight=None, *, groups=None, X_val=None, y_val=None):
        """Learn thresholds and head.

        Parameters
        ----------
        X : array-like of shape (n, d)
        y : array-like of shape (n,) or, for regression, (n, k)
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
            rows = self._check_rows(X, y, sample_weight, self._task, groups=groups, X_val=X_val, y_val=y_val)
            with self._checkpointed(rows) as progress:
                self._fit_rows(rows, progress)
        return self

    def fit_chunks(self, chunks, *, validation=None, sketch_size=DEFAULT_SIZE):
        """Learn thresholds and head from rows that are more than fits into memory.

        Parameters
        ----------
        chunks : iterable, or callable that returns one
            Of chunks (X, y) or (X, y, sample_weight), each with rows as `fit` takes them. It is gone through once for
            what is known of the rows beforehand, once for every epoch, and once for levels and counts; and once more
            with `class_weight`. Every time it must give the same rows. The chunks of a sequence come in a new random
            order every epoch, others in their own; the rows of a chunk are shuffled.
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
        `sketch_size` distinct values gives what `fit` gives with the same `init`. The thresholds of a `quantizer`
        that is fitted on the rows and then fixed come from the sketch, its levels and counts from all rows, in one more
        pass.
        """
        with all_or_nothing(self), serial_after_fork():
            self._validate_params()
            rows = self._check_chunks(chunks, validation, self._task, sketch_size)
            with checkpointed(None, None) as progress:
                self._fit_rows(rows, progress)
        return self

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
        tags.input_tags.allow_nan = self._missing_rule() == "code"
        return tags

    def _fit_rows(self, rows, progress):
        if self.bit_budget is not None and self.quantizer is not None:
            raise ValueError(
                f"bit_budget={self.bit_budget} is for bits learned with the head, and quantizer={self.quantizer!r} has "
                "its own: leave one of them out."
            )
        if self.quantizer is None or isinstance(self.quantizer, LearnedQuantizer):
            self._fit_learned(rows, progress)
        elif isinstance(self.quantizer, str):
            self._fit_passthrough(rows, progress)
        else:
            self._fit_fixed(rows, progress)
        self._set_target(rows)

    def _fit_learned(self, rows, progress):
        if self.quantizer is None:
            quantizer = BitwiseQuantizer(**parameters_of(self, BitwiseQuantizer))
        else:
            shared = {name: getattr(self, name) for name in _HEAD_PARAMETERS if hasattr(self, name)}
            shared |= {"missing": self._missing_rule(), "task": rows.task}
            quantizer = adapted(self.quantizer, "quantizer", seed=self.random_state, **shared)
            quantizer._validate_params()
        self._hand_over_names(quantizer)
        quantizer._fit_rows(rows, progress)
        self.quantizer_ = quantizer
        vars(self).pop("length_search_", None)
        for name in ("net_", "best_epoch_", "target_mean_", "target_scale_", "length_search_"):
            if hasattr(quantizer, name):
                setattr(self, name, getattr(quantizer, name))

    def _fit_fixed(self, rows, progress):
        seed = progress.seed(draw_seed(self.random_state))
        with own_randomness(seed, self._device()):
            quantizer = adapted(self.quantizer, "quantizer", missing=self._missing_rule(), task=rows.task, seed=seed)
            self.quantizer_ = rows.fit(quantizer)
            book = quantizer.codebook_
            n_bits = book.n_bits
            if hasattr(quantizer, "n_bits"):
                n_bits = check_n_bits(quantizer.n_bits, rows.names, book.n_features)
            trained, _ = self._train_on_codebook(rows, book, n_bits, seed, progress)
            self._keep(trained)

    def _fit_passthrough(self, rows, progress):
        self.quantizer_ = None
        mean, scale = rows.moments()
        indicators = self._missing_rule() == "code"
        layer = sq.Standardization(mean=mean, scale=scale, indicators=indicators)
        seed = progress.seed(draw_seed(self.random_state))
        with own_randomness(seed, self._device()):
            self._keep(self._train(rows, layer, rows.n_features * (1 + indicators), seed, progress))

    def _missing_rule(self):
        return "code" if "code" in (self.missing, getattr(self.quantizer, "missing", None)) else "error"

    def _hand_over_names(self, quantizer):
        quantizer.n_features_in_ = self.n_features_in_
        if hasattr(self, "feature_names_in_"):
            quantizer.feature_names_in_ = self.feature_names_in_

    def _output(self, X):
        """The head's output for floats."""
        check_is_fitted(self)
        if self.quantizer_ is None:
            missing = "code" if self.net_.module_.quantization.indicators else "error"
            return self._run(lambda module, device: module, check_X(self, X, reset=False, missing=missing), np.float32)
        X = check_X(self, X, reset=False, missing=self.codebook_.missing)
        return self._output_of_codes(self.codebook_.encode(X))

    def _output_of_codes(self, codes):
        return self._run(JointNet.decoder, codes, np.int32)

    def _run(self, make_function, rows, dtype):
        """The output for rows; ``make_function(module, device)`` gives the function for a batch of them."""
        module, device = self.net_.module_, prediction_device(self._device_given())
        if device.type != "cpu":
            module = copy.deepcopy(module).to(device)  # the net itself stays on the CPU
        step = max(1, _BATCH_FLOATS[device.type] // max(rows.shape[1], module.row_floats(device)))

        def batch(start):
            return function(torch.from_numpy(rows[start : start + step].astype(dtype, order="C")).to(device))

        with torch.inference_mode(), serial_after_fork():
            function = make_function(module, device)
            first = batch(0)
            # One output for all: small ones that stay would part the memory that the large ones give back.
            out = first.new_empty(len(rows), *first.shape[1:], device="cpu")
            out[:step] = first
            for start in range(step, len(rows), step):
                out[start : start + step] = batch(start)
        return out
