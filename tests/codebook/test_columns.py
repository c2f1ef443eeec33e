"""Columns of categories in every kind of table."""

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from skbsq import Codebook
from skbsq.codebook.columns import find_categorical, look_up, numbers_of, split_column
from skbsq.exceptions import NotNumbersError
from tests import reference
from tests.strategies import mixed_codebooks, values_of

VALVE = ["open", "shut", None, "ajar", "open", "gone"]
T = [1.0, 9.0, 5.0, 6.0, np.nan, 0.0]
CODES = {"open": 0, "shut": 1, "ajar": 1, "é": 2, None: 3}
BOOK = Codebook.from_thresholds({"valve": CODES, "t": [5.0]}, missing="code", handle_unknown="missing")
EXPECTED = [[0, 0], [1, 1], [3, 0], [1, 1], [0, 2], [3, 0]]


UNSIGNED = pa.dictionary(pa.uint8(), pa.string())


def pandas(dtype):
    return pd.DataFrame({"valve": pd.Series(VALVE, dtype=object).astype(dtype), "t": T})


def polars(dtype):
    return pl.DataFrame({"valve": pl.Series(VALVE, dtype=dtype), "t": T})


def arrow(column):
    return pa.table({"valve": column, "t": T})


def dask(frame):
    return pytest.importorskip("dask.dataframe").from_pandas(frame, npartitions=2)


def dictionary(values):
    return pa.array(values).dictionary_encode()


def array():
    X = np.empty((len(T), 2), dtype=object)
    X[:, 0], X[:, 1] = VALVE, T
    return X


def masked():
    X = array()
    X[2, 0] = "open"
    return np.ma.array(X, mask=[[j == 0 and i == 2 for j in range(2)] for i in range(len(T))])


TABLES = {
    "pandas objects": lambda: pandas(object),
    "pandas category": lambda: pandas("category"),
    "pandas category in another order": lambda: pandas(pd.CategoricalDtype(["z", "gone", "shut", "ajar", "open"])),
    "pandas string": lambda: pandas("string"),
    "pandas Arrow string": lambda: pandas(pd.ArrowDtype(pa.string())),
    "pandas Arrow dictionary": lambda: pandas(pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string()))),
    "pandas columns in two blocks": lambda: pandas(object).assign(t=pd.array(T, dtype="Float64")),
    "polars string": lambda: polars(pl.String),
    "polars categorical": lambda: polars(pl.Categorical),
    "polars enum": lambda: polars(pl.Enum(["z", "gone", "shut", "ajar", "open"])),
    "polars objects": lambda: polars(pl.Object),
    "arrow string": lambda: arrow(pa.array(VALVE)),
    "arrow large string": lambda: arrow(pa.array(VALVE, pa.large_string())),
    "arrow string view": lambda: arrow(pa.array(VALVE, pa.string_view())),
    "arrow chunks": lambda: arrow(pa.chunked_array([VALVE[:2], VALVE[2:]])),
    "arrow dictionaries": lambda: arrow(pa.chunked_array([dictionary(VALVE[:3]), dictionary(VALVE[3:])])),
    "arrow dictionary of unsigned places": lambda: arrow(pa.array(VALVE).dictionary_encode().cast(UNSIGNED)),
    "arrow dictionary of polars": lambda: polars(pl.Categorical).to_arrow(),
    "arrow dictionary with a null and a value twice": lambda: arrow(
        pa.DictionaryArray.from_arrays([0, 1, 2, 3, 5, 4], ["open", "shut", None, "ajar", "gone", "open"])
    ),
    "arrow runs": lambda: arrow(pa.RunEndEncodedArray.from_arrays([1, 2, 3, 4, 5, 6], VALVE)),
    "arrow batch": lambda: arrow(pa.array(VALVE)).to_batches()[0],
    "narwhals": lambda: narwhals.from_native(polars(pl.String)),
    "dask": lambda: dask(pandas(object)),
    "dask category": lambda: dask(pandas("category")),
    "objects": array,
    "masked objects": masked,
    "list": lambda: array().tolist(),
    "np.str_": lambda: [[np.str_(value) if isinstance(value, str) else value for value in row] for row in array()],
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_table_has_the_same_codes(kind):
    codes = BOOK.encode(TABLES[kind]())
    assert_array_equal(codes, EXPECTED)
    assert codes.dtype == np.uint8


@pytest.mark.parametrize("kind", ["pandas objects", "pandas category", "polars enum", "arrow dictionaries", "objects"])
def test_an_empty_table_has_no_codes(kind):
    assert BOOK.encode(TABLES[kind]()[:0]).shape == (0, 2)


