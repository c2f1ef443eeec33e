"""Soft quantization (SQ and SQ+)."""

import numpy as np
import torch
from torch import nn

from skbsq.nn.values import ValueQuantization


class SoftQuantization(ValueQuantization):
    """Compute one value per feature: a sum of sigmoids around trainable thresholds; at test time the sum of the bits.

    Parameters
    ----------
    thresholds : list of d 1-d arrays
        Initial thresholds, in the units of x.
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.
    learn_values : bool, default=False
        Learn the value of each code (SQ+); the initial values are 0, 1, 2, ... False: the value is the number of
        thresholds below (SQ).

    Attributes
    ----------
    theta : Parameter of shape (T,)
        The thresholds of all features, standardized.
    steps : Parameter or buffer of shape (T,)
        Increment of the value at each threshold.
    base : Parameter or buffer of shape (d,)
        The value below all thresholds.
    temperature : float
        Width of the sigmoids. Its initial value is 1.

    See Also
    --------
    LSQQuantization : Multiples of a trainable step.
    LLTQuantization : Values from a trainable table.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M indicators: the values, and then the
    indicators. T is the number of thresholds of all features.

    arXiv 2603.05172, Section 4 (SQ, SQ+).
    NOTE[DIFF]: the released code of the paper computes SQ+ as SQ; here the values are learned. The parameters are the
    increments instead of the values, because an increment stays with its threshold wherever that moves.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import SoftQuantization
    >>> layer = SoftQuantization([[0.0, 1.0]], mean=np.zeros(1), scale=np.ones(1))
    >>> layer(torch.tensor([[0.0], [5.0]]))
    tensor([[0.7689],
            [1.9753]], grad_fn=...)
    >>> layer.eval()(torch.tensor([[0.0], [5.0]]))
    tensor([[0.],
            [2.]])
    """

    def __init__(self, thresholds, *, mean, scale, has_missing=None, learn_values=False):
        super().__init__(mean=mean, scale=scale, has_missing=has_missing)
        self.temperature = 1.0
        sizes = [len(t) for t in thresholds]
        feature = np.repeat(np.arange(len(thresholds)), sizes)
        raw = np.concatenate([np.asarray(t, dtype=np.float64) for t in thresholds])
        # Slot k of feature j holds the index of its threshold k, or T if there is none.
        slots = np.full((len(thresholds), max(1, *sizes)), raw.size)
        slots[np.arange(slots.shape[1]) < np.array(sizes)[:, None]] = np.arange(raw.size)
        self.register_buffer("slots", torch.from_numpy(slots))
        self.register_buffer("feature", torch.from_numpy(feature))
        theta = (raw - np.asarray(mean)[feature]) / np.asarray(scale)[feature]
        self.theta = nn.Parameter(torch.from_numpy(theta.astype(np.float32)))
        steps, base = torch.ones(raw.size), torch.zeros(len(thresholds))
        if learn_values:
            self.steps, self.base = nn.Parameter(steps), nn.Parameter(base)
        else:
            self.register_buffer("steps", steps)
            self.register_buffer("base", base)

    def _soften(self, z):
        theta, steps = self._in_slots(self.theta, torch.finfo(z.dtype).max), self._in_slots(self.steps, 0.0)
        soft = torch.sigmoid((z[:, :, None] - theta) / self.temperature)
        return self.base + (soft * steps).sum(2)

    def _position(self, x):
        thresholds, _ = self._sorted()
        columns = x.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).T.contiguous()
        return torch.searchsorted(thresholds, columns).T

    def _position_values(self):
        _, order = self._sorted()
        steps = self._in_slots(self.steps, 0.0).gather(1, order)
        return nn.functional.pad(steps, (1, 0)).cumsum(1) + self.base[:, None]

    def _in_slots(self, by_threshold, fill):
        return nn.functional.pad(by_threshold, (0, 1), value=fill)[self.slots]

    def _sorted(self):
        """Return the sorted raw thresholds, with infinities at the end, and their order."""
        raw = self.space.raw(self.theta, self.feature)
        return self._in_slots(raw, torch.inf).sort(dim=1, stable=True)
