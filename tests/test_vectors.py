"""The package passes the conformance files of docs/vectors, and the script there writes them."""

import json
import runpy
import struct

import numpy as np
import pytest

from skbsq import Codebook
from skbsq.codec import ChangeSender, RowCodec, dumps, loads, peek
from skbsq.codec.crc import crc8, crc16
from tests import reference, vectors

BOOKS = vectors.books()
KINDS = ("codebooks", "codes", "levels", "rows", "messages", "short", "recode", "change")
# What an error says for each reason.
CODEBOOK_REASONS = {
    "format": '"format" is not',
    "version": "format version 3",
    "unknown field": "Unknown field 'unit'",
    "order": "strictly increasing",
    "not finite": "not all hexadecimal floats",
    "not float32": "not all finite float32",
    "levels": "levels of feature 'wind' must be 3 numbers",
}
REASONS = {
    "cut off": "cut off",
    "trailing bytes": "follow the message",
    "magic": "Not a message",
    "version": "format version",
    "flags": "unknown flags",
    "codebook": "written with another codebook",
    "check sum": "check sum .* is wrong",
    "padding": "not end with zero bits",
    "code": r"Code \d+ of feature .* is out of range",
    "id": "has the id",
    "length": "cut off",
    "crc": "CRC of this frame is wrong",
}


def good(kind):
    return vectors.load(kind)["good"]


def floats_of(bits):
    return np.array(bits, dtype=np.uint32).view(np.float32)


def test_the_script_writes_the_files():
    files = runpy.run_path(str(vectors.FOLDER / "make.py"))["files"]()
    assert sorted(files) == sorted(path.name for path in vectors.FOLDER.glob("*.json"))
    for name, text in files.items():
        assert (vectors.FOLDER / name).read_text(encoding="ascii") == text, name


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_names_its_format(kind):
    file = vectors.load(kind)
    assert (file["format"], file["version"], file["kind"]) == ("skbsq-vectors", 1, kind)
    assert len(file["good"]) >= 3
    assert {case["reason"] for case in file.get("bad", [])} <= REASONS.keys() | CODEBOOK_REASONS.keys()


def test_the_cases_are_what_matters():
    """Every codebook, missing codes, 0 bits, codes across bytes, all special floats, every reason."""
    assert any(book.has_missing.any() for book in BOOKS.values())
    assert any(0 in book.n_bits for book in BOOKS.values())
    assert max(book.n_bits.max() for book in BOOKS.values()) > 8
    for kind in ("codes", "levels", "rows", "messages", "short"):
        assert {case["codebook"] for case in good(kind)} == BOOKS.keys()
    values = np.concatenate([floats_of(case["floats"]).ravel() for case in good("codes")])
    assert np.isnan(values).any()
    assert set(values[np.isinf(values)]) == {-np.inf, np.inf}
    assert (np.signbit(values) & (values == 0)).any()
    assert ((np.abs(values) < np.finfo(np.float32).tiny) & (values != 0)).any()
    bad = {case["reason"] for kind in ("rows", "messages", "short") for case in vectors.load(kind)["bad"]}
    assert bad == REASONS.keys()


def test_codebooks():
    for case in good("codebooks"):
        book = BOOKS[case["name"]]
        assert book.to_json() == case["text"]
        assert book.fingerprint.hex() == case["fingerprint"]
        assert book.n_levels.tolist() == case["n_levels"]
        assert book.n_bits.tolist() == case["n_bits"]
        assert (book.row_bits, RowCodec(book).row_bytes) == (case["row_bits"], case["row_bytes"])
        assert (crc16(book.fingerprint), crc8(book.fingerprint)) == (case["crc16_start"], case["crc8_start"])


@pytest.mark.parametrize("case", vectors.load("codebooks")["bad"], ids=lambda case: case["reason"])
def test_bad_codebooks(case):
    with pytest.raises(ValueError, match=CODEBOOK_REASONS[case["reason"]]):
        Codebook.from_json(case["text"])


