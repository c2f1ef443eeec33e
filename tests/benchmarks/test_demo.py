"""Summary and picture of the demo, and the demo on few rows."""

from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from benchmarks import demo
from benchmarks.datasets import load
from benchmarks.plots import COLORS

METHODS = ["bitwise", "uniform", "floats"]


@pytest.fixture
def summary():
    return pd.DataFrame(
        [
            {"dataset": dataset, "method": method, "bits": bits, "row_bits": 10 * bits, "error": 1 / bits, "sem": 0.01}
            for dataset in ("fried", "digits")
            for method in METHODS
            for bits in ([32] if method == "floats" else [3, 2, 4])
        ]
    )


def test_summary_by_hand():
    base = {"dataset": "fried", "accuracy": None, "row_bits": 20, "compression": 16.0, "fit_seconds": 1.0}
    rows = [
        {**base, "bits": 2, "method": method, "seed": seed, "error": error}
        for method, seed, error in [("uniform", 2, 40.0), ("uniform", 1, 2.0), ("bitwise", 1, 1.0), ("bitwise", 2, 3.0)]
    ]
    found = demo.summarize(pd.DataFrame(rows))
    assert found["method"].tolist() == ["bitwise", "uniform"]
    assert found["error"].tolist() == [2.0, 21.0]
    assert found["sem"].tolist() == pytest.approx([1.0, 19.0])


def test_draw(summary):
    figure = demo.draw(summary, {"fried": "regression", "digits": "classification"})
    assert [ax.get_title() for ax in figure.axes] == ["fried", "digits"]
    assert "MSE" in figure.axes[0].get_ylabel()
    assert "log loss" in figure.axes[1].get_ylabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == METHODS
    for ax in figure.axes:
        curves = {container.get_label(): container.lines[0] for container in ax.containers}
        assert set(curves) == {"bitwise", "uniform"}
        for method, line in curves.items():
            assert to_hex(line.get_color()).upper() == COLORS[method]
            assert line.get_xdata().tolist() == [20, 30, 40]
            assert line.get_ydata().tolist() == [1 / 2, 1 / 3, 1 / 4]
        (dashed,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert dashed.get_label() == "floats"
        assert ax.get_yscale() == "log"
        assert ax.get_legend() is None


def test_main(tmp_path, monkeypatch, capsys):
    def load_some(name, **given):
        data = load(name, **given)
        return replace(data, X=data.X[:200], y=data.y[:200])

    few = {"load": load_some, "FRIED_ROWS": 120, "BITS": (1,), "SEEDS": (0,)}
    for name, value in {**few, "TRAINING": {"max_epochs": 1, "hidden_sizes": (4,)}}.items():
        monkeypatch.setattr(demo, name, value)
    demo.main(["--output-dir", str(tmp_path / "out"), "--n-jobs", "1"])
    assert (tmp_path / "out" / "demo.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "fried: 120 rows" in printed
    assert "25% of the rows" in printed
    assert sum(line.split()[:1] in (["fried"], ["digits"]) for line in printed.splitlines()) == 2 * 5
