"""Tables become matrices of numbers with NaN for masked values. Errors name the column or the way out."""

from collections import UserList, UserString, deque
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from sklearn import __version__, config_context
from sklearn.base import clone
from sklearn.utils.fixes import parse_version

from skbsq import BitwiseClassifier, BitwiseRegressor, Codebook, QuantileQuantizer, UniformQuantizer
from skbsq.codebook.matrix import as_matrix, refuse_mask
from skbsq.codec import RowCodec, dumps
from skbsq.exceptions import NotNumbersError

NAN = float("nan")
QUICK = dict(max_epochs=2, hidden_sizes=(4,), random_state=0)
BOOK = Codebook.from_thresholds([[0], [0]], missing="code")


QUANTIZER = QuantileQuantizer(2, missing="code").fit([[0.0, 0.0], [1.0, 1.0]])
MODEL = BitwiseRegressor(2, missing="code", **QUICK).fit([[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0])
# Every function that takes rows of floats.
NUMERIC = {"missing": "code", "categorical_features": None}
ENTRIES = {
    "encode": BOOK.encode,
    "fit": lambda X: QuantileQuantizer(**NUMERIC).fit(X),
    "partial_fit": lambda X: UniformQuantizer(levels="midpoint", **NUMERIC).partial_fit(X),
    "fit_chunks": lambda X: BitwiseRegressor(**NUMERIC, **QUICK).fit_chunks([(X, [0.0, 1.0])]),
    "transform": QUANTIZER.transform,
    "predict": MODEL.predict,
}
each_entry = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)

# -- columns that hold no numbers ---------------------------------------------------------------------

WHEN = datetime(2026, 1, 1)
OTHER_COLUMNS = {
    "text": ["u", "v"],
    "digits": ["1", "2"],
    "category": pd.Categorical(["u", "v"]),
    "category of numbers": pd.Categorical([1, 2]),
    "datetime": pd.to_datetime([WHEN, WHEN]),
    "with a time zone": pd.to_datetime([WHEN, WHEN], utc=True),
    "timedelta": pd.to_timedelta([1, 2], unit="s"),
    "period": pd.period_range("2026", periods=2, freq="D"),
    "interval": pd.interval_range(0, 2),
    "string": pd.array(["u", "v"], dtype="string"),
    "Arrow timestamp": pd.array([WHEN, WHEN], dtype=pd.ArrowDtype(pa.timestamp("ns"))),
    "objects of dates": np.array([date(2026, 1, 1)] * 2, dtype=object),
    "objects of text": np.array([1.0, "v"], dtype=object),
    "objects": np.array([1.0, {"u": 1}], dtype=object),
    "NaT": np.array([1.0, pd.NaT], dtype=object),
}
OTHER_POLARS = {
    "text": pl.Series(["u", "v"]),
    "date": pl.Series([date(2026, 1, 1)] * 2),
    "datetime": pl.Series([WHEN] * 2),
    "duration": pl.Series([timedelta(1)] * 2),
    "time": pl.Series([time(1)] * 2),
    "categorical": pl.Series(["u", "v"], dtype=pl.Categorical),
    "enum": pl.Series(["u", "v"], dtype=pl.Enum(["u", "v"])),
    "list": pl.Series([[1], [2]]),
    "struct": pl.Series([{"u": 1}, {"u": 2}]),
}


FRAMES_OF_OTHERS = {
    **{f"pandas {name}": pd.DataFrame({"a": [0.5, 1.5], "when": column}) for name, column in OTHER_COLUMNS.items()},
    **{f"polars {name}": pl.DataFrame({"a": [0.5, 1.5], "when": column}) for name, column in OTHER_POLARS.items()},
}
FRAMES_OF_OTHERS |= {f"arrow {name}": FRAMES_OF_OTHERS[f"polars {name}"].to_arrow() for name in OTHER_POLARS}


