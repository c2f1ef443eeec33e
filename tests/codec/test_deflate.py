"""Deflated messages: a stream by hand, what it saves, and streams that lie."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codec import dumps, loads, peek, read_messages, write_messages
from skbsq.codec._message import MAX_UNBOUND
from tests.codec.test_rows import book_of, coded

BOOK = book_of([4, 1, 7])
CODES = np.tile(np.uint8([[2, 0, 5], [3, 0, 6], [0, 0, 0], [2, 0, 5]]), (25, 1))
HEADER = 18
SIZE = struct.Struct("<I")


def message_of(payload, n=len(CODES), flags=4, book=BOOK):
    """Put a payload into a message with a right check sum."""
    body = struct.pack("<4sBB8sI", b"SBSQ", 1, flags, book.fingerprint, n) + payload
    return body + SIZE.pack(zlib.crc32(body))


def deflated(packed, level=9):
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
    stream = encoder.compress(packed) + encoder.flush()
    return SIZE.pack(len(stream)) + stream


def test_a_stream_by_hand():
    """A block with the fixed codes of RFC 1951. Codes have their highest bit first, other numbers their lowest."""
    book = book_of([4, 4])
    block = "1 10" + "00110000" + "11000101 00000" + "0000000"  # last, fixed; literal 0; 258 bytes back by 1; end
    stream = np.packbits([int(bit) for bit in block.replace(" ", "")], bitorder="little").tobytes()
    message = message_of(SIZE.pack(len(stream)) + stream, n=259, book=book)
    np.testing.assert_array_equal(loads(message, book), np.zeros((259, 2)))
    assert peek(message[:22], codebooks=[book]).size == len(message) == 18 + 4 + 4 + 4


@given(coded(), st.booleans(), st.integers(1, 30))
def test_round_trip(case, pad_rows, times):
    book, codes = case
    codes = np.tile(codes, (times, 1))
    message = dumps(book, codes, pad_rows=pad_rows, deflate=True)
    plain = dumps(book, codes, pad_rows=pad_rows)
    assert message[5] & 4 or message == plain
    assert len(message) <= len(plain)
    back = loads(message, book)
    np.testing.assert_array_equal(back, codes)
    assert back.dtype == book.dtype


@pytest.mark.parametrize("flags", [4, 5])
def test_the_payload_is_the_packed_rows_deflated(flags):
    pad_rows = flags == 4
    message, plain = (dumps(BOOK, CODES, pad_rows=pad_rows, deflate=deflate) for deflate in (True, False))
    assert message[5] == flags
    assert SIZE.unpack(message[18:22]) == (len(message) - 26,)
    assert zlib.decompress(message[22:-4], -15) == plain[18:-4]
    assert SIZE.unpack(message[-4:]) == (zlib.crc32(message[:-4]),)


def test_streams_of_other_writers_are_read():
    """Of any level, stored blocks included, as long as they are shorter than the rows."""
    packed = dumps(BOOK, CODES, frame="bare")
    for level in range(1, 10):
        np.testing.assert_array_equal(loads(message_of(deflated(packed, level)), BOOK), CODES)
    with pytest.raises(ValueError, match="states 100 bytes of rows in 105 deflated bytes"):
        loads(message_of(deflated(packed, 0)), BOOK)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_rows_are_not_deflated(n):
    assert dumps(BOOK, CODES[:n], deflate=True) == dumps(BOOK, CODES[:n])


def test_the_shorter_coding_is_written(rng):
    """Repeated rows are for deflate, codes of skewed counts without order for entropy coding."""
    pytest.importorskip("constriction")
    book = Codebook.from_thresholds([range(15)], counts=[[1000] + [1] * 15])
    alike, skewed = np.tile([[1], [2], [9], [4], [15], [7]], (50, 1)), rng.random((3000, 1)) < 0.01
    for codes, flags in ((alike, 4), (skewed.astype(int), 2)):
        both = dumps(book, codes, entropy=True, deflate=True)
        assert both[5] == flags
        assert len(both) == min(len(dumps(book, codes, **{name: True})) for name in ("entropy", "deflate"))


def test_streams_of_messages():
    file = io.BytesIO()
    write_messages(file, BOOK, CODES, rows=40, deflate=True)
    data = file.getvalue()
    assert [data[5], data[peek(data, codebooks=[BOOK]).size + 5]] == [4, 4]
    parts = [CODES[start : start + 40].tolist() for start in (0, 40, 80)]
    assert [codes.tolist() for codes in read_messages(data, BOOK)] == parts


# -- refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("longer", [b"\0", bytes(10)])
def test_other_rows_than_stated(longer):
    packed = dumps(BOOK, CODES, frame="bare")
    for n in (len(CODES) - 1, len(CODES) + 1):
        with pytest.raises(ValueError, match=f"deflated rows of this message are not the {n} bytes that it states"):
            loads(message_of(deflated(packed), n), BOOK)
    payload = deflated(packed)
    after = SIZE.pack(len(payload) - 4 + len(longer)) + payload[4:] + longer
    with pytest.raises(ValueError, match="are not the 100 bytes that it states"):
        loads(message_of(after), BOOK)
    with pytest.raises(ValueError, match="are not the 100 bytes that it states"):
        loads(message_of(SIZE.pack(len(payload) - 5) + payload[4:-1]), BOOK)


def test_no_stream():
    with pytest.raises(ValueError, match=r"cannot be inflated \(.*invalid block type"):
        loads(message_of(SIZE.pack(9) + b"\7" * 9), BOOK)


def test_rows_that_pack_cannot_have_written():
    packed = bytearray(dumps(BOOK, CODES, frame="bare"))
    packed[2] |= 0x80
    with pytest.raises(ValueError, match="Row 2 does not end with zero bits"):
        loads(message_of(deflated(packed)), BOOK)


def test_both_codings():
    message = dumps(BOOK, CODES, deflate=True)
    with pytest.raises(ValueError, match="unknown flags 0x06"):
        loads(message_of(message[18:-4], flags=6), BOOK)


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), st.booleans())
def test_random_streams(data, n, fits):
    """They are refused, or hold exactly the rows that they state."""
    size = len(data) if fits else n // 3
    message = message_of(SIZE.pack(size) + data, n)
    try:
        codes = loads(message, BOOK)
    except ValueError:
        return
    assert zlib.decompress(data, -15) == dumps(BOOK, codes, frame="bare")


def test_a_bomb_allocates_what_the_message_states():
    """The stream inflates to 64 MiB, as far as deflate can go."""
    encoder = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"".join(encoder.compress(bytes(2**20)) for _ in range(64)) + encoder.flush()
    payload = SIZE.pack(len(stream)) + stream
    for n, text in [
        (2**17, "are not the 131072 bytes"),
        (MAX_UNBOUND // 3 + 1, "more than a message may hold"),
        (2**32 - 1, "more than a message may hold"),
    ]:
        message = message_of(payload, n)
        tracemalloc.start()
        try:
            with pytest.raises(ValueError, match=text):
                loads(message, BOOK)
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()


def test_few_bytes_cannot_state_many_rows():
    most = 1032 * 50
    for n in (most, most + 1):
        with pytest.raises(ValueError, match=r"cannot be inflated|not the" if n == most else f"states {n} bytes of"):
            loads(message_of(SIZE.pack(50) + b"\7" * 50, n), BOOK)


def test_many_codes_are_refused():
    with pytest.raises(ValueError, match=r"at most 2.24 codes of rows that .* deflated, got 5592406 x 3"):
        dumps(BOOK, np.zeros((MAX_UNBOUND // 3 + 1, 3), dtype=np.uint8), deflate=True)
