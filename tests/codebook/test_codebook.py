import copy
import hashlib
import json
import pickle
import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skbsq import Codebook
from skbsq.codebook.checks import midpoint_levels
from tests import reference
from tests.strategies import codebooks

INF, NAN = float("inf"), float("nan")
MAX = float(np.finfo(np.float32).max)


# -- missing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "has_missing", "n_levels", "n_bits", "nan_code", "nan_bits"),
    [
        ([0.0, 1.0], None, 4, 2, 3, [0, 0, 1]),
        ([], True, 2, 1, 1, [1]),  # one regular level: an indicator
        ([], None, 1, 0, 0, []),  # not sent, or constant and never missing
        ([], False, 1, 0, 0, []),
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


def test_nan_is_refused_by_name_in_features_with_bits_and_no_missing_code():
    names, has_missing = ["a", "b", "c", "d"], [True, False, False, True]
    book = Codebook.from_thresholds(
        [[0.0], [0.0, 1.0], [], []], missing="seen", has_missing=has_missing, feature_names=names
    )
    assert book.refuses_nan.tolist() == [False, True, False, False]
    assert book.encode([[NAN, 2, NAN, NAN]]).tolist() == [[2, 2, 0, 1]]
    with pytest.raises(ValueError, match=r"NaN in feature 'b' \(row 1\).*missing=\"seen\""):
        book.encode([[NAN, 2, NAN, NAN], [NAN, NAN, 0, 0]])
    assert Codebook.from_thresholds([[0.0], []]).refuses_nan.tolist() == [True, False]


@pytest.mark.parametrize(
    ("missing", "has_missing"),
    [
        ({"b": "code", "a": "error"}, [False, True]),
        (["code", "code"], [True, True]),
        (pd.Series(["code", "error"], index=["b", "a"]), [False, True]),
        ({0: "code", 1: "error"}, [True, False]),
    ],
)
def test_missing_per_feature(missing, has_missing):
    book = Codebook.from_thresholds([[0.0], [0.0]], missing=missing, feature_names=["a", "b"])
    assert book.has_missing.tolist() == has_missing
    assert Codebook.from_json(book.to_json()) == book
    assert '"missing": "code"' in book.to_json()  # as all versions read it


# -- encode ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.uint16, bool, object])
def test_encode_types(dtype):
    book = Codebook.from_thresholds([[0.0, 2.0], [0.5]])
    X = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    np.testing.assert_array_equal(book.encode(X), [[0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0], "2-d"),
        ([[1.0, 2.0]], "X has 2 features, but this codebook has 1"),
        ([[1j]], "real numbers"),
    ],
)
def test_encode_refuses(X, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds([[0.0]]).encode(X)


# -- thermometer and decode --------------------------------------------------------------------------


@given(codebooks(), st.data())
def test_thermometer_equals_reference_and_comes_back(book, data):
    codes = np.array([[data.draw(st.integers(0, int(n) - 1)) for n in book.n_levels] for _ in range(4)])
    bits = book.thermometer(codes)
    parts = [(t.size, bool(m)) for t, m in zip(book.thresholds, book.has_missing, strict=True)]
    expected = [
        [bit for code, part in zip(row, parts, strict=True) for bit in reference.thermometer_one(code, *part)]
        for row in codes.tolist()
    ]
    np.testing.assert_array_equal(bits, np.array(expected).reshape(4, -1))
    assert bits.dtype == np.uint8
    assert bits.shape[1] == book.n_columns == len(book.column_names())
    np.testing.assert_array_equal(book.codes_from_thermometer(bits), codes)


def test_thermometer_layout():
    book = Codebook.from_thresholds([[0, 1], [], [5]], missing="code", feature_names=["f0", "f1", "f2"])
    assert book.column_names() == ["f0_t0", "f0_t1", "f0_missing", "f2_t0", "f2_missing"]
    np.testing.assert_array_equal(book.thermometer([[1, 0, 2]]), [[1, 0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([[0, 1, 0]], "no thermometer bits"),
        ([[1, 1]], "2 columns"),
        ([[1, 0, 1]], "no thermometer"),
        ([[2, 0, 0]], "no"),
    ],
)
def test_codes_from_thermometer_refuses(bits, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds([[0, 1]], missing="code").codes_from_thermometer(bits)


def test_decode_takes_every_level():
    levels = [[-1.0, 2.0, 7.5], [3.0]]
    book = Codebook.from_thresholds([[0, 1], []], levels=levels)
    np.testing.assert_array_equal(book.decode([[0, 0], [1, 0], [2, 0]]), [[-1, 3], [2, 3], [7.5, 3]])
    assert book.decode(np.uint8([[0, 0]])).dtype == np.float32


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[2, 0]], "Code 2 of feature 'a' .* 0 to 1"),
        ([[-1, 0]], "Code -1 of feature 'a'"),
        ([[0.5, 0]], "whole numbers"),
        ([[1e300, 0]], "whole numbers"),
        ([[NAN, 0]], "missing or masked in feature 'a' .row 0."),
        ([[0]], "1 features"),
        ([0, 0], "2-d"),
    ],
)
def test_decode_refuses(codes, message):
    book = Codebook.from_thresholds([[0], [0]], feature_names=["a", "b"])
    with pytest.raises(ValueError, match=message):
        book.decode(codes)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.uint64])
