"""The NumPy step against autograd, its slow reference."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skbsq import Codebook
from skbsq.nn import (
    MLP,
    BitwiseQuantization,
    Ensemble,
    JointNet,
    LevelLinear,
    RankSpace,
    StandardSpace,
    Thermometer,
    WeightedLoss,
)
from skbsq.nn.heads import ByteDropout
from skbsq.nn.losses import LOSSES, RegressionLoss, rows_of_members
from skbsq.training.step import BitsStep


def make_layer(rng, sizes, forward, has_missing=None, space="standard"):
    d = len(sizes)
    thresholds = [np.sort(rng.normal(size=m)).astype(np.float32) for m in sizes]
    if forward == "fixed":
        return Thermometer(Codebook.from_thresholds(thresholds, missing="code", has_missing=has_missing))
    if space == "standard":
        space = StandardSpace(mean=rng.normal(size=d), scale=rng.uniform(0.5, 2, size=d))
    else:
        space = RankSpace([(np.array([-1.0, 0.0, 2.0]), np.array([-2.0, 0.1, 1.0]))] * d, outer=[0.3] * d)
    return BitwiseQuantization(thresholds, space=space, has_missing=has_missing, forward=forward)


def with_levels(rng, linear, layer):
    feature, is_missing = layer.column_features()
    rises = np.where(is_missing, 0.0, rng.uniform(0.1, 1, size=feature.size))
    return LevelLinear(linear, feature, rises, rng.normal(size=layer.n_features))


def make_net(module, criterion=None, lr=0.01):
    """Imitate the attributes of a skorch net that a step reads."""
    own = list(module.quantization.parameters())
    optimizer = torch.optim.AdamW([{"params": own}, {"params": module.head.parameters()}], lr=lr, fused=True)
    criterion = nn.MSELoss() if criterion is None else criterion
    return SimpleNamespace(module_=module.train(), criterion_=criterion, criterion=criterion, optimizer_=optimizer)


def loss_and_gradients(net, x, y):
    loss = net.criterion_(*rows_of_members(net.module_(x), y))
    return loss.item(), torch.autograd.grad(loss, trained_parameters(net))


def trained_parameters(net):
    return [parameter for parameter in net.module_.parameters() if parameter.requires_grad]


def by_step(net, x, y):
    with BitsStep(net) as step:
        step.begin_epoch()
        loss = step(x, y)
        return loss, [parameter.grad.clone() for parameter in trained_parameters(net)]


def assert_same(net, x, y):
    assert BitsStep.takes(net)
    expected_loss, expected = loss_and_gradients(net, x, y)
    loss, found = by_step(net, x, y)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def make_head(n_inputs, hidden_sizes, n_members=1, **given):
    if n_members == 1:
        return MLP(n_inputs, 2, hidden_sizes=hidden_sizes, **given)
    return Ensemble(n_inputs, 2, hidden_sizes=hidden_sizes, n_members=n_members, **given)


def make_rows(rng, n, missing=False):
    x = torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32))
    if missing:
        x[::7, 0] = torch.nan
    return x, torch.from_numpy(rng.normal(size=(n, 2)).astype(np.float32))


@pytest.mark.parametrize("forward", ["hard", "soft", "auto", "fixed"])
@pytest.mark.parametrize("sizes", [[3, 3, 3], [7, 1, 15], [0, 3, 15]], ids=str)
@pytest.mark.parametrize("space", ["standard", "rank"])
@pytest.mark.parametrize("levels", [False, True])
@pytest.mark.parametrize(("missing", "n_members"), [(False, 1), (True, 3)])
def test_equals_autograd(rng, forward, sizes, space, levels, missing, n_members):
    layer = make_layer(rng, sizes, forward, np.array([missing, False, missing]), space)
    layer.temperature = 0.3
    head = make_head(layer.n_columns, (6, 5), n_members)
    if levels:
        head[0] = with_levels(rng, head[0], layer)
    x, y = make_rows(rng, 40, missing)
    net = make_net(JointNet(layer, head))
    assert_same(net, x, y)
    if forward != "fixed":
        assert_same(net, layer.with_scaled(x), y)


@pytest.mark.parametrize("one_hot", [[True, False, False], [False, True, True], [True, True, True]], ids=str)
@pytest.mark.parametrize(("missing", "n_members"), [(False, 1), (True, 3)])
@pytest.mark.parametrize("levels", [False, True])
def test_categories_equal_autograd(rng, one_hot, missing, n_members, levels):
    """One-hot bits go off again, and the bits of thresholds that stay are hard."""
    one_hot = np.array(one_hot)
    fixed, sizes = one_hot | [True, False, False], (3, 2, 4)
    thresholds = [np.arange(size) + 0.5 for size in sizes]
    space = StandardSpace(mean=np.full(3, 1.5), scale=np.ones(3))
    given = {"has_missing": np.array([missing, False, missing]), "fixed": np.repeat(fixed, sizes), "one_hot": one_hot}
    layer = BitwiseQuantization(thresholds, space=space, **given)
    layer.temperature = 0.3
    head = make_head(layer.n_columns, (6, 5), n_members)
    if levels:
        head[0] = with_levels(rng, head[0], layer)
    x, y = make_rows(rng, 40, missing)
    x = torch.where(torch.from_numpy(fixed), torch.round(x.abs() * 2), x)
    net = make_net(JointNet(layer, head))
    assert_same(net, x, y)
    assert_same(net, layer.with_scaled(x), y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("n_members", [1, 3])
def test_losses(rng, weighted, classes, n_members):
    layer = make_layer(rng, [3, 3, 3], "hard")
    x, y = make_rows(rng, 40)
    if classes:
        y = torch.from_numpy(rng.integers(0, 2, 40))
    criterion = (nn.CrossEntropyLoss if classes else nn.MSELoss)(reduction="none" if weighted else "mean")
    net = make_net(JointNet(layer, make_head(9, (6,), n_members)), criterion)
    if weighted:
        net.criterion_, net.criterion, net.criterion__criterion = WeightedLoss(criterion), WeightedLoss, criterion
        y = y, torch.from_numpy(rng.uniform(0.5, 2, 40).astype(np.float32))
    assert_same(net, x, y)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_regression(rng, name, weighted):
    x, y = make_rows(rng, 40)
    y = y.abs() if name == "poisson" else y
    criterion = RegressionLoss(name, 0.9).criterion("none" if weighted else "mean")
    net = make_net(JointNet(make_layer(rng, [3, 3, 3], "hard"), make_head(9, (6,), 3)), criterion)
    if weighted:
        net.criterion_, net.criterion, net.criterion__criterion = WeightedLoss(criterion), WeightedLoss, criterion
        y = y, torch.from_numpy(rng.uniform(0.5, 2, 40).astype(np.float32))
    assert_same(net, x, y)


def test_inputs_without_a_column_and_layers_without_bias(rng):
    layer = make_layer(rng, [3, 2, 1], "hard")
    head = nn.Sequential(nn.Linear(7, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    columns = np.array([0, 1, 2, 4, -1, 3, 5])
    assert_same(make_net(JointNet(layer, head, column_map=columns)), *make_rows(rng, 30))


def test_linear_head(rng):
    assert_same(
        make_net(JointNet(make_layer(rng, [3, 3, 3], "soft"), nn.Sequential(nn.Linear(9, 2)))), *make_rows(rng, 30)
    )


@pytest.mark.parametrize("fixed", [[2], [2, 4], [4]], ids=str)
@pytest.mark.parametrize("n_rows", [40, 700])
@pytest.mark.parametrize("n_members", [1, 3])
def test_layers_that_are_not_trained(rng, fixed, n_rows, n_members):
    layer = make_layer(rng, [3, 3, 3], "fixed")
    head = make_head(layer.n_columns, (6, 5), n_members)
    for k in fixed:
        head[k].requires_grad_(False)
    net = make_net(JointNet(layer, head))
    before = [parameter.clone() for parameter in head.parameters()]
    x, y = make_rows(rng, n_rows)
    assert_same(net, x, y)
    with BitsStep(net) as step:
        step.begin_epoch()
        step(x, y)
        net.optimizer_.step()
    for old, new in zip(before, head.parameters(), strict=True):
        assert torch.equal(old, new) != new.requires_grad  # weight decay changes no fixed layer either


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("n_members", [1, 2])
def test_large_batches_in_parts(rng, n_threads, n_members, set_threads):
    set_threads(n_threads)
    net = make_net(JointNet(make_layer(rng, [3, 3, 3], "auto"), make_head(9, (6, 5), n_members)))
    assert_same(net, *make_rows(rng, 700))


def test_the_number_of_threads_changes_nothing(rng, set_threads):
    layer, (x, y), found = make_layer(rng, [7, 7, 7], "auto"), make_rows(rng, 1000), []
    module = JointNet(layer, MLP(21, 2, hidden_sizes=(20, 20), dropout=0.2))
    for n_threads in (1, 3):
        set_threads(n_threads)
        torch.manual_seed(0)
        found.append(by_step(make_net(module), x, y))
        assert torch.get_num_threads() == n_threads
    assert found[0][0] == found[1][0]
    assert all(map(torch.equal, found[0][1], found[1][1]))


def test_dropout(rng):
    head = MLP(9, 1, hidden_sizes=(200,), dropout=0.25)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.fill_(1.0)
    net = make_net(JointNet(make_layer(rng, [3, 3, 3], "hard"), head), lr=0.0)
    x, y = torch.full((300, 3), 100.0), torch.zeros(300, 1)
    with BitsStep(net) as step:
        step.begin_epoch()
        step(x, y)
        output, grad = step.free_buffers[300][0].units[-1], head[0].bias.grad
    # Each unit that is kept adds 10 * 4/3; the bias of the output adds 1.
    kept = (output - 1) / (10 * 4 / 3) / 200
    assert np.mean(kept) == pytest.approx(0.75, abs=0.01)
    assert np.unique(kept).size > 10
    expected = np.mean(2 * output * kept / 0.75)  # over the units
    assert grad.mean().item() == pytest.approx(expected, rel=1e-3)
    head.eval()
    assert_same(net, x, y)


def test_nets_that_need_autograd(rng):
    def takes(head, layer=None):
        layer = make_layer(rng, [3, 3, 3], "hard") if layer is None else layer
        return BitsStep.takes(make_net(JointNet(layer, head)))

    assert takes(MLP(9, 1))
    assert takes(nn.Sequential(nn.Linear(9, 4), nn.ReLU(), ByteDropout(0.1), nn.Linear(4, 1)))
    assert not takes(nn.Sequential(nn.Linear(9, 4), nn.GELU(), nn.Linear(4, 1)))
    assert not takes(nn.Sequential(nn.Linear(9, 4), nn.ReLU()))
    assert not takes(nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 1)))
    assert not takes(nn.Linear(9, 1))
    assert not takes(MLP(9, 1).double())
    frozen = MLP(9, 1)
    frozen[0].bias.requires_grad_(False)
    assert not takes(frozen)
    half_fixed = MLP(9, 1)
    half_fixed[2].bias.requires_grad_(False)
    assert not takes(half_fixed)
    hooked = MLP(9, 1)
    hooked[1].register_forward_hook(lambda *_: None)
    assert not takes(hooked)


def test_parameters_are_restored_after_an_error(rng):
    net = make_net(JointNet(make_layer(rng, [3, 3, 3], "hard"), MLP(9, 2, hidden_sizes=(6,))))
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}
    with pytest.raises(ValueError, match="stop"), BitsStep(net):
        raise ValueError("stop")
    parameters = list(net.module_.parameters())
    held = [parameter for group in net.optimizer_.param_groups for parameter in group["params"]]
    assert list(map(id, held)) == list(map(id, parameters))
    assert all(p.is_contiguous() and p.untyped_storage().nbytes() == 4 * p.numel() for p in parameters)
    assert all(torch.equal(value, before[name]) for name, value in net.module_.state_dict().items())
