"""Temperature of the sigmoids over the epochs."""

import math

from skorch.callbacks import Callback

SCHEDULES = ("exponential", "linear", "cosine", "warmup", "cyclical")


def temperature_at(progress, *, schedule="exponential", start=1.0, end=1e-3):
    """Compute the temperature after a share of the training.

    Parameters
    ----------
    progress : float
        0 at the first epoch, 1 after the last.
    schedule : {"exponential", "linear", "cosine", "warmup", "cyclical"}, default="exponential"
        "exponential" multiplies by the same factor in every epoch, and "linear" subtracts the same amount. "cosine"
        is half a cosine wave. "warmup" stays at `start` for half of the training and then falls linearly. "cyclical"
        falls, rises and falls again, for a third of the training each.
    start, end : float
        Positive.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For an unknown schedule.

    See Also
    --------
    TemperatureSchedule : Sets the temperature during training.

    References
    ----------
    arXiv 2603.05172, Section 4 (exponential) and appendix (the others).

    Examples
    --------
    >>> from skbsq.training import temperature_at
    >>> round(temperature_at(0.5, start=1.0, end=0.01), 6)
    0.1
    >>> temperature_at(0.5, schedule="linear", start=1.0, end=0.0)
    0.5
    """
    if schedule == "exponential":
        return start * (end / start) ** progress
    if schedule == "linear":
        left = 1 - progress
    elif schedule == "cosine":
        left = (1 + math.cos(math.pi * progress)) / 2
    elif schedule == "warmup":
        left = min(1.0, 2 * (1 - progress))
    elif schedule == "cyclical":
        left = abs(1 - 3 * progress) if progress < 2 / 3 else 3 * (1 - progress)
    else:
        raise ValueError(f"temperature_schedule must be one of {list(SCHEDULES)}, got {schedule!r}.")
    return end + (start - end) * left


class TemperatureSchedule(Callback):
    """Set ``net.module_.quantization.temperature`` before every batch.

    The history records the temperature of the first batch of each epoch.

    Parameters
    ----------
    schedule : str, default="exponential"
        See `temperature_at`.
    start, end : float
        Temperature of the first batch, and of the batch that would follow the last.

    See Also
    --------
    temperature_at : The same temperatures as a function.

    Examples
    --------
    >>> from skbsq.training import TemperatureSchedule
    >>> TemperatureSchedule("linear", start=1.0, end=0.1).get_params()
    {'schedule': 'linear', 'start': 1.0, 'end': 0.1}
    """

    def __init__(self, schedule="exponential", *, start=1.0, end=1e-3):
        self.schedule = schedule
        self.start = start
        self.end = end

    def on_epoch_begin(self, net, dataset_train=None, **kwargs):
        # The history already has a row for this epoch.
        self.step_, self.n_steps_ = 0, len(net.get_iterator(dataset_train, training=True))
        self.epochs_before_ = len(net.history) - 1
        self._set(net)
        net.history.record("temperature", net.module_.quantization.temperature)

    def on_batch_begin(self, net, training=None, **kwargs):
        if training:
            self._set(net)
            self.step_ += 1

    def _set(self, net):
        progress = (self.epochs_before_ + self.step_ / self.n_steps_) / net.max_epochs
        net.module_.quantization.temperature = temperature_at(
            progress, schedule=self.schedule, start=self.start, end=self.end
        )
