"""Classification from a few bits per feature."""

import torch
from sklearn.base import ClassifierMixin

from skbsq.nn.losses import probabilities
from skbsq.predictors._base import BasePredictor

__all__ = ["BitwiseClassifier"]


class BitwiseClassifier(ClassifierMixin, BasePredictor):
    _task = "classification"

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
        class_weight=None,
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
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def predict_proba(self, X):
        """Class probabilities.

        Parameters
        ----------
        X : array-like of shape (n, d)

        Returns
        -------
        ndarray of float32 of shape (n, n_classes)
            Columns in the order of ``classes_``.
        """
        output = self._output(X)
        return probabilities(self.net_, output).numpy()

    def _set_target(self, rows):
        self.classes_ = rows.classes

    def _from_output(self, output):
        return self.classes_[torch.argmax(output, dim=1).numpy()]
