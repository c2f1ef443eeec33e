"""Thresholds learned together with the model."""

from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, StrOptions

import numpy as np

from skbsq import nn as sq
from skbsq._targets import TASKS
from skbsq._validation import all_or_nothing, check_n_bits
from skbsq.quantizers._base import BaseQuantizer, build_codebook, features_of, owns_missing_code, regular_levels
from skbsq.quantizers._cells import between, gap_of
from skbsq.quantizers._learned import JointTraining
from skbsq.quantizers.kmeans import KMeansQuantizer
from skbsq.quantizers.quantile import QuantileQuantizer
from skbsq.quantizers.tree import TreeQuantizer
from skbsq.quantizers.uniform import UniformQuantizer

__all__ = ["BitwiseQuantizer"]

INITS = {
    "quantile": QuantileQuantizer,
    "uniform": UniformQuantizer,
    "kmeans": KMeansQuantizer,
    "tree": TreeQuantizer,
}
MAX_THRESHOLDS = 2**17


class BitwiseQuantizer(JointTraining, BaseQuantizer):
    _parameter_constraints: dict = {
        **BaseQuantizer._parameter_constraints,
        **JointTraining._parameter_constraints,
        "init": [StrOptions({"auto", *INITS}), HasMethods(["fit", "transform"])],
        "task": [StrOptions(set(TASKS))],
    }

    def __init__(
        self,
        n_bits=None,
        *,
        head=None,
        init="auto",
        encode="ordinal",
        missing="error",
        task="auto",
        max_epochs=30,
        batch_size=256,
        lr=2e-3,
        lr_schedule="one-cycle",
        threshold_lr_ratio=10.0,
        weight_decay=0.01,
        dropout=0.0,
        hidden_sizes=(256, 256, 256),
        forward="hard",
        temperature_schedule="exponential",
        temperature_start=1.0,
        temperature_end=1e-3,
        validation_fraction=0.1,
        early_stopping=False,
        patience=10,
        class_weight=None,
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.n_bits = n_bits
        self.head = head
        self.init = init
        self.encode = encode
        self.missing = missing
        self.task = task
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.threshold_lr_ratio = threshold_lr_ratio
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.hidden_sizes = hidden_sizes
        self.forward = forward
        self.temperature_schedule = temperature_schedule
        self.temperature_start = temperature_start
        self.temperature_end = temperature_end
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X, y=None, sample_weight=None):
        with all_or_nothing(self):
            self._validate_params()
            self._fit_rows(self._check_rows(X, y, sample_weight, self.task))
        return self

    def _fit_rows(self, rows):
        n_bits = check_n_bits(self.n_bits, rows.names, rows.X.shape[1])
        nan_seen = np.isnan(rows.X).any(axis=0)
        features = features_of(rows.X, rows.weights)
        has_missing = np.array(
            [
                owns_missing_code(self.missing, width, f.cells[0].size < 2, nan)
                for f, width, nan in zip(features, n_bits.tolist(), nan_seen.tolist(), strict=True)
            ]
        )
        self.init_ = self._choose_init(rows)
        starts = self._start(self.init_, rows, features, n_bits, has_missing)
        layer, column_map = self._layer(rows, starts, n_bits, has_missing)
        trained = self._train(rows, layer, column_map.size, column_map)

        thresholds, columns = layer.fold()
        self.codebook_ = build_codebook(
            rows.X,
            rows.weights,
            thresholds,
            missing=self.missing,
            has_missing=has_missing,
            levels="mean",
            names=rows.names,
        )
        trained.net.module_.freeze(self.codebook_, np.where(column_map < 0, -1, columns[column_map]))
        self.task_ = rows.task
        self._keep(trained)

    def _choose_init(self, rows):
        return "quantile" if self.init == "auto" else self.init

    def _start(self, init, rows, features, n_bits, has_missing):
        """Thresholds to start from, one array per feature."""
        if isinstance(init, str):
            quantizer = INITS[init](n_bits, missing=self.missing)
            if init == "tree":
                quantizer.set_params(task=rows.task)
        else:
            quantizer = clone(init)
            own = quantizer.get_params(deep=False)
            given = {"n_bits": n_bits, "missing": self.missing}
            quantizer.set_params(**{key: value for key, value in given.items() if key in own})
        quantizer.fit(rows.X, rows.y, sample_weight=rows.weights)
        starts = []
        for j, (feature, found) in enumerate(zip(features, quantizer.thresholds_, strict=True)):
            most = regular_levels(int(n_bits[j]), has_missing[j]) - 1
            starts.append(_start_in_gaps(found, feature.cells[0]))
            if starts[-1].size > max(most, 0):
                raise ValueError(
                    f"init gives {starts[-1].size} thresholds for feature {j}, but n_bits={n_bits[j]} has room for {most}."
                )
        total = sum(t.size for t in starts)
        if total > MAX_THRESHOLDS:
            raise ValueError(
                f"n_bits asks for {total} thresholds in all; at most 2^17 = {MAX_THRESHOLDS} are trained. Lower n_bits, "
                "for the features of most distinct values first."
            )
        return starts

    def _layer(self, rows, starts, n_bits, has_missing):
        mean, scale = rows.moments()
        layer = sq.BitwiseQuantization(
            starts, mean=mean, scale=scale, has_missing=has_missing, forward=self.forward
        )
        return layer, _column_map(starts, n_bits, has_missing)


def _start_in_gaps(thresholds, values):
    """Starts that lie between the distinct values of a feature, at most one fewer than these.

    A threshold on a value would flip all rows of that value at its first step.
    """
    if values.size < 2:
        return np.empty(0, dtype=np.float32)
    gap = gap_of(values, thresholds)
    inside = (gap >= 0) & (gap < values.size - 1)
    low = values[np.clip(gap, 0, values.size - 2)]
    high = values[np.clip(gap, 0, values.size - 2) + 1]
    moved = np.where(inside & (thresholds == low), between(low, high), thresholds)
    if moved.size > values.size - 1:
        _, first = np.unique(gap[inside], return_index=True)
        moved = moved[inside][first]
    return moved


def _column_map(starts, n_bits, has_missing):
    """For each input of the head the column of the layer; -1 where no threshold was there to start with.

    A feature of b bits has 2^b - 1 inputs whatever the data, so that the head's size does not depend on them.
    """
    inputs, column = [], 0
    missing_column = sum(t.size for t in starts)
    for t, width, missing in zip(starts, n_bits.tolist(), has_missing.tolist(), strict=True):
        own = np.full(2**width - 1, -1, dtype=np.int64)
        own[: t.size] = column + np.arange(t.size)
        column += t.size
        if missing:
            own[-1] = missing_column
            missing_column += 1
        inputs.append(own)
    joined = np.concatenate(inputs)
    # Nothing is sent: one input of zeros, because a layer of no inputs is a corner of torch.
    return joined if joined.size else np.array([-1], dtype=np.int64)
