"""Scales on which thresholds are optimised; the surrogate has the same width everywhere on such a scale."""

import numpy as np
import torch
from torch import nn

from skbsq.codebook.floats import FLOAT32_MAX


class StandardSpace(nn.Module):
    """Subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    mean, scale : ndarray of float64 of shape (d,)

    See Also
    --------
    RankSpace : A scale for features with outliers.

    Notes
    -----
    Shape: (n, d) float32 to (n, d) float32, for n rows and d features.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import StandardSpace
    >>> space = StandardSpace(mean=np.array([10.0]), scale=np.array([2.0]))
    >>> space(torch.tensor([[14.0]]))
    tensor([[2.]])
    >>> space.raw(torch.tensor([2.0]), feature=torch.tensor([0]))
    tensor([14.])
    """

    def __init__(self, *, mean, scale):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float64))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float64))

    def forward(self, x):
        return ((x - self.mean) / self.scale).to(x.dtype)

    def raw(self, theta, feature):
        """Convert scaled thresholds to the units of x: finite float32, without -0.0.

        Computed in float64: with a mean much larger than the scale, float32 would lose digits.

        Parameters
        ----------
        theta : Tensor of float32 of shape (T,)
        feature : Tensor of int64 of shape (T,)
            Feature of each threshold; increasing.

        Returns
        -------
        Tensor of float32 of shape (T,)
        """
        return _as_float32(theta.detach().double() * self.scale[feature] + self.mean[feature])


class RankSpace(nn.Module):
    """Scale values by a piecewise linear function: straight between knots, with given slopes beyond them.

    With knots at the quantiles of the training rows, a distance is a fraction of the rows.

    Parameters
    ----------
    knots : list of d (x, z) pairs of 1-d arrays
        Raw and scaled values, both strictly increasing; at least one of each.
    outer : array-like of shape (d,)
        Slopes beyond the outer knots, dz/dx; positive.

    Raises
    ------
    ValueError
        If knots do not increase strictly, or an outer slope is not positive.

    See Also
    --------
    StandardSpace : A scale in standard deviations.

    Notes
    -----
    Shape: (n, d) float32 to (n, d) float32, for n rows and d features; NaN stays NaN.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn import RankSpace
    >>> space = RankSpace([([0.0, 1.0, 100.0], [-1.0, 0.0, 1.0])], outer=[0.1])
    >>> space(torch.tensor([[-10.0], [0.5], [50.5], [110.0]])).flatten()
    tensor([-2.0000, -0.5000,  0.5000,  2.0000])
    >>> space.raw(torch.tensor([-2.0, 0.5]), feature=torch.tensor([0, 0]))
    tensor([-10.0000,  50.5000])
    """

    def __init__(self, knots, outer):
        super().__init__()
        widest = max(len(x) for x, _ in knots)
        shape = (len(knots), widest)
        # Segment k ends at knot k, the last segment nowhere. Padded with infinity, which no value exceeds.
        ends_x, ends_z = np.full(shape, np.inf), np.full(shape, np.inf)
        base_x, base_z, slope = (np.zeros((len(knots), widest + 1)) for _ in range(3))
        for j, (x, z) in enumerate(knots):
            x, z = np.asarray(x, dtype=np.float64), np.asarray(z, dtype=np.float64)
            if x.size != z.size or x.size == 0 or (np.diff(x) <= 0).any() or (np.diff(z) <= 0).any() or outer[j] <= 0:
                raise ValueError(f"The knots of feature {j} must increase strictly, and outer slopes be positive.")
            ends_x[j, : x.size], ends_z[j, : z.size] = x, z
            # The base of a segment is its left knot; that of the first segment is its right knot.
            base_x[j, : x.size + 1], base_z[j, : z.size + 1] = np.append(x[0], x), np.append(z[0], z)
            slope[j, : x.size + 1] = np.concatenate([[outer[j]], np.diff(z) / np.diff(x), [outer[j]]])
        self.register_buffer("ends_x", torch.from_numpy(ends_x))
        self.register_buffer("ends_z", torch.from_numpy(ends_z))
        self.register_buffer("base_x", torch.from_numpy(base_x))
        self.register_buffer("base_z", torch.from_numpy(base_z))
        self.register_buffer("slope", torch.from_numpy(slope))
        self._flat = None  # cache of `raw` for the thresholds of a layer

    def __getstate__(self):
        return {**self.__dict__, "_flat": None}

    def forward(self, x):
        columns = x.T.double().contiguous()
        segment = torch.searchsorted(self.ends_x, columns)
        z = self.base_z.gather(1, segment) + (columns - self.base_x.gather(1, segment)) * self.slope.gather(1, segment)
        return z.T.to(x.dtype)

    def bounds(self, feature):
        """Return the lowest and highest useful thresholds, scaled: the middle of the first and of the last segment.

        Parameters
        ----------
        feature : Tensor of int64 of shape (T,)
            Feature of each threshold.

        Returns
        -------
        low, high : Tensors of float32 of shape (T,)
        """
        last = self.ends_z.isfinite().sum(1) - 1
        edges = [0 * last, last.clamp(max=1), (last - 1).clamp(min=0), last]
        first, second, before, end = (self.ends_z.gather(1, edge[:, None])[:, 0] for edge in edges)
        return ((first + second) / 2).float()[feature], ((before + end) / 2).float()[feature]

    def raw(self, theta, feature):
        """Convert scaled thresholds to the units of x: finite float32, without -0.0.

        Parameters
        ----------
        theta : Tensor of float32 of shape (T,)
        feature : Tensor of int64 of shape (T,)
            Feature of each threshold; increasing.

        Returns
        -------
        Tensor of float32 of shape (T,)
        """
        theta = theta.detach().double()
        if self._flat is None or self._flat[0] is not feature or self._flat[1].device != theta.device:
            self._flat = feature, *self._flattened(feature)
        given = (*self._flat, theta)
        if theta.is_cpu:
            # For so few numbers NumPy is several times faster than torch.
            return _as_float32(torch.from_numpy(_raw(*(part.numpy() for part in given), np.searchsorted)))
        return _as_float32(_raw(*given, torch.searchsorted))

    def _flattened(self, feature):
        """Place the knots of all features on one axis, without overlap between features.

        Returns
        -------
        begins : Tensor of shape (T,)
            Position of the scaled value 0 on the axis, for the feature of each threshold.
        farthest : Tensor of shape ()
            Scaled values farther from 0 are in the first or last segment of their feature.
        ends : Tensor of shape (K,)
            Scaled knots on the axis, sorted.
        lines : Tensor of shape (3, K + d)
            Raw and scaled value of a point of each segment, and the slope.
        """
        is_knot = self.ends_z.isfinite()
        farthest = self.ends_z[is_knot].abs().max() + 1
        begins = 4 * farthest * torch.arange(len(is_knot), device=is_knot.device)
        # A feature has one more segment than knots.
        is_segment = nn.functional.pad(is_knot, (1, 0), value=True)
        lines = torch.stack([part[is_segment] for part in (self.base_x, self.base_z, self.slope)])
        return begins[feature], farthest, (self.ends_z + begins[:, None])[is_knot], lines


def _raw(feature, begins, farthest, ends, lines, theta, searchsorted):
    """Compute raw thresholds, with tensors or with arrays."""
    segment = searchsorted(ends, theta.clip(-farthest, farthest) + begins) + feature
    base_x, base_z, slope = lines[:, segment]
    return base_x + (theta - base_z) / slope


def _as_float32(raw):
    return raw.clamp(-float(FLOAT32_MAX), float(FLOAT32_MAX)).float() + 0.0
