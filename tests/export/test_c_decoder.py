"""C of a gateway: it reads what Python writes, and refuses what Python refuses."""

import struct
import subprocess
import zlib
from functools import cache

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import RowCodec, dumps, loads
from skbsq.export import to_c
from tests import vectors
from tests.export import driver, tools
from tests.export.test_c import BOOKS, COUNT_CASES

FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in [("gcc", "sanitized"), ("clang", "sanitized"), ("clang", "c++11"), ("gcc", "fast-math")]
]
NO_MESSAGE, UNSUPPORTED, FOREIGN, WRONG_SIZE, CORRUPT = range(1, 6)

# For each frame: its size, where rows begin (0: a message), bytes of the CRC, then the frame. Writes the result and the
# number of rows; for each row the result of unpack, and for each feature the code, the level and whether it is missing.
# Buffers have the minimal length, so that the sanitizers detect every access beyond it.
DECODE = """
static void decode_of_name(uint32_t n)
{
    name_code_type *codes = (name_code_type *)malloc(NAME_FEATURES * sizeof *codes);
    for (; n > 0; --n) {
        uint32_t sizes[3], n_rows = 77, i, j, at = NAME_HEADER_BYTES;
        uint8_t *frame;
        int32_t result;
        get(sizes, sizeof sizes);
        frame = (uint8_t *)malloc(sizes[0]);
        get(frame, sizes[0]);
        if (sizes[1] == 0)
            result = name_message_check(frame, sizes[0], &n_rows);
#ifdef NAME_CRC16_START
        else if (sizes[2] == 2)
            result = name_short_check(frame, sizes[0], at = sizes[1], &n_rows);
        else
            result = name_short_check_crc8(frame, sizes[0], at = sizes[1], &n_rows);
#else
        else
            exit(4);
#endif
        put(&result, 4);
        put(&n_rows, 4);
        for (i = 0; i < n_rows; ++i) {
            result = name_unpack(name_row(frame + at, i), codes);
            put(&result, 4);
            for (j = 0; j < NAME_FEATURES; ++j) {
                const uint16_t code = codes[j];
                const float level = name_level(j, code);
                const uint16_t missing = (uint16_t)name_is_missing(j, code);
                put(&code, 2);
                put(&missing, 2);
                put(&level, 4);
            }
        }
        free(frame);
    }
    if (!name_is_missing(NAME_FEATURES, 0) || !name_is_missing(0, 0xFFFFFFFFu))
        exit(5);
    free(codes);
}
"""


@cache
def headers():
    return {name: to_c(book, name, decoder=True) for name, book in BOOKS.items()}


@pytest.fixture(scope="module", params=FLAVOURS)
def program(request, tmp_path_factory):
    tools.need(*request.param)
    texts = {name: headers()[name] for name in ("nothing", "mixed", "unsent", "widths", "random0", "random2")}
    return driver.build(
        tmp_path_factory.mktemp("c"), texts, dict.fromkeys(texts, "float"), request.param, {"decode": DECODE}
    )


def decode(program, name, frames, books=BOOKS):
    """Return what the C reads in frames, each given as bytes, where its rows begin, and the bytes of its CRC.

    Returns
    -------
    list of (int, list of record arrays)
        Result of the check, and for each row the result of unpack and the codes, missing and level of each feature.
    """
    data = b"".join(struct.pack("<3I", len(frame), begin, crc) + frame for frame, begin, crc in frames)
    command = [program, name, "decode", str(len(frames))]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    value = np.dtype([("code", "<u2"), ("missing", "<u2"), ("level", "<u4")])
    found, at = [], 0
    for _ in frames:
        result, n_rows = struct.unpack_from("<iI", done.stdout, at)
        row = np.dtype([("result", "<i4"), ("features", value, (books[name].n_features,))])
        rows = np.frombuffer(done.stdout, row, n_rows, at + 8)
        at += 8 + rows.nbytes
        found.append((result, rows))
    assert at == len(done.stdout)
    return found


def random_codes(book, n, seed=0):
    return np.random.default_rng(seed).integers(0, book.n_levels, (n, book.n_features))


def assert_decoded(book, codes, found):
    result, rows = found
    assert result == 0
    assert not rows["result"].any()
    features = rows["features"]
    np.testing.assert_array_equal(features["code"], codes)
    np.testing.assert_array_equal(features["missing"], book.has_missing & (codes == book.n_levels - 1))
    np.testing.assert_array_equal(features["level"].view(np.float32), book.decode(codes))


def test_messages_decode_as_in_python(program):
    for name in ("nothing", "mixed", "unsent", "widths", "random0", "random2"):
        book = BOOKS[name]
        batches = [random_codes(book, n) for n in (0, 1, 2, 50)]
        frames = [(dumps(book, codes), 0, 4) for codes in batches]
        for codes, found in zip(batches, decode(program, name, frames), strict=True):
            assert_decoded(book, codes, found)


