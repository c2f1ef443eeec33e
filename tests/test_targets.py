"""The checks of targets and row weights, which are the same for all estimators, in memory and in chunks."""

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from skbsq import BitwiseClassifier, BitwiseQuantizer, BitwiseRegressor, QuantileQuantizer, TreeQuantizer
from skbsq._targets import as_target, resolve_task

NAN = float("nan")
N = 12
QUICK = dict(max_epochs=1, hidden_sizes=(4,), random_state=0)
X = np.random.default_rng(0).normal(size=(N, 2))
WHEN = pd.date_range("2026", periods=N)

FITS = {
    "regressor": lambda y: BitwiseRegressor(1, **QUICK).fit(X, y),
    "regressor in chunks": lambda y: BitwiseRegressor(1, **QUICK).fit_chunks([(X, y)]),
    "classifier": lambda y: BitwiseClassifier(1, **QUICK).fit(X, y),
    "classifier in chunks": lambda y: BitwiseClassifier(1, **QUICK).fit_chunks([(X, y)]),
    "quantizer": lambda y: BitwiseQuantizer(1, **QUICK).fit(X, y),
    "quantizer in chunks": lambda y: BitwiseQuantizer(1, **QUICK).fit_chunks([(X, y)]),
    "quantizer for a regression": lambda y: BitwiseQuantizer(1, task="regression", **QUICK).fit(X, y),
    "tree": lambda y: TreeQuantizer(1).fit(X, y),
}
REGRESSIONS = ("regressor", "regressor in chunks", "quantizer for a regression")
each_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
each_regression = pytest.mark.parametrize("fit", [FITS[name] for name in REGRESSIONS], ids=REGRESSIONS)
each_other = pytest.mark.parametrize("fit", [FITS[name] for name in FITS.keys() - {*REGRESSIONS}])

TIMES = {
    "datetime64": np.arange(N).astype("M8[s]"),
    "timedelta64": np.arange(N).astype("m8[s]"),
    "NaT": np.array(["NaT"] * N, dtype="M8[s]"),
    "pandas": pd.Series(WHEN),
    "with a time zone": pd.Series(WHEN.tz_localize("UTC")),
    "period": pd.Series(pd.period_range("2026", periods=N, freq="D")),
    "interval": pd.Series(pd.interval_range(0, N)),
    "Arrow in pandas": pd.Series(WHEN).astype(pd.ArrowDtype(pa.timestamp("ns"))),
    "polars": pl.Series([datetime(2026, 1, 1)] * N),
    "Arrow": pa.array([datetime(2026, 1, 1)] * N),
    "objects": np.array([datetime(2026, 1, 1)] * N, dtype=object),
    "dates in a list": [date(2026, 1, 1)] * N,
    "category": pd.Series(pd.Categorical(WHEN)),
    "one of two targets": pd.DataFrame({"u": np.arange(N) * 1.0, "when": WHEN}),
}


@each_fit
@pytest.mark.parametrize("y", TIMES.values(), ids=TIMES)
def test_times_are_no_target(fit, y):
    with pytest.raises(ValueError, match=r"y has unsupported .*seconds since a start"):
        fit(y)


@each_regression
@pytest.mark.parametrize(
    "y",
    [
        np.array(["1", "2"] * 6),
        np.array(["1", "2"] * 6, dtype=object),
        ["1", "2"] * 6,
        np.array([b"1", b"2"] * 6),
        pd.Series(["1", "2"] * 6, dtype="string"),
        pl.Series(["1", "2"] * 6),
        [1.0, "2"] * 6,
        pd.Series(pd.Categorical([1, 2] * 6)),
        pd.DataFrame({"y": pd.Categorical([1, 2] * 6)}),
        pd.DataFrame({"u": np.arange(N) * 1.0, "y": pd.Categorical([1, 2] * 6)}),
        pa.array([1, 2] * 6).dictionary_encode(),
        pl.Series(["1", "2"] * 6, dtype=pl.Categorical),
    ],
    ids=lambda y: f"{type(y).__name__} {getattr(y, 'dtype', '')}",
)
def test_text_and_categories_are_no_numbers(fit, y):
    with pytest.raises(ValueError, match=r"y has unsupported dtype .* needs numbers"):
        fit(y)


