"""A quantization layer and the head behind it, as one net."""

import torch
from torch import nn

from skbsq.nn.levels import LevelLinear
from skbsq.nn.table import TableLayout, code_table, sum_rows, table_linear
from skbsq.nn.threads import serial_after_fork


class JointNet(nn.Module):
    """A quantization layer and the head behind it.

    Parameters
    ----------
    quantization : nn.Module
        (n, d) raw floats to (n, columns).
    head : nn.Module
        (n, n_inputs) to (n, n_outputs).
    column_map : ndarray of int64 of shape (n_inputs,), default=None
        Input i of the head is column ``column_map[i]`` of the quantization layer; -1 is a column of zeros, for
        inputs that no threshold feeds. None: the columns in order.

    Notes
    -----
    Shape: (n, d) float32 to (n, n_outputs) float32.

    Because the head reads through the map, sorting and merging thresholds changes the map alone: the head's
    weights stay, and its output is equal to the last bit.

    Where the head begins with a linear layer, on the CPU and without gradients, bits and layer are one table in
    evaluation mode, see `skbsq.nn.table`. It makes no difference beyond rounding.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq import Codebook
    >>> from skbsq.nn import JointNet, Thermometer
    >>> layer = Thermometer(Codebook.from_thresholds([[0, 1]]))
    >>> net = JointNet(layer, torch.nn.Identity(), column_map=np.array([1, 0, -1]))
    >>> net(torch.tensor([[0.5]]))
    tensor([[0., 1., 0.]])
    """

    def __init__(self, quantization, head, *, column_map=None):
        super().__init__()
        self.quantization = quantization
        self.head = head
        self._set_column_map(column_map)

    def forward(self, x):
        linear = None if self.training or torch.is_grad_enabled() else self._tabulated(x.device)
        if linear is None:
            return self.head(self.quantization(x))
        hidden = table_linear(x, self.quantization, linear, self.layout)
        for module in self._after_first():
            hidden = module(hidden)
        return hidden

    def from_codes(self, codes):
        """The output for codes instead of floats, once the net is folded.

        Parameters
        ----------
        codes : Tensor of an integer type of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, n_outputs)
        """
        return self.decoder(codes.device)(codes)

    def decoder(self, device="cpu"):
        """What `from_codes` does, as a function for many calls with the same weights.

        Parameters
        ----------
        device : torch.device or str, default="cpu"
            Of the codes.

        Returns
        -------
        nn.Module
            From a Tensor of an integer type of shape (n, d) to one of float32 of shape (n, n_outputs).
        """
        linear = self._tabulated(device)
        if linear is None:
            return _Decoder(self)
        if torch.is_grad_enabled():
            return _FloatDecoder(self)
        return self._table_decoder(linear)

    def freeze(self, codebook, folded):
        """Put a codebook in the place of the layer that learned it; the output of the head stays equal.

        Parameters
        ----------
        codebook : Codebook
            Of the thresholds that the ``fold()`` of the layer gave.
        folded : object
            What it gave beside them.
        """
        column_map = None if self.column_map is None else self.column_map.numpy()
        self.quantization, column_map = self.quantization.frozen(codebook, folded, column_map)
        self._set_column_map(column_map)

    def first_table(self):
        """What the first layer of the head makes of codes, as a table, and the layers behind it.

        Returns
        -------
        (Tensor of shape (total levels + 1, units), list of nn.Module) or None
            The levels of feature j are in the rows from ``quantization.offsets[j]`` on, the bias in the last one. None
            where the head does not begin with a linear layer, or reads no bits.
        """
        linear = self._tabulated()
        if linear is None:
            return None
        with torch.no_grad(), serial_after_fork():
            return self._table_decoder(linear).table, self._after_first()

    def row_floats(self, device="cpu"):
        """Floats that the widest step for one row takes, to know how many rows to run at once.

        Parameters
        ----------
        device : torch.device or str, default="cpu"
            Where it is taken: on the CPU there may be a table in place of bits.

        Returns
        -------
        int
        """
        widths = [module.out_features for module in self.head.modules() if isinstance(module, nn.Linear)]
        if self._tabulated(device) is None:
            widths.append(0 if self.column_map is None else self.column_map.numel())
            widths.append(getattr(self.quantization, "n_columns", 0))
        return max(widths, default=0)

    def __getstate__(self):
        # The table is made anew from the weights.
        return {**self.__dict__, "_cached": None}

    def _set_column_map(self, column_map):
        self.register_buffer("column_map", None if column_map is None else torch.from_numpy(column_map))
        self.layout = None
        if hasattr(self.quantization, "set_column_map"):
            self.quantization.set_column_map(column_map)
            self.layout = TableLayout(self.quantization, column_map)
        elif column_map is not None:
            raise ValueError(f"{type(self.quantization).__name__} takes no column_map: its outputs come in one order.")
        self._cached = None

    def _tabulated(self, device="cpu"):
        """The linear layer that the head begins with, if it and the bits can be a table there; else None."""
        if self.layout is None or torch.device(device).type != "cpu":
            return None
        return _first_linear(self.head)

    def _table_decoder(self, linear):
        """The table of the codes and what follows; made anew where the layer is not what it was made of, in full."""
        now, layers = [parameter.detach() for parameter in linear.parameters()], self._after_first()
        if self._cached is None or not all(map(_equal, now, self._cached[0])) or [*self._cached[1].layers] != layers:
            table = code_table(self.quantization, linear, self.layout)
            decoder = _TableDecoder(table, self.quantization.offsets, layers)
            self._cached = [parameter.clone() for parameter in now], decoder
        return self._cached[1]

    def _after_first(self):
        """The layers of the head but its first one."""
        return list(self.head)[1:] if isinstance(self.head, nn.Sequential) else []


class _Decoder(nn.Module):
    """Outputs of a net for codes, by its layer and its head."""

    def __init__(self, net):
        super().__init__()
        self.quantization, self.head = net.quantization, net.head

    def forward(self, codes):
        return self.head(self.quantization.from_codes(codes))


class _FloatDecoder(nn.Module):
    """Outputs of a net for codes, by floats that have them: gradients reach the weights, as by no finished table."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, codes):
        return self.net(self.net.quantization.floats(codes))


class _TableDecoder(nn.Module):
    """Outputs of a net for codes, by the table that its layer and the first layer of its head make."""

    def __init__(self, table, offsets, layers):
        super().__init__()
        self.table, self.offsets, self.layers = table, offsets, nn.ModuleList(layers)

    def forward(self, codes):
        hidden = sum_rows(self.table, codes + self.offsets, len(self.table) - 1)
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


def _first_linear(head):
    """The linear layer that a head begins with, if calling it is all that the head does with its input; else None."""
    if type(head).forward is nn.Sequential.forward and len(head) and not has_hooks(head):
        head = head[0]
    return head if type(head) in (nn.Linear, LevelLinear) and not has_hooks(head) else None


def has_hooks(module):
    hooks = module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks
    return any(hooks)


def _equal(one, other):
    return one.shape == other.shape and torch.equal(one, other)
