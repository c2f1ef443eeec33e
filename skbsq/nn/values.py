"""The common part of the layers that give the head one value per feature: at test time one of a few values."""

import numpy as np
import torch
from torch import nn

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX, last_floats
from skbsq.nn.layers import Thermometer
from skbsq.nn.space import StandardSpace

_FAR_BELOW = -1e6


class ValueQuantization(nn.Module):
    """Base class of the layers that compute one value per feature.

    A subclass defines three methods. `_soften` computes the values that the head reads in training. `_position` and
    `_position_values` define those at test time; the position must never fall as x rises. `fold` finds the thresholds
    from these methods, whatever they compute.

    Parameters
    ----------
    mean, scale : ndarray of float64 of shape (d,)
        The standardized value is (x - mean) / scale.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with an indicator of NaN. None: none.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M indicators: the values, and then the
    indicators. NaN has the value 0 where there is an indicator. Elsewhere it has the lowest value, as code 0.
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
        """Standardize values, and replace NaN by a value far below all others.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d)
        """
        return self.space(x).nan_to_num(nan=_FAR_BELOW)

    def _soften(self, z):
        """Return what the head reads in training for standardized values, both of shape (n, d)."""
        raise NotImplementedError

    def _position(self, x):
        """Return the index of each raw value in the values of its feature: int64 of shape (n, d)."""
        raise NotImplementedError

    def _position_values(self):
        """Return the values that the head reads at test time: float32 of shape (d, P) for up to P positions."""
        raise NotImplementedError

    def fold(self, placed=None):
        """Find the thresholds between the positions, and the value of each code.

        A threshold is the largest float32 at which the layer still gives the lower value. It is found by bisection over
        the floats, so it is exact however the layer rounds. Values that no float reaches are left out. On the CPU only.

        Parameters
        ----------
        placed : callable, default=None
            ``placed(j, thresholds)`` moves the thresholds of feature j. Values between thresholds that become equal
            are left out. Infinity stands for a threshold that nothing exceeds.

        Returns
        -------
        thresholds, values : lists of d ndarrays of float32
            Each feature has one value more than thresholds.
        """
        with torch.no_grad():
            table = self._position_values().numpy()
            place = np.arange(table.shape[1] - 1)[:, None]
            ends = last_floats(
                lambda x: self._position(torch.from_numpy(x)).numpy() <= place, (place.size, table.shape[0])
            )
            thresholds = [np.unique(row[(row >= -FLOAT32_MAX) & (row < FLOAT32_MAX)]) for row in ends.T]
            # A float that has each code: the smallest above the threshold below.
            reached = np.full((max(t.size for t in thresholds) + 1, len(thresholds)), -FLOAT32_MAX, dtype=np.float32)
            for j, t in enumerate(thresholds):
                reached[1 : t.size + 1, j] = np.nextafter(t, np.float32(np.inf))
            positions = self._position(torch.from_numpy(reached)).numpy()
        values = [table[j, positions[: t.size + 1, j]] for j, t in enumerate(thresholds)]
        if placed is not None:
            for j, t in enumerate(thresholds):
                moved = placed(j, t)
                thresholds[j] = np.unique(moved[moved < np.inf])
                values[j] = values[j][np.append(0, np.searchsorted(moved, thresholds[j], side="right"))]
        return thresholds, values

    def frozen(self, codebook, values, column_map):
        """Return the values of a codebook's codes as a layer that replaces this one.

        Parameters
        ----------
        codebook : Codebook
            Made from the thresholds that `fold` returned.
        values : list of d ndarrays of float32
            As returned by `fold`.
        column_map : None
            The order of the outputs is fixed.

        Returns
        -------
        layer : CodeValues
        column_map : None
        """
        return CodeValues(codebook, values), column_map


class CodeValues(nn.Module):
    """Look up the value of each code of a codebook. The layer has nothing to train.

    Parameters
    ----------
    codebook : Codebook
    values : list of d ndarrays of float32
        Value of each code except the missing code, which has the value 0 and an indicator.

    See Also
    --------
    Thermometer : Bits instead of one value per feature.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M features with a missing code: the values,
    and then an indicator of NaN for each of these features.

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
        for row, of_feature in zip(table, values, strict=True):
            row[: len(of_feature)] = of_feature
        self.register_buffer("values", torch.from_numpy(table))

    @property
    def n_columns(self):
        """Number of values that the head reads per row: d + M."""
        return len(self.values) + len(self.missing)

    def forward(self, x):
        return self.from_codes(self.encoder.encode(x))

    def from_codes(self, codes):
        """Return what the head reads for codes.

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