def test_codes():
    for case in good("codes"):
        book, X = BOOKS[case["codebook"]], floats_of(case["floats"])
        assert book.encode(X).tolist() == case["codes"] == reference.encode(X, book)


def test_floats_that_are_refused():
    for case in vectors.load("codes")["refused"]:
        with pytest.raises(ValueError, match="NaN"):
            BOOKS[case["codebook"]].encode(floats_of([case["floats"]]))
        is_nan = np.isnan(floats_of(case["floats"])) & BOOKS[case["codebook"]].refuses_nan
        assert np.flatnonzero(is_nan).tolist() == [case["feature"]]


def test_levels():
    for case in good("levels"):
        for expected, levels in zip(case["levels"], BOOKS[case["codebook"]].levels, strict=True):
            bits = [None if np.isnan(level) else struct.unpack("<I", struct.pack("<f", level))[0] for level in levels]
            assert bits == expected


def test_rows():
    for case in good("rows"):
        codec, codes = RowCodec(BOOKS[case["codebook"]]), case["codes"]
        padded, tight = bytes.fromhex(case["padded"]), bytes.fromhex(case["tight"])
        assert codec.pack(codes).tobytes() == padded
        assert b"".join(reference.pack_row(row, codec.codebook.n_bits) for row in codes) == padded
        assert codec.pack_tight(codes).tobytes() == tight
        assert loads(padded, codec.codebook, frame="bare").tolist() == codes
        assert codec.unpack_tight(np.frombuffer(tight, dtype=np.uint8), len(codes)).tolist() == codes


def test_messages():
    """Other deflated bytes may stand for the same rows."""
    for case in good("messages"):
        book, data = BOOKS[case["codebook"]], bytes.fromhex(case["hex"])
        codes = np.array(case["codes"], dtype=book.dtype).reshape(-1, book.n_features)
        np.testing.assert_array_equal(loads(data, book), codes)
        if case["flags"] != 4:
            assert dumps(book, codes, pad_rows=case["flags"] == 0) == data


def test_short_frames():
    for case in good("short"):
        book, data = BOOKS[case["codebook"]], bytes.fromhex(case["hex"])
        layout = {name: case[name] for name in ("id", "crc")}
        has_seq = case["seq"] is not None
        assert dumps(book, case["codes"], frame="short", seq=case["seq"], **layout) == data
        assert loads(data, book, frame="short", seq=has_seq, **layout).tolist() == case["codes"]
        assert peek(data, frame="short", seq=has_seq).seq == case["seq"]


@pytest.mark.parametrize(("kind", "frame"), [("rows", "bare"), ("messages", "message"), ("short", "short")])
def test_bad_frames(kind, frame):
    for case in vectors.load(kind)["bad"]:
        layout = {name: case[name] for name in ("id", "seq", "crc") if name in case}
        with pytest.raises(ValueError, match=REASONS[case["reason"]]):
            loads(bytes.fromhex(case["hex"]), BOOKS[case["codebook"]], frame=frame, **layout)


def test_recode():
    for case in good("recode"):
        fine, coarse = BOOKS[case["fine"]], BOOKS[case["coarse"]]
        codes = np.array(case["codes"], dtype=fine.dtype)
        assert fine.recode(codes, coarse).tolist() == case["recoded"]
        assert {tuple(np.unique(column)) for column in codes.T} == {tuple(range(n)) for n in fine.n_levels}


def test_change():
    for case in good("change"):
        sender = ChangeSender(BOOKS[case["codebook"]], **{name: case[name] for name in ("keyframe", "id", "crc")})
        packets = [sender.send(row) for row in case["codes"]]
        assert [None if packet is None else packet.hex() for packet in packets] == case["packets"]


def test_the_files_are_plain_json():
    """Of integers, texts, lists, objects, true, false and null alone, which every language reads."""

    def refuse(text):
        raise AssertionError(text)

    for kind in KINDS:
        text = (vectors.FOLDER / f"{kind}.json").read_text(encoding="ascii")
        json.loads(text, parse_float=refuse, parse_constant=refuse)
