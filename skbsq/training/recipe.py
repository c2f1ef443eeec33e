"""The training parameters of an estimator, as one immutable value."""

from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import torch
from skorch import NeuralNet

from skbsq.nn.device import training_device
from skbsq.nn.losses import RegressionLoss
from skbsq.training.batches import auto_batch_size

AUTO_SIZES, _N_MEMBERS = (128, 128), 4
_FEW_ROWS, _MANY_ROWS, _MANY_STEPS = 4096, 32768, 1500
_AUTO_DROPOUT, _MAX_ROWS_FULL_DROPOUT = 0.1, 8192
_AUTO_LR_RATIO = 10.0


@dataclass(frozen=True)
class Recipe:
    """Describe how to train.

    Each field is the estimator parameter of the same name. If an estimator lacks the parameter, the default applies.

    Parameters
    ----------
    head, loss, quantile, max_epochs, batch_size, lr, lr_schedule : see `skbsq.BitwiseQuantizer`
    threshold_lr_ratio, weight_decay, dropout, hidden_sizes : see `skbsq.BitwiseQuantizer`
    temperature_schedule, temperature_start, temperature_end : see `skbsq.BitwiseQuantizer`
    validation_fraction, early_stopping, patience, class_weight, device, verbose : see `skbsq.BitwiseQuantizer`

    See Also
    --------
    Learner : Learns by a recipe.

    Examples
    --------
    >>> from skbsq.training import Recipe
    >>> Recipe(dropout=0.2).dropout_for(n_rows=100)
    0.2
    """

    head: Any = None
    loss: str = "squared_error"
    quantile: float = 0.5
    max_epochs: int | str = "auto"
    batch_size: int | str = "auto"
    lr: float = 2e-3
    lr_schedule: str = "one-cycle"
    threshold_lr_ratio: float | str = 1.0
    weight_decay: float = 0.01
    dropout: float | str = "auto"
    hidden_sizes: Any = "auto"
    temperature_schedule: str = "exponential"
    temperature_start: float = 1.0
    temperature_end: float = 1e-3
    validation_fraction: Any = "auto"
    early_stopping: bool | str = "auto"
    patience: int = 10
    class_weight: Any = None
    device: str | torch.device = "cpu"
    verbose: int = 0

    @classmethod
    def of(cls, estimator):
        """Read the recipe of an estimator.

        The attributes are read, because a subclass may set a parameter that its constructor does not take.

        Parameters
        ----------
        estimator : BaseEstimator

        Returns
        -------
        Recipe

        Examples
        --------
        >>> from skbsq import LSQQuantizer
        >>> from skbsq.training import Recipe
        >>> Recipe.of(LSQQuantizer(lr=0.1)).lr
        0.1
        """
        return cls(**{f.name: getattr(estimator, f.name) for f in fields(cls) if hasattr(estimator, f.name)})

    @property
    def own_net(self):
        """Whether `head` is a skorch net. Its training parameters then replace those of the recipe."""
        return isinstance(self.head, NeuralNet)

    @property
    def regression_loss(self):
        """Loss of a regression: a `RegressionLoss`. With a skorch net its criterion holds, and this is the default."""
        return RegressionLoss() if self.own_net else RegressionLoss(self.loss, self.quantile)

    @property
    def auto_sizes(self):
        """Whether the size of the default head depends on the rows."""
        return self.head is None and isinstance(self.hidden_sizes, str)

    @property
    def lr_ratio(self):
        """Learning rate of the thresholds, as a multiple of the head's."""
        return _AUTO_LR_RATIO if self.threshold_lr_ratio == "auto" else float(self.threshold_lr_ratio)

    @property
    def device_given(self):
        """Device as given by the user."""
        return self.head.device if isinstance(self.head, NeuralNet) else self.device

    @property
    def trained_on(self):
        """Device to train on: a torch.device."""
        return training_device(self.device_given)

    def batch_size_for(self, n_rows):
        """Choose the rows per batch.

        Parameters
        ----------
        n_rows : int
            Rows of the final training, also while its length is searched on fewer rows. An epoch then has about as
            many steps.

        Returns
        -------
        int
        """
        return auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size

    def dropout_for(self, n_rows):
        """Choose the dropout of the default head: the more rows, the less.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        float
        """
        return _AUTO_DROPOUT * min(1.0, _MAX_ROWS_FULL_DROPOUT / n_rows) if self.dropout == "auto" else self.dropout

    def checked_sizes(self):
        """Check the sizes of the hidden layers of the default head, and return them.

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            For anything but positive integers.
        """
        sizes = list(AUTO_SIZES if isinstance(self.hidden_sizes, str) else self.hidden_sizes)
        for size in sizes:
            if not isinstance(size, Integral) or size < 1:
                raise ValueError(f"hidden_sizes must be positive integers, got {size!r}.")
        return sizes


def auto_members(n_rows, n_steps):
    """Choose the number of networks that the default head averages.

    Several networks help if rows are few, or if training is long and rows are not many. Otherwise the remaining error
    comes from noise in the target or from the codes, and averaging does not reduce it.

    Parameters
    ----------
    n_rows : int
    n_steps : int
        Steps of the training.

    Returns
    -------
    int
    """
    return _N_MEMBERS if n_rows < _FEW_ROWS or (n_rows < _MANY_ROWS and n_steps >= _MANY_STEPS) else 1
