"""The training parameters of an estimator, as one value."""

from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any

import torch
from skorch import NeuralNet

from skbsq.nn.device import training_device
from skbsq.training.batches import auto_batch_size

AUTO_SIZES, _N_MEMBERS = (128, 128), 4
_FEW_ROWS, _MANY_ROWS, _MANY_STEPS = 4096, 32768, 1500
_DROPOUT, _ROWS_FOR_DROPOUT = 0.1, 8192
_AUTO_LR_RATIO = 10.0


@dataclass(frozen=True)
class Recipe:
    """How to train, whatever is trained.

    Each field is the parameter of the same name; an estimator that has no such parameter gets the default.

    Parameters
    ----------
    head, missing, max_epochs, batch_size, lr, lr_schedule : see `skbsq.BitwiseQuantizer`
    threshold_lr_ratio, weight_decay, dropout, hidden_sizes : see `skbsq.BitwiseQuantizer`
    temperature_schedule, temperature_start, temperature_end : see `skbsq.BitwiseQuantizer`
    validation_fraction, early_stopping, patience, class_weight, device, verbose : see `skbsq.BitwiseQuantizer`

    Examples
    --------
    >>> from skbsq.training import Recipe
    >>> Recipe(dropout=0.2).dropout_for(n_rows=100)
    0.2
    """

    head: Any = None
    missing: str = "error"
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
        """The recipe of an estimator.

        Read from its attributes, because a subclass may set a parameter that its own constructor does not take.

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
        """Whether `head` is a skorch net, whose training parameters hold in place of these."""
        return isinstance(self.head, NeuralNet)

    @property
    def auto_sizes(self):
        """Whether the size of the default head depends on the rows."""
        return self.head is None and isinstance(self.hidden_sizes, str)

    @property
    def lr_ratio(self):
        """Learning rate of the thresholds, in multiples of the head's."""
        return _AUTO_LR_RATIO if self.threshold_lr_ratio == "auto" else float(self.threshold_lr_ratio)

    @property
    def device_given(self):
        """The device that was asked for."""
        return self.head.device if isinstance(self.head, NeuralNet) else self.device

    @property
    def trained_on(self):
        """The device to train on: a torch.device."""
        return training_device(self.device_given)

    def batch_size_for(self, n_rows):
        """Rows per batch. The search uses those of the final training, so that an epoch has about as many steps.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        int
        """
        return auto_batch_size(n_rows) if self.batch_size == "auto" else self.batch_size

    def dropout_for(self, n_rows):
        """Share of units that the default head drops in training: the more rows there are, the less it is needed.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        float
        """
        return _DROPOUT * min(1.0, _ROWS_FOR_DROPOUT / n_rows) if self.dropout == "auto" else self.dropout

    def checked_sizes(self):
        """Units of the hidden layers of the default head.

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
    """Number of networks that the default head averages.

    Several networks help where rows are few, and where rows are not many and long training helps. Elsewhere the error
    that remains is noise of the target or lost in the codes, and averaging does not reduce it.

    Parameters
    ----------
    n_rows, n_steps : int

    Returns
    -------
    int
    """
    return _N_MEMBERS if n_rows < _FEW_ROWS or (n_rows < _MANY_ROWS and n_steps >= _MANY_STEPS) else 1