def test_decode_takes_every_integer(dtype):
    book = Codebook.from_thresholds([[0], [0]], levels=[[1, 2], [3, 4]])
    codes = np.array([[0, 1], [1, 0]]).astype(dtype)
    np.testing.assert_array_equal(book.decode(codes), [[1, 4], [2, 3]])
    assert book.check_codes(codes).dtype.kind in "iu"


def test_thermometer_of_many_levels_and_few_rows():
    """With few rows there is no table of all codes, and the bits are equal."""
    book = Codebook.from_thresholds([np.arange(300), [0]], missing="code")
    codes = np.array([[0, 2], [7, 1], [300, 0], [301, 1]])
    few, many = book.thermometer(codes), book.thermometer(np.tile(codes, (100, 1)))
    np.testing.assert_array_equal(np.tile(few, (100, 1)), many)
    np.testing.assert_array_equal(few.sum(axis=1), [1, 8, 300, 2])


# -- levels ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thresholds", "levels"),
    [
        ([], [0]),
        ([4], [2, 6]),
        ([0], [-0.5, 0.5]),
        ([0, 1, 3], [-0.5, 0.5, 2, 4]),
        ([-MAX, MAX], [-MAX, 0, MAX]),
    ],
)
def test_midpoint_levels(thresholds, levels):
    np.testing.assert_array_equal(midpoint_levels(np.float32(thresholds)), np.float32(levels))


# -- sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_levels", "n_bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (16, 4), (17, 5), (256, 8), (257, 9), (65536, 16)]
)
def test_bits(n_levels, n_bits):
    book = Codebook.from_thresholds([np.arange(n_levels - 1), [0]])
    assert book.n_bits.tolist() == [n_bits, 1]
    assert book.row_bits == n_bits + 1
    assert book.dtype == (np.uint8 if n_bits <= 8 else np.uint16)


def test_too_many_levels():
    for thresholds, missing in ((65536, "error"), (65535, "code")):
        with pytest.raises(ValueError, match="feature 0 has 65537 levels"):
            Codebook.from_thresholds([np.arange(thresholds)], missing=missing)


# -- construction ------------------------------------------------------------------------------------


