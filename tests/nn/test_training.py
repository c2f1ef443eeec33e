"""What training does with the memory of weights and of the optimizer; its results are tested with the estimators."""

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import nn

from skbsq.nn import MLP, BitwiseQuantization, JointNet, StandardSpace, train, training
from skbsq.nn.batches import TensorRows


def joint_net(rng, *, n_bits=7, by_table=True):
    torch.manual_seed(0)
    thresholds = [np.sort(rng.normal(size=2**n_bits - 1)) for _ in range(3)]
    layer = BitwiseQuantization(thresholds, space=StandardSpace(mean=np.zeros(3), scale=np.ones(3)))
    module = JointNet(layer, MLP(layer.n_columns, 1, hidden_sizes=(16,)))
    module.layout.pays = by_table
    return module


def fit(module, rows, *, callbacks=(), **optimizer):
    net = NeuralNet(
        module, criterion=nn.MSELoss, max_epochs=3, batch_size=32, lr=0.05, callbacks=list(callbacks), **optimizer
    )
    train(net, rows, generator=torch.Generator().manual_seed(0), any_order=True)
    return net


@pytest.fixture
def rows(rng):
    x = torch.tensor(rng.normal(size=(100, 3)).astype(np.float32))
    return TensorRows(x, x[:, :1] * x[:, 1:2])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_by_table_and_by_bits_learn_the_same(fused, momentum, rows, global_random_seed):
    nets = [
        fit(
            joint_net(np.random.default_rng(global_random_seed), by_table=by_table),
            rows,
            optimizer=torch.optim.SGD,
            optimizer__fused=fused,
            optimizer__momentum=momentum,
        )
        for by_table in (True, False)
    ]
    for one, other in zip(*(net.module_.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    start = joint_net(np.random.default_rng(global_random_seed))
    assert not torch.equal(nets[0].module_.head[0].weight, start.head[0].weight)


def test_the_weight_comes_back_as_it_was(rng, rows):
    net = fit(joint_net(rng), rows, optimizer=torch.optim.AdamW, optimizer__fused=True)
    weight = net.module_.head[0].weight
    assert weight.is_contiguous()
    held = [parameter for group in net.optimizer_.param_groups for parameter in group["params"]]
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in net.module_.parameters()}
    assert not weight._backward_hooks


class Stop(Callback):
    def on_batch_end(self, net, **kwargs):
        raise RuntimeError("stop")


def test_the_weight_comes_back_after_an_error(rng, rows):
    module = joint_net(rng)
    with pytest.raises(RuntimeError, match="stop"):
        fit(module, rows, callbacks=[Stop()], optimizer=torch.optim.AdamW, optimizer__fused=True)
    assert module.head[0].weight.is_contiguous()


class Gradients(Callback):
    """Halves every gradient, as a callback that clips them would change them."""

    def on_grad_computed(self, net, named_parameters, **kwargs):
        for _, parameter in named_parameters:
            parameter.grad.mul_(0.5)


def test_callbacks_see_and_change_the_gradients(rng, rows, global_random_seed):
    once, halved = (
        fit(
            joint_net(np.random.default_rng(global_random_seed)),
            rows,
            callbacks=callbacks,
            optimizer=torch.optim.SGD,
            optimizer__fused=True,
            optimizer__lr=lr,
        )
        for lr, callbacks in [(0.01, []), (0.02, [Gradients()])]
    )
    for one, other in zip(once.module_.parameters(), halved.module_.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


def test_gradients_add_up_until_the_optimizer_forgets_them(rng):
    module = joint_net(rng)
    net = NeuralNet(module, criterion=nn.MSELoss, optimizer=torch.optim.AdamW, optimizer__fused=True).initialize()
    weight = module.head[0].weight
    x = torch.randn(5, 3)
    with training._stored_by_input(net):
        module(x).sum().backward()
        once = weight.grad.clone()
        module(x).sum().backward()
        torch.testing.assert_close(weight.grad, 2 * once)
        net.optimizer_.zero_grad()
        module(x).sum().backward()
        torch.testing.assert_close(weight.grad, once)
        net.optimizer_.zero_grad(set_to_none=False)
        module(x).sum().backward()
        torch.testing.assert_close(weight.grad, once)


def test_means_of_complex_weights_are_rounded_too():
    weight = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    optimizer = torch.optim.Adam([weight])
    weight.grad = torch.tensor([1e-32 + 1e-3j, 1e-3 + 0j])
    training.KeepFromDenormal(optimizer)
    for _ in range(64):
        optimizer.step()
    assert optimizer.state[weight]["exp_avg"][0].real == 0
    assert optimizer.state[weight]["exp_avg"][0].imag > 0


def test_no_mean_of_the_optimizer_gets_denormal():
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter])
    training.KeepFromDenormal(optimizer)
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