@each_entry
@pytest.mark.parametrize("frame", FRAMES_OF_OTHERS.values(), ids=FRAMES_OF_OTHERS)
def test_columns_that_hold_no_numbers(entry, frame):
    with pytest.raises(NotNumbersError, match=r"Column 'when' of X holds .+, not numbers.*: .*, or leave it out\."):
        entry(frame)


@each_entry
@pytest.mark.parametrize(
    "X",
    [
        np.array([[1, "v"], [2, "w"]], dtype=object),
        [[1, "v"], [2, "w"]],
        [[1, WHEN], [2, WHEN]],
        np.array([[1, np.datetime64("2026")], [2, 3]], dtype=object),
        np.array([[1, 1j], [2, 3]], dtype=object),
    ],
)
def test_columns_of_arrays_that_hold_no_numbers(entry, X):
    with pytest.raises(NotNumbersError, match=r"Column 1 of X holds .* in row 0, not numbers"):
        entry(X)


@each_entry
@pytest.mark.parametrize("dtype", ["U3", "S3", "M8[s]", "m8[s]"])
def test_arrays_of_other_types(entry, dtype):
    with pytest.raises(NotNumbersError, match=r"Column 0 of X holds .*, not numbers"):
        entry(np.ones((2, 2), dtype=int).astype(dtype))


@pytest.mark.parametrize(("column", "way_out"), [(["u", "v"], "OrdinalEncoder"), ([WHEN, WHEN], "seconds since")])
def test_the_way_out_fits_the_column(column, way_out):
    with pytest.raises(NotNumbersError, match=way_out):
        BOOK.encode(pd.DataFrame({"a": [1, 2], "b": column}))


