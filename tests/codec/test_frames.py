"""Which parameters belong to which frame, and what a frame tells about itself."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import UniformQuantizer
from skbsq.codec import FrameInfo, dumps, loads, peek
from tests.codec.test_message import BOOK, CODES, each_option
from tests.codec.test_rows import coded

SHORT = {"id": 7, "seq": 1, "crc": 8}


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        ("message", {"id": 7}),
        ("message", {"seq": 0}),
        ("message", {"crc": None}),
        ("short", {"id": 7, "entropy": True}),
        ("short", {"id": 7, "deflate": True}),
        ("short", {"id": 7, "pad_rows": False}),
        ("bare", {"id": 7}),
        ("bare", {"crc": 8}),
        ("bare", {"entropy": True}),
    ],
)
def test_parameters_of_another_frame_are_refused(frame, options):
    name, value = list(options.items())[-1]
    owner = "short" if name in SHORT else "message"
    text = f'{name}={value!r} belongs to frame="{owner}", not to frame="{frame}": leave it out'
    with pytest.raises(ValueError, match=text):
        dumps(BOOK, CODES, frame=frame, **options)


@pytest.mark.parametrize("frame", ["message", "bare"])
@pytest.mark.parametrize("options", [{"id": 0}, {"seq": True}, {"crc": 8}], ids=str)
def test_parameters_of_another_frame_are_refused_by_loads(frame, options):
    with pytest.raises(ValueError, match=f'belongs to frame="short", not to frame="{frame}"'):
        loads(dumps(BOOK, CODES, frame=frame), BOOK, frame=frame, **options)


@pytest.mark.parametrize("frame", ["long", None, 1, ["short"]])
def test_no_such_frame(frame):
    calls = [lambda: dumps(BOOK, CODES, frame=frame), lambda: loads(b"", BOOK, frame=frame)]
    for call in [*calls, lambda: peek(b"", frame=frame)]:
        with pytest.raises(ValueError, match=r"frame must be one of \['message', 'short', 'bare'\], got "):
            call()


@pytest.mark.parametrize("frame", ["short", "bare"])
def test_other_objects_than_a_codebook_are_refused(frame):
    options = {"id": 7} if frame == "short" else {}
    with pytest.raises(TypeError, match="RowCodec takes a Codebook, got UniformQuantizer"):
        dumps(UniformQuantizer(), CODES, frame=frame, **options)
    with pytest.raises(TypeError, match="RowCodec takes a Codebook, got UniformQuantizer"):
        loads(bytes(9), UniformQuantizer(), frame=frame, **options)


def test_frames_are_not_guessed():
    frames = {"message": dumps(BOOK, CODES), "short": dumps(BOOK, CODES, frame="short", id=7)}
    for written, data in frames.items():
        for frame in {"message", "short"} - {written}:
            with pytest.raises(ValueError, match=r"cut off|Not a message|CRC"):
                loads(data, BOOK, frame=frame)


# -- peek --------------------------------------------------------------------------------------------


def test_peek_at_a_message():
    message = dumps(BOOK, CODES, pad_rows=False)
    known = FrameInfo("message", 24, 1, BOOK.fingerprint, 3, False, False, 5, deflate=False)
    assert peek(message, codebooks=[BOOK]) == known
    assert peek(message[:18] + b"what follows", codebooks=iter([BOOK.coarsened(1), BOOK])) == known
    unknown = peek(message, codebooks=[BOOK.coarsened(1)])
    assert (unknown.size, unknown.row_bits, unknown.rows, unknown.fingerprint) == (None, None, 3, BOOK.fingerprint)


@each_option
def test_peek_finds_the_end_of_a_message(options):
    message = dumps(BOOK, CODES + [[0, 0, 0]] * 297, **options)
    info = peek(message + message, codebooks=[BOOK])
    assert info.size == len(message)
    coding = {"entropy": info.entropy, "deflate": info.deflate}
    assert {"pad_rows": info.pad_rows, **coding} == {"entropy": False, "deflate": False, **options}
    assert info.rows == 300
    sizes = [peek(message[:size], codebooks=[BOOK]).size for size in range(18, len(message))]
    known_from = 18 + 8 + 2 * 3 + 4 if info.entropy else 18 + 4 * info.deflate
    assert sizes == [None] * (known_from - 18) + [len(message)] * (len(message) - known_from)


@given(coded(), st.booleans())
def test_peek_finds_the_end_of_any_message(case, pad_rows):
    book, codes = case
    message = dumps(book, codes, pad_rows=pad_rows)
    info = peek(message, codebooks=[book])
    assert (info.size, info.rows, info.row_bits) == (len(message), len(codes), book.row_bits)


def test_peek_does_not_check_the_crc():
    message, frame = dumps(BOOK, CODES), dumps(BOOK, CODES, frame="short", **SHORT)
    assert peek(message[:-1] + b"?") == peek(message)
    assert peek(frame[:-1] + b"?", frame="short", seq=True) == FrameInfo("short", 6, id=7, seq=1)
    assert peek(frame, frame="short") == FrameInfo("short", 6, id=7)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "header of 18 bytes, got 0: it is cut off"),
        (b"SBSQ" + bytes(13), "header of 18 bytes, got 17: it is cut off"),
        (b"SBSR" + bytes(14), "Not a message of skbsq"),
        (struct.pack("<4sBB12s", b"SBSQ", 2, 0, bytes(12)), "format version 2"),
        (struct.pack("<4sBB12s", b"SBSQ", 1, 8, bytes(12)), "unknown flags 0x08"),
    ],
)
def test_peek_at_what_is_no_message(data, text):
    with pytest.raises(ValueError, match=text):
        peek(data)


@pytest.mark.parametrize(("seq", "least"), [(False, 2), (True, 3)])
def test_peek_at_what_is_no_short_frame(seq, least):
    assert peek(bytes(least), frame="short", seq=seq).id == 0
    with pytest.raises(ValueError, match=f"has at least {least} bytes, got {least - 1}"):
        peek(bytes(least - 1), frame="short", seq=seq)


def test_peek_at_a_bare_frame():
    with pytest.raises(ValueError, match="A bare frame tells nothing about itself"):
        peek(dumps(BOOK, CODES, frame="bare"), frame="bare")


def test_peek_refuses_other_parameters_and_objects():
    with pytest.raises(ValueError, match='seq=True belongs to frame="short"'):
        peek(dumps(BOOK, CODES), seq=True)
    with pytest.raises(TypeError, match="RowCodec takes a Codebook"):
        peek(dumps(BOOK, CODES), codebooks=[np.zeros(3)])
