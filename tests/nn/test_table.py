import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skbsq import Codebook
from skbsq.nn import MLP, BitwiseQuantization, JointNet, LevelLinear, SoftQuantization, StandardSpace, Thermometer
from skbsq.nn.table import TableLayout, running_sums, table_linear
from tests.strategies import codebooks, mixed_codebooks, neighbours

NAN = float("nan")


def learned_layer(generator, sizes, has_missing, one_hot=None):
    d = len(sizes)
    thresholds = [generator.normal(size=size).round(1) for size in sizes]  # some tie
    if one_hot is not None:
        thresholds = [np.arange(t.size) - 1 if alone else t for t, alone in zip(thresholds, one_hot, strict=True)]
    space = StandardSpace(mean=np.zeros(d), scale=np.ones(d))
    given = {
        "has_missing": np.array(has_missing),
        "fixed": None if one_hot is None else np.repeat(one_hot, sizes),
        "one_hot": one_hot,
    }
    layer = BitwiseQuantization(thresholds, space=space, forward="hard", **given)
    layer.temperature = float(generator.choice([1.0, 0.1, 0.01]))
    return layer


def dense(x, quantization, linear, column_map):
    bits = nn.functional.pad(quantization(x), (0, 1))
    return linear(bits[:, column_map])


def assert_close(found, expected):
    scale = expected.detach().abs().max().item() if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=3e-6 * scale + 1e-6)


