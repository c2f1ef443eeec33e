"""How training treats weights and the optimizer. The results of training are tested with the estimators."""

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from skbsq.nn import BitwiseQuantization, RankSpace
from skbsq.training import loop, train
from skbsq.training.batches import TensorRows


@pytest.fixture
def rows(rng):
    x = torch.tensor(rng.normal(size=(100, 3)).astype(np.float32))
    return TensorRows(x, x[:, :1] * x[:, 1:2])


def test_mean_gradients_of_complex_weights_are_flushed():
    weight = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.tensor([1e-32 + 1e-3j, 1e-3 + 0j])
    loop.FlushSubnormals(optimizer)
    for _ in range(64):
        optimizer.step()
    assert optimizer.state[weight]["exp_avg"][0].real == 0
    assert optimizer.state[weight]["exp_avg"][0].imag > 0


def test_no_mean_gradient_becomes_subnormal():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    loop.FlushSubnormals(optimizer)
    mask = torch.tensor([1.0, 0.0])
    for step in range(1100):
        optimizer.zero_grad()
        (parameter * (mask if step else 1.0)).sum().backward()
        optimizer.step()
        smallest = optimizer.state[parameter]["exp_avg"].abs()[1]
        assert smallest == 0 or smallest > torch.finfo(torch.float32).tiny
    assert smallest == 0
    assert optimizer.state[parameter]["exp_avg"][0] == pytest.approx(1)
    assert (optimizer.state[parameter]["exp_avg_sq"] > 0).all()
    assert optimizer.state[parameter]["step"] == 1100


# -- the mean of the weights -------------------------------------------------------------------------


def test_mean_weights_by_hand(rows):
    """The net has the mean over the last fifth of the steps at the end, and while it is validated."""
    seen, validated = [], []

    class Recorder(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            if not training:
                return
            seen.append(net.module_[0].weight.detach().clone())

    class Linear(nn.Sequential):
        def forward(self, x):
            if not self.training:
                validated.append(self[0].weight.detach().clone())
            return super().forward(x)

    module = Linear(nn.Linear(3, 1))
    net = NeuralNet(module, criterion=nn.MSELoss, max_epochs=4, batch_size=25, lr=0.1, callbacks=[Recorder()])
    train(net, rows, rows, generator=torch.Generator().manual_seed(0), mean_weights=True, own=True)
    assert len(seen) == 16
    torch.testing.assert_close(net.module_[0].weight.detach(), torch.stack(seen[12:]).mean(0))
    torch.testing.assert_close(validated[-1], net.module_[0].weight.detach())
    torch.testing.assert_close(validated[0], seen[3])


def test_own_epochs_give_what_those_of_skorch_give(rng, rows):
    """The weights and the losses in the history are the same without the calls per batch."""
    nets = []
    for own in (True, False):
        torch.manual_seed(0)
        net = NeuralNet(nn.Linear(3, 1), criterion=nn.MSELoss, max_epochs=3, batch_size=30, lr=0.1)
        train(net, rows, rows, generator=torch.Generator().manual_seed(0), own=own)
        nets.append(net)
    assert torch.equal(nets[0].module_.weight, nets[1].module_.weight)
    for name in ("train_loss", "valid_loss", "train_batch_count"):
        np.testing.assert_allclose(nets[0].history[:, name], nets[1].history[:, name], rtol=1e-6)


def test_thresholds_stay_among_the_rows():
    space = RankSpace([([0.0, 1.0, 2.0], [-1.0, 0.0, 1.0]), ([5.0], [0.0])], outer=[0.5, 0.5])
    layer = BitwiseQuantization([[0.1, 1.9], []], space=space)
    layer.theta.data = torch.tensor([-40.0, 0.2])
    layer.confine()
    assert layer.theta.tolist() == [-0.5, pytest.approx(0.2)]
    layer.theta.data = torch.tensor([0.7, 9.0])
    layer.confine()
    assert layer.theta.tolist() == [0.5, 0.5]