def test_an_arrow_table_without_chunks():
    table = pa.table({"valve": pa.chunked_array([], pa.string()), "t": pa.chunked_array([], pa.float64())})
    assert BOOK.encode(table).shape == (0, 2)


@pytest.mark.parametrize("kind", [name for name in TABLES if name not in ("list", "np.str_", "objects")])
def test_unknown_and_missing_values_are_named(kind):
    book = Codebook.from_thresholds({"valve": CODES, "t": [5.0]}, missing="code")
    with pytest.raises(ValueError, match=r"'gone' \(row 5\) is no category of feature 'valve'"):
        book.encode(TABLES[kind]())
    book = Codebook.from_thresholds({"valve": {"open": 0, "shut": 1, "ajar": 2, "gone": 3}, "t": [5.0]})
    with pytest.raises(
        ValueError, match=r"X contains NaN in feature '(valve' \(row 2|t' \(row 4)\), which has no miss"
    ):
        book.encode(TABLES[kind]())


@pytest.mark.parametrize("kind", ["pandas category", "polars string", "arrow string"])
def test_columns_must_be_in_order(kind):
    table = TABLES[kind]()
    swapped = table.select(["t", "valve"]) if hasattr(table, "select") else table[["t", "valve"]]
    with pytest.raises(ValueError, match="Column 0 of X is 't', but 'valve' is expected"):
        BOOK.encode(swapped)
    fewer = table.select(["valve"]) if hasattr(table, "select") else table[["valve"]]
    with pytest.raises(ValueError, match="X has 1 features, but this codebook has 2"):
        BOOK.encode(fewer)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([True, False, None], dtype=object),
        pd.Series([True, False, None], dtype=pd.ArrowDtype(pa.bool_())),
        pd.Series([True, False, None], dtype="category"),
        pd.Series([1.0, 0.0, np.nan]),
        pd.Series([1, 0, None], dtype="Int8"),
        pl.Series([True, False, None]),
        pl.Series([1, 0, None]),
        pl.Series([1.0, 0.0, np.nan]),
        pa.chunked_array([[True, False, None]]),
        pa.chunked_array([pa.array([1, 0, None], pa.uint8())]),
        np.array([1.0, 0.0, np.nan], dtype=np.float32),
        np.array([np.True_, np.False_, None], dtype=object),
    ],
)
@pytest.mark.parametrize("codes", [{False: 0, True: 1, None: 2}, {0: 0, 1: 1, None: 2}])
def test_bools_and_integers(column, codes):
    missing = codes[None]
    known = {category: code for category, code in codes.items() if category is not None}
    found = look_up(column, known, "f", missing=missing, unknown=None, dtype=np.uint8)
    assert found.tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (np.array([["a"], {}], dtype=object)[:, None][:, 0], "unhashable"),
        (np.array([b"a"], dtype=object), "got b'a'"),
        (np.array([1.5]), "got 1.5"),
        (np.array([np.inf]), "got inf"),
        (pd.Series(pd.to_datetime(["2020-01-01"])), "got Timestamp"),
        (pd.Series(pd.cut([1, 2], 2)), "got Interval"),
        (pd.Series(["a", 1.5]), "got 1.5"),
        (pl.Series([1.5]), "got 1.5"),
        (pa.array([b"a"]), "got b'a'"),
    ],
)
def test_what_is_no_category_is_refused(column, message):
    with pytest.raises(NotNumbersError, match=f"Column 0 holds values that are no categories. .*{message}"):
        split_column(column, "Column 0")


@pytest.mark.parametrize("column", [[True, 1], [2, True], [0, None, False]])
def test_bools_among_integers_are_refused(column):
    for made in (np.array(column, dtype=object), pd.Series(column, dtype=object)):
        with pytest.raises(ValueError, match="are bools and integers: turn them into strings"):
            split_column(made, "Column 0")


_VALUES = st.lists(st.sampled_from(["", "a", "b", "1", None, np.nan, 1, 2, 2.0, 300]), max_size=20)


@given(_VALUES)
def test_a_column_is_split_into_values_and_places(values):
    for column in (np.array([*values, None], dtype=object), pd.Series([*values, None], dtype=object)):
        found, places = split_column(column, "f")
        assert places.dtype == np.int64
        assert len(set(found)) == len(found)
        back = [found[place] if place >= 0 else None for place in places]
        assert back == [None if value != value else value for value in [*values, None]]


