"""Quantization layers: they take raw floats and return what the head reads."""

import numpy as np
import torch
from torch import nn

from skbsq.codebook.codebook import Codebook
from skbsq.codebook.floats import FLOAT32_MAX
from skbsq.nn.space import StandardSpace

FORWARDS = ("auto", "hard", "soft")
# "auto" means "hard" for features with more thresholds.
_MAX_SOFT_THRESHOLDS = 7
_ROWS_PER_BLOCK = 2**16
_MAX_TEMPERATURES = 60.0
# Scaled thresholds further away are moved here, where differences and multiples are still finite.
_FARTHEST = 1e30


class _HardBits(torch.autograd.Function):
    """Return hard bits; their gradient is that of sigmoid((z - theta) / temperature) with respect to theta."""

    @staticmethod
    def forward(ctx, bits, z, theta, temperature):
        ctx.save_for_backward(z, theta)
        ctx.temperature = temperature
        return bits

    @staticmethod
    def backward(ctx, grad):
        z, theta = ctx.saved_tensors
        # At this distance, in temperatures, the slope is already negligible. Beyond it lie subnormals, which are slow.
        z = (z - theta).mul_(1 / ctx.temperature).clamp_(-_MAX_TEMPERATURES, _MAX_TEMPERATURES)
        soft = z.sigmoid_()
        slopes = torch.ops.aten.sigmoid_backward.grad_input(grad, soft, grad_input=soft)
        return None, None, slopes.sum(0) / -ctx.temperature, None


class ColumnMap(nn.Module):
    """Assign a column of a quantization layer to each of its outputs.

    Parameters
    ----------
    feature : ndarray of int of shape (C,)
        Feature of each of the C columns.
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
        missing_outputs = np.flatnonzero(np.append(missing, False)[columns])
        # If all features have equally many outputs, side by side, values are broadcast instead of copied.
        self.block = columns.size // n_features
        in_blocks = np.repeat(np.arange(n_features), self.block)
        if in_blocks.size != columns.size or (of_output != in_blocks)[columns >= 0].any():
            self.block = 0
        buffers = {
            "columns": np.where(columns < 0, feature.size, columns),
            "feature": of_output,
            "missing_outputs": missing_outputs,
            "missing_features": of_output[missing_outputs],
        }
        for name, array in buffers.items():
            self.register_buffer(name, torch.from_numpy(array.astype(np.int64)), persistent=False)
        self.n_columns = feature.size

    def spread(self, values):
        """Repeat the value of each feature for its outputs: (n, d) to (n, d, 1), or to (n, n_outputs)."""
        return values.unsqueeze(2) if self.block else values.index_select(1, self.feature)

    def pick(self, by_column, fill):
        """Select the value of each output's column, in the shape of `spread`; `fill` where there is no column."""
        padded = nn.functional.pad(by_column, (0, self.n_columns + 1 - by_column.numel()), value=fill)
        picked = padded.index_select(0, self.columns)
        return picked.view(-1, self.block) if self.block else picked


