"""Learned step size quantization (LSQ)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class _LearnedStep(torch.autograd.Function):
    """``step * clip(round(z / step), low, high)``, with the gradient that LSQ gives the step."""

    @staticmethod
    def forward(ctx, z, step, low, high):
        ratio = z / step
        level = ratio.round().clamp(low, high)
        ctx.save_for_backward(ratio, level, low, high)
        return level * step

    @staticmethod
    def backward(ctx, grad):
        ratio, level, low, high = ctx.saved_tensors
        slope = torch.where((ratio > low) & (ratio < high), level - ratio, level)
        n_values = grad.numel()
        return None, (grad * slope).sum(0) / (n_values * high.clamp(min=1)).sqrt(), None, None


class LSQQuantization(ValueQuantization):
    """Multiples of a trainable step per feature.

    Parameters
    ----------
    n_levels : array-like of int of shape (d,)
        Levels of each feature: L of them are the multiples from -(L // 2) on. 1 gives 0 throughout.
    step : array-like of shape (d,)
        Where the steps start, standardized; positive.
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Attributes
    ----------
    step : Parameter of shape (d,)

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, the values and then an indicator for each feature that has one.

    Esser et al. 2020, arXiv 1902.08153, with a step per feature. The gradient of a step is scaled by
    1 / sqrt(n d Q), with n d the values of a batch and Q the largest multiple.
    NOTE[DIFF]: only the size of the parameter counts, and at least a millionth of where it started: a step stays
    positive.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import LSQQuantization
    >>> layer = LSQQuantization([4], [0.5], mean=np.zeros(1), scale=np.ones(1))
    >>> layer(torch.tensor([[-9.0], [0.2], [0.3], [9.0]])).flatten()
    tensor([-1.0000,  0.0000,  0.5000,  0.5000], grad_fn=...)
    """

    def __init__(self, n_levels, step, *, mean, scale, has_missing=None):
        n_levels, step = np.asarray(n_levels), np.asarray(step, dtype=np.float32)
        if not (step > 0).all():
            raise ValueError(f"step must be positive, got {step.min()} for feature {int(np.argmin(step))}.")
        super().__init__(mean=mean, scale=scale, has_missing=has_missing)
        low = -(n_levels // 2)
        self.register_buffer("low", torch.from_numpy(low.astype(np.float32)))
        self.register_buffer("high", torch.from_numpy((low + n_levels - 1).astype(np.float32)))
        self.register_buffer("smallest", torch.from_numpy(1e-6 * step))
        self.step = nn.Parameter(torch.from_numpy(step))

    def _soften(self, z):
        return _LearnedStep.apply(z, self.positive_step(), self.low, self.high)

    def _position(self, x):
        level = (self.standardized(x) / self.positive_step()).round()
        return (level.clamp(self.low, self.high) - self.low).long()

    def _position_values(self):
        multiples = self.low[:, None] + torch.arange(int((self.high - self.low).max()) + 1, device=self.low.device)
        return torch.minimum(multiples, self.high[:, None]) * self.positive_step()[:, None]

    def positive_step(self):
        """The steps as they are used: float32 of shape (d,)."""
        size = self.step.abs()
        # The gradient passes the limit, so that a step can come back from it.
        return size + (size.clamp(min=self.smallest) - size).detach()
