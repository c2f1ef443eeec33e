"""Layers that give a head one value per feature, at test time one of a few: what they share."""

import numpy as np
import torch
from torch import nn

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX, last_floats
from skbsq.nn.layers import Thermometer
from skbsq.nn.space import StandardSpace

_FAR_BELOW = -1e6


class ValueQuantization(nn.Module):
    """A layer that gives one value per feature, at test time one of a few.

    A subclass says in `_soften` what the head sees in training, and by `_position`, which does not fall as x rises, and
    `_position_values` what it sees at test time. `fold` then finds the thresholds, whatever these compute.

    Parameters
    ----------
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, the values and then an indicator for each feature that has one. A
    missing value is 0 where there is an indicator, and elsewhere has the lowest value, as code 0.
    """

    def __init__(self, *, mean, scale, has_missing=None):
        super().__init__()
        missing = np.flatnonzero(np.zeros(len(mean)) if has_missing is None else has_missing)
        self.register_buffer("missing", torch.from_numpy(missing))
        self.space = StandardSpace(mean=mean, scale=scale)

    def forward(self, x):
        if self.training:
            values = self._soften(self.standardized(x))
        else:
            values = self._position_values().gather(1, self._position(x).T).T
        return _with_indicators(values, x.isnan(), self.missing)

    def standardized(self, x):
        """Standardized values, far below all others where missing.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d)
        """
        return self.space(x).nan_to_num(nan=_FAR_BELOW)

    def _soften(self, z):
        """What the head sees in training.

        Parameters
        ----------
        z : Tensor of float32 of shape (n, d)
            Standardized.

        Returns
        -------
        Tensor of float32 of shape (n, d)
        """
        raise NotImplementedError

    def _position(self, x):
        """Which of the values it sees at test time.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)
            In the units of the features.

        Returns
        -------
        Tensor of int64 of shape (n, d)
        """
        raise NotImplementedError

    def _position_values(self):
        """The values that it sees at test time.

        Returns
        -------
        Tensor of float32 of shape (d, P)
        """
        raise NotImplementedError

    def fold(self):
        """The thresholds between the positions, and the value of each code.

        A threshold is the largest float32 at which the layer still gives the lower value, found by bisection over the
        floats: nothing is lost, whatever the layer rounds. Values that no float reaches are left out. On the CPU only.

        Returns
        -------
        thresholds, values : lists of d ndarrays of float32
            One value more than thresholds.
        """
        with torch.no_grad():
            table = self._position_values().numpy()
            place = np.arange(table.shape[1] - 1)[:, None]
            ends = last_floats(
                lambda x: self._position(torch.from_numpy(x)).numpy() <= place, (place.size, table.shape[0])
            )
            thresholds = [np.unique(own[(own >= -FLOAT32_MAX) & (own < FLOAT32_MAX)]) for own in ends.T]
            # Each code by a float that has it: the smallest above the threshold before.
            reached = np.full((max(t.size for t in thresholds) + 1, len(thresholds)), -FLOAT32_MAX, dtype=np.float32)
            for j, t in enumerate(thresholds):
                reached[1 : t.size + 1, j] = np.nextafter(t, np.float32(np.inf))
            positions = self._position(torch.from_numpy(reached)).numpy()
        return thresholds, [table[j, positions[: t.size + 1, j]] for j, t in enumerate(thresholds)]

    def frozen(self, codebook, values, column_map):
        """Return the layer for good, as the values of a codebook's codes.

        Parameters
        ----------
        codebook : Codebook
            Of the thresholds of `fold`.
        values : list of d ndarrays of float32
            The other part of `fold`.
        column_map : None
            Outputs come in one order.

        Returns
        -------
        layer : CodeValues
        column_map : None
        """
        return CodeValues(codebook, values), column_map


class CodeValues(nn.Module):
    """The values of a codebook's codes, for good: nothing in it is trained.

    Parameters
    ----------
    codebook : Codebook
    values : list of d ndarrays of float32
        What the head reads for each code but the missing one, which is 0 with an indicator.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, as `ValueQuantization`.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq import Codebook
    >>> from skbsq.nn import CodeValues
    >>> layer = CodeValues(Codebook.from_thresholds([[0.0, 1.0]]), [np.float32([-3, 5, 7])])
    >>> layer(torch.tensor([[0.5], [2.0]]))
    tensor([[5.],
            [7.]])
    """

    def __init__(self, codebook: Codebook, values):
        super().__init__()
        self.encoder = Thermometer(codebook)
        self.register_buffer("missing", torch.from_numpy(np.flatnonzero(codebook.has_missing)))
        table = np.zeros((codebook.n_features, int(codebook.n_levels.max())), dtype=np.float32)
        for row, own in zip(table, values, strict=True):
            row[: len(own)] = own
        self.register_buffer("values", torch.from_numpy(table))

    def forward(self, x):
        return self.from_codes(self.encoder.encode(x))

    def from_codes(self, codes):
        """What the head reads for codes.

        Parameters
        ----------
        codes : Tensor of a signed integer type of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d + M)
        """
        values = self.values.gather(1, codes.T.long()).T
        return _with_indicators(values, codes == self.encoder.missing_code.T, self.missing)


def _with_indicators(values, nan, missing):
    if not missing.numel():
        return values
    nan = nan.index_select(1, missing)
    values = values.index_copy(1, missing, values.index_select(1, missing).masked_fill(nan, 0.0))
    return torch.cat([values, nan.to(values.dtype)], dim=1)