class _BitLayer(nn.Module):
    """A layer whose outputs are bits, each of which shows a column of the layer.

    The bits of a feature are a thermometer: a bit is on above its threshold. If the feature is one-hot, a bit is on
    between its threshold and the next one.
    """

    def set_column_map(self, column_map):
        """Choose the column that each output shows.

        Parameters
        ----------
        column_map : ndarray of int64 of shape (n_outputs,), or None
            Column of each output, -1 for an output of zeros. None: the columns in order.
        """
        feature, missing = self.column_features()
        self.outputs = ColumnMap(feature, missing, self.n_features, column_map)
        one_hot = self.one_hot.cpu().numpy()
        followed = np.append(feature[1:] == feature[:-1], False) & ~np.append(missing[1:], True)
        goes_off = followed[: feature.size] & one_hot[feature]
        self.has_one_hot = bool(goes_off.any())
        self.register_buffer("goes_off", torch.from_numpy(goes_off), persistent=False)

    def fold(self, placed=None):
        """Sort and merge the thresholds, and find the new position of each column.

        Parameters
        ----------
        placed : callable, default=None
            ``placed(j, thresholds)`` moves the thresholds of feature j first. Infinity stands for a bit that is never
            on.

        Returns
        -------
        thresholds : list of d ndarrays of float32
            Sorted and merged.
        columns : ndarray of int64 of shape (n_columns,)
            Column c of this layer equals column ``columns[c]`` of the thermometer of these thresholds; -1 for a bit
            that is never on.
        """
        feature, missing = self.column_features()
        raw = self.column_thresholds().cpu().numpy()
        thresholds, columns, n_columns = [], np.empty(raw.size, dtype=np.int64), 0
        for j in range(self.n_features):
            bits, missing_bit = (feature == j) & ~missing, (feature == j) & missing
            merged, position = np.unique(raw[bits] if placed is None else placed(j, raw[bits]), return_inverse=True)
            thresholds.append(merged[merged < np.inf])
            columns[bits] = np.where(position < thresholds[-1].size, n_columns + position, -1)
            columns[missing_bit] = n_columns + thresholds[-1].size  # it comes last
            n_columns += thresholds[-1].size + np.count_nonzero(missing_bit)
        return thresholds, columns

    def frozen(self, codebook, columns, column_map):
        """Return the thermometer of a codebook that replaces this layer.

        Parameters
        ----------
        codebook : Codebook
            Made from the thresholds that `fold` returned. Guard thresholds may be among its thresholds, which no output
            shows: guard codes have the bits of the codes next to them.
        columns : ndarray of int64 of shape (n_columns,)
            As returned by `fold`.
        column_map : ndarray of int64 of shape (n_outputs,), or None
            Column of this layer that each output shows.

        Returns
        -------
        layer : Thermometer
        column_map : ndarray of int64 of shape (n_outputs,)
            Column of the thermometer that each output has to show, so that the bits stay the same.
        """
        if codebook.has_guard.any():
            columns = columns_among(codebook, self.fold()[0])[columns]
        return Thermometer(codebook), columns if column_map is None else np.append(columns, -1)[column_map]

    def ends(self):
        """Return the threshold where the bit of each column goes off again, infinity if nowhere: (n_columns,)."""
        thresholds = self.column_thresholds()
        return torch.where(self.goes_off, thresholds.roll(-1), torch.inf)


