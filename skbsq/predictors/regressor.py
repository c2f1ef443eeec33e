"""Regression from a few bits per feature."""

import numpy as np
from sklearn.base import RegressorMixin

from skbsq.predictors._base import BasePredictor

__all__ = ["BitwiseRegressor"]


class BitwiseRegressor(RegressorMixin, BasePredictor):
    # Several targets work, yet the tag multi_output stays False: scikit-learn's check of it asks for float64
    # predictions, and those of this package are float32, as on the wire.
    _task = "regression"

    def __init__(
        self,
        n_bits=None,
        *,
        quantizer=None,
        head=None,
        init="auto",
        missing="error",
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
        device="cpu",
        random_state=None,
        verbose=0,
    ):
        self.n_bits = n_bits
        self.quantizer = quantizer
        self.head = head
        self.init = init
        self.missing = missing
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
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def _set_target(self, rows):
        self.target_ndim_ = rows.y.ndim

    def _from_output(self, output):
        y = (output.double().numpy() * self.target_scale_ + self.target_mean_).astype(np.float32)
        return y.ravel() if self.target_ndim_ == 1 else y
