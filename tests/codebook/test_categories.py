"""Codebooks with categorical features."""

import copy
import hashlib
import json
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skbsq import Codebook
from skbsq.codebook import categories
from skbsq.codebook.categories import codes_of_mapping, plain
from tests import reference
from tests.strategies import mixed_codebooks, values_of

VALVE = {"open": 0, "shut": 1, "ajar": 1, None: 2}
BOOK = Codebook.from_thresholds({"valve": VALVE, "t": [5.0]}, counts={"valve": [3, 9, 1], "t": [4, 9]})


def objects(rows):
    """Rows of values of several types as an array."""
    array = np.empty((len(rows), len(rows[0])), dtype=object)
    array[:] = rows
    return array


# -- the table of codes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "category"),
    [
        ("a", "a"),
        (np.str_("é"), "é"),
        (3, 3),
        (np.uint8(3), 3),
        (-2.0, -2),
        (np.float32(1e6), 10**6),
        (True, True),
        (np.True_, True),
        (None, None),
        (np.nan, None),
        (np.ma.masked, None),
    ],
)
def test_plain_categories(value, category):
    found = plain(value)
    assert found == category
    assert type(found) is type(category)


@pytest.mark.parametrize("value", [1.5, np.inf, b"a", (1,), 1j, np.datetime64("2020-01-01")])
def test_what_is_no_category(value):
    with pytest.raises(ValueError, match="must be a string, an integer or a bool"):
        plain(value)


def test_categories_are_ordered_by_code_and_then_as_given():
    given = {"z": 1, "b": 2, "y": 0, "a": 2}
    assert codes_of_mapping(given, "f")[0] == ("y", "z", "b", "a")
    assert Codebook.from_thresholds([given]).categories == [{"y": 0, "z": 1, "b": 2, "a": 2}]


def test_sizes_by_hand():
    assert BOOK.n_levels.tolist() == [3, 2]
    assert BOOK.n_bits.tolist() == [2, 1]
    assert BOOK.is_categorical.tolist() == [True, False]
    assert BOOK.is_one_hot.tolist() == [False, False]
    assert BOOK.has_missing.tolist() == [True, False]
    assert BOOK.thresholds[0].tolist() == [0.5]
    assert BOOK.categories == [VALVE, None]
    assert BOOK.parts[0] == VALVE
    assert repr(BOOK) == "Codebook(n_features=2, n_categorical=1, row_bits=3, missing='code')"