class BitwiseQuantization(_BitLayer):
    """Compute bits with trainable thresholds: bitwise soft quantization.

    A bit is on if the raw value is above the raw threshold. Both are compared in float32, as a device does.
    Training learns the thresholds in a scaled space, through a sigmoid of the given temperature.

    Parameters
    ----------
    thresholds : list of d 1-d arrays
        Initial thresholds, in the units of x.
    space : StandardSpace or RankSpace
        Scale on which the thresholds are optimised.
    has_missing : ndarray of bool of shape (d,), default=None
        Features with a bit for NaN. None: none.
    forward : {"auto", "hard", "soft"}, default="auto"
        What the head reads in training. "hard": the bits that it reads at test time, with the gradient of the sigmoid.
        "soft": the sigmoids, as in the paper. "auto": "soft" for features with up to 7 thresholds, "hard" for
        the others. In evaluation mode the head always reads the bits.
    fixed : ndarray of bool of shape (T,), default=None
        Thresholds that stay exactly where they are, and whose bits are always hard. None: none.
    one_hot : ndarray of bool of shape (d,), default=None
        Features, with fixed thresholds alone, of which each bit is on between its threshold and the next. None: none.

    Attributes
    ----------
    theta : Parameter of shape (T,)
        The thresholds of all features, in the scaled space.
    temperature : float
        Width of the sigmoid. Its initial value is 1.

    Raises
    ------
    ValueError
        If `forward` is unknown.

    See Also
    --------
    Thermometer : The bits of a finished codebook.
    SoftQuantization : One value per feature instead of bits.

    Notes
    -----
    Shape: (n, d) float32 to (n, T + M) float32, for n rows, d features, T thresholds and M missing bits. There is a
    column per threshold, feature by feature, and then one per missing bit. `set_column_map`, which `JointNet` calls,
    chooses other outputs from these columns.

    arXiv 2603.05172, Section 3.
    NOTE[DIFF]: the paper trains on the sigmoids alone ("soft"). Such a head reads hard bits for the first time at test
    time. The gradient of a hard bit, however, assumes that the loss is linear across the bit. With few thresholds each
    bit changes the output a lot, so this gradient is biased and thresholds drift. Hence "auto".
    NOTE[DIFF]: the paper compares standardized values, which a device does not have. Here the bits
    compare raw float32 values with raw float32 thresholds, in training too.
    NOTE[DIFF]: in the space of ranks, thresholds are kept among the rows. A threshold outside them would be useless,
    and no gradient would bring it back.

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

    def __init__(self, thresholds, *, space, has_missing=None, forward="auto", fixed=None, one_hot=None):
        if forward not in FORWARDS:
            raise ValueError(f"forward must be one of {list(FORWARDS)}, got {forward!r}.")
        super().__init__()
        self.space = space
        self.temperature = 1.0
        sizes = np.array([len(t) for t in thresholds])
        feature = np.repeat(np.arange(sizes.size), sizes)
        raw = np.concatenate([np.asarray(t, dtype=np.float32) for t in thresholds])
        soft = np.full(sizes.size, forward == "soft") if forward != "auto" else sizes <= _MAX_SOFT_THRESHOLDS
        fixed = np.zeros(raw.size, dtype=bool) if fixed is None else np.asarray(fixed)
        one_hot = np.zeros(sizes.size, dtype=bool) if one_hot is None else one_hot
        soft = soft[feature] & ~fixed
        missing = np.flatnonzero(np.zeros(sizes.size) if has_missing is None else has_missing)
        self.register_buffer("feature", torch.from_numpy(feature))
        self.register_buffer("missing", torch.from_numpy(missing))
        self.register_buffer("soft", torch.from_numpy(soft))
        # Whether the head reads only hard bits in training, or only sigmoids.
        self.hard, self.all_soft = not soft.any(), bool(soft.all())
        self.n_features = sizes.size
        self.theta = nn.Parameter(self._scaled(torch.from_numpy(raw)).clamp(-_FARTHEST, _FARTHEST))
        self.n_columns = raw.size + missing.size
        self.register_buffer("one_hot", torch.from_numpy(one_hot))
        lowest, highest = space.bounds(self.feature) if hasattr(space, "bounds") else (None, None)
        given = None
        if fixed.any():
            stays, theta = torch.from_numpy(fixed), self.theta.detach()
            # The way back from the scaled space rounds.
            given = torch.where(stays, torch.from_numpy(raw), torch.nan)
            lowest = torch.where(stays, theta, -torch.inf if lowest is None else lowest)
            highest = torch.where(stays, theta, torch.inf if highest is None else highest)
        self.register_buffer("lowest", lowest, persistent=False)
        self.register_buffer("highest", highest, persistent=False)
        self.register_buffer("given", given, persistent=False)
        self.set_column_map(None)

    def forward(self, x):
        outputs, z = self.outputs, None
        if self.training:
            x, z = self.raw_and_scaled(x)
        bits = (outputs.spread(x) > outputs.pick(self.raw_thresholds(), torch.inf)).to(x.dtype)
        if self.has_one_hot:
            bits *= outputs.spread(x) <= outputs.pick(self.ends(), torch.inf)
        if z is not None:
            bits = self._with_gradients(bits, outputs.spread(z), outputs.pick(self.theta, float(FLOAT32_MAX)))
        bits = bits.flatten(1)
        if outputs.missing_outputs.numel():
            nan = x.isnan().to(x.dtype).index_select(1, outputs.missing_features)
            bits = bits.index_copy(1, outputs.missing_outputs, nan)
        return bits

    def _with_gradients(self, bits, z, theta):
        """Return what the head reads in training: hard bits, sigmoids, or both kinds."""
        if self.hard:
            return _HardBits.apply(bits, z, theta, self.temperature)
        soft = torch.sigmoid((z - theta) / self.temperature)
        if self.all_soft:
            return soft
        bits = _HardBits.apply(bits, z, theta, self.temperature)
        return torch.where(self.outputs.pick(self.soft, False), soft, bits)

    def confine(self):
        """Move thresholds that left the rows back to the outermost rows, if the space knows where these are."""
        if self.lowest is not None:
            self.theta.data.clamp_(self.lowest, self.highest)

    def soft_columns(self):
        """Return which columns the head reads as sigmoids in training: bool array of shape (T + M,)."""
        return np.append(self.soft.cpu().numpy(), np.zeros(self.missing.numel(), dtype=bool))

    def scaled(self, x):
        """Scale values for the comparison with `theta`.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, d)
            -inf for NaN: such a value has all bits off and moves no threshold.
        """
        return self.space(x).nan_to_num(nan=-torch.inf).contiguous()

    def with_scaled(self, x):
        """Append the scaled values to the raw ones, once for all steps of a training.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, 2 d)
        """
        return torch.cat([x, torch.cat([self.scaled(part) for part in x.split(_ROWS_PER_BLOCK)])], dim=1)

    def raw_and_scaled(self, x):
        """Return raw and scaled values.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d) or (n, 2 d)
            Raw values, or the result of `with_scaled`.

        Returns
        -------
        raw, scaled : Tensors of float32 of shape (n, d)
        """
        if x.shape[1] == 2 * self.n_features:
            return x[:, : self.n_features], x[:, self.n_features :]
        return x, self.scaled(x)

    def _scaled(self, raw):
        """Scale thresholds."""
        if raw.numel() == 0:
            return raw
        # The space takes rows: row k holds the k-th threshold of every feature.
        place = torch.arange(raw.numel()) - torch.searchsorted(self.feature, self.feature)
        rows = torch.zeros(int(place.max()) + 1, self.n_features)
        rows[place, self.feature] = raw
        return self.space(rows)[place, self.feature]

    def column_thresholds(self):
        """Return the raw threshold of each column, infinity for missing bits: float32 of shape (T + M,)."""
        return nn.functional.pad(self.raw_thresholds(), (0, self.missing.numel()), value=torch.inf)

    def column_features(self):
        """Return the feature of each column, and which columns are missing bits: two arrays of shape (T + M,)."""
        feature = torch.cat([self.feature, self.missing]).cpu().numpy()
        return feature, np.arange(feature.size) >= self.feature.numel()

    def raw_thresholds(self):
        """Return the thresholds in the units of x, as the bits compare them: float32 of shape (T,)."""
        raw = self.space.raw(self.theta, self.feature)
        return raw if self.given is None else torch.where(self.given.isnan(), raw, self.given)


class Thermometer(_BitLayer):
    """Compute the thermometer bits of a codebook. The layer has nothing to train.

    Parameters
    ----------
    codebook : Codebook

    See Also
    --------
    BitwiseQuantization : Bits with trainable thresholds.
    CodeValues : One value per feature instead of bits.

    Notes
    -----
    Shape: (n, d) float32 to (n, n_columns) float32, for n rows and d features, with the columns of
    `Codebook.thermometer`. Numbers stand for categories. `set_column_map`, which `JointNet` calls, chooses other
    outputs from these columns.

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
        missing_code = np.where(codebook.has_missing, codebook.n_levels - 1, 0)
        self.register_buffer("missing_code", torch.from_numpy(missing_code[:, None]))
        self.register_buffer("one_hot", torch.from_numpy(codebook.is_one_hot.copy()))
        feature, low, high = torch.from_numpy(codebook.columns.astype(np.int32)).unbind(1)
        self.register_buffer("feature", feature.contiguous())
        self.register_buffer("low", low.contiguous())
        self.register_buffer("high", high.contiguous())
        self.set_column_map(None)
        self.register_buffer("offsets", torch.from_numpy(np.cumsum(codebook.n_levels) - codebook.n_levels))
        self.register_buffer("n_levels", torch.from_numpy(codebook.n_levels.copy()))

    def forward(self, x):
        return self.from_codes(self.encode(x))

    def floats(self, codes):
        """Return floats that have given codes: a threshold is the largest float that it is not below.

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
        """Return the threshold of each column, infinity for missing bits: float32 of shape (n_columns,)."""
        return self.thresholds[self.feature, self.low]

    def column_features(self):
        """Return the feature of each column, and which columns are missing bits: two arrays of shape (n_columns,)."""
        return self.feature.cpu().numpy(), self.column_thresholds().isinf().cpu().numpy()

    def encode(self, x):
        """Encode raw floats as the codes that `Codebook.encode` gives.

        Parameters
        ----------
        x : Tensor of float32 of shape (n, d)
            NaN gets the missing code, or 0 for a feature without one. It is never rejected here.

        Returns
        -------
        Tensor of int32 of shape (n, d)
        """
        columns = x.T.contiguous()
        codes = torch.searchsorted(self.thresholds, columns, out_int32=True)
        return torch.where(columns.isnan(), self.missing_code.int(), codes).T

    def from_codes(self, codes):
        """Return the thermometer bits of codes.

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


