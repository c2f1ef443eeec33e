import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.nn import BitwiseQuantization, JointNet, Standardization, StandardSpace, Thermometer
from tests.strategies import codebooks, neighbours

NAN, INF = float("nan"), float("inf")


def layer_of(thresholds, mean=None, scale=None, **kwargs):
    d = len(thresholds)
    mean = np.zeros(d) if mean is None else np.asarray(mean, dtype=np.float64)
    scale = np.ones(d) if scale is None else np.asarray(scale, dtype=np.float64)
    return BitwiseQuantization(thresholds, space=StandardSpace(mean=mean, scale=scale), **kwargs)


@pytest.mark.parametrize("forward", ["hard", "soft"])
def test_bits_in_evaluation_are_strict_comparisons(forward):
    layer = layer_of([[0.0, 1.0], [2.0]], forward=forward).eval()
    x = torch.tensor([[0.0, 2.0], [0.5, INF], [1.0, -INF], [1.5, 3.0]])
    np.testing.assert_array_equal(layer(x).numpy(), [[0, 0, 0], [1, 0, 1], [1, 0, 0], [1, 1, 1]])


def test_training_forward():
    x = torch.tensor([[0.5], [1.0]])
    hard, soft = (layer_of([[0.0, 1.0]], forward=f) for f in ("hard", "soft"))
    np.testing.assert_array_equal(hard(x).detach().numpy(), [[1, 0], [1, 0]])
    np.testing.assert_allclose(soft(x).detach().numpy(), torch.sigmoid(torch.tensor([[0.5, -0.5], [1, 0]])).numpy())


def test_missing_column():
    layer = layer_of([[0.0], [], [1.0]], has_missing=[True, True, False])
    x = torch.tensor([[NAN, 3.0, NAN], [1.0, NAN, 2.0]])
    for module in (layer, layer.eval()):
        # One column per threshold, then one per missing bit.
        np.testing.assert_array_equal(module(x).detach().numpy(), [[0, 0, 1, 0], [1, 1, 0, 1]])


@pytest.mark.parametrize("forward", ["hard", "soft", "auto"])
def test_one_hot_bits_go_off_again(forward):
    given = {"fixed": np.arange(5) < 3, "one_hot": np.array([True, False]), "has_missing": [True, False]}
    layer = layer_of([[0.5, 1.5, 2.5], [0.0, 1.0]], forward=forward, **given).eval()
    x = torch.tensor([[0.0, 2], [1, 0.5], [2, -1], [3, 2], [NAN, 2]])
    # f0 = 1, f0 = 2, f0 = 3, f1 > 0, f1 > 1, and f0 is missing.
    expected = [[0, 0, 0, 1, 1, 0], [1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]]
    np.testing.assert_array_equal(layer(x).numpy(), expected)
    assert layer.ends().tolist() == [1.5, 2.5, INF, INF, INF, INF]
    # The bits of fixed thresholds are hard in training too.
    np.testing.assert_array_equal(layer.train()(x).detach().numpy()[:, :3], np.array(expected)[:, :3])


def test_thresholds_that_are_fixed_stay(rng):
    layer = layer_of([[0.0, 1.0], [0.0, 1.0]], fixed=np.array([True, True, False, False]))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        layer(torch.tensor(rng.normal(size=(50, 2)).astype(np.float32))).square().sum().backward()
        optimizer.step()
        layer.confine()
    assert layer.raw_thresholds()[:2].tolist() == [0, 1]
    assert layer.raw_thresholds()[2:].tolist() != [0, 1]


def test_thermometer_of_categories():
    book = Codebook.from_thresholds(
        [{"a": 0, "b": 1, "c": 2, None: 3}, {"d": 0, "e": 0, "f": 1, "g": 2}, [0.5]],
    )
    x = torch.tensor([[0.0, 1, 0], [1, 2, 1], [2, 3, 0], [NAN, 0, 1]])
    # Alone: b, c; missing; up to its code: f, g; then the threshold.
    expected = [[0, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 1], [0, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]]
    bits = Thermometer(book)(x).numpy()
    np.testing.assert_array_equal(bits, expected)
    np.testing.assert_array_equal(bits, book.thermometer(book.encode_numbers(x.numpy())))


