"""Learned step size quantization (LSQ)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class _LearnedStep(torch.autograd.Function):
    """Compute ``step * clip(round(z / step), low, high)``, with the gradient of LSQ for the step."""

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
    """Round to multiples of a trainable step per feature.

    Parameters
    ----------
    n_levels : array-like of int of shape (d,)
        Number of levels of each feature: L levels are the multiples from -(L // 2) on. With 1 level the value is 0.
    step : array-like of shape (d,)
        Initial steps, standardized; positive.
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Attributes
    ----------
    step : Parameter of shape (d,)

    Raises
    ------
    ValueError
        If a step is not positive.

    See Also
    --------
    SoftQuantization : A sum of sigmoids around trainable thresholds.
    LLTQuantization : Values from a trainable table.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M indicators: the values, and then the
    indicators.

    Esser et al. 2020, arXiv 1902.08153, with a step per feature. The gradient of a step is scaled by
    1 / sqrt(n d Q), where n d is the number of values in a batch and Q the largest multiple.
    NOTE[DIFF]: a step stays positive, because the layer uses the absolute value of the parameter, and at least a
    millionth of the initial step.

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
        """Return the steps that the layer uses: float32 of shape (d,)."""
        size = self.step.abs()
        # The gradient ignores the limit, so that a step can return from it.
        return size + (size.clamp(min=self.smallest) - size).detach()