def columns_among(codebook, thresholds):
    """Find the thermometer columns of some of the thresholds of a codebook.

    Parameters
    ----------
    codebook : Codebook
    thresholds : list of d ndarrays of float32
        Some of the thresholds of each feature.

    Returns
    -------
    ndarray of int64
        Feature by feature the columns of the thresholds, and the missing column where there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from skbsq import Codebook
    >>> from skbsq.nn.layers import columns_among
    >>> columns_among(Codebook.from_thresholds([[1, 2], [5]], missing="code"), [np.float32([2]), np.float32([5])])
    array([1, 2, 3, 4])
    """
    found, start = [], 0
    for all_thresholds, some, has_missing in zip(codebook.thresholds, thresholds, codebook.has_missing, strict=True):
        found.append(start + np.searchsorted(all_thresholds, some))
        start += all_thresholds.size
        if has_missing:
            found.append([start])
            start += 1
    return np.concatenate(found).astype(np.int64)


class Standardization(nn.Module):
    """Standardize floats: what a head reads at full precision.

    Parameters
    ----------
    mean, scale : ndarray of float64 of shape (d,)
    indicators : bool or ndarray of bool of shape (d,), default=False
        Features in which NaN is replaced by 0 and shown by a further column, which is 1 for NaN.

    Notes
    -----
    Shape: (n, d) float32 to (n, d + M) float32, for n rows, d features and M indicators: the values, and then the
    indicators.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import Standardization
    >>> Standardization(mean=np.array([10.0]), scale=np.array([2.0]))(torch.tensor([[14.0]]))
    tensor([[2.]])
    """

    def __init__(self, *, mean, scale, indicators=False):
        super().__init__()
        missing = np.flatnonzero(np.broadcast_to(indicators, len(mean)))
        self.register_buffer("missing", torch.from_numpy(missing))
        self.space = StandardSpace(mean=mean, scale=scale)
        self.n_columns = len(mean) + missing.size

    def forward(self, x):
        z = self.space(x)
        if self.missing.numel():
            z = z.index_copy(1, self.missing, z.index_select(1, self.missing).nan_to_num(nan=0.0))
            z = torch.cat([z, x.index_select(1, self.missing).isnan().to(x.dtype)], dim=1)
        return z
