"""Messages: golden bytes, round trips, and every kind of wrong message."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook, UniformQuantizer
from skbsq.codec import RowCodec, dumps, loads, read_messages, write_messages
from skbsq.codec._message import MAX_UNBOUND
from tests import reference
from tests.codec.test_rows import book_of, coded

BOOK = Codebook.from_thresholds(
    [[0, 1, 2], [], [0, 1, 2, 3, 4, 5]], counts=[[50, 30, 15, 5], [100], [94, 1, 1, 1, 1, 1, 1]]
)
CODES = [[2, 0, 5], [3, 0, 6], [0, 0, 0]]
CODINGS = [{"entropy": False, "deflate": False}, {"entropy": True}, {"deflate": True}]
OPTIONS = [{"pad_rows": pad_rows, **coding} for pad_rows in (True, False) for coding in CODINGS]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
HEADER = 18


class Dripping(io.RawIOBase):
    """A stream that returns few bytes at a time, as a socket may."""

    def __init__(self, data):
        self.data = io.BytesIO(data)

    def read(self, size=-1):
        assert size <= 2**20  # a file may allocate as much
        return self.data.read(min(size, 3))


def resealed(message, at, new):
    """Change bytes of a message and correct its check sum."""
    body = message[:at] + new + message[at + len(new) : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def test_golden_bytes_without_padding():
    expected = "53425351 01 01 2eac306e9e109c51 03000000 7603 8d8e7999"
    assert dumps(BOOK, CODES, pad_rows=False).hex() == expected.replace(" ", "")


@given(coded(), st.booleans())
def test_message_equals_the_reference_and_comes_back(case, pad_rows):
    book, codes = case
    message = dumps(book, codes, pad_rows=pad_rows)
    if pad_rows:
        assert message == reference.message(book, codes.tolist())
    back = loads(message, book)
    np.testing.assert_array_equal(back, codes)
    assert back.dtype == book.dtype


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, dtype=np.uint8)])
def test_bytes_of_any_kind(kind):
    np.testing.assert_array_equal(loads(kind(dumps(BOOK, CODES)), BOOK), CODES)


def test_names_and_levels_may_differ():
    other = Codebook.from_thresholds(
        BOOK.thresholds, levels=[[1, 2, 3, 4], [7], range(7)], feature_names=["a", "b", "c"]
    )
    np.testing.assert_array_equal(loads(dumps(BOOK, CODES), other), CODES)


# -- refused -----------------------------------------------------------------------------------------


@each_option
def test_another_codebook(options):
    other = Codebook.from_thresholds([[0, 1, 3], [], [0, 1, 2, 3, 4, 5]], counts=BOOK.counts)
    with pytest.raises(ValueError, match=f"another codebook .fingerprint {BOOK.fingerprint.hex()}, this codebook has "):
        loads(dumps(BOOK, CODES, **options), other)


@each_option
def test_every_truncation(options):
    message = dumps(BOOK, CODES * 40, **options)
    for size in range(len(message)):
        with pytest.raises(ValueError, match="cut off"):
            loads(message[:size], BOOK)


@each_option
def test_every_flipped_bit(options):
    """It is rejected. Exception: some bits in the last word of entropy-coded rows have no effect."""
    message = dumps(BOOK, CODES * 40, **options)
    read, errors = 0, []
    for bit in range(8 * len(message)):
        corrupt = bytearray(message)
        corrupt[bit // 8] ^= 1 << bit % 8
        try:
            np.testing.assert_array_equal(loads(corrupt, BOOK), CODES * 40)
            read += 1
        except ValueError as error:
            errors.append(str(error))
    known = ("corrupt", "cut off", "version", "Not a message", "follow")
    assert [error for error in errors if not any(text in error for text in known)] == []
    assert read <= (32 if options.get("entropy") else 0)


def test_trailing_bytes():
    with pytest.raises(ValueError, match="2 bytes follow the message: read_messages"):
        loads(dumps(BOOK, CODES) + b"SB", BOOK)


@pytest.mark.parametrize(
    ("at", "new", "text"),
    [
        (0, b"SBSR", "Not a message of skbsq: it begins with b'SBSR'"),
        (4, b"\2", "format version 2; this skbsq reads version 1"),
        (5, b"\6", "unknown flags 0x06"),
        (5, b"\x08", "unknown flags 0x08"),
        (HEADER, b"\x80", "Row 0 does not end with zero bits"),
        (HEADER + 1, b"\x1f", "Code 7 of feature 2 .row 1. is out of range"),
    ],
)
def test_wrong_content_under_a_right_check_sum(at, new, text):
    with pytest.raises(ValueError, match=text):
        loads(resealed(dumps(BOOK, CODES), at, new), BOOK)


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("tail", [0, 100, 2**12])
def test_a_wrong_header_allocates_no_memory(flags, tail):
    header = struct.pack("<4sBB8sI", b"SBSQ", 1, flags, BOOK.fingerprint, 2**32 - 1)
    words = struct.pack("<I", 2**32 - 1) if flags & 2 else b""
    tracemalloc.start()
    try:
        for start in (header + bytes(8) + words, header + dumps(BOOK, CODES * 40, entropy=True)[18:26] + words):
            for read in (loads, lambda data, book: list(read_messages(Dripping(data), book))):
                with pytest.raises(ValueError, match=r"cut off|states|counts"):
                    read(start + bytes(tail), BOOK)
        assert tracemalloc.get_traced_memory()[1] < 2**19
    finally:
        tracemalloc.stop()


def test_rows_of_no_bits_are_bounded():
    book = book_of([1] * 2**10)
    many = np.zeros((2**14 + 1, 2**10), dtype=np.uint8)
    assert loads(dumps(book, many[:-1]), book).shape == (2**14, 2**10)
    with pytest.raises(ValueError, match=r"at most 2.24 codes of rows that take 0 bits, .* got 16385 x 1024"):
        dumps(book, many)
    lying = resealed(dumps(book, many[:5]), HEADER - 4, struct.pack("<I", 2**32 - 1))
    with pytest.raises(ValueError, match="states 4294967295 rows, more than a message may hold"):
        loads(lying, book)


def test_features_that_are_not_sent_allocate_no_memory():
    """They take no bytes, so a corrupt message with few words could claim many of them."""
    book = Codebook.from_thresholds([[0.5]] + [[]] * 2000, counts=[[1, 1]] + [[1]] * 2000)
    message = dumps(book, np.zeros((500, 2001), dtype=np.uint8), entropy=True)
    assert message[5] == 2
    for n in (MAX_UNBOUND // 2001, 355 * 32 * 102):
        lying = message[:14] + struct.pack("<I", n) + message[18:26] + bytes(3) + struct.pack("<I", 100) + bytes(404)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=r"check sum|more than a message may hold"):
                loads(lying, book)
            assert tracemalloc.get_traced_memory()[1] < 3 * MAX_UNBOUND
        finally:
            tracemalloc.stop()


def test_other_objects_than_a_codebook_are_refused():
    other = UniformQuantizer()
    calls = [(RowCodec, other), (dumps, other, [[0]]), (loads, b"", other), (write_messages, None, other, [[0]])]
    for function, *arguments in calls:
        with pytest.raises(TypeError, match=r"RowCodec takes a Codebook, got UniformQuantizer: .*codebook_"):
            function(*arguments)


@given(st.binary(max_size=60))
def test_random_bytes(data):
    with pytest.raises(ValueError, match=r"."):
        loads(data, BOOK)
    with pytest.raises(ValueError, match=r"."):
        loads(struct.pack("<4sBB8s", b"SBSQ", 1, 0, BOOK.fingerprint) + data, BOOK)