@pytest.mark.parametrize(
    ("codes", "n_bits", "one_hot"),
    [({"a": 0}, 0, True), ({"a": 0, "b": 0}, 0, False), ({"a": 0, "b": 1}, 1, True), ({"a": 0, None: 1}, 1, True)],
)
def test_few_codes(codes, n_bits, one_hot):
    book = Codebook.from_thresholds([codes])
    assert (book.n_bits[0], book.is_one_hot[0]) == (n_bits, one_hot)
    assert book.encode(objects([[category] for category in codes])).ravel().tolist() == list(codes.values())
    assert Codebook.from_json(book.to_json()) == book


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ({}, "The codes of feature 'c' name no category"),
        ({None: 0}, "name no category but None"),
        ({"a": 1}, r"must be all of 0, 1, \.\.\., got \[1\]"),
        ({"a": 0, "b": 2}, "must be all of 0, 1"),
        ({"a": -1, "b": 0}, "must be all of 0, 1"),
        ({"a": 0, "b": 10**30}, "must be all of 0, 1"),
        ({"a": 0, None: 0}, "None must have the highest, 1, alone"),
        ({"a": 1, None: 0}, "must be all of 0, 1"),
        ({"a": 0.0}, "The code of 'a' of feature 'c' must be an integer, got 0.0"),
        ({"a": True}, "must be an integer, got True"),
        ({1.5: 0}, "must be a string, an integer or a bool, got 1.5"),
        ({True: 0, 2: 1}, "are bools and integers: turn them into strings"),
        ({np.nan: 1, None: 1, "a": 0}, "name None twice"),
        ({2**63: 0}, "cannot be written: integers must fit in 64 bits"),
        ({"\ud800": 0}, "cannot be written"),
    ],
)
def test_wrong_codes_are_refused(codes, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds({"c": codes})


def test_codes_up_to_16_bits_and_more_categories():
    with pytest.raises(ValueError, match="feature 0 has 65537 levels; at most"):
        Codebook.from_thresholds([{k: k for k in range(2**16 + 1)}])
    book = Codebook.from_thresholds([{str(k): k % 2**16 for k in range(70_000)}])
    assert book.dtype == np.uint16
    assert book.encode([["65535"], ["65536"], ["69999"]]).ravel().tolist() == [65535, 0, 4463]
    assert Codebook.from_json(book.to_json()) == book


def test_more_categories_than_floats_can_number(monkeypatch):
    monkeypatch.setattr(categories, "MAX_CATEGORIES", 3)
    with pytest.raises(ValueError, match="feature 0 has 4 categories, more than 3"):
        Codebook.from_thresholds([dict.fromkeys(range(4), 0)])


@pytest.mark.parametrize("levels", [["open", "ajar"], {1: "ajar", 0: "open"}, np.array(["open", "ajar"])])
def test_levels_are_categories_of_the_codes(levels):
    book = Codebook.from_thresholds([VALVE], levels=[levels])
    assert book.levels[0].tolist() == ["open", "ajar", None]
    assert book.level_numbers[0].tolist()[:2] == [0, 2]
    assert BOOK.levels[0].tolist() == ["open", "shut", None]
    assert Codebook.from_json(book.to_json()) == book


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (["open"], "must be 2 categories, one per code"),
        (["ajar", "open"], "The level of code 0 of feature 0 is 'ajar', which does not have this code"),
        (["open", "gone"], "code 1 of feature 0 is 'gone'"),
        ("ab", "must be 2 categories"),
        (5, "must be 2 categories"),
    ],
)
def test_wrong_levels_are_refused(levels, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_thresholds([VALVE], levels=[levels])


def test_numeric_codebooks_have_no_rule_for_unknown_categories():
    book = Codebook.from_thresholds([[1.0]], handle_unknown="missing")
    assert book == Codebook.from_thresholds([[1.0]])
    assert book.handle_unknown == "error"
    with pytest.raises(ValueError, match="handle_unknown must be one of"):
        Codebook.from_thresholds([[1.0]], handle_unknown="ignore")


# -- a value -------------------------------------------------------------------------------------------------


def test_what_is_returned_cannot_change_the_codebook():
    before = BOOK.to_json()
    BOOK.categories[0].clear()
    BOOK.parts[0]["open"] = 1
    with pytest.raises(ValueError, match="read-only"):
        BOOK.levels[0][0] = "gone"
    with pytest.raises(AttributeError, match="immutable"):
        BOOK.handle_unknown = "missing"
    given = dict(VALVE)
    book = Codebook.from_thresholds([given])
    given["open"] = 1
    assert book.categories == [VALVE]
    assert BOOK.to_json() == before


@given(mixed_codebooks())
def test_copies_are_equal(book):
    for other in (copy.deepcopy(book), pickle.loads(pickle.dumps(book)), Codebook.from_json(book.to_json())):
        assert other == book
        assert hash(other) == hash(book)
        assert other.categories == book.categories
        assert other.to_json() == book.to_json()


@pytest.mark.parametrize(
    "other",
    [
        {"parts": [{"0": 0, "1": 1}]},
        {"parts": [{False: 0, True: 1}]},
        {"parts": [{0: 1, 1: 0}]},
        {"parts": [{0: 0, 1: 1, 2: 1}]},
        {"parts": [{0: 0, 1: 1, None: 2}]},
        {"parts": [[0.5]]},
        {"parts": [{0: 0, 1: 1, None: 2}], "handle_unknown": "missing"},
    ],
)
def test_other_codes_are_another_identity(other):
    book = Codebook.from_thresholds([{0: 0, 1: 1}])
    parts, rules = other["parts"], {key: value for key, value in other.items() if key != "parts"}
    other = Codebook.from_thresholds(parts, **rules)
    assert other != book
    assert other.fingerprint != book.fingerprint


def test_the_order_within_a_code_is_no_identity():
    first = Codebook.from_thresholds([{"a": 0, "b": 0, "c": 1}])
    second = Codebook.from_thresholds([{"b": 0, "a": 0, "c": 1}])
    assert first.fingerprint == second.fingerprint
    assert first != second  # they decode to other levels


def fingerprint(book):
    """The formula of docs/reference/bytes.md in its plainest form."""
    thresholds = [t.tolist() for t in book.thresholds]
    text = b"skbsq2" + struct.pack("<I", len(thresholds))
    for j in range(len(thresholds) + 1):
        text += struct.pack("<I", sum(map(len, thresholds[:j])))
    text += bytes(book.has_missing.tolist())
    for t, codes in zip(thresholds, book.categories, strict=True):
        text += b"" if codes is not None else struct.pack(f"<{len(t)}f", *t)
    for j, codes in enumerate(book.categories):
        if codes is not None:
            known = []
            for category, code in codes.items():
                written = str(category).lower() if isinstance(category, bool) else str(category)
                kind = 2 if isinstance(category, bool) else 1 if isinstance(category, int) else 0
                known += [(code, kind, written.encode())] if category is not None else []
            rule = book.handle_unknown == "missing" and None in codes
            text += struct.pack("<IBI", j, rule, len(known))
            for code, kind, written in sorted(known):
                text += struct.pack("<HBI", code, kind, len(written)) + written
    return hashlib.sha256(text).digest()[:8]


@given(mixed_codebooks())
def test_fingerprint_byte_by_byte(book):
    assert book.fingerprint == fingerprint(book)


def test_codebooks_of_before_are_read():
    state = Codebook.from_thresholds([[1.0, 2.0]]).__getstate__()
    old = {field: value for field, value in state.items() if field not in ("_categories", "_handle_unknown")}
    assert Codebook._build(old) == Codebook.from_thresholds([[1.0, 2.0]])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("_categories", (("open",), None), "a threshold of feature 'valve' does not lie between"),
        ("_categories", (["open", "shut", "ajar"], None), "are not distinct strings"),
        ("_categories", (("open", "open", "ajar"), None), "are not distinct strings"),
        ("_categories", (("open", 1.5, "ajar"), None), "are not distinct strings"),
        ("_categories", ((True, 2, "ajar"), None), "bools and integers"),
        ("_categories", (None, None), "none of its features has categories"),
        ("_categories", (("open", "shut", "ajar"),), "not one per feature"),
        ("_categories", [("open", "shut", "ajar"), None], "not one per feature"),
        ("_thresholds", np.float32([0.75, 5]), "a threshold of feature 'valve'"),
        ("_levels", np.float32([0, 0, np.nan, 1, 2]), "a level of feature 'valve'"),
        ("_levels", np.float32([0.5, 1, np.nan, 1, 2]), "a level of feature 'valve'"),
        ("_handle_unknown", "ignore", "handle_unknown must be one of"),
    ],
)
def test_wrong_state_is_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        Codebook._build({**BOOK.__getstate__(), field: value})


