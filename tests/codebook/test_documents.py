"""Values come back with their type and bits, and values of other kinds are rejected."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from skbsq import Codebook
from skbsq.codebook.documents import DTYPES, NotPlain, from_document, to_document

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(scalars, inner),
    max_leaves=5,
)


def round_trip(value):
    arrays = {}
    text = json.dumps(to_document(value, "x", arrays), allow_nan=False)
    back = from_document(json.loads(text), arrays)
    assert not arrays
    return back


@settings(max_examples=50)
@given(values)
def test_values(value):
    back = round_trip(value)
    assert repr(back) == repr(value)  # -0.0, True and 1 are told apart


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3).T, np.zeros((0, 2)), np.array(1)])
def test_arrays(dtype, array):
    array = array.astype(dtype)
    back = round_trip([array, array])
    for found in back:
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_arrays_of_text_and_objects():
    for array in (np.array(["a", "bc"]), np.array(["a", 1, True, 2.5, None], dtype=object)):
        back = round_trip(array)
        assert back.dtype.kind == array.dtype.kind
        assert list(map(repr, back)) == list(map(repr, array))


def test_numpy_scalars_become_python_values():
    assert repr(round_trip({np.int64(3): np.float32(0.1), np.str_("a"): np.bool_(True)})) == (
        "{3: 0.10000000149011612, 'a': True}"
    )


def test_codebooks_and_nan():
    book = Codebook.from_thresholds([[0.1], []], missing="code", feature_names=["p", "q"])
    assert round_trip((book,)) == (book,)
    assert np.isnan(round_trip(float("nan")))


@pytest.mark.parametrize(
    "value",
    [
        StandardScaler(),
        StandardScaler,
        print,
        b"bytes",
        1j,
        {1, 2},
        {(1, 2): 3},
        np.array([StandardScaler()]),
        np.array([float("nan")], dtype=object),
        np.array([["a"]]),
        np.array([b"a"]),
        np.array([1j]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.datetime64("2020-01-01"),
        np.random.RandomState(0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_refused(value):
    with pytest.raises(NotPlain, match=r"^x\.0 "):
        to_document([value], "x", {})


def test_subclasses_of_plain_types_are_refused():
    class Text(str):
        pass

    with pytest.raises(NotPlain):
        to_document(Text("a"), "x", {})


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "has 0 keys"),
        ({"tuple": [], "dict": []}, "has 2 keys"),
        ({"tuple": "abc"}, "must be a list"),
        ({"dict": [["a"]]}, "a plain key and a value"),
        ({"dict": [[[1], 2]]}, "a plain key and a value"),
        ({"dict": [["a", 1], ["a", 2]]}, "twice"),
        ({"strings": ["a", 1]}, "something else"),
        ({"objects": [[1]]}, "something else"),
        ({"float": "0x1p3"}, "not a known kind"),
        ({"codebook": "{}"}, "codebook"),
        ({"array": "y"}, "no array 'y'"),
        ({"array": ["x"]}, "not a known kind"),
        ([{"array": "x"}, {"array": "x"}], "used twice"),
        ({"os.system": "true"}, "not a known kind"),
        (float("inf"), "beyond float64"),  # 1e999 in JSON
    ],
)
def test_wrong_documents_are_refused(document, message):
    with pytest.raises(ValueError, match=message):
        from_document(document, {"x": np.zeros(1)})