def test_thresholds_are_sorted_merged_and_float32():
    book = Codebook.from_thresholds([[3, 1, 1, 1 + 1e-12, -0.0, 0.0]])
    np.testing.assert_array_equal(book.thresholds[0], np.float32([0, 1, 3]))
    assert book.thresholds[0].dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(thresholds=[]), "at least one feature"),
        (dict(thresholds="ab"), "list with one 1-d array per feature"),
        (dict(thresholds=1.0), "list with one 1-d array per feature"),
        (dict(thresholds=[1.0]), "feature 0 must be a 1-d array"),
        (dict(thresholds=[[[1.0]]]), "feature 0 must be a 1-d array"),
        (dict(thresholds=[[0], ["a"]]), "feature 1 must be a 1-d array of numbers"),
        (dict(thresholds=[[0, NAN]]), "feature 0 must be finite"),
        (dict(thresholds=[[INF]]), "feature 0 must be finite"),
        (dict(thresholds=[[1e39]]), r"finite in float32, got 1e\+39;"),
        (dict(thresholds=[[0]], feature_names=["a", "b"]), "2 entries for 1 features"),
        (dict(thresholds=[[0], [0]], feature_names=["a", "a"]), "unique, got 'a' twice"),
        (dict(thresholds=[[0]], feature_names=[0]), "must be strings, got 0"),
        (dict(thresholds=[[0]], levels=[[0]]), "levels of feature 0 must be 2 numbers"),
        (dict(thresholds=[[0]], levels=[[0, NAN]]), "levels of feature 0 must be finite"),
        (dict(thresholds=[[0]], levels=[[0, 1, NAN]], missing="code"), "never given"),
        (dict(thresholds=[[1, 0]], levels=[[0, 1, 2]]), "strictly increasing"),
        (dict(thresholds=[[1, 1]], levels=[[0, 1, 2]]), "strictly increasing"),
        (dict(thresholds=[[0]], counts=[[1]]), "counts of feature 0 must be 2"),
        (dict(thresholds=[[0]], counts=[[1, -1]]), "non-negative integers"),
        (dict(thresholds=[[0]], counts=[[1.0, 1.0]]), "non-negative integers"),
        (dict(thresholds=[[0]], counts=[[1, 1], [2]]), "counts has 2 entries"),
        (dict(thresholds=[[0]], missing="bin"), "missing must be one of"),
        (dict(thresholds=[[0]], has_missing=[True]), 'has_missing must be False under missing="error"'),
        (dict(thresholds=[[0]], missing="seen"), 'missing="seen" needs has_missing'),
        (dict(thresholds=[[0], [1]], missing=["code"]), "one rule or 2"),
        (dict(thresholds=[[0], [1]], missing=["code", "bin"]), "got 'bin' for feature 1"),
        (dict(thresholds=[[0], [1]], missing={"x0": "code"}), "missing leaves out 'x1'"),
        (dict(thresholds=[[0]], missing="code", has_missing=[1]), "1 bools"),
    ],
)
def test_from_thresholds_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds(**arguments)


def test_no_other_constructor():
    with pytest.raises(TypeError, match="from_thresholds"):
        Codebook()


# -- value -------------------------------------------------------------------------------------------

FULL = dict(
    thresholds=[[0.1, 7], [-3.0]],
    levels=[[0, 1, 10], [-4, 2]],
    counts=[[1, 2, 3, 4], [5, 6, 7]],
    missing="code",
    feature_names=["a", "b"],
)


def test_equality_compares_everything():
    book = Codebook.from_thresholds(**FULL)
    assert book == Codebook.from_thresholds(**FULL)
    assert hash(book) == hash(Codebook.from_thresholds(**FULL))
    for change in [
        dict(thresholds=[[0.1, 8], [-3.0]]),
        dict(levels=[[0, 1, 11], [-4, 2]]),
        dict(levels=None),
        dict(counts=[[1, 2, 3, 5], [5, 6, 7]]),
        dict(counts=None),
        dict(missing="error", counts=None),
        dict(missing="code", has_missing=[True, False], counts=None),
        dict(feature_names=None),
        dict(feature_names=["a", "c"]),
    ]:
        assert book != Codebook.from_thresholds(**{**FULL, **change}), change
    assert book != "book"


def test_immutable():
    book = Codebook.from_thresholds(**FULL)
    for name in ["thresholds", "_thresholds", "new"]:
        with pytest.raises(AttributeError, match="immutable"):
            setattr(book, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        del book._levels
    arrays = [*book.thresholds, *book.levels, *book.counts]
    for array in [*arrays, book.offsets, book.has_missing, book.n_levels, book.n_bits]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_later_changes_to_the_input_have_no_effect():
    t, names, missing = np.float32([0, 1]), ["a"], np.array([True])
    book = Codebook.from_thresholds([t], feature_names=names, missing="code", has_missing=missing)
    t[0], names[0], missing[0] = 5, "b", False
    assert book == Codebook.from_thresholds([[0, 1]], feature_names=["a"], missing="code")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))])
def test_copies_are_equal_and_read_only(duplicate):
    book = Codebook.from_thresholds(**FULL)
    book.n_bits  # noqa: B018  cached values must not travel
    twin = duplicate(book)
    assert twin == book
    assert twin.fingerprint == book.fingerprint
    with pytest.raises(ValueError, match="read-only"):
        twin.thresholds[0][0] = 1


# -- fingerprint -------------------------------------------------------------------------------------


def test_fingerprint_byte_by_byte():
    book = Codebook.from_thresholds([[1.0, 2.0], []], missing="code")
    text = b"skbsq1" + struct.pack("<I", 2) + struct.pack("<III", 0, 2, 2) + bytes([1, 0]) + struct.pack("<ff", 1, 2)
    assert book.fingerprint == hashlib.sha256(text).digest()[:8]


