"""Find on held-out rows how long to train.

The search trains on the other rows in cycles. Each cycle is as long as all cycles before it together. At the end of a
cycle the learning rate and the temperature have fallen, and the weights are averaged. The loss on the held-out rows is
then about that of a whole training with as many epochs as all cycles so far. So a single run, twice as long as the
training that follows, finds the length.
"""

import math

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from skbsq.nn.losses import row_losses

_FIRST_CYCLE_STEPS = 64
# Cycles continue at least up to these steps per part, if one part or several parts of the rows are held out.
_MIN_STEPS = 512
_MIN_STEPS_SEVERAL = 128
# Most steps of one part, and of several parts together; only few rows have several parts. At least one epoch is run.
_MAX_STEPS = 4096
_MAX_STEPS_SEVERAL = 1536
# Another cycle is worth its time if the loss falls by this share.
_MIN_RELATIVE_GAIN = 0.02
# Without held-out rows: the number of epochs, and the limits of their steps.
_USUAL_EPOCHS = 30
_USUAL_STEPS = (64, 2048)
_ROWS_AT_ONCE = 4096
_SQUARED_ERROR = nn.MSELoss(reduction="none")


def usual_epochs(steps_per_epoch):
    """Choose the number of epochs if no rows are held out.

    Parameters
    ----------
    steps_per_epoch : int

    Returns
    -------
    int

    Examples
    --------
    >>> from skbsq.training.length import usual_epochs
    >>> usual_epochs(1), usual_epochs(10), usual_epochs(1000)
    (64, 30, 3)
    """
    least, most = (math.ceil(steps / steps_per_epoch) for steps in _USUAL_STEPS)
    return min(max(_USUAL_EPOCHS, least), most)


def find_epochs(loss_after, steps_per_epoch, *, n_parts=1, max_epochs=None):
    """Find the number of epochs with the lowest held-out loss, among numbers that double.

    Parameters
    ----------
    loss_after : callable
        ``loss_after(epochs, cycle)`` runs a cycle of ``cycle`` epochs, which ends after ``epochs`` epochs in all. It
        returns the held-out loss of each row, or a single loss.
    steps_per_epoch : int
    n_parts : int, default=1
        Number of parts of the rows that are held out in turn.
    max_epochs : int, default=None
        None: the epochs of 4096 steps, or of 1536 steps over several parts.

    Returns
    -------
    epochs : int
    tried : DataFrame
        One row per length: epochs, steps, loss.

    Examples
    --------
    >>> from skbsq.training.length import find_epochs
    >>> find_epochs(lambda epochs, cycle: (epochs - 20) ** 2 + 1, steps_per_epoch=32)
    (16,    epochs  steps   loss
    0       2     64  325.0
    1       4    128  257.0
    2       8    256  145.0
    3      16    512   17.0
    4      32   1024  145.0)
    """
    min_steps, max_steps = (_MIN_STEPS, _MAX_STEPS) if n_parts == 1 else (_MIN_STEPS_SEVERAL, _MAX_STEPS_SEVERAL)
    limit = max_epochs or max(1, max_steps // n_parts // steps_per_epoch)
    epochs = cycle = min(limit, max(1, round(_FIRST_CYCLE_STEPS / steps_per_epoch)))
    losses: dict[int, float] = {}
    best: np.ndarray | None = None
    while True:
        row_losses = np.atleast_1d(loss_after(epochs, cycle))
        losses[epochs] = row_losses.mean().item()
        fell = best is None or _possible_gain(best, row_losses) > _MIN_RELATIVE_GAIN * best.mean()
        best = row_losses if best is None or row_losses.mean() < best.mean() else best
        left = limit - epochs
        # A short rest below the default limit is not worth a cycle.
        is_short = max_epochs is None and 2 * left < epochs
        if left == 0 or is_short or (epochs * steps_per_epoch >= min_steps and not fell):
            break
        cycle = min(epochs, left)
        epochs += cycle
    steps = [n * steps_per_epoch for n in losses]
    tried = pd.DataFrame({"epochs": list(losses), "steps": steps, "loss": list(losses.values())})
    return min(losses, key=losses.__getitem__), tried


@np.errstate(invalid="ignore")  # infinite losses
def _possible_gain(before, after):
    """Compute the gain of the mean loss plus one standard error: a few rows with large losses may hide a gain."""
    return (before - after).mean() + _standard_error(before - after)


def _standard_error(values):
    return values.std() / math.sqrt(values.size)


def outputs_of(net, rows):
    """Compute the output of a trained net on the CPU for rows, with hard bits: Tensor of shape (n, k)."""
    with torch.inference_mode():
        return torch.cat([net.module_(x) for x in rows.x.split(_ROWS_AT_ONCE)])


def held_out_losses(output, rows, constant=None, criterion=_SQUARED_ERROR):
    """Compute the losses on held-out rows, and the share of the output that a head should keep.

    Part of what a net learns from few rows is noise. Shrinking the output towards a constant removes some of the noise.
    The constant is the best one for the loss, such as the mean target, or the class shares as logits. The share with
    the lowest loss is taken, but only if it lowers the loss by more than two standard errors over the rows.

    Parameters
    ----------
    output : Tensor of shape (n, k)
    rows : TensorRows
    constant : Tensor of shape (k,), default=None
        None: the output is not shrunk.
    criterion : nn.Module, default=MSELoss(reduction="none")
        Loss of a regression, without the mean over the rows.

    Returns
    -------
    losses : ndarray of float64 of shape (n,)
        Loss of each row times the weight of the row. The mean of this array is the loss.
    share : float
        From 0 (the constant) to 1 (the unchanged output).

    Examples
    --------
    >>> import torch
    >>> from skbsq.training.batches import TensorRows
    >>> from skbsq.training.length import held_out_losses
    >>> rows = TensorRows(torch.zeros(4, 1), torch.tensor([[1.0], [-1.0], [1.5], [-1.5]]))
    >>> held_out_losses(2 * rows.y, rows, torch.zeros(1))
    (array([0., 0., 0., 0.]), 0.5)
    """
    output, y = output.double(), rows.y if rows.y.dtype == torch.int64 else rows.y.double()
    weights = torch.ones(len(y), dtype=torch.float64) if rows.weights is None else rows.weights.double()
    weights = weights / weights.mean()

    def losses(share):
        shrunk = output if share == 1 else torch.lerp(constant.to(output), output, share)
        return weights * row_losses(criterion, shrunk, y)

    def mean_loss(share):
        return losses(share).mean().item()

    unchanged = losses(1.0).numpy()
    if constant is None:
        return unchanged, 1.0
    if y.dtype == torch.int64 or type(criterion) is not nn.MSELoss:
        share = float(minimize_scalar(mean_loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-3}).x)
        if y.dtype != torch.int64 and mean_loss(0.0) <= mean_loss(share):
            share = 0.0  # which the search only approaches
    else:
        learned, wanted = output - constant, y - constant
        size = (weights @ learned.square().sum(1)).item()
        share = min(max((weights @ (learned * wanted).sum(1)).item() / size, 0.0), 1.0) if size else 0.0
    shrunk = losses(share).numpy()
    gains = unchanged - shrunk
    return (shrunk, share) if gains.mean() > 2 * _standard_error(gains) else (unchanged, 1.0)