@pytest.mark.parametrize(
    ("column", "parts"),
    [
        (pd.Series(pd.to_datetime([WHEN])), ["hour", "day_of_week"]),
        (pd.Series(pd.to_timedelta([1])), ["total_seconds()"]),
        (pl.Series([WHEN]), ["hour()", "weekday()"]),
        (pl.Series([WHEN.date()]), ["weekday()", "month()"]),
        (pl.Series([WHEN.time()]), ["hour()", "minute()"]),
        (pl.Series([WHEN - WHEN]), ["total_seconds()"]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_the_way_out_of_times_is_code_that_runs(column, parts):
    X = (pl.DataFrame if isinstance(column, pl.Series) else pd.DataFrame)({"when": column})
    with pytest.raises(NotNumbersError) as caught:
        Codebook.from_thresholds({"when": [0.5]}).encode(X)
    codes = [f"X['when'].dt.{part}" for part in parts]
    assert f"such as {' and '.join(codes)}, or" in str(caught.value)
    for code in codes:
        assert eval(code, {"X": X}).dtype != column.dtype


def test_it_is_a_value_error_and_a_type_error():
    """A ValueError like every rejected input, a TypeError because scikit-learn expects it for objects."""
    assert issubclass(NotNumbersError, ValueError)
    assert issubclass(NotNumbersError, TypeError)


# -- columns that hold numbers -----------------------------------------------------------------------

NUMBERS = {
    "nullable integers": (pd.array([1, None], dtype="Int64"), [1, NAN]),
    "nullable bools": (pd.array([True, None], dtype="boolean"), [1, NAN]),
    "nullable floats": (pd.array([0.5, None], dtype="Float32"), [0.5, NAN]),
    "Arrow floats": (pd.array([0.5, None], dtype=pd.ArrowDtype(pa.float32())), [0.5, NAN]),
    "Arrow decimals": (pd.array([Decimal("0.5"), None], dtype=pd.ArrowDtype(pa.decimal128(4, 2))), [0.5, NAN]),
    "bools": ([True, False], [1, 0]),
    "objects with NA": (np.array([2, pd.NA], dtype=object), [2, NAN]),
    "objects with None": (np.array([2.5, None], dtype=object), [2.5, NAN]),
    "decimals": (np.array([Decimal("0.5"), Decimal(3)], dtype=object), [0.5, 3]),
    "objects masked": (np.array([2.5, np.ma.masked], dtype=object), [2.5, NAN]),
    "half precision": (np.float16([0.5, NAN]), [0.5, NAN]),
    "sparse": (pd.arrays.SparseArray([0.0, 2.0]), [0, 2]),
    "Arrow bools": (pd.array([True, None], dtype=pd.ArrowDtype(pa.bool_())), [1, NAN]),
    "Arrow nulls": (pd.array([None, None], dtype=pd.ArrowDtype(pa.null())), [NAN, NAN]),
}


POLARS_NUMBERS = {
    "integers": (pl.Series([1, None]), [1, NAN]),
    "bools": (pl.Series([True, None]), [1, NAN]),
    "nulls": (pl.Series([None, None]), [NAN, NAN]),
    "floats": (pl.Series([0.5, None], dtype=pl.Float32), [0.5, NAN]),
    "decimals": (pl.Series([Decimal("0.5"), Decimal("2.0")]), [0.5, 2]),
    "bytes": (pl.Series([200, 7], dtype=pl.UInt8), [200, 7]),
}


def frames_of_numbers():
    for name, (column, expected) in NUMBERS.items():
        yield pytest.param(pd.DataFrame({"a": [0.25, 7.0], "b": column}), expected, id=f"pandas {name}")
    for name, (column, expected) in POLARS_NUMBERS.items():
        frame = pl.DataFrame({"a": [0.25, 7.0], "b": column})
        yield pytest.param(frame, expected, id=f"polars {name}")
        yield pytest.param(frame.to_arrow(), expected, id=f"arrow {name}")


@pytest.mark.parametrize(("frame", "expected"), list(frames_of_numbers()))
def test_columns_that_hold_numbers(frame, expected):
    np.testing.assert_array_equal(as_matrix(frame, "X").astype(float), np.column_stack([[0.25, 7.0], expected]))
    assert QuantileQuantizer(missing="code").fit(frame).feature_names_in_.tolist() == ["a", "b"]


def test_integers_keep_their_type():
    """Because float64 rounds integers beyond 2^53."""
    for make in (pd.DataFrame, pl.DataFrame, pa.table):
        assert as_matrix(make({"a": [2**60 + 1], "b": [1]}), "X").dtype == np.int64
    assert as_matrix(np.ma.array([[2**60 + 1]], mask=[[False]]), "X").dtype == np.int64


# -- masks ------------------------------------------------------------------------------------------

MASKED = np.ma.array([[1.0, -999.0], [3.0, 4.0]], mask=[[False, True], [False, False]])


@pytest.mark.parametrize(
    "X",
    [
        MASKED,
        MASKED.astype(int),
        list(MASKED),
        tuple(MASKED),
        [[1.0, np.ma.masked], [3.0, 4.0]],
        MASKED.astype(object),
        [[1, None], [3, 4]],
    ],
    ids=["floats", "integers", "list of rows", "tuple of rows", "elements", "objects", "None"],
)
def test_masked_and_missing_values_are_nan(X):
    np.testing.assert_array_equal(as_matrix(X, "X"), [[1, NAN], [3, 4]])
    assert BOOK.encode(X).tolist() == [[1, 2], [1, 1]]
    fitted = QuantileQuantizer(1, missing="seen").fit(X)
    assert [counts.tolist() for counts in fitted.codebook_.counts] == [[1, 1], [1, 1]]
    assert fitted.codebook_.has_missing.tolist() == [False, True]
    for fit in (QuantileQuantizer().fit, UniformQuantizer(levels="midpoint").partial_fit):
        with pytest.raises(ValueError, match="contains NaN in feature 1"):
            fit(X)


def test_masked_codes_are_refused():
    codes = np.ma.array([[0, 1], [1, 1]], mask=[[False, True], [False, False]])
    codec = RowCodec(BOOK)
    entries = [BOOK.decode, BOOK.thermometer, BOOK.check_codes, codec.pack, codec.pack_tight]
    for entry in [*entries, QUANTIZER.inverse_transform, MODEL.predict_codes, lambda codes: dumps(BOOK, codes)]:
        for masked in (codes, list(codes)):
            with pytest.raises(ValueError, match=r"codes are missing or masked in feature 1 \(row 0\)"):
                entry(masked)


def test_masked_bits_and_bytes_are_refused():
    with pytest.raises(ValueError, match="no thermometer bits"):
        BOOK.codes_from_thermometer(np.ma.array([[0, 0, 1, 0]], mask=[[True, False, False, False]]))
    for unpack in (RowCodec(BOOK).unpack, MODEL.predict_packed):
        with pytest.raises(ValueError, match="packed rows is masked at position 0, 0"):
            unpack(np.ma.array([[1]], mask=[[True]]))
    with pytest.raises(ValueError, match="packed rows is masked at position 0"):
        RowCodec(BOOK).unpack_tight(np.ma.array([1], mask=[True]), 1)


MASKED_VALUES = np.ma.array([1, 2], mask=[False, True])


@pytest.mark.parametrize(
    ("refuses", "what"),
    [
        (lambda: QuantileQuantizer(MASKED_VALUES).fit([[0.0, 1.0], [1.0, 0.0]]), "n_bits"),
        (lambda: Codebook.from_thresholds([MASKED_VALUES]), "thresholds of feature 0"),
        (lambda: Codebook.from_thresholds([[0]], levels=[MASKED_VALUES]), "levels of feature 0"),
        (lambda: Codebook.from_thresholds([[0]], counts=[MASKED_VALUES]), "counts of feature 0"),
        (lambda: Codebook.from_thresholds([[0], [0]], has_missing=MASKED_VALUES.astype(bool)), "has_missing"),
    ],
)
def test_masked_parameters_are_refused(refuses, what):
    with pytest.raises(ValueError, match=f"{what} is masked at position 1"):
        refuses()


def test_refuse_mask_returns_other_values():
    assert refuse_mask([1, 2], "y") == [1, 2]
    plain = refuse_mask(np.ma.array([1, 2], mask=False), "y")
    assert type(plain) is np.ndarray
    assert plain.tolist() == [1, 2]


# -- other objects -----------------------------------------------------------------------------------


@each_entry
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pl.DataFrame({"a": [1.0, 2], "b": [1.0, 2]}).lazy(), r"polars LazyFrame: call its method collect\(\) first"),
        (scipy.sparse.csr_matrix(np.eye(2)), r"sparse scipy csr_matrix: call its method toarray\(\) first"),
        (scipy.sparse.dok_array(np.eye(2)), r"sparse scipy dok_array: call its method toarray\(\) first"),
        ({"a": [1.0, 2], "b": [1.0, 2]}, r"is a dict: .*pandas.DataFrame"),
        (pa.table({"a": [1.0, 2], "b": [1.0, 2]}).to_reader(), r"RecordBatchReader: call its method read_all\(\)"),
        (
            np.zeros(2, dtype=[("a", float), ("b", float)]),
            r"structured array .*\['a', 'b'\].*structured_to_unstructured",
        ),
        (torch.zeros(2, 2, requires_grad=True), "cannot be read as an array: .*detach"),
        (None, "is a NoneType: give a 2-d array or a data frame"),
        ("rows.csv", "is a str: give a 2-d array or a data frame"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_for_other_objects_name_the_way_out(entry, X, message):
    with pytest.raises(ValueError, match=message):
        entry(X)


@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API")
@pytest.mark.parametrize("estimator", [QuantileQuantizer(2), BitwiseRegressor(2, **QUICK)])
def test_tensors_are_arrays_even_with_array_api_dispatch(estimator, rng, monkeypatch):
    monkeypatch.setattr("sklearn.utils._array_api._check_array_api_dispatch", lambda _: None)
    monkeypatch.setattr("sklearn._config._check_array_api_dispatch", lambda _: None, raising=False)
    if parse_version(__version__) < parse_version("1.7"):
        pytest.importorskip("array_api_compat")
    X, y = rng.normal(size=(30, 2)).astype(np.float32), rng.normal(size=30)
    expected = clone(estimator).fit(X, y, sample_weight=np.ones(30)).codebook_
    with config_context(array_api_dispatch=True):
        fitted = clone(estimator).fit(torch.tensor(X), torch.tensor(y), sample_weight=torch.ones(30))
    assert fitted.codebook_ == expected


@pytest.mark.parametrize("scale", [1e-40, 1e38 / 4])
@pytest.mark.parametrize(
    "estimator",
    [QuantileQuantizer(2), UniformQuantizer(2), BitwiseRegressor(2, **QUICK), BitwiseClassifier(2, **QUICK)],
    ids=str,
)
def test_values_near_the_ends_of_float32_when_numpy_raises(estimator, scale, rng):
    """Underflow is not an error: a value may round to a subnormal number or to 0."""
    X = rng.normal(size=(60, 2)) * scale
    y = X[:, 0] > 0 if isinstance(estimator, BitwiseClassifier) else X[:, 0]
    expected = clone(estimator).fit(X, y).codebook_
    with np.errstate(all="raise"):
        fitted = clone(estimator).fit(X, y)
        fitted.codebook_.decode(fitted.codebook_.encode(X))
        if hasattr(fitted, "predict"):
            fitted.predict(X)
        if hasattr(fitted, "partial_fit"):
            pytest.importorskip("datasketches")
            assert clone(estimator).partial_fit(X).codebook_.thresholds[0].tolist() == expected.thresholds[0].tolist()
    assert fitted.codebook_ == expected


def test_integers_that_float64_rounds_beside_a_null():
    table = pa.table({"ns": [1_790_000_000_000_000_001, None]})
    np.testing.assert_array_equal(as_matrix(table, "X"), [[1.79e18], [NAN]])


def test_integers_of_128_bits_and_runs_of_values():
    wide = getattr(pl, "Int128", None)
    if wide is not None:
        assert as_matrix(pl.DataFrame({"a": pl.Series([1, 2], dtype=wide)}), "X").tolist() == [[1], [2]]
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 3], pa.int32()), pa.array([0.5, 2.0]))
    assert as_matrix(pa.table({"a": runs}), "X").tolist() == [[0.5], [2], [2]]


