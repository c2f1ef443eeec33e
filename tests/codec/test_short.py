"""Short and bare frames: bytes by hand, round trips, and every kind of wrong frame."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codec import dumps, loads, peek
from tests import reference
from tests.codec.test_crc import bitwise
from tests.codec.test_message import BOOK, CODES
from tests.codec.test_rows import book_of, coded

LAYOUTS = list(product([None, 200], [None, 8, 16]))
each_layout = pytest.mark.parametrize(("seq", "crc"), LAYOUTS)
OTHER = Codebook.from_thresholds([[0, 1, 3], [], [0, 1, 2, 3, 4, 5]])  # rows of the same bits


def short(book, codes, id=7, seq=None, crc=16):
    return dumps(book, codes, frame="short", id=id, seq=seq, crc=crc)


def read(data, book, id=None, seq=None, crc=16):
    return loads(data, book, frame="short", id=id, seq=seq is not None, crc=crc)


@pytest.mark.parametrize(
    ("seq", "crc", "frame"),
    [
        (None, None, "07 16 1b 00"),
        (200, None, "07 c8 16 1b 00"),
        (None, 8, "07 16 1b 00 CRC8"),
        (None, 16, "07 16 1b 00 CRC16"),
        (200, 16, "07 c8 16 1b 00 CRC16"),
    ],
)
def test_bytes_by_hand(seq, crc, frame):
    body = bytes.fromhex(frame.partition(" CRC")[0])
    protected = BOOK.fingerprint + body
    end = {
        None: b"",
        8: bytes([bitwise(protected, 8, 0x07, 0)]),
        16: bitwise(protected, 16, 0x1021, 0xFFFF).to_bytes(2, "little"),
    }[crc]
    assert short(BOOK, CODES, seq=seq, crc=crc) == body + end


def test_golden_bytes():
    assert BOOK.fingerprint.hex() == "2eac306e9e109c51"
    assert short(BOOK, CODES).hex(" ") == "07 16 1b 00 03 60"
    assert short(BOOK, CODES[:1], id=255, seq=0, crc=8).hex(" ") == "ff 00 16 ab"
    assert dumps(BOOK, CODES, frame="bare").hex(" ") == "16 1b 00"


@given(coded(), st.integers(0, 255), st.none() | st.integers(0, 255), st.sampled_from([None, 8, 16]))
def test_frames_come_back(case, id, seq, crc):
    book, codes = case
    if not len(codes) or not book.row_bits:
        return
    rows = b"".join(reference.pack_row(row, book.n_bits.tolist()) for row in codes.tolist())
    frame, bare = short(book, codes, id, seq, crc), dumps(book, codes, frame="bare")
    assert bare == rows
    assert frame[: len(frame) - (crc or 0) // 8] == bytes([id] if seq is None else [id, seq]) + rows
    for back in (read(frame, book, id, seq, crc), read(frame, book, None, seq, crc), loads(bare, book, frame="bare")):
        np.testing.assert_array_equal(back, codes)
        assert back.dtype == book.dtype
    info = peek(frame, frame="short", seq=seq is not None)
    assert (info.id, info.seq, info.size) == (id, seq, len(frame))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, dtype=np.uint8)])
def test_bytes_of_any_kind(kind):
    assert read(kind(short(BOOK, CODES)), BOOK).tolist() == CODES
    assert loads(kind(dumps(BOOK, CODES, frame="bare")), BOOK, frame="bare").tolist() == CODES
    assert peek(kind(short(BOOK, CODES)), frame="short").id == 7


# -- refused -----------------------------------------------------------------------------------------


def test_another_id():
    with pytest.raises(ValueError, match="This frame has the id 7, expected 8"):
        read(short(BOOK, CODES), BOOK, id=8)


@pytest.mark.parametrize("crc", [8, 16])
def test_another_codebook_under_the_same_id(crc):
    with pytest.raises(ValueError, match="CRC of this frame is wrong: it is corrupt, or belongs to another codebook"):
        read(short(BOOK, CODES, crc=crc), OTHER, id=7, crc=crc)


def test_without_a_crc_codebooks_are_not_told_apart():
    assert read(short(BOOK, CODES, crc=None), OTHER, crc=None).tolist() == CODES


@pytest.mark.parametrize("seq", [None, 200])
@pytest.mark.parametrize("crc", [8, 16])
def test_every_flipped_bit(seq, crc):
    frame = short(BOOK, CODES, seq=seq, crc=crc)
    for bit in range(8 * len(frame)):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="CRC of this frame is wrong"):
            read(damaged, BOOK, seq=seq, crc=crc)


@pytest.mark.parametrize("seq", [None, 200])
@pytest.mark.parametrize("book", [BOOK, book_of([2**16, 2, 300])], ids=["1 byte", "4 bytes"])
def test_every_truncation(book, seq, rng):
    frame = short(book, rng.integers(0, book.n_levels, (40, book.n_features)), seq=seq)
    for size in range(len(frame)):
        with pytest.raises(ValueError, match=r"cut off|CRC of this frame is wrong"):
            read(frame[:size], book, seq=seq)


def test_every_burst_of_16_bits():
    """A CRC of 16 bits detects every error within 16 bits that follow each other."""
    frame = short(BOOK, CODES)
    whole = int.from_bytes(frame, "big")
    for at in range(8 * len(frame) - 15):
        for burst in (0x8001, 0xFFFF, 0xA5A5, 0x1021):
            damaged = (whole ^ burst << at).to_bytes(len(frame), "big")
            with pytest.raises(ValueError, match="CRC of this frame is wrong"):
                read(damaged, BOOK)


@pytest.mark.parametrize("book", [BOOK, book_of([2**16, 2, 300])], ids=["1 byte", "4 bytes"])
@each_layout
def test_another_crc(seq, crc, book, rng):
    frame = short(book, rng.integers(0, book.n_levels, (2, book.n_features)), seq=seq, crc=crc)
    for other in {8, 16} - {crc}:
        with pytest.raises(ValueError, match=r"CRC of this frame is wrong|or layout|another layout"):
            read(frame, book, seq=seq, crc=other)


def test_an_unexpected_sequence_is_refused_unless_it_may_be_a_row():
    """The CRC is right in both layouts, so that only the length tells."""
    book = book_of([2**16])
    with pytest.raises(ValueError, match="3 bytes of rows with seq=False, crc=16, which are not whole rows of 2 bytes"):
        read(short(book, [[5]], seq=200), book)
    assert read(short(BOOK, CODES, seq=0x16), BOOK).tolist() == [CODES[0], *CODES]


@each_layout
def test_no_rows(seq, crc):
    for frame in (b"", bytes(len(short(BOOK, CODES[:1], seq=seq, crc=crc)) - 1)):
        with pytest.raises(ValueError, match=f"has at least .* got {len(frame)}: it is cut off, or has another layout"):
            read(frame, BOOK, seq=seq, crc=crc)
    with pytest.raises(ValueError, match="A bare frame of this codebook holds one or more rows of 1 bytes, got 0"):
        loads(b"", BOOK, frame="bare")
    with pytest.raises(ValueError, match="at least one row, got none"):
        short(BOOK, np.empty((0, 3), dtype=int), seq=seq, crc=crc)
    with pytest.raises(ValueError, match="at least one row, got none"):
        dumps(BOOK, np.empty((0, 3), dtype=int), frame="bare")


def test_rows_that_are_not_whole():
    book = book_of([300, 300])
    frame = short(book, [[299, 1], [2, 3]], crc=None)
    with pytest.raises(ValueError, match=r"has 5 bytes of rows with seq=False, crc=None, .* whole rows of 3 bytes"):
        read(frame[:-1], book, crc=None)
    with pytest.raises(ValueError, match="one or more rows of 3 bytes, got 5 bytes"):
        loads(frame[1:-1], book, frame="bare")


@pytest.mark.parametrize(
    ("row", "text"),
    [(0x80, "Row 0 does not end with zero bits"), (0x1F, "Code 7 of feature 2 .row 0. is out of range")],
)
def test_wrong_rows_under_a_right_crc(row, text):
    body = bytes([7, row])
    crc = bitwise(BOOK.fingerprint + body, 16, 0x1021, 0xFFFF).to_bytes(2, "little")
    with pytest.raises(ValueError, match=text):
        read(body + crc, BOOK)
    with pytest.raises(ValueError, match=text):
        loads(bytes([row]), BOOK, frame="bare")


def test_rows_of_no_bits():
    book = book_of([1, 1])
    for frame, options in [("short", {"id": 1}), ("bare", {})]:
        with pytest.raises(ValueError, match="at least 1 bit per row"):
            dumps(book, [[0, 0]], frame=frame, **options)
        with pytest.raises(ValueError, match="at least 1 bit per row"):
            loads(b"\1\2\3\4", book, frame=frame)


@given(st.binary(max_size=40))
def test_random_bytes(data):
    with pytest.raises(ValueError, match=r"."):
        read(data + b"\xff", BOOK, id=None, crc=None)  # the last row has no zero bits at its end


# -- parameters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [None, -1, 256, 1.0, True, "7"])
def test_wrong_id(id):
    with pytest.raises(ValueError, match="id must be an integer from 0 to 255, got"):
        short(BOOK, CODES, id=id)
    if id is not None:
        with pytest.raises(ValueError, match="id must be an integer from 0 to 255, got"):
            read(short(BOOK, CODES), BOOK, id=id)


@pytest.mark.parametrize("seq", [-1, 256, 1.0, False, "7"])
def test_wrong_sequence(seq):
    with pytest.raises(
        ValueError, match=r"seq must be an integer from 0 to 255, got .*: send a counter as counter % 25"
    ):
        short(BOOK, CODES, seq=seq)


@pytest.mark.parametrize("seq", [1, None, 200])
def test_a_sequence_is_not_expected_by_its_value(seq):
    for function in (loads, peek):
        arguments = [BOOK] * (function is loads)
        with pytest.raises(ValueError, match="seq must be True or False when a frame is read"):
            function(short(BOOK, CODES), *arguments, frame="short", seq=seq)


@pytest.mark.parametrize("crc", [0, 32, True, "16", 16.5])
def test_wrong_crc(crc):
    with pytest.raises(ValueError, match="crc must be None, 8 or 16, got"):
        short(BOOK, CODES, crc=crc)
    with pytest.raises(ValueError, match="crc must be None, 8 or 16, got"):
        read(short(BOOK, CODES), BOOK, crc=crc)


def test_numpy_integers():
    assert short(BOOK, CODES, id=np.int64(7), seq=np.uint8(3)) == short(BOOK, CODES, seq=3)
