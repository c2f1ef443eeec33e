"""Centre and scale the target of a regression, as its loss needs it."""

import numpy as np
from scipy.optimize import brentq

from skbsq.thresholds.quantile import averaged_inverted_cdf

# The interquartile range of a normal distribution, in standard deviations.
_NORMAL_RANGE = 1.349


def check_loss(loss, rows):
    """Reject targets that a loss cannot be trained on.

    Parameters
    ----------
    loss : RegressionLoss
    rows : Rows or ChunkedRows

    Raises
    ------
    ValueError
        For classes with another loss than the default; for a Poisson loss also if a target is negative, or 0 in all
        rows.
    """
    if loss.name == "squared_error":
        return
    if rows.task == "classification":
        raise ValueError(
            f'loss={loss.name!r} is for a regression, but y is read as classes: set task="regression" if y holds '
            "numbers, or leave loss at its default."
        )
    if loss.name == "poisson":
        _check_counts(rows)


def _check_counts(rows):
    low, _ = rows.target_range()
    if rows.held_out is not None:
        low = np.append(low, rows.held_out[1].min())
    if (low < 0).any():
        raise ValueError(f"loss='poisson' needs y >= 0, got {low.min():g}: choose another loss, or shift y.")
    _, mean, _ = rows.target_sums()
    if not mean.all():
        where = f" in target {np.argmin(mean)}" if mean.size > 1 else ""
        raise ValueError(f"loss='poisson' needs a y above 0, but all are 0.0{where}: there is no rate to learn.")


def target_scaling(loss, rows):
    """Compute what is subtracted from each target, and what the rest is divided by.

    The head's output of 0 then means the best constant prediction for the loss: the mean, the median, or a quantile.

    Parameters
    ----------
    loss : RegressionLoss
    rows : Rows or ChunkedRows
        Quantiles of chunked rows come from a sketch.

    Returns
    -------
    mean, scale : ndarray of float64 of shape (k,)
        Mean and standard deviation for squared errors. 0 and the mean for a Poisson loss, whose outputs are logarithms.
        For other losses the best constant, and a spread that outliers do not change: the interquartile range, in
        standard deviations of a normal distribution.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq.nn.losses import RegressionLoss
    >>> from skbsq.training import Rows
    >>> from skbsq.training.targets import target_scaling
    >>> rows = Rows(np.zeros((5, 1), np.float32), np.array([1.0, 2, 3, 4, 990]), np.ones(5), "regression")
    >>> for name in ("squared_error", "poisson", "absolute_error"):
    ...     print(name, *(float(part[0].round(1)) for part in target_scaling(RegressionLoss(name), rows)))
    squared_error 200.0 395.0
    poisson 0.0 200.0
    absolute_error 3.0 1.5
    """
    if loss.name == "squared_error":
        return rows.target_moments()
    if loss.name == "poisson":
        _, mean, _ = rows.target_sums()
        # Some of the rows may hold only zeros.
        return np.zeros_like(mean), np.where(mean > 0, mean, 1.0)
    center, scale = zip(*(_robust_scaling(loss, feature) for feature in rows.targets()), strict=True)
    return np.array(center), np.array(scale)


def _robust_scaling(loss, target):
    values, weights = target.weighted_unique
    share = loss.quantile if loss.name == "quantile" else 0.5
    center, median, low, high = averaged_inverted_cdf(values, weights, np.array([share, 0.5, 0.25, 0.75])).tolist()
    # If half of the rows share a value, the mean distance to it takes the place of their range.
    scale = (high - low) / _NORMAL_RANGE or float(np.average(np.abs(values - median), weights=weights)) or 1.0
    if loss.name == "huber":
        scaled, delta = (values - median) / scale, loss.criterion().delta
        center += scale * brentq(lambda c: weights @ np.clip(scaled - c, -delta, delta), scaled.min(), scaled.max())
    return center, scale
