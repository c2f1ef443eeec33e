"""Learnable lookup tables (LLT)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class _LookUp(torch.autograd.Function):
    """Look up the table of each feature; the gradient reaches the place unchanged, and each entry by a factor."""

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
    """Look up values in a trainable table per feature, over a fine grid.

    The grid divides [-scale, scale]. Its positive half has R steps, each with `granularity` cells. The position of a
    step within its cells is learned: the softmax of a logit per cell, and at test time the argmax. The negative half
    mirrors the positive one. With 2 levels there is one step over the whole grid, from -scale to scale.

    Parameters
    ----------
    n_levels : array-like of int of shape (d,)
        1, 2, or an odd number 2 R + 1.
    spread : array-like of shape (d,)
        Initial scales, standardized; positive.
    granularity : int, default=9
        Number of cells in which a step can lie.
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Attributes
    ----------
    log_spread : Parameter of shape (d,)
        Logarithm of the scales.
    logits : Parameter of shape (d, R, granularity)
        R is that of the feature with the most levels.
    temperature : float
        Temperature of the softmax, initially 1.

    Raises
    ------
    ValueError
        If a number of levels is even and above 2, or a scale is not positive.

    See Also
    --------
    SoftQuantization : A sum of sigmoids around trainable thresholds.
    LSQQuantization : Multiples of a trainable step.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M indicators: the values, and then the
    indicators.

    Wang et al. 2022, "Learnable Lookup Table for Neural Network Quantization", as in arXiv 2603.05172, Section 4. The
    gradient skips the table: it reaches x, and so the scale, unchanged. The gradient of an entry is scaled by
    n / (entries) / (sqrt(count) + 1e-5), where count is how often the batch reads the entry. As in the code of Wang et
    al., the counts come from a histogram with one bin per entry, from the smallest to the largest place in the batch.
    Its ends usually differ from those of the grid, so a bin matches its entry only roughly. This matters: with exact
    counts, tables of few levels stay soft to the end, and no longer fit the head once they are made hard.
    NOTE[DIFF]: initial logits are 0, and slightly above 0 in the middle cell, so that the initial table is a uniform
    quantizer at any temperature.

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
        """Return the factor for the gradient of each entry: (d, 2 R granularity + 1)."""
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
        # Positions count from -R to R, or from -1 to 1 with two levels.
        return torch.where(self.one_sided, (level > 0).long(), (level * self.n_steps).round().long() + self.n_steps)

    def _position_values(self):
        n_steps = self.n_steps[:, None]
        position = torch.arange(2 * int(n_steps.max()) + 1, device=n_steps.device)
        two_sided = (position - n_steps).clamp(max=n_steps) / n_steps.clamp(min=1)
        level = torch.where(self.one_sided[:, None], 2.0 * position.clamp(max=1) - 1, two_sided)
        return level * self.log_spread.exp()[:, None]

    @property
    def _middle(self):
        """Index of the entry for 0."""
        return self.logits[0].numel()

    def _index(self, place):
        """Return the index of the nearest entry."""
        cells = self.granularity * self.n_steps
        half = torch.where(self.one_sided, (place + 1) / 2, place)
        return (half * cells).round().long() + self._middle

    def _hard_table(self):
        chosen = self.logits.argmax(dim=2, keepdim=True)
        return self._table(torch.zeros_like(self.logits).scatter_(2, chosen, 1.0))

    def _table(self, shares):
        """Return the entries from the lower end of the grid to the upper: (d, 2 R granularity + 1)."""
        has_step = torch.arange(shares.shape[1], device=shares.device) < self.n_steps[:, None]
        levels = (shares * has_step[:, :, None]).flatten(1).cumsum(1) / self.n_steps.clamp(min=1)[:, None]
        upper = nn.functional.pad(levels, (1, 0))
        upper = torch.where(self.one_sided[:, None], 2 * upper - 1, upper)
        return torch.cat([-levels.flip(1), upper], dim=1)
