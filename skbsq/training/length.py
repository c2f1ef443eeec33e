"""How long to train, found on held-out rows.

A part of the rows is trained on in cycles, each as long as all before it together. After each cycle (its rate and its
temperature have fallen, its weights are averaged) the loss on the held-out rows is about that of one whole training of
as many epochs as all cycles so far. So one run finds the length of the training that follows, in twice its time.
"""

import math

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional as F

# Steps of the first cycle, and up to which cycles run in any case: of one part, and of one of several.
_FIRST_STEPS = 64
_SURE_STEPS = 512
_SURE_OF_SEVERAL = 128
# Most steps: of one part, and of several together, which are the parts of few rows. At least an epoch is run.
_MOST_STEPS = 4096
_MOST_OF_SEVERAL = 1536
# Doubling is worth its time if the loss falls by this share.
_WORTH = 0.02
# Without held-out rows: epochs, within so many steps.
_USUAL_EPOCHS = 30
_USUAL_STEPS = (64, 2048)
_ROWS_AT_ONCE = 4096


def usual_epochs(steps_per_epoch):
    """Epochs to train where nothing is held out.

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


def find_epochs(loss_after, steps_per_epoch, *, n_parts=1, most=None):
    """Find the number of epochs with the lowest loss, among numbers that double.

    Parameters
    ----------
    loss_after : callable
        ``loss_after(epochs, cycle)`` runs a cycle of ``cycle`` epochs, after which there were ``epochs`` in all, and
        returns the held-out loss of each row, which may be a single one.
    steps_per_epoch : int
    n_parts : int, default=1
        Parts of the rows that are trained on alike.
    most : int, default=None
        Most epochs. None: those of 4096 steps, or of 1536 over several parts.

    Returns
    -------
    epochs : int
    tried : DataFrame
        A row per length: epochs, steps, loss.

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
    sure = _SURE_STEPS if n_parts == 1 else _SURE_OF_SEVERAL
    given = most is not None
    if most is None:
        steps = _MOST_STEPS if n_parts == 1 else _MOST_OF_SEVERAL // n_parts
        most = max(1, steps // steps_per_epoch)
    epochs = cycle = min(most, max(1, round(_FIRST_STEPS / steps_per_epoch)))
    losses: dict[int, float] = {}
    best: np.ndarray | None = None
    while True:
        rows = np.atleast_1d(loss_after(epochs, cycle))
        losses[epochs] = rows.mean().item()
        fell = best is None or _possible_gain(best, rows) > _WORTH * best.mean()
        best = rows if best is None or rows.mean() < best.mean() else best
        left = most - epochs
        # What is left of our own limit may not be worth a cycle.
        if left == 0 or (not given and 2 * left < epochs) or (epochs * steps_per_epoch >= sure and not fell):
            break
        cycle = min(epochs, left)
        epochs += cycle
    tried = pd.DataFrame({"epochs": list(losses), "steps": [n * steps_per_epoch for n in losses]})
    tried["loss"] = list(losses.values())
    return min(losses, key=losses.__getitem__), tried


@np.errstate(invalid="ignore")  # infinite losses
def _possible_gain(before, after):
    """Gain of the mean loss plus one standard error, because a few rows with large losses may hide a gain."""
    return (before - after).mean() + _standard_error(before - after)


def _standard_error(values):
    return values.std() / math.sqrt(values.size)


def outputs_of(net, rows):
    """Output of a trained net, which is on the CPU, for rows, by hard bits: Tensor of shape (n, k)."""
    with torch.inference_mode():
        return torch.cat([net.module_(x) for x in rows.x.split(_ROWS_AT_ONCE)])


def held_out_losses(output, rows, constant=None):
    """Losses of outputs on held-out rows, and the share of the output that a head should keep.

    Part of what a net learns from few rows is noise. Shrinking its output towards a constant, the mean target or the
    shares of the classes, removes some of it. The share with the lowest loss is taken, but only where it lowers the
    loss by more than twice the standard error over the rows.

    Parameters
    ----------
    output : Tensor of shape (n, k)
    rows : TensorRows
    constant : Tensor of shape (k,), default=None
        The constant. None: nothing is shrunk.

    Returns
    -------
    losses : ndarray of float64 of shape (n,)
        Loss of each row times the weight of the row. The loss is the mean of this array.
    share : float
        From 0, the constant, to 1, the output as it is.

    Examples
    --------
    >>> import torch
    >>> from skbsq.training.batches import TensorRows
    >>> from skbsq.training.length import held_out_losses
    >>> rows = TensorRows(torch.zeros(4, 1), torch.tensor([[1.0], [-1.0], [1.5], [-1.5]]))
    >>> held_out_losses(2 * rows.y, rows, torch.zeros(1))
    (array([0., 0., 0., 0.]), 0.5)
    """
    output, y = output.double(), rows.y
    weights = torch.ones(len(y), dtype=torch.float64) if rows.weights is None else rows.weights.double()
    weights = weights / weights.mean()

    def losses(share):
        shrunk = output if share == 1 else torch.lerp(constant.to(output), output, share)
        if y.dtype == torch.int64:
            return F.cross_entropy(shrunk, y, reduction="none")
        return (shrunk - y.double()).square().mean(1)

    as_it_is = weights * losses(1.0)
    if constant is None:
        return as_it_is.numpy(), 1.0
    if y.dtype == torch.int64:
        found = minimize_scalar(
            lambda share: (weights * losses(share)).mean().item(),
            bounds=(0.0, 1.0),
            method="bounded",
            options={"xatol": 1e-3},
        )
        share = float(found.x)
    else:
        learned, wanted = output - constant, y.double() - constant
        size = (weights @ learned.square().sum(1)).item()
        share = min(max((weights @ (learned * wanted).sum(1)).item() / size, 0.0), 1.0) if size else 0.0
    shrunk = weights * losses(share)
    gains = (as_it_is - shrunk).numpy()
    return (shrunk.numpy(), share) if gains.mean() > 2 * _standard_error(gains) else (as_it_is.numpy(), 1.0)
