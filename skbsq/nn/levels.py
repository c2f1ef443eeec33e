"""A first layer that reads bits and, in training, also the levels of the features."""

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable


class _WithLevels(torch.autograd.Function):
    """Add to the weight of each bit its share of the weight of the level, in one pass forwards and one back."""

    @staticmethod
    def forward(ctx, bit_weight, level_weight, feature, rises):
        ctx.save_for_backward(feature, rises)
        ctx.d = level_weight.shape[1]
        # One row per input, which is the layout of a training step; each bag holds one level.
        shares = nn.functional.embedding_bag(
            feature[:, None], level_weight.T.contiguous(), mode="sum", per_sample_weights=rises[:, None]
        )
        return shares.add_(bit_weight.T).T

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        feature, rises = ctx.saved_tensors
        grad_level = None
        if ctx.needs_input_grad[1]:
            by_feature = torch.argsort(feature, stable=True)
            starts = torch.searchsorted(feature[by_feature], torch.arange(ctx.d, device=feature.device))
            grad_level = nn.functional.embedding_bag(
                by_feature, grad.T.contiguous(), starts, mode="sum", per_sample_weights=rises[by_feature]
            ).T
        return grad, grad_level, None, None


class LevelLinear(nn.Module):
    """A linear layer over bits that is trained as if it also read one level per feature.

    The level of a feature is linear in its bits: the lowest level, and an increment for every bit that is on. So the
    layer is a linear layer over the bits alone, which `folded` returns. But a weight on the level moves the weights of
    all bits of a feature together. The layer is initially smooth in each feature, and stays smooth unless the data
    disagree.

    Parameters
    ----------
    linear : nn.Linear
        The layer over the bits. Its weights are scaled down, because the level carries most of the information.
    feature : ndarray of int64 of shape (n_inputs,)
        Feature of each input.
    rises : ndarray of shape (n_inputs,)
        Increment of the level by each bit; 0 for inputs that are not the bit of a threshold.
    lowest : ndarray of shape (d,)
        The level of each feature if all its bits are off.

    Attributes
    ----------
    own : nn.Linear
        The layer over the bits, without the levels.
    level_weight : Parameter of shape (units, d)
        Weights of the levels.

    Notes
    -----
    Shape: (n, n_inputs) to (n, units), for n rows and d features.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skbsq.nn import LevelLinear
    >>> layer = LevelLinear(torch.nn.Linear(3, 4), np.array([0, 0, 1]), np.array([1.0, 2.0, 0.5]), np.array([-1.0, 0]))
    >>> bits = torch.tensor([[1.0, 0, 1]])
    >>> before = layer(bits)
    >>> torch.allclose(layer.folded()(bits), before, atol=1e-6)
    True
    """

    # Found on kin8nm, cpu_act and others, see benchmarks/experiments.
    _BIT_SHARE = 0.3

    def __init__(self, linear, feature, rises, lowest):
        super().__init__()
        self.own = linear
        self.register_buffer("feature", torch.from_numpy(np.asarray(feature)), persistent=False)
        self.register_buffer("rises", torch.from_numpy(np.asarray(rises, dtype=np.float32)), persistent=False)
        self.register_buffer("lowest", torch.from_numpy(np.asarray(lowest, dtype=np.float32)), persistent=False)
        self.out_features, d = linear.out_features, len(lowest)
        with torch.no_grad():
            linear.weight.mul_(self._BIT_SHARE)
            # The distribution of nn.Linear with d inputs.
            self.level_weight = nn.Parameter(torch.empty(linear.out_features, d).uniform_(-1, 1) / np.sqrt(d))

    @property
    def weight(self):
        """Weights of the bits, including their shares of the levels: Tensor of shape (units, n_inputs)."""
        return _WithLevels.apply(self.own.weight, self.level_weight, self.feature, self.rises)

    @property
    def bias(self):
        """Bias, including the lowest levels: Tensor of shape (units,)."""
        return self.own.bias + self.level_weight @ self.lowest

    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias)

    def folded(self):
        """Return the equivalent linear layer over the bits alone; this layer must not be used any more."""
        with torch.no_grad():
            weight, bias = self.weight, self.bias
            self.own.weight.data, self.own.bias.data = weight.contiguous(), bias
        return self.own
