"""Bits and the linear layer behind them as a table, without computing the bits.

The thermometer bits of a feature are ones up to its code. A linear layer adds the weights of these ones, so its output
is a running sum of weights, selected by the code. Of the bits of a one-hot feature only that of its code is a one.
Outside of training a table of these sums replaces the product with the bits, whose cost would grow with rows times
thresholds.
"""

from itertools import chain, pairwise, product

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Maximum padding, as a fraction of the table, that is accepted to merge groups of features.
_MAX_PADDING = 0.2


class TableLayout(nn.Module):
    """Positions of the inputs of a linear layer in its table.

    The first row of the table is zero. Then every feature has a row per number of its inputs that are on, padded to a
    power of two, with features of the same size side by side. Then there is a row per feature with a missing bit. The
    last row is the bias.

    Parameters
    ----------
    quantization : BitwiseQuantization or Thermometer
    column_map : ndarray of int64 of shape (n_inputs,), default=None
        Column that each input reads, -1 for none; see `skbsq.nn.JointNet`. None: the columns in order.

    Attributes
    ----------
    n_rows : int
        Number of rows of the table.
    """

    def __init__(self, quantization, column_map=None):
        super().__init__()
        feature, missing = quantization.column_features()
        column_map = np.arange(feature.size) if column_map is None else column_map
        self.n_columns = feature.size
        inputs: list[list[int]] = [[] for _ in range(quantization.n_features)]
        missing_inputs: dict[int, list[int]] = {}
        for i, column in enumerate(column_map.tolist()):
            if column >= 0:
                j = feature[column]
                of_feature = missing_inputs.setdefault(j, []) if missing[column] else inputs[j]
                of_feature.append(i)

        self.groups = nn.ModuleList()
        self.n_rows = 1
        sizes, one_hot = _padded_sizes([len(of_feature) for of_feature in inputs]), quantization.one_hot.cpu().numpy()
        for size, alone in product(np.unique(sizes[sizes > 1]).tolist(), (False, True)):
            features = np.flatnonzero((sizes == size) & (one_hot == alone))
            if not features.size:
                continue
            slots = np.full((features.size, size), column_map.size)
            for row, j in zip(slots, features.tolist(), strict=True):
                row[1 : 1 + len(inputs[j])] = inputs[j]
            columns = np.append(column_map, self.n_columns)[slots]
            self.groups.append(_Group(features, slots, columns, self.n_rows, alone))
            self.n_rows += slots.size
        missing_row = np.zeros(quantization.n_features, dtype=np.int64)
        row_of_input = np.zeros(column_map.size + 1, dtype=np.int64)
        for j, of_feature in missing_inputs.items():
            missing_row[j] = row_of_input[of_feature] = self.n_rows
            self.n_rows += 1
        self.bias_row = self.n_rows
        self.n_rows += 1
        _add_buffers(
            self,
            missing_row=missing_row,
            missing_inputs=np.array([*chain.from_iterable(missing_inputs.values())], dtype=np.int64),
            row_of_input=row_of_input,
        )

    def parts(self, quantization, weight):
        """Return the groups with their slots sorted by threshold.

        Parameters
        ----------
        quantization : BitwiseQuantization or Thermometer
        weight : Tensor of shape (units, n_inputs)

        Returns
        -------
        list of _Part
        """
        thresholds = F.pad(quantization.column_thresholds(), (0, 1), value=torch.inf)
        return [_Part(group, thresholds, weight) for group in self.groups]


def _padded_sizes(n_inputs):
    """Return the number of slots of each feature: a power of two above its number of inputs, or 1 without inputs.

    Features of the same size are processed together, so a size grows to the next one if that adds little padding.
    """
    sizes = np.array([1 << n.bit_length() for n in n_inputs])
    for size, larger in pairwise(np.unique(sizes[sizes > 1]).tolist()):
        if np.count_nonzero(sizes == size) * (larger - size) <= sizes.sum() * _MAX_PADDING:
            sizes[sizes == size] = larger
    return sizes


class _Group(nn.Module):
    """Features with the same number M of rows in the table, from row `start` on.

    Parameters
    ----------
    features : ndarray of int of shape (f,)
    slots : ndarray of int of shape (f, M)
        Input in each slot. The first slot of a feature and slots without an input contain the number of inputs.
    columns : ndarray of int of shape (f, M)
        Column that the input in each slot reads. Slots without an input contain the number of columns.
    start : int
    one_hot : bool
        Whether a code has the weight of its own input alone.
    """

    def __init__(self, features, slots, columns, start, one_hot):
        super().__init__()
        self.one_hot = one_hot
        self.rows = slice(start, start + slots.size)
        first = start + slots.shape[1] * np.arange(features.size)
        _add_buffers(self, features=features, slots=slots, columns=columns, first=first[:, None])


def _add_buffers(module, **arrays):
    for name, array in arrays.items():
        module.register_buffer(name, torch.from_numpy(array), persistent=False)


