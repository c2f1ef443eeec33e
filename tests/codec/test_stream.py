"""Streams of messages: several codebooks, and what stands between the messages."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codec import Skipped, dumps, read_messages, read_messages_of, write_messages
from tests.codec.test_message import BOOK, CODES, Dripping, each_option
from tests.codec.test_rows import draw_codes

OTHER = BOOK.coarsened(1)
FOREIGN = Codebook.from_thresholds([[0.5]] * 20)


class Sipping(io.RawIOBase):
    """A file that accepts few bytes at a time, as an unbuffered socket may, and none beyond `room`."""

    def __init__(self, room=2**20):
        self.taken, self.room = bytearray(), room

    def write(self, data):
        some = bytes(data)[: min(5, self.room - len(self.taken))]
        self.taken += some
        return len(some)


def test_a_file_that_accepts_few_bytes_receives_all(rng):
    codes, file = draw_codes(rng, BOOK, 50), Sipping()
    assert write_messages(file, BOOK, codes, rows=20) == len(file.taken)
    np.testing.assert_array_equal(np.concatenate(list(read_messages(file.taken, BOOK))), codes)


def test_a_full_file():
    with pytest.raises(OSError, match="accepted 10 of the 25 bytes of a message"):
        write_messages(Sipping(room=10), BOOK, CODES)


def test_a_file_that_does_not_block():
    """No data yet does not mean the end."""

    class Empty(io.RawIOBase):
        def read(self, size=-1):
            return None

    with pytest.raises(OSError, match="nothing to read yet"):
        list(read_messages(Empty(), BOOK))


@each_option
@pytest.mark.parametrize("kind", [io.BytesIO, Dripping, bytes])
def test_stream(rng, options, kind):
    codes = draw_codes(rng, BOOK, 100)
    file = io.BytesIO()
    written = write_messages(file, BOOK, codes, rows=30, **options)
    assert written == len(file.getvalue())
    found = list(read_messages(kind(file.getvalue()), BOOK))
    assert [len(part) for part in found] == [30, 30, 30, 10]
    np.testing.assert_array_equal(np.concatenate(found), codes)


def test_stream_of_rows_without_bytes():
    """Such messages hold 2^24 codes, which are fewer rows than the default."""
    book = Codebook.from_thresholds([[]] * 300)
    file = io.BytesIO()
    write_messages(file, book, np.zeros((60_000, 300), dtype=np.uint8))
    assert [len(part) for part in read_messages(file.getvalue(), book)] == [2**24 // 300, 60_000 - 2**24 // 300]


def test_stream_of_nothing():
    file = io.BytesIO()
    assert write_messages(file, BOOK, np.empty((0, 3), dtype=int)) == 0
    assert list(read_messages(file, BOOK)) == []


def test_stream_stops_at_the_first_bad_message():
    good = dumps(BOOK, CODES)
    messages = read_messages(good + good[:-1] + b"?" + good, BOOK)
    np.testing.assert_array_equal(next(messages), CODES)
    with pytest.raises(ValueError, match="check sum"):
        next(messages)
    assert list(messages) == []


def test_stream_cut_off():
    messages = read_messages(dumps(BOOK, CODES)[:-1], BOOK)
    with pytest.raises(ValueError, match="1 of the 4 bytes of its check sum are missing"):
        next(messages)


def test_nothing_is_written_if_a_code_is_wrong():
    file = io.BytesIO()
    with pytest.raises(ValueError, match="Code 9"):
        write_messages(file, BOOK, [[0, 0, 0], [9, 0, 0]], rows=1)
    assert file.getvalue() == b""


@pytest.mark.parametrize("rows", [0, -1, 1.5, True, "2"])
def test_rows_per_message(rows):
    with pytest.raises(ValueError, match=r"rows must be an integer of at least 1, got"):
        write_messages(io.BytesIO(), BOOK, CODES, rows=rows)


# -- messages of several codebooks -------------------------------------------------------------------


@pytest.mark.parametrize("coding", [{}, {"entropy": True}, {"deflate": True}], ids=str)
def test_messages_of_several_codebooks(coding):
    if "entropy" in coding:
        pytest.importorskip("constriction")
    books = [BOOK, BOOK.coarsened(1), BOOK.coarsened(0)]
    parts = [
        (books[k], BOOK.recode(np.array(CODES)[:n], books[k])) for k, n in [(1, 2), (0, 3), (0, 1), (2, 3), (1, 0)]
    ]
    stream = b"".join(dumps(book, codes, **coding) for book, codes in parts)
    for file in (stream, io.BytesIO(stream)):
        for found, (book, codes) in zip(read_messages_of(file, iter(books)), parts, strict=True):
            assert found[0] is book
            np.testing.assert_array_equal(found[1], codes)
            assert found[1].dtype == book.dtype


def test_a_message_of_none_of_the_codebooks():
    books = [BOOK.coarsened(1), BOOK.coarsened(0)]
    stream = dumps(books[0], [[1, 0, 1]]) + dumps(BOOK, CODES)
    messages = read_messages_of(stream, books)
    assert next(messages)[0] is books[0]
    known = " or ".join(book.fingerprint.hex() for book in books)
    with pytest.raises(ValueError, match=f"{BOOK.fingerprint.hex()}, this codebook has {known}"):
        next(messages)


def test_codebooks_of_another_type_are_refused():
    with pytest.raises(TypeError, match="Codebook"):
        next(read_messages_of(b"", [BOOK, "book"]))
    with pytest.raises(TypeError, match="Codebook"):
        next(read_messages(b"", "book"))


# -- what is no message is skipped -------------------------------------------------------------------


def recovered(stream, books=(BOOK,), **options):
    """Read a stream with on_error: the codes of each message, and what was skipped."""
    skipped = []
    found = [codes.tolist() for _, codes in read_messages_of(stream, books, on_error=skipped.append, **options)]
    return found, skipped


@pytest.mark.parametrize("kind", [bytes, io.BytesIO, Dripping])
def test_a_foreign_message_between_good_ones(kind):
    good, foreign = dumps(BOOK, CODES), dumps(FOREIGN, np.ones((9, 20), dtype=int))
    found, skipped = recovered(kind(good + foreign + good))
    assert found == [CODES, CODES]
    (part,) = skipped
    assert (part.offset, part.n_bytes, part.fingerprint) == (len(good), len(foreign), FOREIGN.fingerprint)
    assert part.reason.startswith("This message was written with another codebook")


def test_each_foreign_message_is_reported():
    foreign = dumps(FOREIGN, np.ones((3, 20), dtype=int))
    found, skipped = recovered(foreign * 3 + dumps(BOOK, CODES) + foreign)
    assert found == [CODES]
    assert [part.n_bytes for part in skipped] == [len(foreign)] * 4


@pytest.mark.parametrize("rows", [0, 2, 4, 200, 2**32 - 1])
def test_a_damaged_number_of_rows(rows):
    """The messages behind it are read, although they lie in what it states."""
    good = dumps(BOOK, CODES)
    damaged = good[:14] + struct.pack("<I", rows) + good[18:]
    found, skipped = recovered(good + damaged + good * 2)
    assert found == [CODES] * 3
    (part,) = skipped
    assert (part.offset, part.n_bytes, part.fingerprint) == (len(good), len(damaged), None)


def test_a_damaged_number_of_rows_holds_up_no_more_than_max_bytes():
    """A message is read before the bytes behind it arrive."""
    good = dumps(BOOK, CODES)
    file = io.BytesIO(good[:14] + struct.pack("<I", 1000) + good[18:] + good + bytes(50) + good)
    messages = read_messages(file, BOOK, on_error=lambda skipped: None, max_bytes=len(good))
    np.testing.assert_array_equal(next(messages), CODES)
    assert file.tell() == 2 * len(good)


def test_magic_in_the_rows():
    """It is part of the rows of a good message. In a damaged one it is searched: no message begins there."""
    book = Codebook.from_thresholds([np.arange(255)] * 4)
    codes = [list(b"SBSQ")] * 3
    good = dumps(book, codes)
    found, skipped = recovered(good + good[:-1] + b"?" + good, [book])
    assert found == [codes, codes]
    assert [part.n_bytes for part in skipped] == [18, 4, 4, 8]
    assert "check sum" in skipped[0].reason
    assert "version 83" in skipped[1].reason


def test_a_message_in_foreign_rows_is_read():
    """The length of the foreign message is unknown, and inside begins a whole message with a right check sum."""
    inner = dumps(BOOK, CODES)
    book = Codebook.from_thresholds([np.arange(255)])
    outer = dumps(book, [[byte] for byte in inner])
    assert recovered(outer)[0] == [CODES]
    assert recovered(outer, [BOOK, book]) == ([[[byte] for byte in inner]], [])


@pytest.mark.parametrize("cut", range(1, 23))
def test_the_last_message_is_cut_off(cut):
    good = dumps(BOOK, CODES)
    found, skipped = recovered(good + good[:-cut])
    assert found == [CODES]
    assert [part.n_bytes for part in skipped] == [len(good) - cut]
    assert "cut off" in skipped[0].reason


def test_a_beginning_of_the_magic_before_the_magic():
    for noise in (b"S", b"SB", b"SBS", b"SBSSBS", b"?" * 21 + b"SBS", b"?" * 22 + b"S"):
        found, skipped = recovered(noise + dumps(BOOK, CODES))
        assert found == [CODES]
        assert [(part.offset, part.n_bytes) for part in skipped] == [(0, len(noise))]


def test_no_byte_behind_a_message_is_read():
    good = dumps(BOOK, CODES)
    file = io.BytesIO(b"noise" * 20 + good + good)
    next(read_messages(file, BOOK, on_error=lambda skipped: None))
    assert file.tell() == 100 + len(good)


def test_an_error_of_the_report_ends_the_iteration():
    def report(skipped):
        raise KeyError(skipped.n_bytes)

    messages = read_messages(b"?" + dumps(BOOK, CODES), BOOK, on_error=report)
    with pytest.raises(KeyError, match="1"):
        next(messages)
    assert list(messages) == []


def test_entropy_coded_messages_are_skipped_and_read():
    pytest.importorskip("constriction")
    good = dumps(BOOK, CODES * 40, entropy=True)
    assert good[5] == 2
    damaged = good[:30] + bytes([good[30] ^ 1]) + good[31:]
    long = good[:32] + b"\xff" * 4 + good[36:]
    found, skipped = recovered(good + damaged + long + good)
    assert found == [CODES * 40] * 2
    assert sum(part.n_bytes for part in skipped) == 2 * len(good)


def test_deflated_messages_are_skipped_and_read():
    good = dumps(BOOK, CODES * 40, deflate=True)
    assert good[5] == 4
    damaged = good[:30] + bytes([good[30] ^ 1]) + good[31:]
    long = good[:18] + b"\xff" * 4 + good[22:]
    found, skipped = recovered(good + damaged + long + good)
    assert found == [CODES * 40] * 2
    assert sum(part.n_bytes for part in skipped) == 2 * len(good)


def test_much_noise_takes_no_memory():
    noise = (b"SBSQ" + bytes(60)) * 2**12 + bytes(2**18)
    skipped_bytes = 0

    def count(skipped):
        nonlocal skipped_bytes
        skipped_bytes += skipped.n_bytes

    file = io.BytesIO(noise)
    tracemalloc.start()
    try:
        assert list(read_messages(file, BOOK, on_error=count)) == []
        assert tracemalloc.get_traced_memory()[1] < 2**15
    finally:
        tracemalloc.stop()
    assert skipped_bytes == len(noise)


GOOD = [
    (BOOK, dumps(BOOK, CODES)),
    (OTHER, dumps(OTHER, [[1, 0, 1]], pad_rows=False)),
    (BOOK, dumps(BOOK, np.empty((0, 3), dtype=int))),
]
BAD = [
    dumps(FOREIGN, np.ones((3, 20), dtype=int)),
    GOOD[0][1][:-1],
    GOOD[0][1][:14],
    b"SBSQ",
    b"SBSSBS",
    b"\x16\x1b",
    GOOD[0][1][:14] + b"\x09\0\0\0" + GOOD[0][1][18:],
    GOOD[0][1][:14] + b"\0\xff\xff\xff" + GOOD[0][1][18:],
]


@given(st.lists(st.one_of(st.sampled_from(GOOD), st.sampled_from(BAD), st.binary(max_size=30)), max_size=12))
def test_all_good_messages_are_read_and_every_byte_is_accounted_for(parts):
    stream = b"".join(part if isinstance(part, bytes) else part[1] for part in parts)
    good = [part for part in parts if isinstance(part, tuple)]
    skipped = []
    found = list(read_messages_of(stream, [BOOK, OTHER], on_error=skipped.append))
    assert [book for book, _ in found] == [book for book, _ in good]
    assert sum(len(message) for _, message in good) + sum(part.n_bytes for part in skipped) == len(stream)
    assert all(part.n_bytes > 0 for part in skipped)
    # The reports lie where they say: without them, the stream is the good messages alone.
    left, end = b"", 0
    for part in skipped:
        left, end = left + stream[end : part.offset], part.offset + part.n_bytes
    assert left + stream[end:] == b"".join(message for _, message in good)


def test_two_streams_are_read_side_by_side():
    streams = [dumps(book, codes) + b"?" + dumps(book, codes) for book, codes in [(BOOK, CODES), (OTHER, [[1, 0, 1]])]]
    skipped = [[], []]
    readers = [
        read_messages_of(stream, [BOOK, OTHER], on_error=report.append)
        for stream, report in zip(streams, skipped, strict=True)
    ]
    found = [[book for book, _ in pair] for pair in zip(*readers, strict=True)]
    assert found == [[BOOK, OTHER]] * 2
    assert [[part.n_bytes for part in report] for report in skipped] == [[1], [1]]


def test_max_bytes_without_on_error():
    message = dumps(BOOK, CODES)
    np.testing.assert_array_equal(next(read_messages(message, BOOK, max_bytes=len(message))), CODES)
    with pytest.raises(ValueError, match=f"more than max_bytes={len(message) - 1} bytes"):
        next(read_messages(message, BOOK, max_bytes=len(message) - 1))


@pytest.mark.parametrize("max_bytes", [21, 0, True, 1e6, "many"])
def test_wrong_max_bytes(max_bytes):
    with pytest.raises(ValueError, match="max_bytes must be an integer of at least 22"):
        next(read_messages(b"", BOOK, max_bytes=max_bytes))


def test_a_report_is_a_value():
    assert Skipped(0, 5, "noise") == Skipped(0, 5, "noise", None)
