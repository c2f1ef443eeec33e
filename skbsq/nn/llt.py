"""Learnable lookup tables (LLT)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class _LookUp(torch.autograd.Function):
    """Entries of a table per feature, with the gradients that LLT gives the table and the place in it."""

    @staticmethod
    def forward(ctx, table, place, index, size):
        ctx.save_for_backward(index, size)
        ctx.shape = table.shape
        return table.gather(1, index.T).T

    @staticmethod
    def backward(ctx, grad):
        index, size = ctx.saved_tensors
        total = grad.new_zeros(ctx.shape).scatter_add_(1, index.T, grad.T)
        count = grad.new_zeros(ctx.shape).scatter_add_(1, index.T, torch.ones_like(grad.T))
        grad_table = total * (len(grad) / size[:, None]) / (count.sqrt() + 1e-5)
        return grad_table, grad, None, None


class LLTQuantization(ValueQuantization):
    """Values from a trainable table per feature over a fine grid.

    The grid parts [-scale, scale]. Its positive half has R steps; where inside its `granularity` cells a step of the
    table sits is learned, as the softmax of a logit per cell, at test time their argmax. The negative half mirrors it.
    With 2 levels there is one step over the whole grid, from -scale to scale.

    Parameters
    ----------
    n_levels : array-like of int of shape (d,)
        1, 2, or an odd number 2 R + 1.
    spread : array-like of shape (d,)
        Where the scales start, standardized; positive.
    granularity : int, default=9
        Cells of the grid a step can choose from.
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Attributes
    ----------
    log_spread : Parameter of shape (d,)
        Logarithm of the scales.
    logits : Parameter of shape (d, R, granularity)
        R of the feature with most levels.
    temperature : float
        Of the softmax. Starts at 1.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, the values and then an indicator for each feature that has one.

    Wang et al. 2022, "Learnable Lookup Table for Neural Network Quantization", as in arXiv 2603.05172, Section 4. The
    gradient passes the table straight to x and so to the scale; that of an entry is scaled by
    n / (entries) / (sqrt(count) + 1e-5), where count is how often the batch reads it.
    NOTE[DIFF]: logits start at 0 but for a little more in the middle cell, so that the table starts as a uniform
    quantizer whatever the temperature.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import LLTQuantization
    >>> layer = LLTQuantization([3], [2.0], mean=np.zeros(1), scale=np.ones(1)).eval()
    >>> layer(torch.tensor([[-5.0], [0.1], [1.9]])).flatten()
    tensor([-2.,  0.,  2.], grad_fn=...)
    """

    def __init__(self, n_levels, spread, *, granularity=9, mean, scale, has_missing=None):
        n_levels, spread = np.asarray(n_levels), np.asarray(spread, dtype=np.float32)
        if ((n_levels > 2) & (n_levels % 2 == 0)).any():
            raise ValueError(f"n_levels must be 1, 2 or odd, got {n_levels.tolist()}.")
        if not (spread > 0).all():
            raise ValueError(f"spread must be positive, got {spread.min()} for feature {int(np.argmin(spread))}.")
        super().__init__(mean=mean, scale=scale, has_missing=has_missing)
        self.temperature = 1.0
        self.granularity = granularity
        self.register_buffer("n_steps", torch.from_numpy(n_levels // 2))
        self.register_buffer("one_sided", torch.from_numpy(n_levels == 2))
        self.log_spread = nn.Parameter(torch.from_numpy(np.log(spread)))
        logits = torch.zeros(n_levels.size, max(1, int(n_levels.max()) // 2), granularity)
        logits[:, :, (granularity - 1) // 2] = 0.01
        self.logits = nn.Parameter(logits)

    def _soften(self, z):
        spread = self.log_spread.exp()
        place = (z / spread).clamp(-1, 1)
        table = self._table(torch.softmax(self.logits / self.temperature, dim=2))
        entries = self.granularity * self.n_steps * torch.where(self.one_sided, 1, 2) + 1
        return _LookUp.apply(table, place, self._index(place), entries) * spread

    def _position(self, x):
        place = (self.standardized(x) / self.log_spread.exp()).clamp(-1, 1)
        level = self._hard_table().gather(1, self._index(place).T).T
        # From -R to R, or from -1 to 1 where there are two levels.
        return torch.where(self.one_sided, (level > 0).long(), (level * self.n_steps).round().long() + self.n_steps)

    def _position_values(self):
        position = torch.arange(2 * int(self.n_steps.max()) + 1, device=self.n_steps.device)
        two_sided = (position - self.n_steps[:, None]).clamp(max=self.n_steps[:, None]) / self.n_steps.clamp(min=1)[
            :, None
        ]
        level = torch.where(self.one_sided[:, None], 2.0 * position.clamp(max=1) - 1, two_sided)
        return level * self.log_spread.exp()[:, None]

    def _index(self, place):
        """The nearest entry of the table, which has its middle where the grid has 0."""
        cells = self.granularity * self.n_steps
        half = torch.where(self.one_sided, (place + 1) / 2, place)
        return (half * cells).round().long() + self.logits[0].numel()

    def _hard_table(self):
        chosen = self.logits.argmax(dim=2, keepdim=True)
        return self._table(torch.zeros_like(self.logits).scatter_(2, chosen, 1.0))

    def _table(self, shares):
        """Entries from the lower end of the grid to the upper: (d, 2 R granularity + 1)."""
        own = torch.arange(shares.shape[1], device=shares.device) < self.n_steps[:, None]
        rises = (shares * own[:, :, None]).flatten(1).cumsum(1) / self.n_steps.clamp(min=1)[:, None]
        upper = nn.functional.pad(rises, (1, 0))
        upper = torch.where(self.one_sided[:, None], 2 * upper - 1, upper)
        return torch.cat([-rises.flip(1), upper], dim=1)
