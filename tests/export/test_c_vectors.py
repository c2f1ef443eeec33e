"""The compiled C passes the conformance files of docs/vectors, as far as an encoder can."""

import struct

import numpy as np
import pytest

from skbsq.codec import RowCodec
from skbsq.export import to_c
from tests import vectors
from tests.export import driver, tools

BOOKS = vectors.books()
# Both compilers, and both languages.
FLAVOURS = [
    pytest.param((compiler, *driver.FLAVOURS[name]), id=f"{compiler}-{name}")
    for compiler, name in zip(tools.C_COMPILERS, ("sanitized", "c++11"), strict=True)
]

# Short frames, each after its layout: the id, whether there is a sequence number, that number, the bits of the CRC.
FRAMES = """\
static void frames_of_name(uint32_t n)
{
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    for (; n > 0; --n) {
        uint8_t layout[4], *frame;
        uint32_t rows, size;
        size_t at, crc_bytes;
        get(layout, 4);
        get(&rows, 4);
        crc_bytes = layout[3] / 8u;
        size = (uint32_t)(1u + layout[1] + rows * NAME_ROW_BYTES + crc_bytes);
        frame = (uint8_t *)malloc(size);
        at = layout[1] ? name_short_begin_seq(frame, layout[0], layout[2]) : name_short_begin(frame, layout[0]);
        for (; rows > 0; --rows, at += NAME_ROW_BYTES) {
            get(x, NAME_FEATURES * sizeof *x);
            if (name_encode(x, frame + at) != 0)
                exit(5);
        }
        if (layout[3] == 16)
            at = name_short_end(frame, at);
        else if (layout[3] == 8)
            at = name_short_end_crc8(frame, at);
        if (at != size)
            exit(6);
        put(&size, 4);
        put(frame, size);
        free(frame);
    }
    free(x);
}

/* Sends rows on change. The keyframe interval and the id come first. */
static void packets_of_name(uint32_t n)
{
    static name_change state;
    name_value *x = (name_value *)malloc(NAME_FEATURES * sizeof *x);
    uint8_t *row = (uint8_t *)calloc(NAME_ROW_BYTES, 1), *frame = (uint8_t *)malloc(NAME_CHANGE_BYTES);
    uint16_t keyframe;
    uint8_t id;
    get(&keyframe, 2);
    get(&id, 1);
    for (; n > 0; --n) {
        uint32_t size;
        get(x, NAME_FEATURES * sizeof *x);
        if (name_encode(x, row) != 0)
            exit(5);
        size = (uint32_t)name_change_step(&state, row, keyframe, id, frame);
        put(&size, 4);
        put(frame, size);
    }
    free(x);
    free(row);
    free(frame);
}
"""


@pytest.fixture(scope="module", params=FLAVOURS)
def program(request, tmp_path_factory):
    tools.need(*request.param)
    headers = {name: to_c(book, name) for name, book in BOOKS.items()}
    more = {"frames": FRAMES, "packets": ""}
    return driver.build(tmp_path_factory.mktemp("c"), headers, dict.fromkeys(BOOKS, "float"), request.param, more)


def floats_for(book, codes):
    """Return values with these codes: the thresholds themselves, because a value equal to one is not above it."""
    X = np.zeros((len(codes), book.n_features), dtype=np.float32)
    for i, row in enumerate(codes):
        for j, (code, thresholds) in enumerate(zip(row, book.thresholds, strict=True)):
            values = [*thresholds, np.float32(np.inf), np.float32(np.nan)]
            X[i, j] = values[code]
    return X


def run(program, name, what, n, data):
    """Return the pieces that the program writes, each after its size."""
    out, pieces = driver.run(program, name, what, _Input(n, data)), []
    while out:
        (size,) = struct.unpack("<I", out[:4])
        pieces.append(out[4 : 4 + size].hex())
        out = out[4 + size :]
    return pieces


class _Input:
    """What `driver.run` takes in place of an array: a number of items, and bytes."""

    def __init__(self, n, data):
        self._n = n
        self._data = data

    def __len__(self):
        return self._n

    def tobytes(self):
        return self._data


def test_codes_and_refusals(program):
    refused = vectors.load("codes")["refused"]
    for case in vectors.load("codes")["good"]:
        name, book = case["codebook"], BOOKS[case["codebook"]]
        of_book = [other for other in refused if other["codebook"] == name]
        X = np.array(case["floats"] + [other["floats"] for other in of_book], dtype=np.uint32).view(np.float32)
        packed = np.zeros((len(X), RowCodec(book).row_bytes), dtype=np.uint8)
        packed[: len(case["codes"])] = RowCodec(book).pack(case["codes"])
        numbers = [0] * len(case["codes"]) + [other["feature"] + 1 for other in of_book]
        driver.check_rows(program, name, X, np.array(numbers), packed)


def test_rows(program):
    for case in vectors.load("rows")["good"]:
        name, book = case["codebook"], BOOKS[case["codebook"]]
        encode, _ = driver.rows(program, name, floats_for(book, case["codes"]), RowCodec(book).row_bytes)
        assert encode["row"].tobytes().hex() == case["padded"]


def test_messages(program):
    found = 0
    for case in vectors.load("messages")["good"]:
        if case["flags"] == 0:
            X = floats_for(BOOKS[case["codebook"]], case["codes"])
            for what in ("message", "stream"):
                assert driver.run(program, case["codebook"], what, X).hex() == case["hex"]
            found += 1
    assert found > len(BOOKS)


def test_short_frames(program):
    for name, book in BOOKS.items():
        cases = [case for case in vectors.load("short")["good"] if case["codebook"] == name]
        data = b""
        for case in cases:
            has_seq = case["seq"] is not None
            data += struct.pack("<4BI", case["id"], has_seq, case["seq"] or 0, case["crc"] or 0, len(case["codes"]))
            data += floats_for(book, case["codes"]).tobytes()
        assert run(program, name, "frames", len(cases), data) == [case["hex"] for case in cases]


def test_packets_on_change(program):
    """The C has a CRC-16 always."""
    for case in vectors.load("change")["good"]:
        if case["crc"] == 16:
            start = struct.pack("<HB", case["keyframe"], case["id"])
            data = start + floats_for(BOOKS[case["codebook"]], case["codes"]).tobytes()
            found = run(program, case["codebook"], "packets", len(case["codes"]), data)
            assert found == [packet or "" for packet in case["packets"]]
