"""The displays draw the right values in the right places."""

import importlib
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib.figure import Figure
from scipy.stats import chi2
from sklearn.datasets import make_friedman1
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skbsq
from skbsq import BitwiseQuantizer, BitwiseRegressor, QuantileQuantizer, ThresholdQuantizer
from skbsq.model_selection import all_rates, rate_distortion, row_bits
from skbsq.monitoring import CodeMonitor
from skbsq.plotting import AllocationDisplay, DriftDisplay, HistoryDisplay, RateDistortionDisplay, ThresholdDisplay

QUICK = {"max_epochs": 3, "hidden_sizes": (8,), "random_state": 0}
NAMES = [f"a{j}" for j in range(10)]


@pytest.fixture(scope="module", autouse=True)
def no_window():
    before = mpl.get_backend()
    mpl.use("Agg")
    yield
    mpl.pyplot.close("all")
    mpl.use(before)


@pytest.fixture(scope="module")
def data():
    X, y = make_friedman1(150, random_state=0)
    return pd.DataFrame(X, columns=NAMES), y


@pytest.fixture(scope="module")
def regressor(data):
    return BitwiseRegressor([3] * 5 + [1] * 4 + [0], early_stopping=True, lr_schedule="constant", **QUICK).fit(*data)


@pytest.fixture(scope="module")
def search(data):
    return GridSearchCV(
        make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
        {"quantilequantizer__n_bits": [3, 1, 2]},
        scoring={"r2": "r2", "row_bits": row_bits},
        refit="r2",
        cv=3,
    ).fit(*data)


def axes():
    return Figure().add_subplot()


def test_rate_distortion(search):
    display = RateDistortionDisplay.from_cv_results(search.cv_results_, score="r2")
    table = rate_distortion(search.cv_results_, score="r2")
    points, _, (bars,) = display.errorbar_
    np.testing.assert_array_equal(points.get_xdata(), [10, 20, 30])
    np.testing.assert_array_equal(points.get_ydata(), table["score"])
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(lengths, 2 * table["sem"])
    np.testing.assert_array_equal(display.line_.get_xdata(), table["row_bits"][table["frontier"]])
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("bits per row", "r2")
    ax = axes()
    assert RateDistortionDisplay.from_cv_results(search.cv_results_, ax=ax, color="red").ax_ is ax


def test_rate_distortion_of_rates(data):
    """A point per candidate and rate."""
    regressor = BitwiseRegressor(3, rates=(1,), **QUICK)
    search = GridSearchCV(regressor, {"lr": [0.001, 0.01]}, scoring=all_rates("r2"), refit=False, cv=2).fit(*data)
    display = RateDistortionDisplay.from_cv_results(search.cv_results_)
    np.testing.assert_array_equal(display.errorbar_[0].get_xdata(), [10, 10, 30, 30])
    np.testing.assert_array_equal(display.errorbar_[0].get_ydata(), display.table["score"])
    np.testing.assert_array_equal(display.line_.get_xdata(), display.table["row_bits"][display.table["frontier"]])


def test_rate_distortion_needs_the_bits(data):
    search = GridSearchCV(make_pipeline(QuantileQuantizer(), Ridge()), {"quantilequantizer__n_bits": [1, 2]}, cv=2)
    with pytest.raises(ValueError, match=r"has no row_bits: search with scoring="):
        RateDistortionDisplay.from_cv_results(search.fit(*data).cv_results_)


def test_history(regressor):
    display = HistoryDisplay.from_estimator(regressor)
    labels = [line.get_label() for line in display.lines_]
    assert labels == ["training", "validation", "temperature", "kept"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), regressor.history_["train_loss"])
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
    assert display.lines_[3].get_xdata()[0] == regressor.best_epoch_
    assert display.temperature_ax_.get_yscale() == "log"


def test_history_of_fixed_thresholds_has_no_temperature(data):
    fixed = BitwiseRegressor(quantizer=QuantileQuantizer(2), **QUICK).fit(*data)
    display = HistoryDisplay.from_estimator(fixed, ax=axes())
    assert display.temperature_ax_ is None
    assert [line.get_label() for line in display.lines_] == ["training"]


def test_allocation(regressor, data):
    display = AllocationDisplay.from_estimator(regressor)
    assert [bar.get_width() for bar in display.bars_] == regressor.codebook_.n_bits.tolist()
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == NAMES
    assert display.ax_.get_xlabel() == f"bits ({regressor.codebook_.row_bits} per row)"
    assert display.ax_.yaxis_inverted()  # the first feature on top

    unnamed = QuantileQuantizer([1, 3, 2]).fit(data[0].to_numpy()[:, :3])
    display = AllocationDisplay.from_estimator(unnamed, sort=True, ax=axes(), color="red")
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["x1", "x2", "x0"]
    assert [bar.get_width() for bar in display.bars_] == [3, 2, 1]


