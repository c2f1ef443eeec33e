"""Packed rows against a slow reference, and rejected input."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codec import RowCodec
from tests import reference


def book_of(n_levels):
    """Make a codebook with so many codes per feature."""
    return Codebook.from_thresholds([np.arange(n - 1) for n in n_levels])


def draw_codes(rng, book, n):
    return np.column_stack([rng.integers(0, levels, size=n) for levels in book.n_levels]).astype(book.dtype)


@st.composite
def coded(draw, max_rows=20):
    """Draw a codebook with 0 to 16 bits per feature, and codes of it."""
    n_bits = draw(st.lists(st.integers(0, 16), min_size=1, max_size=6))
    book = book_of([draw(st.integers(2 ** max(0, bits - 1), 2**bits)) if bits else 1 for bits in n_bits])
    return book, draw_codes(np.random.default_rng(draw(st.integers(0, 99))), book, draw(st.integers(0, max_rows)))


@pytest.mark.parametrize(
    ("n_levels", "codes", "row"),
    [
        ([2], [1], [1]),
        ([4, 1, 8], [2, 0, 5], [0b10110]),
        ([16, 16], [1, 2], [0x21]),
        ([256], [200], [200]),
        ([2, 256], [1, 0b10000001], [0b00000011, 1]),
        ([2**16], [0xABCD], [0xCD, 0xAB]),
        ([8, 2**12], [0b101, 0xABC], [0xE5, 0x55]),
        ([1, 1], [0, 0], []),
    ],
)
def test_rows_by_hand(n_levels, codes, row):
    codec = RowCodec(book_of(n_levels))
    assert codec.pack([codes]).tolist() == [row]
    assert codec.unpack(np.array([row], dtype=np.uint8)).tolist() == [codes]
    assert (codec.row_bits, codec.row_bytes) == (codec.codebook.row_bits, len(row))


@given(coded())
def test_rows_equal_the_reference_and_come_back(case):
    book, codes = case
    codec, n_bits = RowCodec(book), book.n_bits.tolist()
    packed, tight = codec.pack(codes), codec.pack_tight(codes)
    assert packed.dtype == tight.dtype == np.uint8
    assert [bytes(row) for row in packed] == [reference.pack_row(row, n_bits) for row in codes.tolist()]
    assert tight.tobytes() == reference.pack_row(codes.ravel().tolist(), n_bits * len(codes))
    for back in (codec.unpack(packed), codec.unpack_tight(tight, len(codes))):
        np.testing.assert_array_equal(back, codes)
        assert back.dtype == book.dtype


def test_many_rows_in_blocks_and_threads(rng, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    book = book_of([16, 1, 3, 300, 2, 9])
    codes = draw_codes(rng, book, 2**19 + 5)
    codec = RowCodec(book)
    packed = codec.pack(codes)
    np.testing.assert_array_equal(codec.unpack(packed), codes)
    np.testing.assert_array_equal(codec.unpack_tight(codec.pack_tight(codes), len(codes)), codes)
    for row in (0, 2**18, len(codes) - 1):
        assert bytes(packed[row]) == reference.pack_row(codes[row].tolist(), book.n_bits.tolist())


@pytest.mark.parametrize("n_levels", [[16, 4, 8], [16, 4, 2**12]])
def test_memory_order_and_type_do_not_matter(rng, n_levels):
    """The input is not changed either: writing to it would raise an error."""
    book = book_of(n_levels)
    codes = draw_codes(rng, book, 50)
    codec = RowCodec(book)
    expected = codec.pack(codes)
    codes.flags.writeable = expected.flags.writeable = False
    for given_codes in (codes, np.asfortranarray(codes), codes.astype(np.int64), codes.astype(float)):
        np.testing.assert_array_equal(codec.pack(given_codes), expected)
    for data in (expected, np.asfortranarray(expected), expected.astype(float), expected.tolist()):
        np.testing.assert_array_equal(codec.unpack(data), codes)


@pytest.mark.parametrize(
    ("codes", "text"),
    [
        ([[0, 3]], r"Code 3 of feature 1 \(row 0\) is out of range: it has the codes 0 to 2"),
        ([[0, 256]], "Code 256 of feature 1"),
        (b"\0", "unpack turns packed rows into codes"),
    ],
)
def test_codes_refused(codes, text):
    codec = RowCodec(book_of([2, 3]))
    for pack in (codec.pack, codec.pack_tight):
        with pytest.raises(ValueError, match=text):
            pack(codes)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([[0, 0]], "Rows of this codebook have 1 bytes, got rows of 2"),
        ([0], "must be 2-d"),
        ([[0], [8]], "Row 1 does not end with zero bits"),
        ([[6]], r"they are corrupt. Code 3 of feature 1 \(row 0\) is out of range"),
        ([[256]], "from 0 to 255"),
        ([[-1]], "from 0 to 255"),
        ([[0.5]], "from 0 to 255"),
        ([[float("nan")]], "from 0 to 255"),
        (b"\0", "use skbsq.codec.loads"),
    ],
)
def test_bytes_refused(data, text):
    with pytest.raises(ValueError, match=text):
        RowCodec(book_of([2, 3])).unpack(data)


@pytest.mark.parametrize(
    ("data", "n", "text"),
    [
        ([0, 0], 2, "2 rows of this codebook have 1 bytes without padding, got 2"),
        ([64], 2, "do not end with zero bits"),
        ([6 << 3], 2, r"Code 3 of feature 1 \(row 1\)"),
        ([[0]], 2, "got shape"),
    ],
)
def test_tight_bytes_refused(data, n, text):
    with pytest.raises(ValueError, match=text):
        RowCodec(book_of([2, 3])).unpack_tight(data, n)


@pytest.mark.parametrize("n", [-1, 2.5, 2.0, True])
def test_number_of_tight_rows(n):
    with pytest.raises(ValueError, match="number of rows must be an integer of at least 0, got"):
        RowCodec(book_of([4])).unpack_tight([0], n)


@pytest.mark.parametrize(
    "hold",
    [
        list,
        pd.Series,
        pl.Series,
        lambda rows: pd.DataFrame({"packed": rows}),
        lambda rows: pl.DataFrame({"packed": rows}),
        lambda rows: pa.table({"packed": pa.array(rows, pa.binary(len(rows[0])))}),
    ],
    ids=["list", "pandas", "polars", "frame of pandas", "frame of polars", "arrow"],
)
def test_byte_strings_are_packed_rows(hold):
    """As in a Parquet file."""
    codec = RowCodec(book_of([4, 200]))
    codes = np.array([[3, 150], [0, 0], [1, 7]])
    rows = [row.tobytes() for row in codec.pack(codes)]
    np.testing.assert_array_equal(codec.unpack(hold(rows)), codes)
    with pytest.raises(ValueError, match="must have one length"):
        codec.unpack([*rows, b"x"])
    with pytest.raises(ValueError, match="have 2 bytes, got rows of 3"):
        codec.unpack(hold([row + b"x" for row in rows]))