@pytest.mark.parametrize("forward", ["hard", "soft"])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_gradient_is_that_of_the_sigmoid(forward, temperature, rng):
    x = torch.tensor(rng.normal(size=(20, 2)).astype(np.float32))
    x[3, 0] = NAN
    layer = layer_of([[0.0, 1.0], [2.0]], mean=[0.5, 0], scale=[2, 3], forward=forward)
    layer.temperature = temperature
    out_weights = torch.tensor(rng.normal(size=(20, 3)).astype(np.float32))
    (layer(x) * out_weights).sum().backward()

    theta = layer.theta.detach().double().requires_grad_()
    z = ((x.double() - layer.space.mean) / layer.space.scale)[:, [0, 0, 1]]
    seen = ~z.isnan()
    soft = torch.sigmoid((z.nan_to_num() - theta) / temperature) * seen
    (soft * out_weights).sum().backward()
    np.testing.assert_allclose(layer.theta.grad.numpy(), theta.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert torch.isfinite(layer.theta.grad).all()


@pytest.mark.parametrize("sizes", [(3, 8), (7, 7), (8, 9)])
def test_auto_is_soft_where_thresholds_are_few(sizes, rng):
    """Each feature has the values and gradients of a layer with this feature alone."""
    thresholds = [np.sort(rng.normal(size=size)) for size in sizes]
    x = torch.tensor(rng.normal(size=(30, 2)).astype(np.float32))
    x[2, 1] = NAN
    layer = layer_of(thresholds)
    layer.temperature = 0.3
    out_weights = torch.tensor(rng.normal(size=(30, sum(sizes))).astype(np.float32))
    out = layer(x)
    (out * out_weights).sum().backward()
    start = 0
    for j, n_thresholds in enumerate(sizes):
        alone = layer_of([thresholds[j]], forward="soft" if n_thresholds <= 7 else "hard")
        alone.temperature = 0.3
        columns = slice(start, start + n_thresholds)
        torch.testing.assert_close(out[:, columns], alone(x[:, [j]]))
        (alone(x[:, [j]]) * out_weights[:, columns]).sum().backward()
        torch.testing.assert_close(layer.theta.grad[columns], alone.theta.grad)
        start += n_thresholds
    assert layer.hard == (min(sizes) > 7)


def test_soft_gradient_equals_finite_differences(rng):
    layer = layer_of([[0.0, 1.0]], forward="soft").double()
    x = torch.tensor(rng.normal(size=(5, 1)))
    assert torch.autograd.gradcheck(
        lambda theta: torch.func.functional_call(layer, {"theta": theta}, (x,)), layer.theta.detach().requires_grad_()
    )


def test_rejects_an_unknown_forward():
    with pytest.raises(ValueError, match=r"forward must be one of \['auto', 'hard', 'soft'\], got 'medium'"):
        layer_of([[0.0]], forward="medium")


# -- fold --------------------------------------------------------------------------------------------


def test_fold_sorts_and_merges():
    layer = layer_of([[0.0, 1.0, 2.0], [5.0], []], has_missing=[False, True, True])
    with torch.no_grad():
        layer.theta.copy_(torch.tensor([2.0, -1.0, 2.0, 3.0]))
    thresholds, columns = layer.fold()
    assert [t.tolist() for t in thresholds] == [[-1, 2], [3], []]
    # Thermometer columns: f0_t0 f0_t1 | f1_t0 f1_missing | f2_missing
    assert columns.tolist() == [1, 0, 1, 2, 3, 4]


@settings(max_examples=40)
@given(
    raw=st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=12),
    mean=st.sampled_from([0.0, 1e5, -3.0]),
    scale=st.sampled_from([1.0, 0.01, 7.0]),
    seed=st.integers(0, 1000),
)
def test_folded_net_is_bit_equal(raw, mean, scale, seed):
    """Also with an offset of 1e5 and a spread of 1, where folding in float32 would move thresholds."""
    generator = np.random.default_rng(seed)
    split = generator.integers(0, len(raw) + 1)
    layer = layer_of(
        [mean + scale * np.array(raw[:split]), np.array(raw[split:])],
        mean=[mean, 0],
        scale=[scale, 1],
        has_missing=[True, False],
    )
    with torch.no_grad():
        layer.theta.add_(torch.tensor(generator.normal(size=len(raw)).astype(np.float32)))
    column_map = generator.permutation(np.append(np.arange(len(raw) + 1), -1))
    head = torch.nn.Linear(column_map.size, 3)
    net = JointNet(layer, head, column_map=column_map).eval()
    x = np.column_stack([mean + scale * generator.normal(size=50), generator.normal(size=50)]).astype(np.float32)
    raw_thresholds = layer.raw_thresholds().numpy()
    special = neighbours(raw_thresholds)[:40]
    x = np.vstack([x, np.column_stack([special, special]), [[NAN, 0]]]).astype(np.float32)
    before = net(torch.from_numpy(x))

    thresholds, folded = layer.fold()
    book = Codebook.from_thresholds(thresholds, missing="code", has_missing=[True, False])
    net.freeze(book, folded)
    net.eval()
    np.testing.assert_array_equal(net(torch.from_numpy(x)).detach().numpy(), before.detach().numpy())
    codes = torch.from_numpy(book.encode(x).astype(np.int32))
    np.testing.assert_array_equal(net.from_codes(codes).detach().numpy(), before.detach().numpy())


