"""The bare loop does the work of `BitwiseRegressor`."""

import numpy as np
import pytest
import torch

from benchmarks.speed.bare import HardBits, Task, fit_bare, fit_skbsq
from skbsq.nn import BitwiseQuantization, StandardSpace


def test_bare_bits_equal_those_of_the_layer():
    x = torch.randn(20, 2)
    thresholds = [[-1.0, 0.0, 0.5], [-0.5, 0.25, 1.0]]
    layer = BitwiseQuantization(thresholds, space=StandardSpace(mean=np.zeros(2), scale=np.ones(2)), forward="hard")
    layer.temperature = 0.5
    bare = torch.tensor(thresholds, requires_grad=True)
    bits = HardBits.apply(x, bare, 0.5).flatten(1)
    torch.testing.assert_close(bits, layer(x))
    slope = torch.randn(20, 6)
    (bits * slope).sum().backward()
    (layer(x) * slope).sum().backward()
    torch.testing.assert_close(bare.grad.flatten(), layer.theta.grad)


@pytest.mark.parametrize("fit", [fit_bare, fit_skbsq])
def test_it_learns(fit, rng):
    x = rng.normal(size=(600, 3)).astype(np.float32)
    predict = fit(Task(x, x[:, :1], n_bits=3, hidden_sizes=[32], batch_size=50, max_epochs=10), 0)
    assert np.mean((predict(x) - x[:, 0]) ** 2) < 0.7  # 1 to start with