class _Part:
    """A group with its slots sorted by threshold, and their weights."""

    def __init__(self, group, thresholds, weight):
        # A stable order: equal thresholds are always summed in the same order. Slots without an input have the
        # threshold infinity, which no value exceeds.
        self.thresholds, order = thresholds[group.columns[:, 1:]].sort(dim=1, stable=True)
        order = F.pad(order + 1, (1, 0))
        self.group = group
        self.slots, self.columns = group.slots.gather(1, order), group.columns.gather(1, order)
        weights = weight.T.index_select(0, self.slots.flatten().clamp(max=weight.shape[1] - 1))
        self.weights = weights.view(*self.slots.shape, -1)
        self.weights[:, 0] = 0

    def view(self, table):
        """Return the rows of this group from a tensor with the rows of the table: (f, M, units)."""
        return table[self.group.rows].view_as(self.weights)


def fill_table(layout, parts, weight, bias):
    """Compute the table of a linear layer: the sum of a feature's weights for every code, and the bias.

    Parameters
    ----------
    layout : TableLayout
    parts : list of _Part
    weight : Tensor of shape (units, n_inputs)
    bias : Tensor of shape (units,), or None

    Returns
    -------
    Tensor of shape (n_rows, units)
    """
    table = weight.new_empty(layout.n_rows, weight.shape[0])
    table[0] = 0
    table[layout.bias_row] = 0 if bias is None else bias
    for part in parts:
        if part.group.one_hot:
            part.view(table).copy_(part.weights)
        else:
            running_sums(part.weights, out=part.view(table))
    inputs = layout.missing_inputs
    table[layout.missing_row[layout.missing_row > 0]] = 0
    return table.index_add_(0, layout.row_of_input[inputs], weight.T[inputs])


def table_rows(layout, parts, x):
    """Return the row of the table for each raw value: int64 of shape (n, d)."""
    index = torch.zeros(x.shape, dtype=torch.int64)
    for part in parts:
        # searchsorted counts the thresholds below x, which is the strict comparison x > t.
        codes = torch.searchsorted(part.thresholds, x.T[part.group.features].contiguous())
        index[:, part.group.features] = (codes + part.group.first).T
    return torch.where(x.isnan(), layout.missing_row, index)


def sum_rows(table, index, bias_row):
    """Sum the bias and the rows of a table that each row of an index points to, in this order."""
    return F.embedding_bag(F.pad(index, (1, 0), value=bias_row), table, mode="sum")


def code_table(quantization, linear, layout):
    """Compute the contribution of each code to the units of a linear layer, and the bias.

    Parameters
    ----------
    quantization : Thermometer
    linear : nn.Linear
    layout : TableLayout

    Returns
    -------
    Tensor of shape (total levels + 1, units)
        The levels of feature j are in the rows from ``quantization.offsets[j]`` on, the bias in the last row.
    """
    parts = layout.parts(quantization, linear.weight)
    # A threshold has the same code as the values just above the threshold before it. Infinity has the top code.
    regular = table_rows(layout, parts, quantization.thresholds.T.contiguous())
    n_regular = quantization.thresholds.isfinite().sum(1) + 1
    # torch.repeat_interleave would start threads, however few rows there are.
    feature = torch.from_numpy(np.repeat(np.arange(len(n_regular)), quantization.n_levels.numpy()))
    code = torch.arange(len(feature)) - quantization.offsets[feature]
    is_regular = code < n_regular[feature]
    rows = torch.where(is_regular, regular[torch.where(is_regular, code, 0), feature], layout.missing_row[feature])
    return fill_table(layout, parts, linear.weight, linear.bias)[F.pad(rows, (0, 1), value=layout.bias_row)]


def table_linear(x, quantization, linear, layout):
    """Compute ``linear(quantization(x))`` up to rounding, without the bits.

    On the CPU, and without gradients.

    Parameters
    ----------
    x : Tensor of float32 of shape (n, d)
    quantization : BitwiseQuantization or Thermometer
        The layer in evaluation mode.
    linear : nn.Linear
    layout : TableLayout

    Returns
    -------
    Tensor of shape (n, units)
    """
    weight, bias = linear.weight, linear.bias
    parts = layout.parts(quantization, weight)
    return sum_rows(fill_table(layout, parts, weight, bias), table_rows(layout, parts, x), layout.bias_row)


def running_sums(rows, out):
    """Compute inclusive running sums over the slots of each feature.

    First within blocks of about the square root of the number of slots, then over the blocks: so there are few calls,
    and each processes many features.

    Parameters
    ----------
    rows : Tensor of shape (f, M, units)
        M is a power of two.
    out : Tensor of the same shape
        The result; may be `rows`.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.table import running_sums
    >>> rows = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    >>> running_sums(rows, out=rows)
    >>> rows.flatten()
    tensor([ 1.,  3.,  6., 10.])
    """
    f, n_slots, units = rows.shape
    length = 1 << (n_slots.bit_length() // 2)
    rows, out = (tensor.view(f, -1, length, units) for tensor in (rows, out))
    terms, places, blocks = rows.unbind(2), out.unbind(2), out.unbind(1)
    places[0].copy_(terms[0])
    for (before, here), term in zip(pairwise(places), terms[1:], strict=True):
        torch.add(before, term, out=here)
    for before, here in pairwise(blocks):
        here += before[:, -1, None]
