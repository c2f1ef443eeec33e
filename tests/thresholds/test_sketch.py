"""A sketch is exact up to its size, and has a small rank error beyond."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbsq.thresholds.sketch import Sketch
from tests import reference
from tests.strategies import finite32

datasketches = pytest.importorskip("datasketches")

chunks = st.lists(hnp.arrays(np.float32, st.integers(0, 12), elements=finite32 | st.integers(-3, 3)), max_size=4)


def sketch_of(chunks, size=100):
    sketch = Sketch(size)
    for x in chunks:
        sketch.update(*x) if isinstance(x, tuple) else sketch.update(x, np.ones(x.size))
    return sketch


def rank_error(sketch, x, weights=None):
    """Largest error of the share of weight up to a value."""
    weights = np.ones(x.size) if weights is None else weights
    order = np.argsort(x)
    values, found_weights = sketch.weighted_unique
    grid = np.quantile(x, np.linspace(0, 1, 501))
    true = np.append(0, np.cumsum(weights[order]))[np.searchsorted(x[order], grid, side="right")] / weights.sum()
    found = np.append(0, np.cumsum(found_weights))[np.searchsorted(values, grid, side="right")]
    found = found / found_weights.sum()
    return np.abs(found - true).max()


@given(chunks=chunks)
def test_exact_up_to_the_size(chunks):
    values, weights = sketch_of(chunks).weighted_unique
    x = np.concatenate([np.empty(0, dtype=np.float32), *chunks])
    assert dict(zip(values.tolist(), weights.tolist(), strict=True)) == reference.weighted_unique(x, np.ones(x.size))
    assert (np.diff(values) > 0).all()
    assert values.dtype == np.float32


def test_weights():
    sketch = sketch_of([(np.float32([2, 1, 2]), np.array([0.5, 3, 0.25])), (np.float32([1]), np.array([1e-3]))])
    assert sketch.weighted_unique[0].tolist() == [1, 2]
    assert sketch.weighted_unique[1].tolist() == [3.001, 0.75]


def test_both_zeros_are_one_value():
    values, weights = sketch_of([np.float32([-0.0]), np.float32([0.0, -0.0])]).weighted_unique
    assert values.tolist() == [0.0]
    assert not np.signbit(values[0])
    assert weights.tolist() == [3]


ORDERS = {
    "drawn": lambda x: x,
    "rising": np.sort,
    "falling": lambda x: np.sort(x)[::-1],
    "from the ends": lambda x: np.sort(x)[np.argsort(-np.abs(np.arange(x.size) - x.size / 2), kind="stable")],
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["normal", "lognormal", "integers", "mostly zero"])
def test_rank_error_beyond_the_size(rng, kind, order):
    x = rng.normal(size=30_000)
    x = {"normal": x, "lognormal": np.exp(3 * x), "integers": np.rint(1e4 * x), "mostly zero": np.maximum(x, 0)}[kind]
    x = ORDERS[order](x).astype(np.float32)
    sketch = sketch_of(np.array_split(x, 7), size=1000)
    assert rank_error(sketch, x) < (0.01 if order == "from the ends" else 0.003)
    values, weights = sketch.weighted_unique
    assert (values[0], values[-1]) == (x.min(), x.max())
    assert weights.sum() == x.size
    assert values.size < 10_000
    if kind == "mostly zero":
        assert weights[values == 0] == (x == 0).sum()  # to the row


def test_weighted_ranks(rng):
    x, weights = rng.normal(size=40_000).astype(np.float32), rng.gamma(0.5, size=40_000) + 1e-6
    sketch = sketch_of([(x[:9000], weights[:9000]), (x[9000:], weights[9000:])], size=1000)
    assert rank_error(sketch, x, weights) < 0.006
    assert sketch.weighted_unique[1].sum() == pytest.approx(weights.sum(), rel=1e-4)


def test_scale_of_weights_does_not_matter(rng):
    x, weights = rng.normal(size=5000).astype(np.float32), rng.gamma(1.0, size=5000)
    one, other = (sketch_of([(x, weights * scale)], size=100).weighted_unique for scale in (1.0, 2.0**40))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1] * 2.0**40, other[1])


def test_saved_between_chunks(rng):
    one, other = Sketch(200), Sketch(200)
    for x in rng.normal(size=(4, 3000)).astype(np.float32):
        one.update(x, np.ones(x.size))
        one = Sketch.from_state(200, one.state())
        other.update(x, np.ones(x.size))
        assert other.weighted_unique[0].size > 200
    np.testing.assert_array_equal(one.weighted_unique, other.weighted_unique)


@given(one=chunks, other=chunks)
def test_merge_equals_one_sketch_of_all_rows(one, other):
    merged = sketch_of(one)
    merged.merge(sketch_of(other))
    np.testing.assert_array_equal(merged.weighted_unique, sketch_of(one + other).weighted_unique)


@pytest.mark.parametrize("apart", [0, 5, 1e6])
def test_rank_error_of_a_merge(rng, apart):
    parts = [(rng.normal(size=20_000) + k * apart).astype(np.float32) for k in range(4)]
    merged, *others = (sketch_of([x], size=1000) for x in parts)
    for other in others:
        before = [array.copy() for array in other.weighted_unique]
        merged.merge(other)
        np.testing.assert_array_equal(before, other.weighted_unique)
    assert rank_error(merged, np.concatenate(parts)) < 0.006
    assert merged.weighted_unique[1].sum() == 80_000


def test_bytes_that_are_no_digest(rng):
    state = sketch_of([rng.normal(size=5000).astype(np.float32)], size=100).state()
    [(exponent, data)] = state["digests"].items()
    assert exponent == 0
    far = data.copy()
    far[32:40] = np.frombuffer(np.float64(1e300).tobytes(), dtype=np.uint8)
    for bad in (data[:-1], data[:5], data[8:], far, np.append(data, data), np.zeros_like(data)):
        with pytest.raises(ValueError, match="digest"):
            Sketch.from_state(100, {**state, "digests": {0: bad}})
    with pytest.raises(ValueError, match="not sound"):
        Sketch.from_state(101, state)


def test_without_the_library(monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "datasketches", None)
    with pytest.raises(ImportError, match=r"pip install 'skbsq\[sketch\]'"):
        sketch_of([rng.normal(size=500).astype(np.float32)])
