"""How the loss pulls at thresholds: the gradient through the surrogate, for all thresholds of a table.

The gradient of threshold k is ``-1/tau sum_i slope((z_i - theta_k) / tau) (grad_i . weight_k)``, over the rows i of a
batch, with ``slope = sigmoid'``. The three functions here compute this same sum. `dense` takes all pairs of row and
threshold. `pairs` takes those where the slope is not zero to rounding: few, once the temperature is low. `series`
expands the slope, which is smooth where the temperature is high, in a few polynomials, so that the rows are summed up
before they meet the thresholds.
"""

import math

import torch
from torch.nn import functional as F

# Terms, as a share of the rows, up to which the series is cheaper than all pairs.
SERIES_UP_TO = 0.3
# How far a threshold feels rows, as a share of half their range, up to which the pairs it feels are cheaper.
PAIRS_UP_TO = 0.15


def threshold_gradient(z, theta, weight, grad, temperature):
    """Gradient of the loss with respect to thresholds, by whichever way is cheapest for each feature.

    Parameters
    ----------
    z : Tensor of shape (f, n)
        Standardized values; -inf where missing.
    theta : Tensor of shape (f, m)
        Thresholds; the largest finite number in slots without one.
    weight : Tensor of shape (f, m, units)
        What the bit of each threshold adds to the units.
    grad : Tensor of shape (n, units)
        Of the loss with respect to the units.
    temperature : float

    Returns
    -------
    Tensor of shape (f, m)
    """
    n = z.shape[1]
    far = reach(z.dtype) * temperature
    middle, half = felt_range(z, theta, temperature)
    terms = n_terms(half.max().item() / temperature, z.dtype)
    if terms < SERIES_UP_TO * n:
        out = series(z, theta, weight, grad, temperature, middle, half, terms)
    elif far < PAIRS_UP_TO * half.median():
        out = pairs(z, theta, weight, grad, temperature)
    else:
        out = dense(z, theta, weight, grad, temperature)
    return out.div_(-temperature)


def reach(dtype):
    """Distance, in temperatures, from where on the slope is zero beside its peak of 1/4."""
    return 1.0 - math.log(torch.finfo(dtype).eps)


def dense(z, theta, weight, grad, temperature):
    """All pairs, feature by feature, which stays in the cache."""
    out = torch.empty_like(theta)
    for z_j, theta_j, weight_j, out_j in zip(z, theta, weight, out, strict=True):
        soft = (z_j - theta_j[:, None]).mul_(1 / temperature).sigmoid_()
        product = weight_j @ grad.T
        torch.ops.aten.sigmoid_backward.grad_input(product, soft, grad_input=product)
        torch.sum(product, 1, out=out_j)
    return out


def felt_range(z, theta, temperature):
    """Middle and half width of where rows lie that any threshold of a feature feels."""
    far = reach(z.dtype) * temperature
    limit = torch.finfo(theta.dtype).max
    real = theta < limit
    low = torch.where(real, theta, limit).amin(1) - far
    high = torch.where(real, theta, -limit).amax(1) + far
    low = torch.maximum(low, z.where(z > -torch.inf, torch.inf).amin(1))
    high = torch.minimum(high, z.amax(1))
    half = ((high - low) / 2).clamp(min=temperature)
    return (low + high) / 2, half


def n_terms(half, dtype):
    """Terms of a Chebyshev series that is exact to rounding, for a half width in temperatures.

    The slope has its poles at a distance of pi from the real axis, which bounds the ellipse in which it is analytic,
    and so the rate at which the coefficients fall.
    """
    pole = math.pi / half
    return math.ceil(-math.log(torch.finfo(dtype).eps) / math.asinh(pole)) + 2


def series(z, theta, weight, grad, temperature, middle, half, terms):
    """Rows are summed at Chebyshev nodes first, and the slope is taken between nodes and thresholds."""
    f, n = z.shape
    unit = (z - middle[:, None]) / half[:, None]
    angle = torch.arange(terms, dtype=z.dtype)
    node_angle = (angle + 0.5) * (math.pi / terms)
    # Row i spreads over the nodes by the values of their cardinal polynomials at its place.
    cosines = torch.cos(angle[:, None] * torch.acos(unit.clamp(-1, 1))[:, None])
    cosines *= (unit.abs() <= 1)[:, None]
    cardinal = torch.cos(node_angle[:, None] * angle) * (2 / terms)
    cardinal[:, 0] /= 2
    spread = cardinal @ cosines  # (f, terms, n)
    summed = (spread.reshape(-1, n) @ grad).view(f, terms, -1)
    product = weight @ summed.mT  # (f, m, terms)
    nodes = middle[:, None] + half[:, None] * torch.cos(node_angle)
    soft = (nodes[:, None] - theta[:, :, None]).mul_(1 / temperature).sigmoid_()
    torch.ops.aten.sigmoid_backward.grad_input(product, soft, grad_input=product)
    return product.sum(2)


def pairs(z, theta, weight, grad, temperature):
    f, m, units = weight.shape
    n = z.shape[1]
    values, rows = z.sort(1)
    far = reach(z.dtype) * temperature
    low = torch.searchsorted(values, theta - far).flatten()
    count = torch.searchsorted(values, theta + far, right=True).flatten() - low
    start = count.cumsum(0) - count
    slot = torch.repeat_interleave(torch.arange(f * m), count)
    low += n * torch.arange(f).repeat_interleave(m)
    at = torch.arange(slot.numel()) + (low - start)[slot]
    soft = (values.flatten()[at] - theta.flatten()[slot]).mul_(1 / temperature).sigmoid_()
    slope = soft * (1 - soft)
    rows = rows.flatten()[at]
    summed = F.embedding_bag(rows, grad, start, mode="sum", per_sample_weights=slope)
    return (summed.view(f, m, units) * weight).sum(2)
