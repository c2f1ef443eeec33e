"""Floats to codes. Every test runs with each kernel, and with the choice that `Codebook.encode` makes itself."""

from functools import partialmethod
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skbsq import Codebook
from skbsq.codebook import kernels
from skbsq.codebook.kernels import BLOCK, KERNELS, Encoder, Grid
from tests import reference
from tests.strategies import codebooks, neighbours

INF, NAN = float("inf"), float("nan")


@pytest.fixture(params=[None, *KERNELS], scope="module", autouse=True)
def kernel(request):
    with mock.patch.object(Encoder, "encode", partialmethod(Encoder.encode, kernel=request.param)):
        yield request.param


def test_encode_by_hand():
    book = Codebook.from_thresholds([[0.0, 1.0, 2.5], [10.0]])
    X = [[-1, 9], [0, 10], [0.5, 11], [1, 10], [2.5, 10], [2.6, 10]]
    np.testing.assert_array_equal(book.encode(X), [[0, 0], [0, 0], [1, 1], [1, 0], [2, 0], [3, 0]])


@given(codebooks(missing=st.just("code")), st.data())
def test_encode_equals_reference(book, data):
    special = [*neighbours(np.concatenate(book.thresholds)).tolist(), NAN]
    value = st.one_of(st.sampled_from(special), st.floats(width=32))
    X = data.draw(hnp.arrays(np.float32, (5, book.n_features), elements=value))
    np.testing.assert_array_equal(book.encode(X), reference.encode(X, book))


@pytest.mark.parametrize("n_thresholds", [1, 2, 3, 7, 15, 255, 300, 65535])
def test_encode_equals_reference_at_thresholds_and_their_neighbours(n_thresholds, rng):
    t = np.unique(rng.normal(size=n_thresholds + 10).astype(np.float32))[:n_thresholds]
    book = Codebook.from_thresholds([t])
    x = neighbours(rng.choice(t, size=min(n_thresholds, 20)))
    np.testing.assert_array_equal(book.encode(x[:, None]).ravel(), [(t < v).sum() for v in x])
    assert book.encode(x[:, None]).dtype == (np.uint8 if n_thresholds < 256 else np.uint16)


def test_encode_is_strict():
    t = np.float32(0.1)
    book = Codebook.from_thresholds([[t]])
    x = [np.nextafter(t, np.float32(-1)), t, np.nextafter(t, np.float32(1))]
    np.testing.assert_array_equal(book.encode(np.array(x)[:, None]).ravel(), [0, 0, 1])


def test_encode_zeros_and_infinities():
    book = Codebook.from_thresholds([[-0.0]])
    assert np.signbit(book.thresholds[0][0]) == np.False_
    np.testing.assert_array_equal(book.encode([[0.0], [-0.0], [INF], [-INF], [1e-45]]).ravel(), [0, 0, 1, 0, 1])


def test_encode_float64_beyond_float32_is_an_infinity():
    book = Codebook.from_thresholds([[np.finfo(np.float32).max]])
    np.testing.assert_array_equal(book.encode(np.array([[1e300], [-1e300], [3.4e38]])).ravel(), [1, 0, 0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16, bool, object])
def test_encode_types(dtype):
    book = Codebook.from_thresholds([[0.0, 2.0], [0.5]])
    X = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    np.testing.assert_array_equal(book.encode(X), [[0, 1], [1, 0], [1, 1]])


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


@pytest.mark.parametrize("exponent", [-30, 30])
def test_encode_is_scale_invariant(exponent, rng):
    X = rng.normal(size=(200, 2)).astype(np.float32)
    thresholds = [rng.normal(size=7).astype(np.float32) for _ in range(2)]
    codes = Codebook.from_thresholds(thresholds).encode(X)
    factor = np.float32(2.0**exponent)
    scaled = Codebook.from_thresholds([t * factor for t in thresholds]).encode(X * factor)
    np.testing.assert_array_equal(scaled, codes)


def test_encode_in_more_than_one_block(rng):
    X = rng.normal(size=(2 * BLOCK + 7, 1))
    book = Codebook.from_thresholds([[0.0]])
    np.testing.assert_array_equal(book.encode(X), X.astype(np.float32) > 0)
    X[-1] = NAN
    with pytest.raises(ValueError, match=rf"NaN in feature 0 \(row {len(X) - 1}\)"):
        book.encode(X)


