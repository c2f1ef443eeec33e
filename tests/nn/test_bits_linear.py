import numpy as np
import pytest
import torch

from skbsq.nn import BitwiseQuantization, JointNet, LevelLinear, RankSpace, StandardSpace
from skbsq.nn.bits_linear import bits_linear


def make_layer(rng, sizes, forward, has_missing=None, space="standard"):
    d = len(sizes)
    thresholds = [np.sort(rng.normal(size=m)).astype(np.float32) for m in sizes]
    if space == "standard":
        space = StandardSpace(mean=rng.normal(size=d), scale=rng.uniform(0.5, 2, size=d))
    else:
        space = RankSpace([(np.array([-1.0, 0.0, 2.0]), np.array([-2.0, 0.1, 1.0]))] * d, outer=[0.3] * d)
    return BitwiseQuantization(thresholds, space=space, has_missing=has_missing, forward=forward).train()


def gradients(output, *parameters):
    weight = torch.linspace(-1, 1, output.numel()).view_as(output)
    return torch.autograd.grad((output * weight).sum(), parameters)


@pytest.mark.parametrize("forward", ["hard", "soft", "auto"])
@pytest.mark.parametrize("sizes", [[3, 3, 3], [7, 1, 15], [0, 3, 15]], ids=str)
@pytest.mark.parametrize("space", ["standard", "rank"])
@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_equals_the_layers_one_after_the_other(rng, forward, sizes, space, levels, missing):
    has_missing = np.array([missing, False, missing])
    layer = make_layer(rng, sizes, forward, has_missing, space)
    layer.temperature = 0.3
    linear = torch.nn.Linear(layer.n_columns, 5)
    if levels:
        feature, is_missing = layer.column_features()
        rises = np.where(is_missing, 0.0, rng.uniform(0.1, 1, size=feature.size))
        linear = LevelLinear(linear, feature, rises, rng.normal(size=3))
    x = torch.from_numpy(rng.normal(size=(40, 3)).astype(np.float32))
    if missing:
        x[::7, 0] = torch.nan
    parameters = [layer.theta, *linear.parameters()]
    slow, fast = linear(layer(x)), bits_linear(x, layer, linear)
    torch.testing.assert_close(fast, slow)
    for found, expected in zip(gradients(fast, *parameters), gradients(slow, *parameters), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bits_linear(layer.with_scaled(x), layer, linear), fast, rtol=0, atol=0, equal_nan=True)


def test_inputs_without_a_column_and_a_layer_without_bias(rng):
    layer = make_layer(rng, [3, 2], "hard")
    linear = torch.nn.Linear(6, 4, bias=False)
    columns = np.array([0, 1, 2, 4, -1, 3])
    net = JointNet(layer, torch.nn.Sequential(linear, torch.nn.ReLU()), column_map=columns).train()
    x = torch.from_numpy(rng.normal(size=(30, 2)).astype(np.float32))
    fast, slow = net(x), net.head(net.quantization(x))
    torch.testing.assert_close(fast, slow)
    found, expected = (gradients(output, layer.theta, linear.weight) for output in (fast, slow))
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
