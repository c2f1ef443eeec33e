"""Columns of numbers, bools and nulls are read. Any other column is refused by name, with its type and the way out."""

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression

from skbsq import Codebook
from skbsq.exceptions import NotNumbersError
from skbsq.outofcore import predict, transform
from skbsq.outofcore._numbers import as_numbers
from tests.outofcore.conftest import EARLY_POLARS, Same, together

pa = pytest.importorskip("pyarrow")

NAMED = Codebook.from_thresholds([[0.0], [0.5]], missing="code", feature_names=["a", "b"])
NAMELESS = Codebook.from_thresholds([[0.0], [0.5]], missing="code")
LINEAR = LinearRegression().fit(pd.DataFrame({"a": [1.0, 2, 3], "b": [3.0, 1, 2]}), [1, 2, 3])
B = [1.0, 0.0]
TIME = "turn it into numbers first"
TEXT = "encode it as numbers first"
PARTS = "turn each part into a column of numbers first"
CAST = "cast it to one type of numbers first"
DAYS = [dt.date(2020, 1, 1), dt.date(2020, 1, 2)]
MOMENTS = [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2)]
SPANS = [dt.timedelta(1), dt.timedelta(2)]


def check_refused(source, kind, advice, name="'a'"):
    problem = rf"The column {name} must hold numbers, got {kind}.*: {advice}"
    for run in (lambda: transform(NAMED, source), lambda: transform(NAMELESS, source), lambda: predict(LINEAR, source)):
        with pytest.raises(NotNumbersError, match=problem):
            list(run())


# -- Arrow -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "advice"),
    [
        (pa.array(["x", "y"]), "string", TEXT),
        (pa.array(["x", "y"], pa.large_string()), "large_string", TEXT),
        (pa.array(["x", "y"]).dictionary_encode(), "dictionary", TEXT),
        (pa.array([1, 2]).dictionary_encode(), "dictionary", TEXT),
        (pa.array([b"x", b"y"]), "binary", "to predict from packed rows, use"),
        (pa.array(DAYS), "date32", TIME),
        (pa.array(MOMENTS, pa.timestamp("s", "UTC")), "timestamp", TIME),
        (pa.array(SPANS), "duration", TIME),
        (pa.array([dt.time(1), dt.time(2)]), "time64", TIME),
        (pa.array([Decimal("1.5"), Decimal(2)]), "decimal128", CAST),
        (pa.array([[1], [2]]), "list", PARTS),
        (pa.array([{"x": 1}, {"x": 2}]), "struct", PARTS),
    ],
)
def test_arrow(values, kind, advice):
    table = pa.table({"a": values, "b": B})
    for source in (table, table[:0], table.to_batches()):
        check_refused(source, kind, advice)


def test_csv(tmp_path):
    for i, text in enumerate(["noon", "2020-01-01", "2020-01-01 10:00:00", "10:00:00"]):
        (tmp_path / f"{i}.csv").write_text(f"a,b\n{text},1\n")
        check_refused(tmp_path / f"{i}.csv", "", TEXT if text == "noon" else TIME)


# -- data frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "advice"),
    [
        (pd.Series(["x", "y"]), "large_string|string", TEXT),
        (pd.Series(["x", "y"], dtype=object), "large_string|string", TEXT),
        (pd.Series([1.0, 2.0], dtype="category"), "dictionary", TEXT),
        (pd.Series(pd.to_datetime(MOMENTS)).dt.tz_localize("UTC"), "timestamp", TIME),
        (pd.Series(pd.to_timedelta(SPANS)), "duration", TIME),
        (pd.Series(pd.period_range("2020", periods=2, freq="D")), ".*period", TIME),
        (pd.Series(pd.interval_range(0, 2)), ".*interval", ".*first"),
        (pd.Series([Decimal(1), Decimal(2)]), "decimal128", CAST),
        (pd.Series([1j, 2j]), "complex128", CAST),
        (pd.Series(pd.arrays.SparseArray([0.0, 1.0])), r"Sparse\[float64", CAST),
        (pd.Series([1, "x"], dtype=object), "object", CAST),
        (pd.Series([10**30, 1], dtype=object), "object", CAST),
    ],
)
def test_pandas(values, kind, advice):
    check_refused(pd.DataFrame({"a": values, "b": B}), f"({kind})", advice)