def test_fingerprint_depends_on_the_encoder_alone():
    book = Codebook.from_thresholds(**FULL)
    for same in [dict(levels=None), dict(counts=None), dict(feature_names=None)]:
        assert Codebook.from_thresholds(**{**FULL, **same}).fingerprint == book.fingerprint
    moved = [[np.nextafter(np.float32(0.1), np.float32(1)), 7], [-3.0]]
    assert Codebook.from_thresholds(**{**FULL, "thresholds": moved}).fingerprint != book.fingerprint
    split = Codebook.from_thresholds([[0.1], [7, 8]]), Codebook.from_thresholds([[0.1, 7], [8]])
    assert split[0].fingerprint != split[1].fingerprint


# -- JSON --------------------------------------------------------------------------------------------


@given(codebooks())
@example(Codebook.from_thresholds(**FULL))
@example(Codebook.from_thresholds([[0], [1]], feature_names=['"\\\n', "°"]))
def test_json_round_trip(book):
    assert Codebook.from_json(book.to_json()) == book
    assert Codebook.from_json(book.to_json().encode()) == book


def edited(path, value):
    document = json.loads(Codebook.from_thresholds(**FULL).to_json())
    *parents, last = path
    place = document
    for key in parents:
        place = place[key]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Not the JSON text"),
        (b"\xff\xff", "Not the JSON text"),
        ("[" * 100_000, "Not the JSON text"),
        ("{}", '"format" is not'),
        ("[]", '"format" is not'),
        (5, "Not the JSON text"),
        ('{"format": "skbsq-codebook", "format": 1}', "a key is repeated"),
        (edited(["version"], 3), "format version 3"),
        (edited(["version"], True), "format version True"),
        (edited(["extra"], 1), "Unknown field 'extra'"),
        (edited(["missing"], KeyError), "Field 'missing' is missing"),
        (edited(["missing"], "bin"), "missing must be one of"),
        (edited(["missing"], "seen"), "missing must be one of"),
        (edited(["features"], {}), "list of objects"),
        (edited(["features", 0, "extra"], 1), "Unknown field 'extra' in feature 0"),
        (edited(["features", 0, "has_missing"], 1), "true or false"),
        (edited(["features", 0, "has_missing"], False), "counts of feature 'a' must be 3"),
        (edited(["features", 0, "name"], None), 'every feature has a "name" or none'),
        (edited(["features", 0, "name"], 1), "must be strings"),
        (edited(["features", 0, "thresholds"], [0.1, 7]), "list of hexadecimal floats"),
        (edited(["features", 0, "thresholds"], "0x1p0"), "list of hexadecimal floats"),
        (edited(["features", 0, "thresholds"], ["0x1p0", "10.5"]), "not all hexadecimal"),
        (edited(["features", 0, "thresholds"], ["0x1p0", "0xzz"]), "not all hexadecimal"),
        (edited(["features", 0, "thresholds"], ["0x1p0", "0x1p99999"]), "not all hexadecimal"),
        (edited(["features", 0, "thresholds"], ["0x1.00000001p0", "0x1p3"]), "float32"),
        (edited(["features", 0, "thresholds"], ["nan", "0x1p3"]), "not all hexadecimal"),
        (edited(["features", 0, "thresholds"], ["0x1p0", "inf"]), "not all hexadecimal"),
        (edited(["features", 0, "thresholds"], ["0x1p3", "0x1p0"]), "strictly increasing"),
        (edited(["features", 0, "counts"], [1, 2, 3, 10**30]), "non-negative integers"),
        (edited(["features", 0, "counts"], "1234"), "counts of feature"),
        (edited(["features", 0, "counts"], [1, 2, 3, NAN]), "NaN is not JSON"),
    ],
)
def test_from_json_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_json(text)


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("_thresholds", np.float32([2, 1, 5]), "not finite and strictly increasing"),
        ("_thresholds", np.float32([1, np.nan, 5]), "not finite and strictly increasing"),
        ("_thresholds", np.float32([-0.0, 1, 5]), "contain -0.0"),
        ("_thresholds", np.array([1.0, 2, 5]), "not float32"),
        ("_thresholds", [1.0, 2.0, 5.0], "not float32"),
        ("_offsets", np.array([0, 2, 3000]), "do not split the thresholds"),
        ("_offsets", np.array([0, 4, 3]), "do not split the thresholds"),
        ("_offsets", np.array([0, 3]), "differ in the number of features"),
        ("_offsets", np.array([0.0, 2.0, 3.0]), "a wrong type"),
        ("_has_missing", np.array([False, True, False]), "differ in the number of features"),
        ("_has_missing", np.array([True, True]), "one per code"),
        ("_levels", np.float32([0, 1, np.inf, 4, 6, np.nan]), "levels are not finite"),
        ("_levels", np.float32([0, 1, 2, 4, 6, 7]), "levels are not finite"),
        ("_levels", np.float32([0, 1]), "one per code"),
        ("_counts", np.array([1, 1, 1, 1, 1, -1]), "counts are not one per code"),
        ("_counts", np.array([1.0]), "counts are not one per code"),
        ("_names", ("a",), "names are not one per feature"),
        ("_names", ("a", "a"), "unique"),
    ],
)
def test_wrong_state_is_refused(field, value, text):
    """The state in a pickle or a skops file may have been changed."""
    book = Codebook.from_thresholds([[1, 2], [5]], missing="code", has_missing=[False, True], counts=[[1] * 3, [1] * 3])
    assert Codebook._build(book.__getstate__()) == book
    with pytest.raises(ValueError, match=text):
        Codebook._build(book.__getstate__() | {field: value})