# -- codes and back ------------------------------------------------------------------------------------------


@given(mixed_codebooks())
def test_encode_equals_a_lookup(book):
    rows = values_of(book)
    expected = reference.encode_mixed(rows, book)
    codes = book.encode(objects(rows))
    assert_array_equal(codes, expected)
    assert codes.dtype == book.dtype
    assert_array_equal(book.encode(rows), expected)


@given(mixed_codebooks())
def test_levels_have_their_codes(book):
    codes = np.minimum(np.arange(book.n_levels.max())[:, None], book.n_levels - 1)
    levels = book.decode(codes)
    assert levels.dtype == object
    for j in np.flatnonzero(book.is_categorical):
        assert [book.categories[j][level] for level in levels[:, j]] == codes[:, j].tolist()
    for j in np.flatnonzero(~book.is_categorical):
        assert_array_equal(levels[:, j].astype(np.float32), book.levels[j][codes[:, j]])


@given(mixed_codebooks(), st.data())
def test_bits_and_codes(book, data):
    codes = np.array([[data.draw(st.integers(0, n - 1)) for n in book.n_levels.tolist()] for _ in range(3)])
    bits = book.thermometer(codes)
    assert_array_equal(book.codes_from_thermometer(bits), codes)
    names = book.column_names()
    assert len(set(names)) == len(names) == book.n_columns
    for row, code in zip(bits, codes, strict=True):
        expected = []
        for j, n in enumerate(np.diff(book.offsets).tolist()):
            bits_of = reference.thermometer_one(int(code[j]), n, bool(book.has_missing[j]))
            if book.is_one_hot[j]:
                bits_of[:n] = [int(code[j] == k + 1) for k in range(n)]
            expected += bits_of
        assert row.tolist() == expected


def test_names_of_bits():
    parts = {"v": {"open": 0, "shut": 1, "ajar": 2, None: 3}, "w": {"a": 0, "b": 1, "c": 1, "d": 2}}
    assert Codebook.from_thresholds(parts).column_names() == ["v_shut", "v_ajar", "v_missing", "w_t0", "w_t1"]
    alike = Codebook.from_thresholds([{"a": 0, 1: 1, "1": 2}, {"a": 0, "missing": 1, None: 2}])
    assert alike.column_names() == ["x0_1", "x0_'1'", "x1_'missing'", "x1_missing"]


def test_bits_of_no_code():
    book = Codebook.from_thresholds([{"a": 0, "b": 1, "c": 2}])
    with pytest.raises(ValueError, match="a one-hot feature has at most a single 1"):
        book.codes_from_thermometer([[1, 1]])


@pytest.mark.parametrize("rule", ["error", "missing"])
@pytest.mark.parametrize("value", ["gone", 7, True])
def test_unknown_values(rule, value):
    book = Codebook.from_thresholds({"v": VALVE, "w": {"a": 0}}, handle_unknown=rule)
    rows = objects([["open", "a"], [value, "b"]])
    if rule == "missing":
        assert book.encode(rows).tolist() == [[0, 0], [2, 0]]
        return
    with pytest.raises(
        ValueError, match=rf"{value!r} \(row 1\) is no category of feature 'v', which has \['open', 'sh"
    ):
        book.encode(rows)


