"""The layers that give one value per feature: exact as codebooks, and with the gradients of their papers."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.nn import LLTQuantization, LSQQuantization, SoftQuantization
from skbsq.nn.llt import _LookUp
from tests.strategies import neighbours


def soft(generator, mean, scale, has_missing, learn_values=False):
    thresholds = [mean[0] + scale[0] * generator.normal(size=7), [], mean[2] + scale[2] * generator.normal(size=2)]
    layer = SoftQuantization(thresholds, mean=mean, scale=scale, has_missing=has_missing, learn_values=learn_values)
    with torch.no_grad():
        layer.theta.add_(torch.from_numpy(generator.normal(size=9).round(1).astype(np.float32)))  # some tie
        if learn_values:
            layer.steps.copy_(torch.from_numpy(generator.normal(size=9).astype(np.float32)))
            layer.base.copy_(torch.from_numpy(generator.normal(size=3).astype(np.float32)))
    return layer


def lsq(generator, mean, scale, has_missing):
    step = generator.uniform(0.01, 2, size=3)
    return LSQQuantization([8, 1, 15], step, mean=mean, scale=scale, has_missing=has_missing)


def llt(generator, mean, scale, has_missing):
    layer = LLTQuantization(
        [7, 1, 2], generator.uniform(0.1, 4, size=3), granularity=4, mean=mean, scale=scale, has_missing=has_missing
    )
    with torch.no_grad():
        layer.logits.copy_(torch.from_numpy(generator.normal(size=layer.logits.shape).astype(np.float32)))
    return layer


MAKERS = {
    "SQ": soft,
    "SQ+": lambda *args: soft(*args, learn_values=True),
    "LSQ": lsq,
    "LLT": llt,
}


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=40)
@given(
    mean=st.sampled_from([0.0, 1e5, -3.0]), scale=st.sampled_from([1.0, 1e-3, 7.0, 1e30]), seed=st.integers(0, 10_000)
)
def test_exact_as_a_codebook(kind, mean, scale, seed):
    """At every threshold and its neighbours, and at random floats, the layer returns values[code], to the last bit."""
    generator = np.random.default_rng(seed)
    mean, scale, has_missing = np.full(3, mean), np.full(3, scale), np.array([True, False, False])
    layer = MAKERS[kind](generator, mean, scale, has_missing).eval()
    thresholds, values = layer.fold()
    book = Codebook.from_thresholds(thresholds, missing="code", has_missing=has_missing)
    assert [len(v) for v in values] == [t.size + 1 for t in thresholds]
    special = neighbours(np.concatenate(thresholds))
    special = np.append(special[np.isfinite(special)], np.float32("nan"))
    x = np.concatenate(
        [
            np.repeat(special[:, None], 3, axis=1),
            (mean + scale * generator.normal(scale=3, size=(200, 3))).astype(np.float32),
            generator.integers(-(2**31), 2**31, size=(200, 3)).astype(np.int32).view(np.float32),
        ]
    )
    x[np.isinf(x)] = 0
    frozen, _ = layer.frozen(book, values, None)
    with torch.no_grad():
        found = layer(torch.from_numpy(x))
        assert torch.equal(frozen(torch.from_numpy(x)), found)
        # The layer reads NaN in a feature without a missing code as the lowest value; the codebook refuses it.
        floats = np.where(np.isnan(x) & book.refuses_nan, np.float32(-np.inf), x)
        codes = torch.from_numpy(book.encode(floats).astype(np.int32))
        assert torch.equal(frozen.from_codes(codes), found)
    assert found.shape == (len(x), 4)
    np.testing.assert_array_equal(found[:, 3].numpy(), np.isnan(x[:, 0]))


# -- soft quantization -------------------------------------------------------------------------------


def test_soft_values_by_hand():
    layer = SoftQuantization([[0.0, 2.0]], mean=np.array([1.0]), scale=np.array([2.0]), learn_values=True)
    layer.temperature = 0.5
    with torch.no_grad():
        layer.steps.copy_(torch.tensor([2.0, -1.0]))
        layer.base.fill_(10.0)
    x = torch.tensor([[0.0], [3.0], [-50.0]])
    sigmoid = lambda u: 1 / (1 + np.exp(-u))  # noqa: E731
    expected = [10 + 2 * sigmoid((x - 0) / 2 / 0.5) - sigmoid((x - 2) / 2 / 0.5) for x in (0.0, 3.0, -50.0)]
    np.testing.assert_allclose(layer(x).detach().numpy().ravel(), expected, rtol=1e-6)
    np.testing.assert_array_equal(layer.eval()(x).detach().numpy().ravel(), [10, 11, 10])


def test_soft_gradients_equal_finite_differences(rng):
    layer = SoftQuantization([[0.0, 1.0], [0.5]], mean=np.zeros(2), scale=np.ones(2), learn_values=True).double()
    x = torch.from_numpy(rng.normal(size=(5, 2)))
    names, values = zip(*layer.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda *values: torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,)), values
    )


# -- LSQ ---------------------------------------------------------------------------------------------


def test_lsq_values_by_hand():
    layer = LSQQuantization([4, 7], [0.5, 1.0], mean=np.zeros(2), scale=np.ones(2))
    x = torch.tensor([[-9.0, -9.0], [-0.25, 0.5], [0.25, 1.5], [0.26, 2.6], [9.0, 9.0]])
    # torch rounds half to even.
    expected = [[-1, -3], [0, 0], [0, 2], [0.5, 3], [0.5, 3]]
    for module in (layer, layer.eval()):
        np.testing.assert_allclose(module(x).detach().numpy(), expected)


def test_lsq_step_gradient_by_its_closed_form(rng):
    layer = LSQQuantization([4, 8], [0.5, 0.25], mean=np.zeros(2), scale=np.ones(2))
    x = rng.normal(size=(20, 2)).astype(np.float32)
    grad = rng.normal(size=(20, 2)).astype(np.float32)
    (layer(torch.from_numpy(x)) * torch.from_numpy(grad)).sum().backward()
    for j, (low, high) in enumerate([(-2, 1), (-4, 3)]):
        ratio = x[:, j] / layer.step[j].item()
        slope = np.where(ratio <= low, low, np.where(ratio >= high, high, np.round(ratio) - ratio))
        expected = (grad[:, j] * slope).sum() / np.sqrt(40 * high)
        assert layer.step.grad[j].item() == pytest.approx(expected, rel=1e-4)


def test_lsq_step_stays_positive():
    layer = LSQQuantization([4], [0.5], mean=np.zeros(1), scale=np.ones(1))
    with torch.no_grad():
        layer.step.fill_(0.0)
    assert layer.positive_step().item() == pytest.approx(5e-7)
    layer(torch.tensor([[1.0]])).sum().backward()
    assert torch.isfinite(layer.step.grad).all()
    with pytest.raises(ValueError, match=r"step must be positive, got 0\.0 for feature 1"):
        LSQQuantization([4, 4], [1, 0], mean=np.zeros(2), scale=np.ones(2))


# -- LLT ---------------------------------------------------------------------------------------------


def test_llt_table_by_hand():
    """Two steps with three cells each: the first step is in its last cell, the second in its first."""
    layer = LLTQuantization([5], [6.0], granularity=3, mean=np.zeros(1), scale=np.ones(1))
    with torch.no_grad():
        layer.logits.copy_(torch.tensor([[[0.0, 0, 9], [9, 0, 0]]]))
    x = torch.arange(-6.0, 7.0)[:, None]
    expected = [-6, -6, -6, -3, 0, 0, 0, 0, 0, 3, 6, 6, 6]
    # The grid has 6 cells on each side: entries at 0, 1, ..., 6 on the scale of 6.
    np.testing.assert_allclose(layer.eval()(x).detach().numpy().ravel(), expected)
    layer.temperature = 1e-3
    np.testing.assert_allclose(layer.train()(x).detach().numpy().ravel(), expected)


def test_llt_with_two_levels():
    layer = LLTQuantization([2], [2.0], granularity=4, mean=np.zeros(1), scale=np.ones(1)).eval()
    x = torch.tensor([[-9.0], [-0.6], [0.6], [9.0]])
    np.testing.assert_allclose(layer(x).detach().numpy().ravel(), [-2, -2, 2, 2])


def test_llt_gradients_by_their_closed_form(rng):
    table = torch.from_numpy(rng.normal(size=(2, 5)).astype(np.float32)).requires_grad_()
    index = torch.from_numpy(rng.integers(0, 5, size=(30, 2)))
    place = torch.zeros(30, 2, requires_grad=True)
    factor = torch.from_numpy(rng.uniform(size=(2, 5)).astype(np.float32))
    grad = torch.from_numpy(rng.normal(size=(30, 2)).astype(np.float32))
    (_LookUp.apply(table, place, index, factor) * grad).sum().backward()
    torch.testing.assert_close(place.grad, grad)
    for j, entry in product(range(2), range(5)):
        expected = grad[index[:, j] == entry, j].sum() * factor[j, entry]
        torch.testing.assert_close(table.grad[j, entry], expected)


def test_llt_scales_the_gradient_of_an_entry_by_a_histogram(rng):
    """As many bins as entries, from the smallest place to the largest, as torch.histc counts by default."""
    layer = LLTQuantization([5, 2, 1, 3], [1.0] * 4, granularity=3, mean=np.zeros(4), scale=np.ones(4))
    place = torch.from_numpy(rng.uniform(-0.7, 0.9, size=(200, 4)).astype(np.float32))
    place[:, 3] = 0.25
    factors = layer._factors(place)
    middle = 6
    for j, (first, entries) in enumerate([(-6, 13), (0, 4), (0, 1)]):
        count = torch.histc(place[:, j], entries)
        expected = 200 / entries / (count.sqrt() + 1e-5)
        torch.testing.assert_close(factors[j, middle + first : middle + first + entries], expected)
    assert factors[3, middle - 3].item() == pytest.approx(200 / 7 / np.sqrt(200), rel=1e-5)  # one value, one bin


def test_llt_rejects():
    with pytest.raises(ValueError, match=r"1, 2 or odd, got \[4\]"):
        LLTQuantization([4], [1.0], mean=np.zeros(1), scale=np.ones(1))
    with pytest.raises(ValueError, match="spread must be positive"):
        LLTQuantization([3], [-1.0], mean=np.zeros(1), scale=np.ones(1))
