"""Quantization layers: raw floats in, what a head sees out."""

import numpy as np
import torch
from torch import nn

from skbsq.codebook.codebook import Codebook
from skbsq.nn.space import StandardSpace

FORWARDS = ("auto", "hard", "soft")
# Features of more thresholds than this are hard under "auto".
MOST_SOFT = 7
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_ROWS_AT_ONCE = 2**16
_VANISHES = 60.0


class _HardBits(torch.autograd.Function):
    """The hard bits as they are; the gradient of sigmoid((z - theta) / temperature) with respect to theta."""

    @staticmethod
    def forward(ctx, bits, z, theta, temperature):
        ctx.save_for_backward(z, theta)
        ctx.temperature = temperature
        return bits

    @staticmethod
    def backward(ctx, grad):
        z, theta = ctx.saved_tensors
        # Beyond this distance, in temperatures, the slope is zero beside anything; its denormal numbers would be slow.
        soft = (z - theta).mul_(1 / ctx.temperature).clamp_(-_VANISHES, _VANISHES).sigmoid_()
        slopes = torch.ops.aten.sigmoid_backward.grad_input(grad, soft, grad_input=soft)
        return None, None, slopes.sum(0) / -ctx.temperature, None


class ColumnMap(nn.Module):
    """Which column of a quantization layer each of its outputs shows.

    Parameters
    ----------
    feature : ndarray of int of shape (C,)
        Of each column.
    missing : ndarray of bool of shape (C,)
        Which columns are missing bits.
    n_features : int
    columns : ndarray of int64 of shape (n_outputs,), default=None
        Column of each output, -1 for an output of zeros. None: the columns in order.
    """

    def __init__(self, feature, missing, n_features, columns=None):
        super().__init__()
        columns = np.arange(feature.size) if columns is None else columns
        of_output = np.append(feature, 0)[columns]
        shows_missing = np.flatnonzero(np.append(missing, False)[columns])
        # Where every feature has as many outputs, side by side, values are broadcast and not copied.
        self.block = columns.size // n_features
        in_blocks = np.repeat(np.arange(n_features), self.block)
        if in_blocks.size != columns.size or (of_output != in_blocks)[columns >= 0].any():
            self.block = 0
        buffers = {
            "columns": np.where(columns < 0, feature.size, columns),
            "feature": of_output,
            "missing_outputs": shows_missing,
            "missing_features": of_output[shows_missing],
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array.astype(np.int64)), persistent=False)
        self.n_columns = feature.size

    def spread(self, values):
        """Values of the features for each output: (n, d) to (n, d, 1), or (n, n_outputs)."""
        return values.unsqueeze(2) if self.block else values.index_select(1, self.feature)

    def pick(self, by_column, fill):
        """Values of the columns for each output, to be compared with those of `spread`; `fill` for those beyond."""
        padded = nn.functional.pad(by_column, (0, self.n_columns + 1 - by_column.numel()), value=fill)
        picked = padded.index_select(0, self.columns)
        return picked.view(-1, self.block) if self.block else picked


class _BitLayer(nn.Module):
    """A layer whose outputs are bits, each of which shows one of its columns."""

    def set_column_map(self, column_map):
        """Choose what the outputs show.

        Parameters
        ----------
        column_map : ndarray of int64 of shape (n_outputs,), or None
            Column of each output, -1 for an output of zeros. None: the columns in order.
        """
        self.outputs = ColumnMap(*self.column_features(), self.n_features, column_map)

    def fold(self):
        """Thresholds, and where each column of this layer went in the thermometer of them.

        Returns
        -------
        thresholds : list of d ndarrays of float32
            Sorted and merged.
        columns : ndarray of int64 of shape (n_columns,)
            Column c of this layer equals column ``columns[c]`` of that thermometer.
        """
        raise NotImplementedError

    def frozen(self, codebook, columns, column_map):
        """Return the layer for good, as the thermometer of a codebook.

        Parameters
        ----------
        codebook : Codebook
            Of the thresholds of `fold`.
        columns : ndarray of int64 of shape (n_columns,)
            The other part of `fold`.
        column_map : ndarray of int64 of shape (n_outputs,), or None
            What the outputs of this layer show.

        Returns
        -------
        layer : Thermometer
        column_map : ndarray of int64 of shape (n_outputs,)
            What its outputs show, to be the same bits.
        """
        return Thermometer(codebook), columns if column_map is None else np.append(columns, -1)[column_map]


