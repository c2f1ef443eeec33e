"""Floats to codes. Every test runs with each kernel, and with the kernel that `Codebook.encode` chooses."""

from functools import partialmethod
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbsq import Codebook
from skbsq.codebook import kernels
from skbsq.codebook.kernels import KERNELS, Encoder
from tests import reference
from tests.strategies import codebooks, neighbours

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=[None, *KERNELS], scope="module", autouse=True)
def kernel(request):
    with mock.patch.object(Encoder, "encode", partialmethod(Encoder.encode, kernel=request.param)):
        yield request.param


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(kernels, "BLOCK", 2**12)
    monkeypatch.setattr(kernels, "_MAX_COMPARISONS", 2**14)


def test_encode_by_hand():
    book = Codebook.from_thresholds([[0.0, 1.0, 2.5], [10.0]])
    X = [[-1, 9], [0, 10], [0.5, 11], [1, 10], [2.5, 10], [2.6, 10]]
    np.testing.assert_array_equal(book.encode(X), [[0, 0], [0, 0], [1, 1], [1, 0], [2, 0], [3, 0]])


@settings(max_examples=30)
@given(codebooks(missing=st.just("code")), st.data())
def test_encode_equals_reference(book, data):
    special = [*neighbours(np.concatenate(book.thresholds)).tolist(), NAN]
    value = st.one_of(st.sampled_from(special), st.floats(width=32))
    X = data.draw(hnp.arrays(np.float32, (5, book.n_features), elements=value))
    np.testing.assert_array_equal(book.encode(X), reference.encode(X, book))


@pytest.mark.parametrize("n_thresholds", [1, 2, 3, 7, 15, 255, 300, 65535])
def test_encode_equals_reference_at_thresholds_and_their_neighbours(n_thresholds, kernel, rng):
    if kernel == "rows" and n_thresholds > 300:
        pytest.skip("takes gigabytes")
    t = np.unique(rng.normal(size=n_thresholds + 10).astype(np.float32))[:n_thresholds]
    book = Codebook.from_thresholds([t])
    x = neighbours(rng.choice(t, size=min(n_thresholds, 20)))
    np.testing.assert_array_equal(book.encode(x[:, None]).ravel(), [(t < v).sum() for v in x])
    assert book.encode(x[:, None]).dtype == (np.uint8 if n_thresholds < 256 else np.uint16)


def test_encode_zeros_and_infinities():
    book = Codebook.from_thresholds([[-0.0]])
    np.testing.assert_array_equal(book.encode([[0.0], [-0.0], [INF], [-INF], [1e-45]]).ravel(), [0, 0, 1, 0, 1])


def test_encode_float64_beyond_float32_is_an_infinity():
    book = Codebook.from_thresholds([[np.finfo(np.float32).max]])
    np.testing.assert_array_equal(book.encode(np.array([[1e300], [-1e300], [3.4e38]])).ravel(), [1, 0, 0])


def test_encode_rounds_to_float32_before_comparing():
    book = Codebook.from_thresholds([[0.1]])
    assert float(np.float32(0.1)) > 0.1
    assert book.encode(np.array([[0.1000000012]], dtype=np.float64))[0, 0] == 0
    assert book.encode(np.array([[2**24 + 1]]))[0, 0] == 1  # an integer that float32 does not hold


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: np.frombuffer(X.tobytes(), X.dtype).reshape(X.shape),  # read-only
    ],
)
def test_encode_memory_layouts(layout, rng):
    X = rng.normal(size=(50, 3)).astype(np.float32)
    book = Codebook.from_thresholds([[0], [-1, 1], [-0.5, 0, 0.5]])
    np.testing.assert_array_equal(book.encode(layout(X)), book.encode(X))


def test_encode_in_more_than_one_block(rng, small_blocks):
    X = rng.normal(size=(2 * kernels.BLOCK + 7, 1))
    book = Codebook.from_thresholds([[0.0]])
    np.testing.assert_array_equal(book.encode(X), X.astype(np.float32) > 0)
    X[-1] = NAN
    with pytest.raises(ValueError, match=rf"NaN in feature 0 \(row {len(X) - 1}\)"):
        book.encode(X)


# -- missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_thresholds", [1, 200])
def test_signaling_nan(dtype, n_thresholds):
    """Regression test: a signaling NaN, as some sensors send, caused a warning."""
    bits = {np.float32: np.uint32(0x7F800001), np.float64: np.uint64(0x7FF0000000000001)}[dtype]
    X = np.array([[bits], [bits | (bits.itemsize * 8 - 1)]]).view(dtype)
    assert np.isnan(X).all()
    book = Codebook.from_thresholds([np.arange(n_thresholds)], missing="code")
    assert book.encode(X).tolist() == [[n_thresholds + 1]] * 2


# -- layouts and kernels -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 60, 3000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_with_and_without_many_thresholds(n, order, rng, small_blocks):
    """There are more features than a block has, and a feature with no thresholds."""
    sizes = [0, 1, 3, 7, 15, 20, 21, 63, 255, 300] * 2
    thresholds = [rng.normal(loc=100 * (j % 3 == 0), size=size) for j, size in enumerate(sizes)]
    book = Codebook.from_thresholds(thresholds, missing="code")
    X = np.asarray(rng.normal(loc=50, scale=50, size=(n, book.n_features)), dtype=np.float32, order=order)
    if n > 1:
        X[rng.random(X.shape) < 0.01] = NAN
        for j, t in enumerate(book.thresholds):
            X[n // 2 : n // 2 + t.size, j] = t[: n - n // 2]
    codes = book.encode(X)
    for j, t in enumerate(book.thresholds):
        x = X[:, j]
        expected = np.where(np.isnan(x), t.size + (t.size > 0), np.searchsorted(t, x, side="left"))
        np.testing.assert_array_equal(codes[:, j], expected)


def test_memory_order_is_that_of_the_input(kernel, rng):
    X = rng.normal(size=(3000, 3)).astype(np.float32)
    book = Codebook.from_thresholds([[0.0], [0.0, 1.0], np.linspace(-2, 2, 40)])
    assert book.encode(X).flags.c_contiguous
    assert book.encode(X[:, ::-1][:, ::-1]).flags.c_contiguous
    assert book.encode(np.repeat(X, 2, axis=1)[:, ::2]).flags.c_contiguous
    if kernel not in ("search", "rows"):
        assert book.encode(np.asfortranarray(X)).flags.f_contiguous


@pytest.mark.parametrize("workers", [1, 3])
def test_threads(workers, rng, monkeypatch):
    monkeypatch.setattr(kernels, "_VALUES_PER_THREAD", 10)
    monkeypatch.setattr(kernels, "_cpu_count", lambda: workers)
    X = rng.normal(size=(1001, 2)).astype(np.float32)
    book = Codebook.from_thresholds([np.linspace(-2, 2, 15)] * 2)
    np.testing.assert_array_equal(book.encode(X), (X[:, :, None] > book.thresholds[0]).sum(axis=2))
    X[[600, 900], [1, 0]] = NAN
    with pytest.raises(ValueError, match=r"NaN in feature 1 \(row 600\)"):
        book.encode(X)


def test_more_features_than_a_tile(rng, monkeypatch):
    monkeypatch.setattr(kernels, "_TILE", 16)
    X = rng.normal(size=(2, kernels._TILE + 1))
    book = Codebook.from_thresholds([[0.0]] * X.shape[1])
    np.testing.assert_array_equal(book.encode(X), X > 0)
