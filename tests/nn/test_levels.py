"""The layer that reads levels in training: equal to one over the bits alone."""

import numpy as np
import pytest
import torch
from torch import nn

from skbsq.nn import MLP, BitwiseQuantization, JointNet, LevelLinear, StandardSpace

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
    """A level of the size of one says more than its bits."""
    torch.manual_seed(0)
    own = nn.Linear(30, 200)
    before = own.weight.detach().clone()
    layer = LevelLinear(own, np.repeat([0, 1], 15), np.full(30, 0.2), np.full(2, -1.5))
    torch.testing.assert_close(layer.own.weight.detach(), 0.3 * before)
    assert layer.level_weight.abs().max() <= 1 / np.sqrt(2)
    assert layer.level_weight.std() > 0.3


@pytest.mark.parametrize("n_thresholds", [3, 100])
def test_by_table_and_by_product_alike(n_thresholds):
    """In training and after, with a fold between."""
    torch.manual_seed(0)
    space = StandardSpace(mean=np.zeros(2), scale=np.ones(2))
    layer = BitwiseQuantization([np.linspace(-2, 2, n_thresholds)] * 2, space=space, forward="hard")
    layer.temperature = 0.1
    head = MLP(2 * n_thresholds, 1, hidden_sizes=(8,))
    rises = np.full(2 * n_thresholds, 3 / n_thresholds)
    head[0] = LevelLinear(head[0], np.repeat([0, 1], n_thresholds), rises, np.full(2, -1.5))
    net = JointNet(layer, head)
    x = torch.randn(50, 2)
    out = net(x)
    torch.testing.assert_close(out, head(layer(x)))
    out.sum().backward()
    by_net = [parameter.grad.clone() for parameter in net.parameters()]
    net.zero_grad()
    head(layer(x)).sum().backward()
    for one, other in zip(by_net, [parameter.grad for parameter in net.parameters()], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    head[0] = head[0].folded()
    torch.testing.assert_close(net.eval()(x), out)