@each_fit
@pytest.mark.parametrize("y", [np.ones(N) * 1j, np.array([1j, 2] * 6, dtype=object)])
def test_complex_targets(fit, y):
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit(y)


@each_fit
@pytest.mark.parametrize(
    "y",
    [
        np.ma.array([-9999.0] + [1.0] * (N - 1), mask=[True] + [False] * (N - 1)),
        np.ma.array([0, 1] * 6, mask=[True] + [False] * (N - 1)),
        np.ma.array(["u", "v"] * 6, mask=[True] + [False] * (N - 1)),
        [np.ma.masked, *[1.0] * (N - 1)],
    ],
    ids=["floats", "integers", "text", "list"],
)
def test_masked_targets_are_rejected(fit, y):
    with pytest.raises(ValueError, match="y is masked"):
        fit(y)


@each_fit
@pytest.mark.parametrize("y", [[1.5, None] * 6, pd.Series([1, pd.NA] * 6, dtype="Int64"), pa.array([1.5, None] * 6)])
def test_missing_numbers(fit, y):
    with pytest.raises(ValueError, match="y contains NaN"):
        fit(y)


@each_other
@pytest.mark.parametrize(
    "y",
    [
        ["u", None] * 6,
        ["u", NAN] * 6,
        np.array(["u", NAN] * 6, dtype=object),
        pd.Series(["u", pd.NA] * 6, dtype="string"),
        pd.Series(pd.Categorical(["u", None] * 6)),
    ],
)
def test_missing_labels(fit, y):
    with pytest.raises(ValueError, match="y contains NaN or another missing value in row 1"):
        fit(y)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (pd.Series([True, False] * 6, dtype="boolean"), [False, True]),
        (pd.Series([3, 1] * 6, dtype="Int64"), [1, 3]),
        (pd.Series(["u", "v"] * 6, dtype="string"), ["u", "v"]),
        (pd.Series(pd.Categorical(["v", "u"] * 6)), ["u", "v"]),
        (np.ma.array([3, 1] * 6, mask=False), [1, 3]),
        (torch.tensor([3, 1] * 6), [1, 3]),
        (pl.Series(["v", "u"] * 6), ["u", "v"]),
        (pd.Series(pd.Categorical([True, False] * 6)), [False, True]),
        (pd.Categorical([3, 1] * 6), [1, 3]),
        (pd.DataFrame({"y": pd.array([True, False] * 6, dtype="boolean")}), [False, True]),
        (pd.DataFrame({"y": pd.array([3, 1] * 6, dtype="Int64")}), [1, 3]),
        (pa.array(["v", "u"] * 6).dictionary_encode(), ["u", "v"]),
        (pl.Series(["v", "u"] * 6, dtype=pl.Categorical), ["u", "v"]),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_labels_keep_their_type(y, classes):
    fitted = BitwiseClassifier(1, **QUICK).fit(X, y)
    assert fitted.classes_.tolist() == classes
    assert [type(label) for label in fitted.classes_.tolist()] == [type(label) for label in classes]
    assert BitwiseQuantizer(1, **QUICK).fit(X, y).task_ == "classification"


@pytest.mark.parametrize(
    "y",
    [
        [Decimal("0.5"), Decimal("1.5")] * 6,
        np.array([0.5, 1.5] * 6, dtype=object),
        pd.Series([0.5, 1.5] * 6, dtype="Float64"),
        np.float16([0.5, 1.5] * 6),
        pl.Series([0.5, 1.5] * 6),
        torch.tensor([0.5, 1.5] * 6),
        pa.array([0.5, 1.5] * 6),
    ],
    ids=lambda y: type(y).__name__,
)
def test_numbers_of_any_type(y):
    for fit in (FITS["regressor"], FITS["regressor in chunks"]):
        assert fit(y).target_mean_.tolist() == [1.0]
    assert FITS["quantizer"](y).task_ == FITS["quantizer in chunks"](y).task_ == "regression"