@EARLY_POLARS
@pytest.mark.parametrize(
    ("values", "kind", "advice"),
    [
        (pl.Series(["x", "y"]), ".*string", TEXT),
        (pl.Series(["x", "y"], dtype=pl.Categorical), "dictionary", TEXT),
        (pl.Series(MOMENTS, dtype=pl.Datetime("ms", "UTC")), "timestamp", TIME),
        (pl.Series([Decimal("1.5"), Decimal("2.5")]), "decimal128", CAST),
        (pl.Series([[1], [2]]), ".*list", PARTS),
        (pl.Series([[1], [2]], dtype=pl.Array(pl.Int8, 1)), "fixed_size_list", PARTS),
    ],
)
def test_polars(values, kind, advice):
    check_refused(pl.DataFrame({"a": values, "b": B}), kind, advice)
    check_refused([pl.DataFrame({"a": values, "b": B})], kind, advice)


@pytest.mark.skipif(not hasattr(pl, "Int128"), reason="an early polars")
def test_integers_of_polars_that_arrow_lacks():
    check_refused(pl.DataFrame({"a": pl.Series([1, 2], dtype=pl.Int128), "b": B}), "Int128", CAST)


@pytest.mark.parametrize("wrong", [pd.Series([1, "x"], dtype=object), pd.Series([1j, 2j])])
def test_columns_that_are_not_read_may_hold_anything(wrong):
    frame = pd.DataFrame({"a": [1.0, -1.0], "b": B, "note": wrong})
    expected = NAMED.encode(frame[["a", "b"]])
    np.testing.assert_array_equal(together(transform(NAMED, frame)), expected)
    np.testing.assert_array_equal(together(transform(NAMELESS, frame, columns=["a", "b"])), expected)
    with pytest.raises(NotNumbersError, match="'note' must hold numbers"):
        list(transform(NAMELESS, frame))


def test_parts_are_named_by_their_rows():
    numbers, times = pd.DataFrame({"a": B, "b": B}), pd.DataFrame({"a": pd.to_datetime(["2020"]), "b": [1.0]})
    for parts, where in [
        ([numbers, times], "chunk of rows 2 to 2"),
        ([numbers, times[:0]], "empty chunk at row 2"),
        ([times[:0], numbers], "empty chunk at row 0"),
    ]:
        with pytest.raises(NotNumbersError, match=f"In the {where}: The column 'a' must hold numbers, got timestamp"):
            list(transform(NAMED, parts))


# -- arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "kind", "advice"),
    [
        (np.array([["1", "2"]]), "<U1", TEXT),
        (np.array([[b"1", b"2"]]), r"\|S1", TEXT),
        (np.array([MOMENTS], dtype="M8[s]"), r"datetime64\[s\]", TIME),
        (np.array([SPANS], dtype="m8[s]"), r"timedelta64\[s\]", TIME),
        (np.zeros((2, 2), complex), "complex128", PARTS),
        (np.zeros((2, 2), "V2"), r"\|V2", PARTS),
    ],
)
def test_arrays_by_their_type(rows, kind, advice, tmp_path):
    np.save(tmp_path / "x.npy", rows)
    for source in (rows, rows[:0], [rows], tmp_path / "x.npy"):
        check_refused(source, kind, advice, name="'(a|x0)'")