def test_encode_does_not_touch_its_input(rng):
    X = rng.normal(size=(5, 1))
    before = X.copy()
    Codebook.from_thresholds([[0.0]]).encode(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0], "2-d"),
        ([[1.0, 2.0]], "X has 2 features, but this codebook has 1"),
        ([["a"]], "'a' in row 0, not numbers"),
        ([[None, "a"]], "'a' in row 0, not numbers"),
        ([[1j]], "real numbers"),
        (np.array([["2020-01-01"]], dtype="datetime64[s]"), "holds datetime64.*, not numbers"),
    ],
)
def test_encode_refuses(X, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds([[0.0]]).encode(X)


# -- missing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "has_missing", "n_levels", "n_bits", "nan_code", "nan_bits"),
    [
        ([0.0, 1.0], None, 4, 2, 3, [0, 0, 1]),
        ([], True, 2, 1, 1, [1]),  # one regular level: an indicator
        ([], None, 1, 0, 0, []),  # not sent, or constant and never missing
        ([], False, 1, 0, 0, []),
        ([0.0], False, 2, 1, 0, [0]),
    ],
)
def test_missing_code(thresholds, has_missing, n_levels, n_bits, nan_code, nan_bits):
    book = Codebook.from_thresholds(
        [thresholds], missing="code", has_missing=None if has_missing is None else [has_missing]
    )
    assert (book.n_levels[0], book.n_bits[0]) == (n_levels, n_bits)
    codes = book.encode([[NAN], [INF]])
    assert codes[0, 0] == nan_code
    assert codes[1, 0] == len(thresholds)
    np.testing.assert_array_equal(book.thermometer(codes)[0], nan_bits)
    assert np.isnan(book.decode(codes)[0, 0]) == bool(book.has_missing[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_thresholds", [1, 200])
def test_signaling_nan(dtype, n_thresholds):
    """A NaN whose arithmetic is an error, as some sensors send it: regression test for a warning."""
    bits = {np.float32: np.uint32(0x7F800001), np.float64: np.uint64(0x7FF0000000000001)}[dtype]
    X = np.array([[bits], [bits | (bits.itemsize * 8 - 1)]]).view(dtype)
    assert np.isnan(X).all()
    book = Codebook.from_thresholds([np.arange(n_thresholds)], missing="code")
    assert book.encode(X).tolist() == [[n_thresholds + 1]] * 2


def test_missing_error_names_the_feature():
    book = Codebook.from_thresholds([[0.0], []], feature_names=["a", "b"])
    for X, name in [([[NAN, 0]], "a"), ([[0, NAN]], "b")]:
        with pytest.raises(ValueError, match=f"NaN in feature '{name}'"):
            book.encode(X)


# -- layouts and kernels -----------------------------------------------------------------------------


def mixed_book(rng, missing="code"):
    """Features of all sorts of widths, one of them not sent; more of them than stand side by side in a block."""
    sizes = [0, 1, 3, 7, 15, 20, 21, 63, 255, 300] * 2
    thresholds = [rng.normal(loc=100 * (j % 3 == 0), size=size) for j, size in enumerate(sizes)]
    return Codebook.from_thresholds(thresholds, missing=missing)


@pytest.mark.parametrize("n", [0, 1, 2, 60, 20_000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_mixed_widths(n, order, rng):
    book = mixed_book(rng)
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
    if kernel not in ("search", "abreast"):
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
    monkeypatch.setattr(kernels, "_TILE", 256)
    X = rng.normal(size=(2, kernels._TILE + 1))
    book = Codebook.from_thresholds([[0.0]] * X.shape[1])
    np.testing.assert_array_equal(book.encode(X), X > 0)


def test_workers_are_those_of_openmp(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert kernels._cpu_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert kernels._cpu_count() >= 1


# -- the grid ----------------------------------------------------------------------------------------


@given(
    st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=40, unique=True),
    st.lists(st.floats(width=32, allow_nan=False), max_size=40),
    st.booleans(),
)
def test_grid_equals_the_count(thresholds, values, fine):
    t = np.unique(np.float32(thresholds) + np.float32(0))
    x = np.concatenate([neighbours(t), np.float32(values)])
    codes = np.empty(x.size, dtype=np.uint8)
    Grid(t, np.uint8, fine=fine).encode(x, codes)
    np.testing.assert_array_equal(codes, (x[:, None] > t).sum(axis=1))


@pytest.mark.parametrize(
    ("thresholds", "n_hops"),
    [
        (np.linspace(-2, 2, 255), 1),  # finest around zero
        (np.geomspace(1e-3, 1e3, 255), 1),
        (1e6 + np.arange(255), 1),  # parted once they are shifted
        ([0.0], 1),
        ([], 0),
    ],
)
def test_grid_leaves_few_halvings(thresholds, n_hops):
    assert len(Grid(np.float32(thresholds), np.uint8).hops) == n_hops


def test_grid_where_the_shift_rounds():
    """A value and a threshold that the shift makes equal still compare as they are."""
    t = np.float32([1.0, 1e8, 2e8])
    x = neighbours(np.float32([1.0, 2.0, 3.0]))
    grid = Grid(t, np.uint8)
    grid.shift = np.float32(1e8)
    grid.table, depth = kernels._table(t - grid.shift, np.uint8)
    grid.padded = np.concatenate([t, np.full(2**depth, INF, dtype=np.float32)])
    grid.hops = [2**step for step in reversed(range(depth))]
    codes = np.empty(x.size, dtype=np.uint8)
    grid.encode(x, codes)
    np.testing.assert_array_equal(codes, (x[:, None] > t).sum(axis=1))


def test_tables_stay_small(rng):
    """Beyond a limit on their memory the wide features do without."""
    book = Codebook.from_thresholds([np.arange(30)] * 1000)
    encoder = book._encoder
    X = rng.uniform(-1, 31, size=(3, 1000)).astype(np.float32)
    codes, _ = encoder.encode(X, kernel="grid")
    np.testing.assert_array_equal(codes, np.clip(np.ceil(X), 0, 30))
    assert not Grid(book.thresholds[0], np.uint8, fine=False).table


def test_thresholds_far_apart_are_no_overflow(rng):
    t = np.float32([-3e38, *np.linspace(2e38, 3e38, 30)])
    x = np.append(neighbours(t), rng.uniform(-3e38, 3e38, size=2000).astype(np.float32))
    book = Codebook.from_thresholds([t])
    np.testing.assert_array_equal(book.encode(x[:, None]).ravel(), (x[:, None] > t).sum(axis=1))