# -- data frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "k"), [(["b", "a"], 0), (["a", "c"], 1)])
def test_columns_of_a_frame_are_those_of_the_features(columns, k):
    """Other columns must not be read as the features."""
    book = Codebook.from_thresholds([[0], [10]], feature_names=["a", "b"])
    frame = pd.DataFrame({name: [0, 1] for name in columns})
    for entry, what in ((book.encode, "X"), (book.decode, "codes")):
        with pytest.raises(ValueError, match=f"Column {k} of {what} is '{columns[k]}', but '{'ab'[k]}' is expected"):
            entry(frame)
    np.testing.assert_array_equal(book.encode(pd.DataFrame({"a": [0, 1], "b": [20, 0]})), [[0, 1], [1, 0]])
    np.testing.assert_array_equal(book.encode(pd.DataFrame([[1, 20]])), [[1, 1]])  # numbers are not names
    np.testing.assert_array_equal(Codebook.from_thresholds([[0], [10]]).encode(frame), [[0, 0], [1, 0]])


# -- folded_from --------------------------------------------------------------------------------------


def test_folded_from_is_part_of_the_value_but_not_of_the_fingerprint():
    plain = Codebook.from_thresholds([[0.5]])
    folded = Codebook.from_thresholds([[0.5]], folded_from=b"\x01" * 8)
    assert plain.folded_from is None
    assert folded.folded_from == b"\x01" * 8
    assert folded != plain
    assert folded.fingerprint == plain.fingerprint
    assert Codebook.from_json(folded.to_json()) == folded == pickle.loads(pickle.dumps(folded))


def test_folded_from_is_written_only_if_there_is_one():
    """The text of other codebooks has not changed, byte for byte."""
    plain = Codebook.from_thresholds([[0.5]]).to_json()
    assert plain == (
        '{"format": "skbsq-codebook", "version": 1, "missing": "error", "features": [\n'
        '{"name": null, "thresholds": ["0x1.0000000000000p-1"], "levels": ["0x1.0000000000000p-2", '
        '"0x1.8000000000000p-1"], "has_missing": false, "counts": null}\n]}'
    )
    folded = Codebook.from_thresholds([[0.5]], folded_from=bytes(range(8))).to_json()
    assert folded == plain.replace('"missing": "error"', '"missing": "error", "folded_from": "0001020304050607"')


def test_states_without_folded_from_are_read():
    """As in pickles of earlier versions."""
    book = Codebook.from_thresholds([[0.5]])
    state = {name: value for name, value in book.__getstate__().items() if name != "_folded_from"}
    assert Codebook._build(state) == book


@pytest.mark.parametrize("origin", ["", "01" * 7, "01" * 9, "0G" * 8, "AB" * 8, 7, None, ["01" * 8]])
def test_from_json_refuses_another_folded_from(origin):
    text = Codebook.from_thresholds([[0.5]], folded_from=bytes(8)).to_json()
    with pytest.raises(ValueError, match='"folded_from" must be the fingerprint of a codebook'):
        Codebook.from_json(text.replace(json.dumps("00" * 8), json.dumps(origin)))


@pytest.mark.parametrize("origin", ["00" * 8, b"1234567", 7, bytearray(8)])
def test_folded_from_must_be_a_fingerprint(origin):
    with pytest.raises(ValueError, match="folded_from must be a fingerprint, 8 bytes"):
        Codebook.from_thresholds([[0.5]], folded_from=origin)
