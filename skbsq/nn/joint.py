"""A quantization layer and the head behind it, as one net."""

import torch
from torch import nn

from skbsq.nn.levels import LevelLinear
from skbsq.nn.table import TableLayout, code_table, sum_rows, table_linear
from skbsq.nn.threads import serial_after_fork


class JointNet(nn.Module):
    """Combine a quantization layer and the head behind it.

    Parameters
    ----------
    quantization : nn.Module
        (n, d) raw floats to (n, columns).
    head : nn.Module
        (n, n_inputs) to (n, n_outputs).
    column_map : ndarray of int64 of shape (n_inputs,), default=None
        Input i of the head is column ``column_map[i]`` of the quantization layer; -1 is a column of zeros, for
        inputs without a threshold. None: the columns in order.

    Raises
    ------
    ValueError
        If there is a `column_map`, and the order of the layer's outputs is fixed.

    Notes
    -----
    Shape: (n, d) float32 to (n, n_outputs) float32, for n rows and d features.

    Because the head reads through the map, sorting and merging thresholds changes only the map. The weights of the
    head stay, and its output is equal to the last bit.

    In evaluation mode, on the CPU and without gradients, bits and the first layer are replaced by a table, see
    `skbsq.nn.table`. This needs a head that begins with a linear layer, and differs only by rounding.

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
        output = table_linear(x, self.quantization, linear, self.layout)
        for layer in self._behind_first():
            output = layer(output)
        return output

    def from_codes(self, codes):
        """Return the output for codes instead of floats, once the net is frozen.

        Parameters
        ----------
        codes : Tensor of an integer type of shape (n, d)

        Returns
        -------
        Tensor of float32 of shape (n, n_outputs)
        """
        return self.decoder(codes.device)(codes)

    def decoder(self, device="cpu"):
        """Return `from_codes` as a module, for many calls with the same weights.

        Parameters
        ----------
        device : torch.device or str, default="cpu"
            Device of the codes.

        Returns
        -------
        nn.Module
            From a Tensor of an integer type of shape (n, d) to one of float32 of shape (n, n_outputs).
        """
        linear = self._tabulated(device)
        # Gradients cannot reach the weights through a finished table.
        return _Decoder(self) if linear is None or torch.is_grad_enabled() else self._table_decoder(linear)

    def freeze(self, codebook, folded):
        """Replace the layer that learned a codebook by the codebook; the output of the head stays equal.

        Parameters
        ----------
        codebook : Codebook
            Made from the thresholds that the ``fold()`` of the layer returned.
        folded : object
            The other result of ``fold()``.
        """
        column_map = None if self.column_map is None else self.column_map.numpy()
        self.quantization, column_map = self.quantization.frozen(codebook, folded, column_map)
        self._set_column_map(column_map)

    def first_table(self):
        """Return the output of the head's first layer for each code, as a table, and the layers behind it.

        Returns
        -------
        (Tensor of shape (total levels + 1, units), list of nn.Module) or None
            The levels of feature j are in the rows from ``quantization.offsets[j]`` on, the bias in the last row. None
            if the head does not begin with a linear layer, or reads no bits.
        """
        linear = self._tabulated()
        if linear is None:
            return None
        with torch.no_grad(), serial_after_fork():
            return self._table_decoder(linear).table, self._behind_first()

    def row_floats(self, device="cpu"):
        """Return the number of floats that the widest step needs per row, to choose how many rows to run at once.

        Parameters
        ----------
        device : torch.device or str, default="cpu"
            Device of the net. On the CPU a table may replace the bits.

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
        return {**self.__dict__, "_cached": None}  # the table can be computed again

    def _set_column_map(self, column_map):
        self.register_buffer("column_map", None if column_map is None else torch.from_numpy(column_map))
        self.layout = None
        if hasattr(self.quantization, "set_column_map"):
            self.quantization.set_column_map(column_map)
            self.layout = TableLayout(self.quantization, column_map)
        elif column_map is not None:
            raise ValueError(
                f"{type(self.quantization).__name__} has outputs in a fixed order: leave column_map at None."
            )
        self._cached = None

    def _tabulated(self, device="cpu"):
        """Return the linear layer that can be a table together with the bits on this device, or None."""
        if self.layout is None or torch.device(device).type != "cpu":
            return None
        return first_linear(self.head)

    def _table_decoder(self, linear):
        """Return the cached decoder, or a new one if a parameter of the first layer or a layer behind it changed."""
        now, behind = [parameter.detach() for parameter in linear.parameters()], self._behind_first()
        if self._cached is None or not all(map(_equal, now, self._cached[0])) or self._cached[1] != behind:
            table = code_table(self.quantization, linear, self.layout)
            decoder = _TableDecoder(table, self.quantization.offsets, nn.Sequential(*behind))
            self._cached = [parameter.clone() for parameter in now], behind, decoder
        return self._cached[2]

    def _behind_first(self):
        """Return the layers of the head behind its first one."""
        return list(self.head)[1:] if isinstance(self.head, nn.Sequential) else []


class _Decoder(nn.Module):
    """Compute the outputs of a net for codes with its layer and its head."""

    def __init__(self, net):
        super().__init__()
        self.quantization, self.head = net.quantization, net.head

    def forward(self, codes):
        return self.head(self.quantization.from_codes(codes))


class _TableDecoder(nn.Module):
    """Compute the outputs of a net for codes with a table of the first layer's outputs."""

    def __init__(self, table, offsets, behind):
        super().__init__()
        self.table, self.offsets, self.behind = table, offsets, behind

    def forward(self, codes):
        return self.behind(sum_rows(self.table, codes + self.offsets, len(self.table) - 1))


def first_linear(head):
    """Return the linear layer that a head begins with, or None if the head may also use its input otherwise."""
    if type(head).forward is nn.Sequential.forward and len(head) and not has_hooks(head):
        head = head[0]
    return head if type(head) in (nn.Linear, LevelLinear) and not has_hooks(head) else None


def has_hooks(module):
    """Return whether a module has hooks, which may change its inputs or outputs."""
    hooks = module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks
    return any(hooks)


def _equal(one, other):
    return one.shape == other.shape and torch.equal(one, other)
