"""The cases, what is measured of one, and `python -m benchmarks.speed.cost`, end to end."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.command import CommandError
from benchmarks.speed import cost
from benchmarks.speed.cost import COLUMNS, Case
from skbsq import Codebook

BASE = {"rows": 100, "features": 8, "bits": 4}
TINY = ["--operations", "encode", "--rows", "100", "200", "--features", "8", "--bits", "4", "--base", "100", "8", "4"]


@pytest.fixture
def results():
    """Seconds that are proportional to rows for encode, and to their square for fit."""
    sizes = {"rows": [50, 100, 200], "features": [8, 16], "bits": [1, 4]}
    return pd.DataFrame(
        {
            **case._asdict(),
            "seconds": case.rows**power * case.features / 1e4,
            "peak_mb": case.bits,
            "input_mb": case.input_mb,
        }
        for operation, power in [("encode", 1), ("fit", 2)]
        for case in reversed(cost.cases_around(BASE, [operation], sizes))
    )


def test_one_factor_varies():
    cases = cost.cases_around(BASE, ["fit"], {"rows": [100, 200], "features": [8, 16], "bits": [2]})
    assert cases == [("fit", 100, 8, 4), ("fit", 200, 8, 4), ("fit", 100, 16, 4), ("fit", 100, 8, 2)]


def test_measure_encode():
    row = cost.measure(Case("encode", 300, 5, 2), repeats=2, threads=1)
    X = np.random.default_rng(0).standard_normal((300, 5), dtype=np.float32)
    book = Codebook.from_thresholds(list(np.quantile(X, [0.25, 0.5, 0.75], axis=0).T))
    assert list(row) == COLUMNS
    assert row["checksum"] == book.encode(X).sum()
    assert row["repeats"] == 2
    assert [row["input_mb"], row["output_mb"]] == pytest.approx([300 * 5 * 4e-6, 300 * 5 * 1e-6])
    assert row["seconds"] > 0
    assert row["peak_mb"] >= 0


def test_measure_predict():
    case = Case("predict", 60, 3, 1)
    first, second = (cost.measure(case, repeats=1, threads=1) for _ in range(2))
    assert first["output_mb"] == pytest.approx(60 * 4e-6)
    assert np.isfinite(first["checksum"])
    assert first["checksum"] == second["checksum"]


def test_fit_runs_once():
    row = cost.measure(Case("fit", 60, 3, 1), repeats=5, threads=1)
    assert row["repeats"] == 1
    n_numbers = 3 + (3 * 512 + 512) + (512 * 512 + 512) + (512 + 1)  # four networks of 2 x 128, as one
    assert row["output_mb"] == pytest.approx(n_numbers * 4e-6)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the high-water mark cannot be reset")
def test_peak_is_that_since_the_reset():
    np.ones(30_000_000)
    held = cost.reset_peak()
    assert cost.peak_mb() - held < 20
    np.ones(10_000_000)
    assert 79 < cost.peak_mb() - held < 120


def test_peak_without_proc(monkeypatch):
    monkeypatch.setattr(cost, "Path", lambda path: Path("/nowhere", path.lstrip("/")))
    np.ones(40_000_000)
    assert 320 < cost.reset_peak() < 20_000


@pytest.fixture
def measured(monkeypatch):
    """The cases that a run measures, here in this process."""

    def in_this_process(function, case, **kwargs):
        cases.append(case)
        return function(case, **kwargs)

    cases, threads = [], torch.get_num_threads()
    monkeypatch.setattr(cost, "in_fresh_process", in_this_process)
    yield cases
    torch.set_num_threads(threads)


def test_fresh_process(tmp_path, capsys):
    cost.main([*TINY, "--rows", "100", "--threads", "1", "--output-dir", str(tmp_path / "new")])
    table = pd.read_csv(tmp_path / "new" / "cost.csv")
    assert list(table) == COLUMNS
    assert table["rows"].tolist() == [100]
    assert (tmp_path / "new" / "cost.png").stat().st_size > 10_000
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[-2:]] == ["encode", "picture:"]


def test_resumes(tmp_path, measured):
    run = [*TINY, "--threads", "1", "--output-dir", str(tmp_path)]
    cost.main([*run, "--rows", "100"])
    first = (tmp_path / "cost.csv").read_text()
    cost.main(run)
    cost.main(run)
    assert measured == [("encode", 100, 8, 4), ("encode", 200, 8, 4)]
    assert (tmp_path / "cost.csv").read_text().startswith(first)
    assert pd.read_csv(tmp_path / "cost.csv")["rows"].tolist() == [100, 200]


def test_other_threads_are_not_resumed(tmp_path, measured):
    for _ in range(2):
        for threads in (1, 2):
            cost.measure_all([Case("encode", 10, 2, 1)], tmp_path / "cost.csv", repeats=1, threads=threads)
    assert len(measured) == 2
    assert pd.read_csv(tmp_path / "cost.csv")["threads"].tolist() == [1, 2]


def test_foreign_output_is_refused(tmp_path, capsys):
    (tmp_path / "cost.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SystemExit) as caught:
        cost.main([*TINY, "--output-dir", str(tmp_path)])
    assert caught.value.code == 2
    assert "choose another output" in capsys.readouterr().err
    assert (tmp_path / "cost.csv").read_text() == "a,b\n1,2\n"


def test_large_cases_are_skipped_and_listed(tmp_path, capsys, measured):
    # 3200 bytes and 6400 bytes
    limits = ["--max-gb", "5e-6", "--max-fit-rows", "99", "--output-dir", str(tmp_path)]
    cost.main([*TINY, "--operations", "encode", "fit", *limits, "--threads", "1"])
    skipped = [line.split(" (")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("skipped")]
    assert skipped == [
        "skipped: encode 200 x 8, 4 bits",
        "skipped: fit 100 x 8, 4 bits",
        "skipped: fit 200 x 8, 4 bits",
    ]
    assert measured == [("encode", 100, 8, 4)]


def test_nothing_left_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as caught:
        cost.main([*TINY, "--max-gb", "1e-9"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "There is nothing left to measure.\n"


def test_process_that_dies_is_one_sentence():
    with pytest.raises(CommandError, match=r"process of _exit.* died"):
        cost.in_fresh_process(os._exit, status=3)


def test_slopes(results):
    table = cost.slopes(results, BASE).set_index("operation")
    assert table["slope"].tolist() == pytest.approx([1, 2])
    assert table.loc["encode", "rows"] == 200
    assert table.loc["encode", "seconds"] == pytest.approx(0.16)
    assert table.loc["encode", "million values/s"] == pytest.approx(0.01)


def test_slope_needs_two_sizes(results):
    table = cost.slopes(results[results["rows"] == 100], BASE)
    assert table["slope"].isna().tolist() == [True, True]


def test_draw(results):
    figure = cost.draw(results, BASE)
    assert [ax.get_title() for ax in figure.axes[:3]] == [
        "over rows (8 features, 4 bits)",
        "over features (100 rows, 4 bits)",
        "over bits (100 rows, 8 features)",
    ]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["seconds", "peak extra memory (MB)"]
    assert {ax.get_xscale() for ax in figure.axes} == {ax.get_yscale() for ax in figure.axes} == {"log"}
    encode, fit, *linear = figure.axes[0].lines
    assert encode.get_ydata().tolist() == [0.04, 0.08, 0.16]
    assert fit.get_xdata().tolist() == [50, 100, 200]
    assert [line.get_ydata().tolist() for line in linear] == [[0.04, 0.08, 0.16], [8, 16, 32]]
    assert figure.axes[4].lines[-1].get_ydata().tolist() == pytest.approx([100 * 8 * 4e-6, 100 * 16 * 4e-6])
    assert figure.axes[5].lines[0].get_ydata().tolist() == [1, 4]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["encode", "fit (2 epochs)", "linear in rows", "size of X"]
