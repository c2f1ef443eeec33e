"""Learnable lookup tables (LLT)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class _LookUp(torch.autograd.Function):
    """Entries of a table per feature; passes the gradient straight to the place, and by a factor to each entry."""

    @staticmethod
    def forward(ctx, table, place, index, factor):
        ctx.save_for_backward(index, factor)
        return table.gather(1, index.T).T

    @staticmethod
    def backward(ctx, grad):
        index, factor = ctx.saved_tensors
        total = torch.zeros_like(factor).scatter_add_(1, index.T, grad.T)
        return total * factor, grad, None, None


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
    n / (entries) / (sqrt(count) + 1e-5), where count is how often the batch reads it: as in the code of Wang et al.
    by a histogram from the smallest to the largest place in the batch, of as many bins as entries. Its ends are mostly
    not those of the grid, so a bin is only about an entry. It matters: with exact counts tables of few levels stay soft
    to the end, and made hard then they no longer fit the head.
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
        with torch.no_grad():
            factor = self._factors(place)
        return _LookUp.apply(table, place, self._index(place), factor) * spread

    def _factors(self, place):
        """By which the gradient of each entry is scaled: (d, 2 R granularity + 1)."""
        cells = self.granularity * self.n_steps
        entries = torch.where(self.one_sided, 1, 2) * cells + 1
        first = self._middle - torch.where(self.one_sided, 0, cells)
        low, high = place.aminmax(dim=0)
        share = (place - low) / torch.where(high > low, high - low, 1)
        bins = (share * entries).long().minimum(entries - 1) + first
        count = place.new_zeros(len(entries), 2 * self._middle + 1).scatter_add_(1, bins.T, torch.ones_like(place.T))
        return len(place) / entries[:, None] / (count.sqrt() + 1e-5)

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

    @property
    def _middle(self):
        """Where a table has the entry of 0."""
        return self.logits[0].numel()

    def _index(self, place):
        """The nearest entry of the table, which has its middle where the grid has 0."""
        cells = self.granularity * self.n_steps
        half = torch.where(self.one_sided, (place + 1) / 2, place)
        return (half * cells).round().long() + self._middle

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