@given(_VALUES, st.sampled_from(["error", "missing", "ignore"]))
def test_numbers_equal_a_lookup(values, rule):
    known = {"a": 0, "1": 1, 1: 2, 2: 3}
    column = np.array([*values, "a"], dtype=object)
    plain = [None if value != value else value for value in column.tolist()]
    other = {"error": None, "missing": np.nan, "ignore": 0}[rule]
    expected = [np.nan if value is None else known.get(value, other) for value in plain]
    if None in expected:
        with pytest.raises(ValueError, match=rf"\(row {expected.index(None)}\) is no category of f"):
            numbers_of(column, known, "f", unknown=rule)
        return
    assert_array_equal(numbers_of(column, known, "f", unknown=rule), np.float32(expected))


@given(st.lists(st.sampled_from(["open", "shut", "é", "gone", None]), max_size=12))
def test_frames_equal_arrays(values):
    values = [*values, "open"]
    expected = [reference.encode_category(value, CODES, "missing") for value in values]
    for column in (pd.Series(values, dtype=object), pd.Series(values, dtype="category")):
        assert BOOK.encode(pd.DataFrame({"valve": column, "t": 0.0}))[:, 0].tolist() == expected


@given(mixed_codebooks())
def test_mixed_frames_equal_a_lookup(book):
    rows = values_of(book)
    columns = [pd.Series([row[j] for row in rows], dtype=object) for j in range(book.n_features)]
    of_dtypes = [c.astype("category") if known else c for c, known in zip(columns, book.is_categorical, strict=True)]
    for frame in (pd.concat(columns, axis=1), pd.concat(of_dtypes, axis=1)):
        assert_array_equal(book.encode(frame), reference.encode_mixed(rows, book))


def test_many_categories():
    """Places of more categories than fit in a byte."""
    names = [f"category {k}" for k in range(1000)]
    book = Codebook.from_thresholds({"c": {name: k // 4 for k, name in enumerate(names)}})
    picked = np.random.default_rng(0).integers(0, 1000, 5000)
    for column in (np.array(names, dtype=object)[picked], pd.Categorical.from_codes(picked, names)):
        assert_array_equal(book.encode(pd.DataFrame({"c": column})).ravel(), picked // 4)


# -- which columns are categorical ---------------------------------------------------------------------------

MIXED = {
    "pandas": pd.DataFrame(
        {
            "number": [1.5, 2.0],
            "text": ["a", "b"],
            "flag": [True, False],
            "category": pd.Categorical([1, 2]),
            "string": pd.array(["a", None], dtype="string"),
            "flags": pd.array([True, None], dtype="boolean"),
            "objects": np.array([1.5, None], dtype=object),
            "arrow": pd.array(["a", "b"], dtype=pd.ArrowDtype(pa.string())),
            "day": pd.to_datetime(["2020-01-01"] * 2),
        }
    ),
    "polars": pl.DataFrame({"number": [1.5], "text": ["a"], "flag": [True], "count": [3]}),
    "arrow": pa.table({"number": [1.5], "text": ["a"], "flag": [True], "codes": dictionary(["a"])}),
}


@pytest.mark.parametrize(("kind", "found"), [("pandas", [1, 2, 3, 4, 5, 7]), ("polars", [1, 2]), ("arrow", [1, 2, 3])])
def test_from_dtype(kind, found):
    table = MIXED[kind]
    names = list(getattr(table, "column_names", table.columns))
    assert find_categorical(table, "from_dtype", names).tolist() == found


def test_an_array_has_no_categorical_dtypes():
    assert find_categorical(np.array([["a"]], dtype=object), "from_dtype", None).size == 0


@pytest.mark.parametrize("given", [["b"], [1], [False, True], np.array([1])])
def test_by_name_number_or_mask(given):
    assert find_categorical(np.zeros((2, 2)), given, ["a", "b"]).tolist() == [1]


@pytest.mark.parametrize("given", [None, []])
def test_none(given):
    assert find_categorical(np.zeros((2, 2)), given, ["a", "b"]).size == 0


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        ("auto", None, 'must be "from_dtype", None, or an array'),
        ([[1]], None, "must be one-dimensional"),
        ([True], None, "has 1 bools for 2 features"),
        ([2], None, "names feature 2, but there are 2 features"),
        ([-1], None, "names feature -1"),
        (["c"], ["a", "b"], r"names 'c', which is not a feature: \['a', 'b'\]"),
        (["c"], None, "have no names: give numbers"),
    ],
)
def test_wrong_names_are_refused(given, names, message):
    with pytest.raises(ValueError, match=message):
        find_categorical(np.zeros((2, 2)), given, names)