class BitwiseQuantization(_BitLayer):
    """Bits with trainable thresholds: bitwise soft quantization.

    A bit is on where the raw value lies above the raw threshold, compared in float32 as a device does.
    Training learns the thresholds in a scaled space through a sigmoid of the given temperature.

    Parameters
    ----------
    thresholds : list of d 1-d arrays
        Where they start, in the units of x.
    space : StandardSpace or RankSpace
        In which they move.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with a bit for NaN. None: none.
    forward : {"auto", "hard", "soft"}, default="auto"
        What the head sees in training. "hard": the bits it will see at test time, with the sigmoid's gradient. "soft":
        the sigmoids themselves, as in the paper. "auto": soft for features of up to 7 thresholds, hard for others. In
        evaluation mode it is the bits in any case.

    Attributes
    ----------
    theta : Parameter of shape (T,)
        The thresholds of all features, in the scaled space.
    temperature : float
        Width of the sigmoid. Starts at 1.

    Notes
    -----
    Shape: (n, d) float32 to (n, T + M) float32, a column per threshold, feature by feature, then one per
    feature with a missing bit; or what `set_column_map` chose of these, as a `JointNet` does.

    arXiv 2603.05172, Section 3.
    NOTE[DIFF]: the paper trains on the sigmoids alone ("soft"). A head that has only seen sigmoids meets hard bits for
    the first time at test. But the gradient of a hard bit takes the loss for linear across it, which is wrong by the
    more the more a bit changes, and pulls thresholds aside where they are few. Hence "auto".
    NOTE[DIFF]: the paper compares standardized values, which a device does not have. Here the bits
    compare raw float32 values with raw float32 thresholds, in training too.
    NOTE[DIFF]: in the space of ranks, thresholds are kept among the rows: one that leaves them would be of no use, and
    get no gradient to come back.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import BitwiseQuantization, StandardSpace
    >>> space = StandardSpace(mean=np.array([1.0, 5.0]), scale=np.array([1.0, 2.0]))
    >>> layer = BitwiseQuantization([[0.0, 2.0], [5.0]], space=space, forward="hard")
    >>> layer(torch.tensor([[1.0, 6.0], [3.0, 5.0]]))
    tensor([[1., 0., 1.],
            [1., 1., 0.]], grad_fn=<_HardBitsBackward>)
    """

    def __init__(self, thresholds, *, space, has_missing=None, forward="auto"):
        if forward not in FORWARDS:
            raise ValueError(f"forward must be one of {list(FORWARDS)}, got {forward!r}.")
        super().__init__()
        self.space = space
        self.temperature = 1.0
        sizes = np.array([len(t) for t in thresholds])
        feature = np.repeat(np.arange(sizes.size), sizes)
        raw = np.concatenate([np.asarray(t, dtype=np.float32) for t in thresholds])
        soft = np.full(sizes.size, forward == "soft") if forward != "auto" else sizes <= MOST_SOFT
        missing = np.flatnonzero(np.zeros(sizes.size) if has_missing is None else has_missing)
        self.register_buffer("feature", torch.from_numpy(feature))
        self.register_buffer("missing", torch.from_numpy(missing))
        self.register_buffer("soft", torch.from_numpy(soft[feature]))
        # Whether the head sees hard bits alone in training, or sigmoids alone.
        self.hard, self.all_soft = not soft[feature].any(), bool(soft[feature].all())
        self.n_features = sizes.size
        self.theta = nn.Parameter(self._scaled(torch.from_numpy(raw)))
        self.n_columns = raw.size + missing.size
        self._bounds = None
        self.set_column_map(None)

    def forward(self, x):
        outputs, z = self.outputs, None
        if self.training:
            x, z = self.raw_and_scaled(x)
        bits = (outputs.spread(x) > outputs.pick(self.raw_thresholds(), torch.inf)).to(x.dtype)
        if z is not None:
            z, theta = outputs.spread(z), outputs.pick(self.theta, _FLOAT32_MAX)
            if self.hard:
                bits = _HardBits.apply(bits, z, theta, self.temperature)
            else:
                soft = torch.sigmoid((z - theta) / self.temperature)
                if not self.all_soft:
                    bits = _HardBits.apply(bits, z, theta, self.temperature)
                    soft = torch.where(outputs.pick(self.soft, False), soft, bits)
                bits = soft
        bits = bits.flatten(1)
        if outputs.missing_outputs.numel():
            nan = x.isnan().to(x.dtype).index_select(1, outputs.missing_features)
            bits = bits.index_copy(1, outputs.missing_outputs, nan)
        return bits

    def confine(self):
        """Move thresholds that have left the rows back to the outermost ones, in a space that knows these."""
        if hasattr(self.space, "bounds"):
            if self._bounds is None or self._bounds[0].device != self.theta.device:
                self._bounds = self.space.bounds(self.feature)
            self.theta.data.clamp_(*self._bounds)

    def soft_columns(self):
        """Which columns the head sees as sigmoids in training: bool array of shape (T + M,)."""
        return np.append(self.soft.cpu().numpy(), np.zeros(self.missing.numel(), dtype=bool))

    def scaled(self, x):
        """The values that the surrogate compares.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d)
            -inf where missing: such a value has all bits off and moves no threshold.
        """
        return self.space(x).nan_to_num(nan=-torch.inf).contiguous()

    def with_scaled(self, x):
        """Put the scaled values behind the raw ones, once for all steps of a training.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, 2 d)
        """
        return torch.cat([x, torch.cat([self.scaled(part) for part in x.split(_ROWS_AT_ONCE)])], dim=1)

    def raw_and_scaled(self, x):
        """Raw and scaled values.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d) or (n, 2 d)
            Raw values, or what `with_scaled` returned.

        Returns
        -------
        raw, scaled : Tensors of float32 of shape (n, d)
        """
        if x.shape[1] == 2 * self.n_features:
            return x[:, : self.n_features], x[:, self.n_features :]
        return x, self.scaled(x)

    def _scaled(self, raw):
        """Scaled thresholds."""
        if raw.numel() == 0:
            return raw
        # A row with the k-th threshold of every feature at a time.
        place = torch.arange(raw.numel()) - torch.searchsorted(self.feature, self.feature)
        rows = torch.zeros(int(place.max()) + 1, self.n_features)
        rows[place, self.feature] = raw
        return self.space(rows)[place, self.feature]

    def column_thresholds(self):
        """Raw threshold of each column, infinity for the missing bits: float32 of shape (T + M,)."""
        return nn.functional.pad(self.raw_thresholds(), (0, self.missing.numel()), value=torch.inf)

    def column_features(self):
        """Feature of each column, and which columns are missing bits: two arrays of shape (T + M,)."""
        feature = torch.cat([self.feature, self.missing]).cpu().numpy()
        return feature, np.arange(feature.size) >= self.feature.numel()

    def raw_thresholds(self):
        """Thresholds in the units of x, as the bits compare them: float32 of shape (T,)."""
        return self.space.raw(self.theta, self.feature)

    def fold(self):
        """Sort and merge the thresholds; see the base class."""
        feature, raw = self.feature.cpu().numpy(), self.raw_thresholds().cpu().numpy()
        missing = set(self.missing.tolist())
        thresholds, columns = [], np.empty(raw.size + len(missing), dtype=np.int64)
        start, missing_column = 0, raw.size
        for j in range(self.n_features):
            own = feature == j
            merged, position = np.unique(raw[own], return_inverse=True)
            thresholds.append(merged)
            columns[: raw.size][own] = start + position
            start += merged.size
            if j in missing:
                columns[missing_column] = start
                missing_column += 1
                start += 1
        return thresholds, columns