@pytest.mark.parametrize(
    ("value", "kind", "advice"),
    [
        ("1", "str", TEXT),
        (b"1", "bytes", TEXT),
        (Decimal(1), "Decimal", CAST),
        (DAYS[0], "date", TIME),
        (MOMENTS[0], "datetime", TIME),
        (SPANS[0], "timedelta", TIME),
        (dt.time(1), "time", TIME),
        (np.datetime64("2020"), "datetime64", TIME),
        (np.timedelta64(1, "s"), "timedelta64", TIME),
        (pd.Timestamp("2020"), "Timestamp", TIME),
        (pd.Period("2020"), "Period", TIME),
        (pd.NaT, "NaTType", TIME),
        (1j, "complex", CAST),
        (10**400, "an integer beyond float64", CAST),
    ],
)
def test_objects_in_arrays(value, kind, advice):
    rows = np.empty((3, 2), dtype=object)
    rows[:] = 1.0
    rows[2, 0] = value
    check_refused(rows, kind, advice, name="'(a|x0)'")


def test_numbers_in_arrays_of_objects():
    rows = np.array(
        [[1, None], [True, np.float32(2.5)], [pd.NA, np.nan], [Fraction(1, 2), np.bool_(True)]], dtype=object
    )
    expected = [[1, np.nan], [1, 2.5], [np.nan, np.nan], [0.5, 1]]
    np.testing.assert_array_equal(as_numbers(rows, None), expected)
    np.testing.assert_array_equal(together(transform(NAMED, rows)), NAMED.encode(expected))


@pytest.mark.parametrize("shape", [3, (3, 1)])
def test_structured_arrays(shape, tmp_path):
    rows = np.zeros(shape, [("a", "f8"), ("b", "f8")])
    np.save(tmp_path / "x.npy", rows)
    for source in (rows, tmp_path / "x.npy"):
        with pytest.raises(ValueError, match=r"structured array with the fields \['a', 'b'\]: give pandas.DataFrame"):
            transform(NAMED, source)
    found = together(transform(NAMED, pd.DataFrame(rows.ravel())))  # the way out
    np.testing.assert_array_equal(found, NAMED.encode(np.zeros((3, 2))))


# -- numbers and masks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, "u1", "i8", "f2", "f4", ">f8", object])
def test_numbers(dtype):
    rows = np.array([[1, 0], [0, 1]]).astype(dtype)
    np.testing.assert_array_equal(together(transform(NAMED, rows)), NAMED.encode(rows.astype(float)))


@pytest.mark.parametrize("dtype", [float, np.float32, int, np.uint8, bool, object])
@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_masked_arrays(dtype, batch_size):
    data = np.array([[1, 1], [1, 0], [0, 1], [1, 1]]).astype(dtype)
    masked = np.ma.array(data, mask=[[0, 0], [1, 0], [0, 1], [0, 0]])
    floats = np.where(np.ma.getmaskarray(masked), np.nan, data.astype(float))
    for source in (masked, [masked[:2], masked[2:]], masked.copy(order="F"), masked[::-1][::-1]):
        found = together(transform(NAMED, source, batch_size=batch_size))
        np.testing.assert_array_equal(found, NAMED.encode(floats))
        np.testing.assert_array_equal(together(predict(Same(), source, batch_size=batch_size)), floats)


@pytest.mark.parametrize("dtype", ["f4", "i8"])
def test_masked_memory_maps(dtype, tmp_path):
    data = np.arange(8).reshape(4, 2).astype(dtype)
    np.save(tmp_path / "x.npy", data)
    masked = np.ma.masked_equal(np.load(tmp_path / "x.npy", mmap_mode="r"), 5)
    floats = np.where(data == 5, np.nan, data)
    np.testing.assert_array_equal(together(transform(NAMED, masked, batch_size=3)), NAMED.encode(floats))
    np.testing.assert_array_equal(together(predict(Same(), masked, batch_size=3)), floats)


def test_masked_values_are_refused_as_nan_is():
    book = Codebook.from_thresholds([[0.0], [0.5]])
    masked = np.ma.array(np.zeros((4, 2)), mask=[[0, 0], [0, 0], [0, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"chunk of rows 2 to 3: X contains NaN in feature 1 \(row 1\)"):
        list(transform(book, masked, batch_size=2))
    with pytest.raises(ValueError, match="chunk of rows 2 to 3: Input X contains NaN"):
        list(predict(LinearRegression().fit(np.eye(2), [1, 2]), masked, batch_size=2))
