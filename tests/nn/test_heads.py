import numpy as np
import pytest
import torch
from torch import nn

from skbsq.nn import MLP, Ensemble, build_head
from skbsq.nn.heads import ByteDropout, start_at
from skbsq.nn.losses import rows_of_members


class Named(nn.Linear):
    def __init__(self, depth=1, *, n_outputs, n_inputs):
        super().__init__(n_inputs, n_outputs)


class Sizeless(nn.Linear):
    def __init__(self, num_units=10):
        super().__init__(4, num_units)


class Rounded(nn.Linear):
    def forward(self, x):
        return super().forward(x).to(torch.int64)


def test_mlp_layers():
    kinds = [type(layer).__name__ for layer in MLP(3, 2, hidden_sizes=(8, 4), dropout=0.5)]
    assert kinds == ["Linear", "ReLU", "ByteDropout", "Linear", "ReLU", "ByteDropout", "Linear"]
    assert [type(layer).__name__ for layer in MLP(3, 2, hidden_sizes=())] == ["Linear"]
    assert MLP(3, 2)(torch.zeros(5, 3)).shape == (5, 2)


@pytest.fixture
def members():
    """An ensemble of three, and a function for the output of each member."""
    head = Ensemble(7, 2, n_members=3, hidden_sizes=(5, 4), dropout=0.5).eval()
    first, *others = (module for module in head if hasattr(module, "weight"))

    def output_of(k, x):
        x = torch.relu(nn.functional.linear(x, first.weight[5 * k : 5 * k + 5], first.bias[5 * k : 5 * k + 5]))
        for layer, size in zip(others, (4, 2), strict=True):
            x = x @ layer.weight[k] + layer.bias[size * k : size * k + size]
            x = x if size == 2 else torch.relu(x)
        return x

    return head, output_of


def test_an_ensemble_is_the_mean_of_its_members(members):
    head, output_of = members
    x = torch.randn(6, 7)
    each = torch.stack([output_of(k, x) for k in range(3)], dim=1)
    torch.testing.assert_close(head(x), each.mean(1))
    for module in head:
        if isinstance(module, ByteDropout):
            module.p = 0.0
    torch.testing.assert_close(head.train()(x), each)


def test_an_ensemble_as_one_network(members):
    head, _ = members
    x, folded = torch.randn(6, 7), head.folded()
    assert type(folded) is MLP
    assert repr(folded) == repr(MLP(7, 2, hidden_sizes=(15, 12), dropout=0.5))
    assert not folded.training
    torch.testing.assert_close(folded(x), head(x))


def test_each_member_has_a_separate_loss(members):
    head, output_of = members
    x, y, weights = torch.randn(6, 7), torch.randn(6, 2), torch.rand(6)
    each = torch.stack([output_of(k, x) for k in range(3)], dim=1)
    expected = torch.stack([nn.functional.mse_loss(each[:, k], y) for k in range(3)]).mean()
    torch.testing.assert_close(nn.functional.mse_loss(*rows_of_members(each, y)), expected)
    output, (targets, of_rows) = rows_of_members(each, (y, weights))
    torch.testing.assert_close(output[of_rows == weights[2]], each[2])
    torch.testing.assert_close(targets[of_rows == weights[2]], y[2].expand(3, 2))
    assert rows_of_members(head(x), y)[0].shape == (6, 2)


def test_outputs_start_near_a_constant(members):
    constant = torch.tensor([3.0, -1.0])
    for head in (members[0], MLP(7, 2, hidden_sizes=(4,))):
        start_at(head, constant)
        with torch.no_grad():
            [module.weight.zero_() for module in head if hasattr(module, "weight")]
        torch.testing.assert_close(head(torch.zeros(1, 7))[0], constant)


@pytest.mark.parametrize(
    "head",
    [nn.Linear, Named, nn.Linear(4, 2), lambda n_inputs, n_outputs: nn.Linear(n_inputs, n_outputs), nn.LazyLinear(2)],
)
def test_forms_of_head(head):
    assert build_head(head, 4, 2)(torch.zeros(3, 4)).shape == (3, 2)


def test_an_instance_is_copied():
    head = nn.Linear(4, 2)
    built = build_head(head, 4, 2)
    assert built is not head
    np.testing.assert_array_equal(built.weight.detach(), head.weight.detach())


def test_the_check_leaves_batch_norm_and_mode_alone():
    head = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    built = build_head(head, 4, 2)
    assert built.training
    assert built[0].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (nn.Linear(4, 3), r"wrong output shape: for 2 rows it returned \(2, 3\) instead of \(2, 2\)"),
        (nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), r"wrong output shape: for 2 rows it returned \(2,\)"),
        (nn.Linear(5, 2), "head cannot read 4 inputs per row"),
        (Sizeless, r"must take \(n_inputs, n_outputs\), which here are \(4, 2\)"),
        (lambda: nn.Linear(4, 2), r"must take \(n_inputs, n_outputs\)"),
        (lambda n_inputs, n_outputs: "net", "must give an nn.Module, got 'net'"),
        (3, "head must be None, an nn.Module"),
        (Rounded, r"head must return floats, got torch.int64"),
    ],
)
def test_build_head_rejects(head, message):
    with pytest.raises(ValueError, match=message):
        build_head(head, 4, 2)


@pytest.mark.parametrize("wrap", [lambda out: (out, 1), lambda out: {"out": out}, lambda out: [out], lambda out: None])
def test_heads_that_return_no_tensor(wrap):
    class Head(nn.Linear):
        def forward(self, x):
            return wrap(super().forward(x))

    with pytest.raises(ValueError, match=r"head must return one tensor of outputs, got (tuple|dict|list|NoneType)"):
        build_head(Head, 3, 1)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_byte_dropout_drops_its_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    dropout, x = ByteDropout(p), torch.ones(1001, 101, requires_grad=True)
    out = dropout(x)
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, out.detach())
    assert torch.equal(dropout.eval()(x), x)


@pytest.mark.parametrize("p", [0.0, 0.001, 0.999, 1.0])
def test_probabilities_finer_than_bytes_are_left_to_torch(p):
    out = ByteDropout(p)(torch.ones(1000, 100))
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.003)
