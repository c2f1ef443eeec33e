"""The picture of rate against error shows what was measured, and on the same splits."""

import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.paper import rate
from benchmarks.paper.budget import BUDGET, COLUMNS, UNIFORM
from benchmarks.paper.budget import FLOATS as HEAD
from benchmarks.paper.floats import BOOSTING
from benchmarks.paper.floats import COLUMNS as FLOATS_COLUMNS
from benchmarks.paper.protocol import COLUMNS as PAPER_COLUMNS


def paper_rows(**changed):
    rows = [
        {
            "dataset": "california",
            "method": method,
            "bits": bits,
            "row_bits": 8 * bits,
            "seed": seed,
            "error": bits + seed,
            "n_rows": 100,
            "data_sha256": "00e1",
        }
        for method in ("FP", "Bw-QQ", "Bw-SQ", "LSQ", "quantile", "tree")
        for bits in ((32,) if method == "FP" else (2, 4))
        for seed in (42, 43)
    ]
    return pd.DataFrame(rows, columns=PAPER_COLUMNS).assign(**changed)


def budget_rows(**changed):
    rows = [
        {
            "dataset": "california",
            "method": method,
            "asked": asked,
            "row_bits": asked if method == HEAD else asked - 1,
            "seed": seed,
            "error": 1.0 / asked,
            "data_sha256": "00e1",
            "training": "{}",
        }
        for method in (UNIFORM, BUDGET, HEAD)
        for asked in ((256,) if method == HEAD else (8, 16))
        for seed in (42, 43)
    ]
    return pd.DataFrame(rows, columns=COLUMNS).assign(**changed)


def floats_rows():
    rows = [
        {
            "dataset": "california",
            "method": method,
            "seed": seed,
            "data_sha256": "00e1",
            "error": 0.01 * seed,
            "row_bits": 8 * bits,
        }
        for method, bits in BOOSTING.items()
        for seed in (42, 43)
    ]
    return pd.DataFrame(rows, columns=FLOATS_COLUMNS)


def curves(paper=None, budget=None):
    paper = paper_rows() if paper is None else paper
    budget = budget_rows() if budget is None else budget
    return rate.curves(paper, budget, floats_rows(), "california", [42, 43])


def test_means_over_the_same_splits():
    found = curves()
    assert set(found["method"]) == {"quantile", "tree", "Bw-SQ", "bitwise", "budget", "floats", *BOOSTING}
    assert set(found["n_splits"]) == {2}
    point = found[(found["method"] == "Bw-SQ") & (found["row_bits"] == 16)]
    assert point["error"].item() == 2 + 42.5
    assert point["sem"].item() == pytest.approx(0.5)
    assert found.loc[found["method"] == "quantile", "error"].tolist() == [2 + 42.5, 4 + 42.5]
    budgets = found[found["method"] == "budget"]
    assert budgets["row_bits"].tolist() == [7, 15]
    assert budgets["error"].tolist() == [1 / 8, 1 / 16]
    boosting = found[found["method"] == "boosting on float16"]
    assert boosting["row_bits"].item() == 128
    assert boosting["error"].item() == pytest.approx(0.425)


def test_a_method_that_lacks_a_split():
    rows = paper_rows()
    with pytest.raises(CommandError, match=r"Bw-SQ was not measured on california with all of the seeds \[42, 43\]"):
        curves(paper=rows[(rows["method"] != "Bw-SQ") | (rows["seed"] == 42)])


def test_rows_of_other_data():
    with pytest.raises(CommandError, match="The rows of california are from different data: ff, 00e1"):
        curves(paper=paper_rows(data_sha256="ff"))


def test_rows_of_different_training():
    mixed = pd.concat([budget_rows(), budget_rows(training='{"max_epochs": 5}')])
    with pytest.raises(
        CommandError, match=r"rows of benchmarks\.paper\.budget for california are from different training"
    ):
        curves(budget=mixed)


def write(folder):
    files = {"paper": paper_rows(), "budget": budget_rows(), "floats": floats_rows()}
    given = []
    for name, rows in files.items():
        rows.to_csv(folder / f"{name}.csv", index=False)
        given += [f"--{name}", str(folder / f"{name}.csv")]
    return given


def test_other_files_are_refused(tmp_path, capsys):
    given = write(tmp_path)
    path = tmp_path / "paper.csv"
    for text in ("a,b\n1,2\n", None):
        path.write_text(text) if text else path.unlink()
        with pytest.raises(SystemExit):
            rate.main(given)
        assert "holds no results" in capsys.readouterr().err


def test_picture_has_a_curve_or_line_per_method():
    figure = rate.draw(curves(), "california", 50)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(rate.LABELS.values())
    assert {text.get_text() for text in ax.texts} == {
        "same network on floats, 256 bits: 0.004",
        "gradient boosting on float16, 128 bits: 0.425",
        "gradient boosting on floats, 256 bits: 0.425",
    }


def test_main(tmp_path, capsys):
    """Rows of the paper's methods and of ours may lie in two files."""
    picture = tmp_path / "new" / "rate.png"
    given = write(tmp_path)
    rows = pd.read_csv(tmp_path / "paper.csv", dtype=str)
    ours = rows["method"].isin(["quantile", "tree"])
    rows[ours].to_csv(tmp_path / "ours.csv", index=False)
    rows[~ours].to_csv(tmp_path / "paper.csv", index=False)
    given.insert(given.index(str(tmp_path / "paper.csv")) + 1, str(tmp_path / "ours.csv"))
    rate.main([*given, "--seeds", "42", "43", "--output", str(picture)])
    assert picture.stat().st_size > 10_000
    assert "Bw-SQ" in capsys.readouterr().out
