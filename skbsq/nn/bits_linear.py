"""The bits of raw values and the linear layer behind them, as one step of training.

It computes what `BitwiseQuantization` and a linear layer compute one after the other, with fewer and larger operations:
for a small head these cost more than the products. Wide features are trained by table instead, see `skbsq.nn.table`.
"""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from skbsq.nn.levels import LevelLinear
from skbsq.nn.surrogate import weighted_slopes

_FLOAT32_MAX = torch.finfo(torch.float32).max


class _BitsLinear(torch.autograd.Function):
    """See `bits_linear`."""

    @staticmethod
    def forward(ctx, theta, own, bias, level_weight, x, z, layer, levels):
        outputs = layer.outputs
        picked = outputs.pick(theta, _FLOAT32_MAX)
        feed = sigmoids = None
        if not layer.hard:
            sigmoids = feed = _distances(outputs, z, picked, layer.temperature).sigmoid_()
        if layer.hard or not layer.all_soft:
            bits = outputs.spread(x) > outputs.pick(layer.raw_thresholds(), torch.inf)
            feed = bits.to(x.dtype) if layer.hard else torch.where(outputs.pick(layer.soft, False), sigmoids, bits)
        feed = feed.flatten(1)
        if outputs.missing_outputs.numel():
            nan = x.isnan().to(x.dtype).index_select(1, outputs.missing_features)
            feed = feed.index_copy(1, outputs.missing_outputs, nan)
        weight = own
        if level_weight is not None:
            weight = own + level_weight.index_select(1, levels.feature).mul_(levels.rises)
            bias = bias + level_weight @ levels.lowest
        ctx.save_for_backward(picked, z, feed, sigmoids, weight)
        ctx.layer, ctx.levels, ctx.temperature, ctx.n_thresholds = layer, levels, layer.temperature, theta.numel()
        return F.linear(feed, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        picked, z, feed, sigmoids, weight = ctx.saved_tensors
        outputs, levels = ctx.layer.outputs, ctx.levels
        grad_own = grad.T @ feed
        grad_bias = grad.sum(0)
        grad_level = grad_theta = None
        if levels is not None:
            rising = grad_own * levels.rises
            if outputs.block:
                by_feature = rising.view(len(grad_own), -1, outputs.block).sum(2)
            else:
                by_feature = rising.new_zeros(len(grad_own), levels.lowest.numel())
                by_feature.index_add_(1, levels.feature, rising)
            grad_level = by_feature.addr_(grad_bias, levels.lowest)
        if ctx.needs_input_grad[0]:
            product = (grad @ weight).view(len(grad), *picked.shape)
            if outputs.missing_outputs.numel():
                product.view(len(grad), -1)[:, outputs.missing_outputs] = 0
            if sigmoids is None or not ctx.layer.all_soft:
                slopes = weighted_slopes(_distances(outputs, z, picked, ctx.temperature), product)
            else:
                slopes = torch.ops.aten.sigmoid_backward(product, sigmoids)
            by_output = slopes.sum(0).div_(-ctx.temperature).flatten()
            grad_theta = by_output.new_zeros(outputs.n_columns + 1).index_add_(0, outputs.columns, by_output)
            grad_theta = grad_theta[: ctx.n_thresholds]
        return grad_theta, grad_own, grad_bias if ctx.needs_input_grad[2] else None, grad_level, None, None, None, None


def _distances(outputs, z, picked, temperature):
    return (outputs.spread(z) - picked).mul_(1 / temperature)


def bits_linear(x, layer, linear):
    """The bits of raw values through a linear layer in training: equal to ``linear(layer(x))`` up to rounding.

    Parameters
    ----------
    x : Tensor of float32 of shape (n, d), or (n, 2 d) with the scaled values behind the raw ones
    layer : BitwiseQuantization
        In training mode.
    linear : nn.Linear or LevelLinear

    Returns
    -------
    Tensor of shape (n, units)
    """
    x, z = layer.raw_and_scaled(x)
    levels = linear if isinstance(linear, LevelLinear) else None
    inner = linear if levels is None else linear.own
    level_weight = None if levels is None else levels.level_weight
    return _BitsLinear.apply(layer.theta, inner.weight, inner.bias, level_weight, x, z, layer, levels)