@pytest.mark.parametrize("kind", [deque, UserList, tuple])
def test_masks_in_sequences_of_any_kind(kind):
    rows = kind([np.ma.array([5.0, 1.0], mask=[True, False])])
    assert BOOK.encode(rows).tolist() == [[2, 1]]
    with pytest.raises(ValueError, match="contains NaN"):
        Codebook.from_thresholds([[0], [0]]).encode(rows)
    with pytest.raises(ValueError, match="thresholds of feature 0 is masked"):
        Codebook.from_thresholds([kind([np.ma.masked])])


def test_masked_times_are_no_numbers():
    with pytest.raises(NotNumbersError, match=r"X holds datetime64.*, not numbers: derive numbers first"):
        BOOK.encode(np.ma.masked_array(np.zeros((1, 2), "datetime64[s]"), [[True, False]]))


def test_masked_structured_arrays_are_structured_arrays():
    rows = np.ma.zeros(2, dtype=[("a", float), ("b", float)])
    rows.mask[0] = (True, False)
    with pytest.raises(ValueError, match="structured array"):
        BOOK.encode(rows)


@pytest.mark.parametrize("text", [b"\x01", bytearray(b"1"), UserString("1")])
def test_bytes_and_text_of_any_kind_are_no_times(text):
    with pytest.raises(NotNumbersError, match="OrdinalEncoder"):
        BOOK.encode(np.array([[text, 1.0]], dtype=object))


def test_a_feature_missing_in_all_rows_of_all_chunks():
    pytest.importorskip("datasketches")
    X = np.column_stack([np.full(20, NAN), np.arange(20.0)])
    model = BitwiseRegressor(2, missing="code", **QUICK).fit_chunks([(X, X[:, 1])])
    assert model.codebook_.n_levels.tolist() == [2, 4]


def test_integers_beyond_float64():
    huge = 10**400
    assert as_matrix(np.array([[huge, -huge, 3]], dtype=object), "X").tolist() == [[np.inf, -np.inf, 3]]