def test_short_frames_decode_as_in_python(program):
    for name in ("mixed", "unsent", "widths", "random0"):
        book = BOOKS[name]
        codes = random_codes(book, 3)
        layouts = [(None, 16), (None, 8), (77, 16), (77, 8)]
        frames = [
            (dumps(book, codes, frame="short", id=7, seq=seq, crc=crc), 1 + (seq is not None), crc // 8)
            for seq, crc in layouts
        ]
        for found in decode(program, name, frames):
            assert_decoded(book, codes, found)


def flips(frame):
    """Return a frame with each of its bits flipped."""
    return [frame[: i // 8] + bytes([frame[i // 8] ^ 1 << i % 8]) + frame[i // 8 + 1 :] for i in range(8 * len(frame))]


def refused(frame, book):
    """Return whether Python refuses a message."""
    try:
        loads(frame, book)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("name", ["mixed", "widths"])
def test_every_flipped_bit_is_refused(name, program):
    book = BOOKS[name]
    codes = random_codes(book, 2)
    message = dumps(book, codes)
    found = [result for result, _ in decode(program, name, [(frame, 0, 4) for frame in flips(message)])]
    n = len(message)
    where = np.repeat([NO_MESSAGE, UNSUPPORTED, FOREIGN, WRONG_SIZE, CORRUPT], 8 * np.array([5, 1, 8, 4, n - 18]))
    assert found == where.tolist()
    for crc in (16, 8):
        frame = dumps(book, codes, frame="short", id=7, seq=9, crc=crc)
        found = decode(program, name, [(flipped, 2, crc // 8) for flipped in flips(frame)])
        assert {result for result, _ in found} == {CORRUPT}


@pytest.mark.parametrize("name", ["nothing", "mixed", "widths"])
def test_wrong_sizes_are_refused(name, program):
    book = BOOKS[name]
    message = dumps(book, random_codes(book, 2))
    frames = [message[:size] for size in range(len(message))] + [message + b"\0", message + message]
    assert all(refused(frame, book) for frame in frames)
    assert {result for result, _ in decode(program, name, [(frame, 0, 4) for frame in frames])} <= {WRONG_SIZE, CORRUPT}
    if book.row_bits == 0:
        return
    for crc in (16, 8):
        frame = dumps(book, random_codes(book, 1), frame="short", id=7, crc=crc)
        frames = [frame[:size] for size in range(len(frame))] + [
            frame + b"\1"
        ]  # the CRC-8 of a frame with its CRC is 0
        found = decode(program, name, [(frame, 1, crc // 8) for frame in frames])
        assert {result for result, _ in found} <= {WRONG_SIZE, CORRUPT}


def with_crc(body):
    return body + struct.pack("<I", zlib.crc32(body))


def test_other_messages_are_refused(program):
    book, codes = BOOKS["widths"], random_codes(BOOKS["widths"], 3)
    message = dumps(book, codes)
    foreign = dumps(Codebook.from_thresholds([[0.5]]), [[1]])
    version = with_crc(message[:4] + b"\2" + message[5:-4])
    more = with_crc(message[:14] + struct.pack("<I", 2**32 - 1) + message[18:-4])
    frames = [foreign, dumps(book, codes, pad_rows=False), version, more, b"", b"SBSQ"]
    assert all(refused(frame, book) for frame in [foreign, version, more, b"", b"SBSQ"])
    found = [result for result, _ in decode(program, "widths", [(frame, 0, 4) for frame in frames])]
    assert found == [FOREIGN, UNSUPPORTED, NO_MESSAGE, WRONG_SIZE, WRONG_SIZE, WRONG_SIZE]


def test_rows_of_no_bytes_are_limited(program):
    book = BOOKS["nothing"]
    head = dumps(book, np.zeros((0, 2), int))[:14]
    frames = [with_crc(head + struct.pack("<I", n)) for n in (2**23 + 1, 2**32 - 1)]
    assert all(refused(frame, book) for frame in frames)
    assert [result for result, _ in decode(program, "nothing", [(frame, 0, 4) for frame in frames])] == [WRONG_SIZE] * 2


def test_rows_of_another_codebook_are_refused(program):
    """The CRC is right. Feature 1 has 2 bits and 3 levels; the padding begins at bit 6."""
    book = BOOKS["mixed"]
    assert book.n_bits.tolist() == [2, 2, 0, 2, 1]
    head = dumps(book, random_codes(book, 1))[:18]
    rows = [0b0000_0000, 0b0000_1100, 0b1000_0000, 0b1000_1100, 0b0011_0011]
    expected = [0, 2, -1, 2, 1]
    frames = [with_crc(head + bytes([row])) for row in rows]
    found = decode(program, "mixed", [(frame, 0, 4) for frame in frames])
    assert [row["result"].tolist() for _, row in found] == [[result] for result in expected]
    codec = RowCodec(book)
    for row, result in zip(rows, expected, strict=True):
        if result:
            with pytest.raises(ValueError, match=r"zero bits|code"):
                codec.unpack([[row]])


def damaged(message, rng):
    """Return a message with some bytes changed, cut off or added, and half of the time with the right CRC."""
    body = bytearray(message[:-4])
    for _ in range(rng.integers(1, 4)):
        body[rng.integers(len(body))] ^= rng.integers(256)
    body = bytes(body)[: rng.choice([len(body), rng.integers(len(body) + 1)])] + bytes(rng.choice([0, 0, 1, 3]))
    return with_crc(body) if rng.random() < 0.5 else body + message[-4:]


@pytest.mark.parametrize("name", ["mixed", "widths"])
def test_damaged_messages_are_read_as_in_python(name, program):
    rng = np.random.default_rng(0)
    book = BOOKS[name]
    message = dumps(book, random_codes(book, 3))
    frames = [frame for frame in (damaged(message, rng) for _ in range(500)) if len(frame) < 6 or frame[5] == 0]
    for frame, (result, rows) in zip(frames, decode(program, name, [(f, 0, 4) for f in frames]), strict=True):
        assert refused(frame, book) == bool(result or rows["result"].any()), frame.hex()
        if not refused(frame, book):
            assert rows["features"]["code"].tolist() == loads(frame, book).tolist()


# -- conformance files -----------------------------------------------------------------------------------------------

FILES = vectors.books()
# What the check says of a message without flags, for a reason in the files; 0 if the rows are wrong.
RESULTS = {
    "magic": NO_MESSAGE,
    "version": NO_MESSAGE,
    "flags": UNSUPPORTED,
    "codebook": FOREIGN,
    "cut off": WRONG_SIZE,
    "trailing bytes": WRONG_SIZE,
    "check sum": CORRUPT,
    "padding": 0,
    "code": 0,
}


@pytest.fixture(scope="module")
def conforming(tmp_path_factory):
    command = tools.need_c(*driver.FLAVOURS["sanitized"])
    texts = {name: to_c(book, name, decoder=True) for name, book in FILES.items()}
    folder = tmp_path_factory.mktemp("vectors")
    return driver.build(folder, texts, dict.fromkeys(texts, "float"), command, {"decode": DECODE})


def decode_one(program, case, begin=0, crc=4):
    ((result, rows),) = decode(program, case["codebook"], [(bytes.fromhex(case["hex"]), begin, crc)], FILES)
    return result, rows


def test_good_messages_of_the_files(conforming):
    levels = {case["codebook"]: case["levels"] for case in vectors.load("levels")["good"]}
    for case in vectors.load("messages")["good"]:
        result, rows = decode_one(conforming, case)
        if case["flags"]:
            assert result == UNSUPPORTED
            continue
        book = FILES[case["codebook"]]
        assert_decoded(book, np.array(case["codes"], dtype=int).reshape(len(rows), book.n_features), (result, rows))
        expected = [[levels[case["codebook"]][j][code] for j, code in enumerate(row)] for row in case["codes"]]
        found = np.where(rows["features"]["missing"], None, rows["features"]["level"]).tolist()
        assert found == expected


def test_good_short_frames_of_the_files(conforming):
    for case in vectors.load("short")["good"]:
        if case["crc"]:
            result, rows = decode_one(conforming, case, 1 + (case["seq"] is not None), case["crc"] // 8)
            assert_decoded(FILES[case["codebook"]], np.array(case["codes"]), (result, rows))


def test_bad_messages_of_the_files(conforming):
    for case in vectors.load("messages")["bad"]:
        result, rows = decode_one(conforming, case)
        assert result or rows["result"].any()
        if case["hex"][10:12] in ("", "00"):
            assert result == RESULTS[case["reason"]], case


def test_bad_short_frames_of_the_files(conforming):
    for case in vectors.load("short")["bad"]:
        if case["crc"] and case["reason"] != "id":  # the program of the gateway compares the id
            result, rows = decode_one(conforming, case, 1 + case["seq"], case["crc"] // 8)
            assert result or rows["result"].any()


def test_bad_rows_of_the_files(conforming):
    found = 0
    for case in vectors.load("rows")["bad"]:
        book, row = FILES[case["codebook"]], bytes.fromhex(case["hex"])
        if len(row) == RowCodec(book).row_bytes:
            head = dumps(book, random_codes(book, 1))[:18]
            ((result, rows),) = decode(conforming, case["codebook"], [(with_crc(head + row), 0, 4)], FILES)
            assert result == 0
            assert (rows["result"] < 0).all() if case["reason"] == "padding" else (rows["result"] > 0).all()
            found += 1
    assert found > 10


def test_counts_have_a_decoder(tmp_path):
    command = tools.need_c(*driver.FLAVOURS["sanitized"])
    name = "uint8_seen"
    book, options = COUNT_CASES[name]
    text = to_c(book, name, decoder=True, optimize="speed", **options)
    program = driver.build(tmp_path, {name: text}, {name: "uint8_t"}, command, {"decode": DECODE})
    codes = random_codes(book, 20)
    data = dumps(book, codes)
    done = subprocess.run(
        [program, name, "decode", "1"],
        input=struct.pack("<3I", len(data), 0, 4) + data,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert struct.unpack_from("<iI", done.stdout) == (0, 20)


def test_a_decoder_has_one_rate():
    book = BOOKS["widths"]
    with pytest.raises(ValueError, match="decoder=True is for one codebook"):
        to_c(book, "x", coarser=[book.coarsened(1)], decoder=True)
    assert "unpack" not in to_c(book, "x")