def test_a_rejected_target_changes_nothing():
    fitted = BitwiseRegressor(1, **QUICK).fit(X, X[:, 0])
    before = dict(vars(fitted))
    with pytest.raises(ValueError, match="y has unsupported"):
        fitted.fit(X, WHEN)
    assert vars(fitted) == before


def test_as_target_returns_a_list_of_numbers_unchanged():
    y = [1.0, 2.0]
    assert as_target(y) is y


def test_many_integers_are_a_regression():
    assert resolve_task(np.arange(60) % 20) == "classification"
    assert resolve_task(np.arange(60) % 21) == "regression"
    assert resolve_task(np.arange(60) % 21, "classification") == "classification"


# -- weights ------------------------------------------------------------------------------------------

WEIGHED = {
    "fit": lambda w: QuantileQuantizer(1).fit(X, sample_weight=w),
    "learned": lambda w: BitwiseRegressor(1, **QUICK).fit(X, X[:, 0], sample_weight=w),
    "partial_fit": lambda w: QuantileQuantizer(1).partial_fit(X, sample_weight=w),
    "fit_chunks": lambda w: BitwiseRegressor(1, **QUICK).fit_chunks([(X, X[:, 0], w)]),
}
each_weighed = pytest.mark.parametrize("fit", WEIGHED.values(), ids=WEIGHED)


@each_weighed
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ma.array(np.ones(N), mask=[True] + [False] * (N - 1)), "sample_weight is masked at position 0"),
        (np.array(["1"] * N), "sample_weight must hold numbers, got dtype <U1"),
        (["1"] * N, "sample_weight must hold numbers"),
        (np.array(["1"] * N, dtype=object), "sample_weight holds '1' in row 0, not numbers"),
        (np.ones(N).astype("m8[s]"), "sample_weight must hold numbers, got dtype timedelta64"),
        (np.ones(N) * 1j, "sample_weight must hold numbers, got dtype complex"),
        (pd.Series([1, None] * 6, dtype="Int64"), "sample_weight contains NaN"),
        ("balanced", "sample_weight must hold numbers"),
        ([1.0, 1, -1] * 4, "sample_weight must not be negative, got -1.0 in row 2"),
        (pd.Series(pd.Categorical([1, 2] * 6)), "sample_weight must hold numbers, got dtype category"),
    ],
)
def test_weights_that_are_no_numbers(fit, weights, message):
    pytest.importorskip("datasketches")
    with pytest.raises(ValueError, match=message):
        fit(weights)


@each_weighed
def test_weights_of_any_type(fit):
    pytest.importorskip("datasketches")
    expected = fit([1.0, 2.0] * 6).codebook_
    for weights in (np.array([1, 2] * 6, dtype=object), pl.Series([1, 2] * 6), torch.tensor([1.0, 2.0] * 6)):
        assert fit(weights).codebook_ == expected


@pytest.mark.parametrize("later", [[0, None] * 6, WHEN])
def test_later_chunks_are_checked(later):
    pytest.importorskip("datasketches")
    with pytest.raises(ValueError, match=r"y contains NaN|y has unsupported"):
        BitwiseQuantizer(1, **QUICK).fit_chunks([(X, [0, 1] * 6), (X, later)])


def test_tensors_that_are_no_arrays():
    y = torch.ones(N, requires_grad=True)
    with pytest.raises(ValueError, match=r"y cannot be read as an array: .*detach"):
        BitwiseRegressor(1, **QUICK).fit(X, y)
    with pytest.raises(ValueError, match=r"sample_weight cannot be read as an array: .*detach"):
        BitwiseRegressor(1, **QUICK).fit(X, X[:, 0], sample_weight=y)
