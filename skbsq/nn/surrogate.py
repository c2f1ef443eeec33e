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

# What a way costs beside `dense`, roughly: a term of the series meets each row and each threshold; a pair among
# `pairs` takes several times as long as one among all.
_TERM_COST = 1.8
_PAIR_COST = 6.0
# Numbers in the largest arrays, which bounds the memory and suits the cache: so many features at a time.
_ARRAY_SIZE = 2**20
# Distance, in temperatures, beyond which the slope is zero beside anything; its denormal numbers would be slow.
_VANISHES = 60.0


def threshold_gradient(z, theta, weight, grad, temperature):
    """Gradient of the loss with respect to thresholds, by whichever way is cheapest for some features at a time.

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
    m, n = theta.shape[1], len(grad)
    middle, half = felt_range(z, theta, temperature)
    by_series = _TERM_COST * n_terms(half / temperature) * (n + m) < n * m
    by_pairs = ~by_series
    if by_pairs.any():
        by_pairs &= _PAIR_COST * n_pairs(z, theta, temperature) < n * m
    size = max(1, _ARRAY_SIZE // (m * max(grad.shape)))
    out = torch.empty_like(theta)
    for own in _some(by_series, size):
        out[own] = series(z[own], theta[own], weight[own], grad, temperature, middle[own], half[own])
    for own in _some(by_pairs, size):
        out[own] = pairs(z[own], theta[own], weight[own], grad, temperature)
    for own in _some(~(by_series | by_pairs), size):
        out[own] = dense(z[own], theta[own], weight[own], grad, temperature)
    return out.div_(-temperature)


def _some(chosen, size):
    """Slices that make up the chosen features, each of at most `size` of them: a slice copies nothing."""
    edges = torch.nonzero(F.pad(chosen.int(), (1, 1)).diff()).flatten().tolist()
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        yield from (slice(at, min(at + size, stop)) for at in range(start, stop, size))


def reach(dtype):
    """Distance, in temperatures, from where on the slope is zero beside its peak of 1/4."""
    return 1.0 - math.log(torch.finfo(dtype).eps)


def dense(z, theta, weight, grad, temperature):
    """All pairs."""
    distance = (z[:, None] - theta[:, :, None]).mul_(1 / temperature)
    product = (weight.flatten(0, 1) @ grad.T).view_as(distance)
    return weighted_slopes(distance, product).sum(2)


def weighted_slopes(distance, product):
    """``product * slope(distance)``; the distance, in temperatures, is overwritten."""
    soft = distance.clamp_(-_VANISHES, _VANISHES).sigmoid_()
    return torch.ops.aten.sigmoid_backward.grad_input(product, soft, grad_input=soft)


def felt_range(z, theta, temperature):
    """Middle and half width of where the rows lie that any threshold of a feature feels: two tensors of shape (f,)."""
    far = reach(z.dtype) * temperature
    limit = torch.finfo(theta.dtype).max
    real = theta < limit
    low = torch.where(real, theta, limit).amin(1) - far
    high = torch.where(real, theta, -limit).amax(1) + far
    low = torch.maximum(low, z.where(z > -torch.inf, torch.inf).amin(1))
    high = torch.minimum(high, z.amax(1))
    middle = torch.where(low <= high, low + (high - low) / 2, 0.0)  # no row is felt where all are missing
    # A little wider, so that rounding leaves no row outside.
    return middle, ((high - low) / 2 * (1 + 1e-5)).clamp(min=temperature)


def n_terms(half):
    """Terms of a Chebyshev series of the slope that is exact to rounding, for half widths in temperatures.

    The slope has its poles at a distance of pi from the real axis, which bounds the ellipse in which it is analytic,
    and so the rate at which the coefficients fall.
    """
    return -math.log(torch.finfo(half.dtype).eps) / torch.asinh(math.pi / half) + 2


def series(z, theta, weight, grad, temperature, middle, half):
    """Rows are summed at Chebyshev nodes first, and the slope is taken between nodes and thresholds."""
    f, n = z.shape
    terms = math.ceil(n_terms(half.max() / temperature).item())
    unit = (z - middle[:, None]) / half[:, None]
    angle = torch.arange(terms, dtype=z.dtype)
    node_angle = (angle + 0.5) * (math.pi / terms)
    # Row i spreads over the nodes by the values of their cardinal polynomials at its place.
    cosines = torch.cos(angle[:, None] * torch.acos(unit.clamp(-1, 1))[:, None])
    cosines.masked_fill_((unit.abs() > 1)[:, None], 0.0)
    cardinal = torch.cos(node_angle[:, None] * angle) * (2 / terms)
    cardinal[:, 0] /= 2
    spread = cardinal @ cosines  # (f, terms, n)
    summed = (spread.reshape(-1, n) @ grad).view(f, terms, -1)
    product = weight @ summed.mT  # (f, m, terms)
    nodes = middle[:, None] + half[:, None] * torch.cos(node_angle)
    distance = (nodes[:, None] - theta[:, :, None]).mul_(1 / temperature)
    return weighted_slopes(distance, product).sum(2)


def _windows(z, theta, temperature):
    """The rows in the order of their values; for each threshold the first it feels among them, and their number."""
    values, rows = z.sort(1)
    far = reach(z.dtype) * temperature
    low = torch.searchsorted(values, theta - far)
    return values, rows, low, torch.searchsorted(values, theta + far, right=True) - low


def n_pairs(z, theta, temperature):
    """Pairs whose slope is not zero, for each feature: shape (f,)."""
    *_, count = _windows(z, theta, temperature)
    return count.sum(1)


def pairs(z, theta, weight, grad, temperature):
    """Pairs near each other only: for every threshold a window of the rows in the order of their values."""
    values, rows, low, count = _windows(z, theta, temperature)
    first = (low + z.shape[1] * torch.arange(len(z))[:, None]).flatten()
    start = count.flatten().cumsum(0) - count.flatten()
    # For every pair its threshold, and its row's place among the sorted values of all features.
    threshold = torch.repeat_interleave(count.flatten())
    place = torch.arange(threshold.numel()) + (first - start)[threshold]
    soft = (values.flatten()[place] - theta.flatten()[threshold]).mul_(1 / temperature).sigmoid_()
    slope = soft.mul_(1 - soft)
    summed = F.embedding_bag(rows.flatten()[place], grad, start, mode="sum", per_sample_weights=slope)
    return summed.view_as(weight).mul_(weight).sum(2)
