"""Forms of the codes of categories."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal

from skbsq import Codebook
from skbsq.codec import RowCodec, dumps, loads
from skbsq.codec.encodings import ENCODINGS, decoded, encoded, encoded_names
from tests import reference
from tests.strategies import mixed_codebooks, values_of

BOOK = Codebook.from_thresholds(
    {"valve": {"open": 0, "shut": 1, "ajar": 1, None: 2}, "door": {True: 0, False: 1}, "t": [5.0]},
    levels=[["open", "ajar"], [True, False], [2.5, 7.5]],
    missing="seen",
    has_missing=[True, False, True],
)
ROWS = [["shut", True, 6.0], [None, False, np.nan]]
FORMS = {
    "ordinal": [[1, 0, 1], [2, 1, 2]],
    "thermometer": [[1, 0, 0, 1, 0], [0, 1, 1, 0, 1]],
    "value": [["ajar", True, 7.5], [None, False, np.nan]],
    "packed": [[0b01001], [0b10110]],
}


def assert_same(found, expected):
    """NaN is equal to NaN, as it is not in arrays of objects."""
    assert [list(map(repr, row)) for row in found.tolist()] == [list(map(repr, row)) for row in expected]


def codes():
    return BOOK.encode(ROWS)


@pytest.mark.parametrize("encode", ENCODINGS)
def test_forms_by_hand(encode):
    form = encoded(BOOK, codes(), encode)
    assert form.dtype == (object if encode == "value" else np.uint8)
    assert_same(form, FORMS[encode])
    levels = decoded(BOOK, form, encode)
    assert levels.dtype == object
    assert_same(levels, FORMS["value"])


def test_names_by_hand():
    names = {encode: encoded_names(BOOK, ["valve", "door", "t"], encode) for encode in ENCODINGS}
    assert names == {
        "ordinal": ["valve", "door", "t"],
        "thermometer": ["valve_t0", "valve_missing", "door_False", "t_t0", "t_missing"],
        "value": ["valve", "door", "t"],
        "packed": ["byte0"],
    }


def test_frames_of_levels_are_read():
    form = encoded(BOOK, codes(), "value")
    frame = pd.DataFrame(form, columns=["valve", "door", "t"])
    narrow = frame.astype({"valve": "category", "door": bool, "t": float})
    for X in (frame, narrow, pl.DataFrame(form[:1].tolist(), orient="row")):
        assert_same(decoded(BOOK, X, "value"), form[: len(X)].tolist())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["shut", True, 7.5], "Column 0 of X holds shut, which is not a level"),  # it decodes to "ajar"
        (["gone", True, 7.5], "Column 0 of X holds gone"),
        (["open", None, 7.5], "Column 1 of X holds None"),
        (["open", "True", 7.5], "Column 1 of X holds True"),
        (["open", True, 6.0], "Column 2 of X holds 6.0"),
        (["open", True, "x"], "Column 2 of X holds 'x' in row 0, not numbers"),
        (["open", True], "X has 2 features, but the codebook has 3"),
    ],
)
def test_what_is_no_level_is_refused(row, message):
    X = np.empty((1, len(row)), dtype=object)
    X[0] = row
    with pytest.raises(ValueError, match=message):
        decoded(BOOK, X, "value")


@given(mixed_codebooks())
def test_every_form_comes_back(book):
    found = book.encode(values_of(book))
    levels = book.decode(found)
    for encode in ENCODINGS:
        assert_same(decoded(book, encoded(book, found, encode), encode), levels.tolist())
    for row, packed in zip(found.tolist(), RowCodec(book).pack(found), strict=True):
        assert packed.tobytes() == reference.pack_row(row, book.n_bits.tolist())
    assert dumps(book, found) == reference.message(book, found.tolist())
    assert_array_equal(loads(dumps(book, found), book), found)
