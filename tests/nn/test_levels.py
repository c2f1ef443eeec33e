"""The layer that reads levels in training: equal to a layer over the bits alone."""

import numpy as np
import pytest
import torch
from torch import nn

from skbsq.nn import LevelLinear

FEATURE, RISES, LOWEST = np.array([0, 0, 1, 1]), np.array([1.0, 2.0, 0.5, 0.0]), np.array([-1.0, 0.25])


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return LevelLinear(nn.Linear(4, 3), FEATURE, RISES, LOWEST)


def test_reads_bits_and_levels(layer):
    bits = torch.tensor([[1.0, 0, 1, 1], [1, 1, 0, 1], [0, 0, 0, 0]])
    levels = torch.tensor([[0.0, 0.75], [2.0, 0.25], [-1.0, 0.25]])
    expected = layer.own(bits) + levels @ layer.level_weight.T
    torch.testing.assert_close(layer(bits), expected)
    folded = layer.folded()
    assert type(folded) is nn.Linear
    assert len(list(folded.parameters())) == 2
    torch.testing.assert_close(folded(bits), expected)


def test_gradients_equal_those_of_the_two_parts(layer):
    bits = torch.randint(0, 2, (20, 4)).float()
    weights = torch.randn(20, 3)
    (layer(bits) * weights).sum().backward()
    found = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    levels = (bits * layer.rises) @ torch.eye(2)[layer.feature] + layer.lowest
    ((layer.own(bits) + levels @ layer.level_weight.T) * weights).sum().backward()
    for one, other in zip(found, [parameter.grad for parameter in layer.parameters()], strict=True):
        torch.testing.assert_close(one, other)


def test_starts_smooth():
    """A level of about 1 contributes more than its bits."""
    torch.manual_seed(0)
    linear = nn.Linear(30, 200)
    before = linear.weight.detach().clone()
    layer = LevelLinear(linear, np.repeat([0, 1], 15), np.full(30, 0.2), np.full(2, -1.5))
    torch.testing.assert_close(layer.own.weight.detach(), 0.3 * before)
    assert layer.level_weight.abs().max() <= 1 / np.sqrt(2)
    assert layer.level_weight.std() > 0.3