# -- thermometer -------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(codebooks(missing=st.just("code")))
def test_thermometer_equals_the_codebook(book):
    special = np.append(neighbours(np.concatenate(book.thresholds)), np.float32(NAN))
    x = np.repeat(special[:, None], book.n_features, axis=1)
    layer = Thermometer(book)
    codes = book.encode(x)
    np.testing.assert_array_equal(layer.encode(torch.from_numpy(x)).numpy(), codes)
    np.testing.assert_array_equal(layer(torch.from_numpy(x)).numpy(), book.thermometer(codes))
    np.testing.assert_array_equal(
        layer.from_codes(torch.from_numpy(codes.astype(np.int32))).numpy(), book.thermometer(codes)
    )


@settings(max_examples=50)
@given(codebooks(missing=st.just("code")), st.data())
def test_floats_have_their_codes(book, data):
    codes = np.array([[data.draw(st.integers(0, int(n) - 1)) for n in book.n_levels] for _ in range(4)])
    floats = Thermometer(book).floats(torch.from_numpy(codes)).numpy()
    np.testing.assert_array_equal(book.encode(floats), codes)


def test_thermometer_of_sixteen_bits():
    book = Codebook.from_thresholds([np.arange(65535), [0.5]])
    x = np.float32([[-1, 0], [40000.5, 1], [70000, 0]])
    np.testing.assert_array_equal(Thermometer(book).encode(torch.from_numpy(x)).numpy(), book.encode(x))


# -- the rest ----------------------------------------------------------------------------------------


def test_standardization():
    layer = Standardization(mean=np.array([1e5, 0.0]), scale=np.array([0.5, 2.0]))
    np.testing.assert_array_equal(layer(torch.tensor([[100001.0, 4.0]])).numpy(), [[2, 2]])
    layer = Standardization(mean=np.array([1.0]), scale=np.array([1.0]), indicators=True)
    np.testing.assert_array_equal(layer(torch.tensor([[NAN], [3.0]])).numpy(), [[0, 1], [2, 0]])


def test_state_dict_holds_the_map(tmp_path):
    net = JointNet(layer_of([[0.0]]), torch.nn.Linear(2, 1), column_map=np.array([-1, 0]))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    assert state["column_map"].tolist() == [-1, 0]
    assert "quantization.theta" in state


def test_fixed_thresholds_stay_exactly_where_they_are():
    """The way through the scaled space would round the neighbours of 0.1, and a step would move them."""
    below = np.nextafter(np.float32(0.1), np.float32(0))
    raw = np.float32([-3e38, -1, below, 0.1, 2])
    fixed = np.array([True, False, True, True, False])
    layer = layer_of([raw], [12345.678], [1e-3], fixed=fixed)
    layer.train()
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e5)
    x = torch.tensor([[-3e38], [-1.0], [float(below)], [0.1], [np.nextafter(np.float32(0.1), np.float32(1))], [12346]])
    for _ in range(3):
        bits = layer(x)
        assert bits[:, [0, 2, 3]].tolist() == (x.numpy() > raw[[0, 2, 3]]).tolist()  # hard, the others are soft
        optimizer.zero_grad()
        (bits * torch.arange(5.0)).sum().backward()
        assert layer.theta.grad.isfinite().all()
        optimizer.step()
        layer.confine()
    assert layer.raw_thresholds()[[0, 2, 3]].tolist() == raw[[0, 2, 3]].tolist()
    assert layer.fold()[0][0][:1].tolist() == [np.float32(-3e38)]
    assert layer.soft_columns().tolist() == [False, True, False, False, True]