def test_a_feature_without_missing_code_refuses_missing_and_unknown_values():
    book = Codebook.from_thresholds({"v": {"a": 0, "b": 1}}, handle_unknown="missing")
    with pytest.raises(ValueError, match=r"NaN in feature 'v' \(row 0\)"):
        book.encode(objects([[None]]))
    with pytest.raises(ValueError, match=r"'c' .* is no category of feature 'v'"):
        book.encode(objects([["c"]]))


def test_what_equals_a_category_in_python_is_that_category():
    integers, bools = Codebook.from_thresholds([{0: 0, 1: 1}]), Codebook.from_thresholds([{True: 0, False: 1}])
    for X in (np.array([[1], [0]], dtype=np.int8), [[1.0], [0.0]], [[True], [False]]):
        assert integers.encode(X).ravel().tolist() == [1, 0]
        assert bools.encode(X).ravel().tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"'1' .* is no category"):
        integers.encode([["1"]])


# -- JSON ----------------------------------------------------------------------------------------------------


def test_json_by_hand():
    assert BOOK.to_json() == (
        '{"format": "skbsq-codebook", "version": 2, "missing": "code", "handle_unknown": "error", "features": [\n'
        '{"name": "valve", "categories": ["open", "shut", "ajar", null], "codes": [0, 1, 1, 2], '
        '"levels": ["open", "shut"], "has_missing": true, "counts": [3, 9, 1]},\n'
        '{"name": "t", "thresholds": ["0x1.4000000000000p+2"], "levels": ["0x1.4000000000000p+1", '
        '"0x1.e000000000000p+2"], "has_missing": false, "counts": [4, 9]}\n]}'
    )
    assert '"version": 1' in Codebook.from_thresholds([[1.0]]).to_json()


def edited(**changes):
    document = json.loads(BOOK.to_json())
    for key, value in changes.items():
        where = document if key in document else document["features"][0]
        where[key] = value
        if value is KeyError:
            del where[key]
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (edited(version=1), "Unknown field 'handle_unknown' in the codebook"),
        (edited(handle_unknown="x"), "handle_unknown must be one of"),
        (edited(handle_unknown=[]), "handle_unknown must be one of"),
        (edited(handle_unknown=KeyError), "Field 'handle_unknown' is missing"),
        (edited(codes=KeyError), "Field 'codes' is missing in feature 0"),
        (edited(categories=KeyError), "Unknown field"),
        (edited(thresholds=[]), "Unknown field 'thresholds' in feature 0"),
        (edited(codes=[0, 1, 1]), "4 categories and 3 codes"),
        (edited(codes=[0, 1, 1, True]), "Categories, codes and levels of feature 0 must be lists"),
        (edited(codes=[0, 1, 1, 10**40]), "must be all of 0, 1"),
        (edited(codes=[0, 1, 3, 2]), "must be all of 0, 1"),
        (edited(codes=[0, 1, 2, 1]), "None must have the highest"),
        (edited(categories=["open", "shut", "open", None]), "are repeated"),
        (edited(categories=["open", True, 1, None]), "are repeated"),
        (edited(categories=["open", True, 2, None]), "bools and integers"),
        (edited(categories=["open", [], "ajar", None]), "Categories, codes and levels"),
        (edited(categories=["open", 0.5, "ajar", None]), "Categories, codes and levels"),
        (edited(categories="openshut"), "Categories, codes and levels"),
        (edited(has_missing=False), "null among them differs from has_missing"),
        (edited(missing="error"), "has_missing must be False"),
        (edited(levels=["open"]), "must be 2 categories"),
        (edited(levels=["shut", "ajar"]), "The level of code 0"),
        (edited(levels=["open", None]), "Categories, codes and levels"),
        (edited(counts=[1, 2]), "counts of feature 'valve' must be 3"),
        (edited(categories=["open", "\ud800", "ajar", None], levels=["open", "ajar"]), "cannot be written"),
    ],
)
def test_from_json_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        Codebook.from_json(text)


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2**70), st.floats(), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(mixed_codebooks(), st.data())
def test_a_corrupt_text_is_a_codebook_or_a_value_error(book, data):
    document = json.loads(book.to_json())
    where = data.draw(st.sampled_from([document, *document["features"]]))
    key = data.draw(st.sampled_from(sorted(where)))
    old = where[key]
    if isinstance(old, list) and old and data.draw(st.booleans()):
        old[data.draw(st.integers(0, len(old) - 1))] = data.draw(_JSON)
    else:
        where[key] = data.draw(_JSON)
    try:
        found = Codebook.from_json(json.dumps(document))
    except ValueError:
        return
    assert Codebook.from_json(found.to_json()) == found