def test_allocation_grows_with_the_features():
    X = np.random.default_rng(0).normal(size=(50, 81))
    display = AllocationDisplay.from_estimator(QuantileQuantizer(1).fit(X))
    assert display.figure_.get_figheight() > 12


def vertical_lines(ax, color):
    return [line.get_xdata()[0] for line in ax.lines if line.get_color() == color]


def test_thresholds_before_and_after_learning(data):
    quantizer = BitwiseQuantizer(2, init="quantile", **QUICK).fit(*data)
    display = ThresholdDisplay.from_estimator(quantizer, data[0], features=["a3", 0, -1])
    assert [ax.get_title() for ax in display.axes_] == ["a3 (2 bits)", "a0 (2 bits)", "a9 (2 bits)"]
    for j, ax in zip([3, 0, 9], display.axes_, strict=True):
        np.testing.assert_array_equal(vertical_lines(ax, "#0072B2"), quantizer.thresholds_[j])
        np.testing.assert_array_equal(vertical_lines(ax, "#D55E00"), quantizer.initial_thresholds_[j])
    started = QuantileQuantizer(2).fit(data[0]).thresholds_[3]
    np.testing.assert_allclose(quantizer.initial_thresholds_[3], started, atol=0.05)
    assert [text.get_text() for text in display.figure_.legends[0].get_texts()] == ["start", "threshold"]


def test_thresholds_of_predictors_and_fixed_quantizers(regressor, data):
    display = ThresholdDisplay.from_estimator(regressor, data[0], features=[0])
    assert len(vertical_lines(display.axes_[0], "#D55E00")) == 7
    fixed = QuantileQuantizer(2).fit(data[0])
    ax = axes()
    display = ThresholdDisplay.from_estimator(fixed, data[0].to_numpy(), features=[2], axes=[ax], bins=10)
    assert display.axes_ == [ax]
    assert len(ax.patches) == 10
    assert not vertical_lines(ax, "#D55E00")


def test_categories_have_bars():
    codes = {"shut": 0, "open": 1, "ajar $x$": 1, "stuck": 2}
    X = pd.DataFrame({"valve": ["open", "ajar $x$", "shut", "open"], "t": [1.0, 2.0, 3.0, 4.0]})
    quantizer = ThresholdQuantizer({"valve": codes, "t": [2.5]}).fit(X)
    display = ThresholdDisplay.from_estimator(quantizer, X, color="red", bins=3)
    bars, histogram = display.axes_
    assert bars.get_title() == "valve (2 bits)"
    assert [label.get_text() for label in bars.get_xticklabels()] == list(codes)
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in bars.patches] == [
        (0, 1),
        (1, 2),
        (2, 1),
        (3, 0),
    ]
    assert vertical_lines(bars, "#0072B2") == [0.5, 2.5]
    assert len(histogram.patches) == 3
    display.figure_.draw_without_rendering()
    many = ThresholdQuantizer([dict.fromkeys(range(40), 0)]).fit(np.arange(40)[:, None], None)
    assert not ThresholdDisplay.from_estimator(many, [[3]], axes=[axes()]).axes_[0].get_xticklabels()


def test_features_with_most_thresholds_are_shown():
    X = np.random.default_rng(0).normal(size=(60, 50))
    n_bits = np.repeat([1, 3, 1], [40, 8, 2])
    display = ThresholdDisplay.from_estimator(QuantileQuantizer(n_bits).fit(X), X)
    shown = [*range(4), *range(40, 48)]
    assert [ax.get_title() for ax in display.axes_] == [f"x{j} ({n_bits[j]} bits)" for j in shown]
    assert len(display.figure_.axes) == 12


def test_far_outliers_do_not_squeeze_the_rest():
    X = np.random.default_rng(0).normal(size=(1000, 1))
    X[0] = 1e6
    ax = ThresholdDisplay.from_estimator(QuantileQuantizer(2).fit(X), X).axes_[0]
    assert ax.get_xlim()[1] < 10


def test_constant_and_missing_values():
    X = np.column_stack([np.ones(30), np.where(np.arange(30) % 3, np.nan, np.arange(30.0)), np.full(30, np.nan)])
    display = ThresholdDisplay.from_estimator(QuantileQuantizer(2, missing="code").fit(X), X)
    assert len(display.axes_) == 3
    display.figure_.draw_without_rendering()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"features": ["b"]}, "no feature 'b': the names are a0, a1"),
        ({"features": [10]}, "no feature 10: there are 10"),
        ({"features": []}, "features is empty: there is nothing to show"),
        ({"features": [0, 1], "axes": [axes()]}, "2 features need as many axes, got 1"),
    ],
)
def test_thresholds_refuse(regressor, data, given, message):
    with pytest.raises(ValueError, match=message):
        ThresholdDisplay.from_estimator(regressor, data[0], **given)