@given(
    sizes=st.lists(st.sampled_from([0, 1, 2, 3, 7, 31]), min_size=1, max_size=5),
    units=st.integers(1, 5),
    n=st.integers(1, 50),
    bias=st.booleans(),
    seed=st.integers(0, 10_000),
)
@torch.no_grad()
def test_output_equals_that_of_the_bits(sizes, units, n, bias, seed):
    """Random shapes, missing and one-hot columns, any map: inputs repeated, left out, or without a column."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    has_missing, one_hot = generator.random((2, len(sizes))) < 0.5
    layer = learned_layer(generator, sizes, has_missing, one_hot).eval()
    column_map = generator.integers(-1, layer.n_columns, size=generator.integers(1, 2 * layer.n_columns + 2))
    # The head reads each code of a one-hot feature once.
    of_one_hot = np.append(one_hot[layer.column_features()[0]], False)
    column_map = np.append(column_map[~of_one_hot[column_map]], np.flatnonzero(of_one_hot))
    column_map = generator.permutation(np.append(column_map, -1))
    linear = nn.Linear(column_map.size, units, bias=bias)
    x = generator.normal(size=(n, len(sizes))).round(1).astype(np.float32)
    x[generator.random(x.shape) < 0.1] = NAN
    x = torch.from_numpy(x)
    assert_close(table_linear(x, layer, linear, TableLayout(layer, column_map)), dense(x, layer, linear, column_map))


@settings(max_examples=50)
@given(codebooks(missing=st.just("code")), st.integers(0, 1000))
def test_codes_equal_the_product_with_their_bits(book, seed):
    """From codes, and from any floats; both give exactly the same."""
    generator = np.random.default_rng(seed)
    n_columns = book.n_columns
    column_map = generator.permutation(np.append(generator.integers(-1, n_columns, size=3), np.arange(n_columns)))
    head = nn.Sequential(nn.Linear(column_map.size, 4), nn.ReLU())
    net = JointNet(Thermometer(book), head, column_map=column_map).eval()
    special = np.append(neighbours(np.concatenate(book.thresholds))[:40], np.float32(NAN))
    x = torch.from_numpy(generator.choice(special, size=(20, book.n_features)))
    codes = torch.from_numpy(book.encode(x.numpy()).astype(np.int32))
    with torch.no_grad():
        expected = head(nn.functional.pad(Thermometer(book).from_codes(codes), (0, 1))[:, column_map])
        assert torch.equal(head(net.quantization.from_codes(codes)), expected)
        assert_close(net.from_codes(codes), expected)
        assert torch.equal(net(x), net.from_codes(codes))


@settings(max_examples=50)
@given(mixed_codebooks(), st.integers(0, 1000))
def test_codes_of_categories_equal_the_product_with_their_bits(book, seed):
    torch.manual_seed(seed)
    column_map = np.append(np.arange(book.n_columns), -1)
    head = nn.Sequential(nn.Linear(column_map.size, 4), nn.ReLU())
    net = JointNet(Thermometer(book), head, column_map=column_map).eval()
    generator = np.random.default_rng(seed)
    codes = np.stack([generator.integers(0, n, size=20) for n in book.n_levels.tolist()], axis=1)
    bits = torch.from_numpy(np.pad(book.thermometer(codes).astype(np.float32), ((0, 0), (0, 1))))
    with torch.no_grad():
        assert_close(net.from_codes(torch.from_numpy(codes.astype(np.int32))), head(bits))


def net_of(head, rng):
    return JointNet(learned_layer(rng, [7, 7], [False, False]), head)


class Doubled(nn.Sequential):
    def forward(self, x):
        return super().forward(2 * x)


class Squared(nn.Linear):
    def forward(self, x):
        return super().forward(x**2 + x)


def watched():
    head = nn.Sequential(nn.Linear(14, 1))
    head[0].register_full_backward_pre_hook(lambda module, grad: None)
    return head


def hooked():
    head = nn.Sequential(nn.Linear(14, 1))
    head[0].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))
    return head


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.BatchNorm1d(14), nn.Linear(14, 1)),
        Doubled(nn.Linear(14, 1)),
        nn.Sequential(nn.Sequential(nn.Linear(14, 1))),
        nn.Sequential(),
        Squared(14, 1),
        hooked(),
        watched(),
        nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(14, 1))),
        nn.Identity(),
    ],
)
def test_other_heads_read_bits(head, rng, monkeypatch):
    monkeypatch.setattr("skbsq.nn.joint.table_linear", lambda *_: pytest.fail("not a linear layer at the front"))
    net = net_of(head, rng)
    x = torch.randn(6, 2)
    for mode in (net.train(), net.eval()):
        torch.testing.assert_close(mode(x), head(net.quantization(x)))


@pytest.mark.parametrize(
    "head",
    [
        nn.Linear(14, 3),
        nn.Sequential(nn.Linear(14, 5), nn.ReLU()),
        MLP(14, 2),
        LevelLinear(nn.Linear(14, 3), np.repeat([0, 1], 7), np.ones(14), np.zeros(2)),
    ],
)
def test_these_heads_read_the_table_where_nothing_is_trained(head, rng, monkeypatch):
    calls = []
    monkeypatch.setattr("skbsq.nn.joint.table_linear", lambda *a: calls.append(1) or table_linear(*a))
    net = net_of(head, rng)
    x = torch.randn(6, 2)
    for mode in (net.train(), net.eval()):
        torch.testing.assert_close(mode(x), head(net.quantization(x)))
    assert not calls
    with torch.no_grad():
        torch.testing.assert_close(net(x), head(net.quantization(x)))
    assert calls == [1]


def test_new_weights_make_a_new_table():
    net = JointNet(Thermometer(Codebook.from_thresholds([[0.0, 1.0]])), nn.Linear(2, 1)).eval()
    codes = torch.tensor([[2]], dtype=torch.int32)
    with torch.no_grad():
        net.head.weight.copy_(torch.tensor([[1.0, 2.0]]))
        net.head.bias.zero_()
        assert net.from_codes(codes).item() == 3
        assert net.from_codes(codes).item() == 3
        net.head.weight.mul_(2)
        assert net.from_codes(codes).item() == 6
        net.head.bias.fill_(1)
        assert net.from_codes(codes).item() == 7
        net.head.load_state_dict({"weight": torch.tensor([[5.0, 5.0]]), "bias": torch.tensor([0.0])})
        assert net.from_codes(codes).item() == 10
        net.head.weight = nn.Parameter(torch.tensor([[1.0, 1.0]]))
        assert net.from_codes(codes).item() == 2
        net.head.weight.data.mul_(4)  # without a new version number
        assert net.from_codes(codes).item() == 8


def test_other_layers_behind_the_first_are_seen():
    net = JointNet(Thermometer(Codebook.from_thresholds([[0.0]])), nn.Sequential(nn.Linear(1, 1), nn.Identity())).eval()
    codes = torch.tensor([[1]], dtype=torch.int32)
    with torch.no_grad():
        before = net.from_codes(codes)
        net.head[1] = nn.Softplus()
        assert torch.equal(net.from_codes(codes), nn.functional.softplus(before))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_leave_the_table_behind(duplicate):
    net = JointNet(Thermometer(Codebook.from_thresholds([[0.0]])), nn.Linear(1, 1)).eval()
    codes = torch.tensor([[0], [1]], dtype=torch.int32)
    with torch.no_grad():
        before = net.from_codes(codes)
        twin = duplicate(net)
        assert twin._cached is None
        assert torch.equal(twin.from_codes(codes), before)


@pytest.mark.parametrize("n_slots", [2, 4, 8, 32, 256])
def test_running_sums(n_slots, rng):
    rows = torch.tensor(rng.integers(-5, 5, size=(3, n_slots, 2)).astype(np.float32))
    expected = rows.cumsum(1)
    out = torch.empty_like(rows)
    running_sums(rows, out)
    assert torch.equal(out, expected)
    running_sums(rows, rows)
    assert torch.equal(rows, expected)


def test_gradients_reach_the_first_layer_from_codes():
    """As in fine-tuning on codes that a device sent."""
    net = JointNet(Thermometer(Codebook.from_thresholds([[0.0, 1.0]])), MLP(2, 1, hidden_sizes=(4,)))
    codes = torch.tensor([[0], [1], [2]], dtype=torch.int32)
    net.from_codes(codes).sum().backward()
    of_codes = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(torch.tensor([[0.0], [0.5], [2.0]])).sum().backward()
    for one, other in zip(of_codes, net.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad)


def test_weights_made_in_inference_mode():
    with torch.inference_mode():
        net = JointNet(Thermometer(Codebook.from_thresholds([[0.0]])), nn.Linear(1, 1)).eval()
        codes = torch.tensor([[0], [1]], dtype=torch.int32)
        assert torch.equal(net.from_codes(codes), net(torch.tensor([[0.0], [1.0]])))


def test_a_layer_of_values_takes_no_column_map():
    layer = SoftQuantization([[0.0], [0.0]], mean=np.zeros(2), scale=np.ones(2))
    with pytest.raises(ValueError, match="SoftQuantization has outputs in a fixed order"):
        JointNet(layer, nn.Identity(), column_map=np.array([1, 0]))