class Thermometer(_BitLayer):
    """The thermometer bits of a codebook, for good: nothing in it is trained.

    Parameters
    ----------
    codebook : Codebook

    Notes
    -----
    Shape: (n, d) float32 to (n, n_columns) float32, the columns of `Codebook.thermometer`; or what `set_column_map`
    chose of these, as a `JointNet` does.

    Examples
    --------
    >>> import torch
    >>> from skbsq import Codebook
    >>> from skbsq.nn import Thermometer
    >>> layer = Thermometer(Codebook.from_thresholds([[0, 1]]))
    >>> layer(torch.tensor([[0.5], [2.0]]))
    tensor([[1., 0.],
            [1., 1.]])
    >>> layer.from_codes(torch.tensor([[1], [2]]))
    tensor([[1., 0.],
            [1., 1.]])
    """

    def __init__(self, codebook: Codebook):
        super().__init__()
        self.n_features = codebook.n_features
        self.n_columns = codebook.n_columns
        # Padded with at least one infinity, which no value exceeds: entry c of a feature has the code c.
        widest = max(t.size for t in codebook.thresholds)
        padded = np.full((codebook.n_features, widest + 1), np.inf, dtype=np.float32)
        for row, t in zip(padded, codebook.thresholds, strict=True):
            row[: t.size] = t
        self.register_buffer("thresholds", torch.from_numpy(padded))
        self.register_buffer(
            "missing_code", torch.from_numpy(np.where(codebook.has_missing, codebook.n_levels - 1, 0)[:, None])
        )
        feature, low, high = torch.from_numpy(codebook.columns.astype(np.int32)).unbind(1)
        self.register_buffer("feature", feature.contiguous())
        self.register_buffer("low", low.contiguous())
        self.register_buffer("high", high.contiguous())
        self.set_column_map(None)
        self.register_buffer("offsets", torch.from_numpy(np.cumsum(codebook.n_levels) - codebook.n_levels))
        self.register_buffer("n_levels", torch.from_numpy(codebook.n_levels.copy()))

    def forward(self, x):
        return self.from_codes(self.encode(x))

    def fold(self):
        """Its own thresholds and columns, as they are."""
        return [row[row < torch.inf].cpu().numpy() for row in self.thresholds], np.arange(self.n_columns)

    def floats(self, codes):
        """Floats that have given codes: a threshold is the largest that does not lie above it.

        Parameters
        ----------
        codes : Tensor of a signed integer type of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d)
            Infinity for the top code of the numbers, NaN for the missing code.
        """
        last = self.thresholds.shape[1] - 1
        floats = self.thresholds.gather(1, codes.T.long().clamp(max=last)).T
        has_missing = self.missing_code.T > 0
        return floats.masked_fill(has_missing & (codes == self.missing_code.T), torch.nan)

    def column_thresholds(self):
        """Threshold of each column, infinity for the missing bits: float32 of shape (n_columns,)."""
        return self.thresholds[self.feature, self.low]

    def column_features(self):
        """Feature of each column, and which columns are missing bits: two arrays of shape (n_columns,)."""
        return self.feature.cpu().numpy(), self.column_thresholds().isinf().cpu().numpy()

    def encode(self, x):
        """Codes of raw floats, equal to those of `Codebook.encode`.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)
            NaN gets the missing code (0 where there is none); it is never refused here.

        Returns
        -------
        Tensor of int32 of shape (n, d)
        """
        columns = x.T.contiguous()
        codes = torch.searchsorted(self.thresholds, columns, out_int32=True)
        return torch.where(columns.isnan(), self.missing_code.int(), codes).T

    def from_codes(self, codes):
        """Thermometer bits of codes.

        Parameters
        ----------
        codes : Tensor of a signed integer type of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, n_outputs)
        """
        code, highest = self.outputs.spread(codes), torch.iinfo(torch.int32).max
        low, high = self.outputs.pick(self.low, highest), self.outputs.pick(self.high, highest)
        return ((code > low) & (code <= high)).flatten(1).float()


class Standardization(nn.Module):
    """Standardized floats: what a head sees at full precision.

    Parameters
    ----------
    mean, scale : ndarray of float64 of shape (d,)
    indicators : bool, default=False
        Replace NaN by 0 and add a column per feature that says so.

    Notes
    -----
    Shape: (n, d) float32 to (n, d) float32, or (n, 2 d) with indicators.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import Standardization
    >>> Standardization(mean=np.array([10.0]), scale=np.array([2.0]))(torch.tensor([[14.0]]))
    tensor([[2.]])
    """

    def __init__(self, *, mean, scale, indicators=False):
        super().__init__()
        self.indicators = indicators
        self.space = StandardSpace(mean=mean, scale=scale)

    def forward(self, x):
        z = self.space(x)
        if self.indicators:
            z = torch.cat([z.nan_to_num(nan=0.0), x.isnan().to(x.dtype)], dim=1)
        return z