def test_thresholds_refuse_other_data(regressor, data):
    with pytest.raises(ValueError, match=r"X must have 10 columns, as in fit, got shape \(150, 9\)"):
        ThresholdDisplay.from_estimator(regressor, data[0].to_numpy()[:, :9])
    with pytest.raises(ValueError, match="X has no column of the feature 'a9', but "):
        ThresholdDisplay.from_estimator(regressor, data[0].iloc[:, :9])
    with pytest.raises(ValueError, match="LazyFrame: call its method collect"):
        ThresholdDisplay.from_estimator(regressor, pl.from_pandas(data[0]).lazy())


def test_columns_of_a_frame_are_taken_by_name(regressor, data):
    """Otherwise a panel would show the values of one feature and the thresholds of another."""
    pa = pytest.importorskip("pyarrow")
    X = data[0].iloc[:, ::-1]
    for table in (X, pl.from_pandas(X), pa.table(X), pa.record_batch(X)):
        display = ThresholdDisplay.from_estimator(regressor, table, features=["a3"])
        np.testing.assert_array_equal(display.values[0], data[0]["a3"])
    unnamed = QuantileQuantizer(1).fit(data[0].to_numpy())
    display = ThresholdDisplay.from_estimator(unnamed, pa.table(data[0]), features=[3])
    np.testing.assert_array_equal(display.values[0], data[0]["a3"])


def test_a_large_constant():
    X = np.full((50, 1), 1.7e18)
    display = ThresholdDisplay.from_estimator(QuantileQuantizer(1).fit(X), X)
    assert display.axes_[0].get_xlim()[0] < 1.7e18 < display.axes_[0].get_xlim()[1]


def test_found_in_pipelines_and_searches(data, search):
    pipeline = make_pipeline(StandardScaler(), BitwiseRegressor(2, **QUICK)).fit(*data)
    assert len(HistoryDisplay.from_estimator(pipeline, ax=axes()).lines_) == 2
    assert len(AllocationDisplay.from_estimator(search, ax=axes()).bars_) == 10
    with pytest.raises(ValueError, match="Ridge has no codebook_: give a fitted estimator of skbsq"):
        AllocationDisplay.from_estimator(Ridge().fit(*data))
    with pytest.raises(ValueError, match="has no history_"):
        HistoryDisplay.from_estimator(search)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setattr(skbsq, "plotting", skbsq.plotting)  # restores the package after the second import
    for name in [name for name in sys.modules if name.startswith("skbsq.plotting")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    display = importlib.import_module("skbsq.plotting").AllocationDisplay([1], names=["a"])
    with pytest.raises(ImportError, match=r"need matplotlib: pip install 'skbsq\[plot\]'"):
        display.plot()


@pytest.fixture(scope="module")
def monitor():
    rng = np.random.default_rng(0)
    past = pd.DataFrame(rng.normal(size=(2000, 4)), columns=["still", "shifted", "off", "steady"])
    codebook = QuantileQuantizer([3, 3, 0, 1]).fit(past).codebook_
    return CodeMonitor(codebook).update(codebook.encode(rng.normal([0, 0.6, 5, 0], size=(500, 4))))


def test_drift(monitor):
    display = DriftDisplay.from_monitor(monitor)
    report = monitor.report()
    np.testing.assert_array_equal(display.psi, report["psi"])
    scale = 1 / 500 + 1 / 2000
    # Three features can raise an alarm; that of 0 bits has no second cell.
    expected = [chi2.isf(0.05 / 3, 7) * scale, chi2.isf(0.05 / 3, 7) * scale, 0, chi2.isf(0.05 / 3, 1) * scale]
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], expected)
    within, beyond = display.points_
    assert beyond.get_ydata().tolist() == np.flatnonzero(report["p_value"] < 0.05 / 3).tolist() == [1]
    assert within.get_ydata().tolist() == [0, 2, 3]
    np.testing.assert_array_equal(beyond.get_xdata(), report["psi"][[1]])
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(report["feature"])
    assert display.ax_.yaxis_inverted()  # the first feature on top


def test_drift_of_some_rows_of_a_report(monitor):
    report = monitor.report()
    display = DriftDisplay.from_report(report[report["feature"] != "still"], alpha=0.001, sort=True, ax=axes())
    assert display.names.tolist()[0] == "shifted"
    assert set(display.names) == {"shifted", "off", "steady"}
    assert display.limits[0] == pytest.approx(chi2.isf(0.001 / 2, 7) * (1 / 500 + 1 / 2000))


def test_drift_of_constant_features():
    codebook = skbsq.Codebook.from_thresholds([[]], counts=[[5]])
    display = DriftDisplay.from_monitor(CodeMonitor(codebook).update([[0]]), color="red")
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["0"]
    assert display.points_[1].get_xdata().size == 0


@pytest.mark.parametrize("alpha", [0, 1, 5, float("nan")])
def test_drift_needs_a_probability(monitor, alpha):
    with pytest.raises(ValueError, match="alpha must be between 0 and 1, got"):
        DriftDisplay.from_monitor(monitor, alpha=alpha)
