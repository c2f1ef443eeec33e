"""The picture of rate against error shows what was measured, and on the same splits."""

import pandas as pd
import pytest

from benchmarks import rate
from benchmarks.budget import BUDGET, COLUMNS, UNIFORM
from benchmarks.command import CommandError
from benchmarks.paper import COLUMNS as PAPER_COLUMNS


def paper_rows(**changed):
    rows = [
        {
            "dataset": "california",
            "method": method,
            "bits": bits,
            "row_bits": 8 * bits,
            "seed": seed,
            "error": bits + seed,
            "data_sha256": "00e1",
        }
        for method in ("FP", "Bw-QQ", "Bw-SQ", "LSQ")
        for bits in ((32,) if method == "FP" else (2, 4))
        for seed in (42, 43)
    ]
    return pd.DataFrame(rows, columns=PAPER_COLUMNS).assign(**changed)


def budget_rows():
    rows = [
        {
            "dataset": "california",
            "method": method,
            "asked": asked,
            "row_bits": asked - 1,
            "seed": seed,
            "error": 1.0 / asked,
            "data_sha256": "00e1",
        }
        for method in (UNIFORM, BUDGET)
        for asked in (8, 16)
        for seed in (42, 43)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_means_over_the_same_splits():
    found = rate.curves(paper_rows(), budget_rows(), "california", [42, 43])
    assert set(found["method"]) == {"FP", "Bw-QQ", "Bw-SQ", "bitwise", "budget"}
    assert set(found["n_splits"]) == {2}
    point = found[(found["method"] == "Bw-SQ") & (found["row_bits"] == 16)]
    assert point["error"].item() == 2 + 42.5
    assert point["sem"].item() == pytest.approx(0.5)
    budgets = found[found["method"] == "budget"]
    assert budgets["row_bits"].tolist() == [7, 15]
    assert budgets["error"].tolist() == [1 / 8, 1 / 16]


def test_a_method_that_lacks_a_split():
    rows = paper_rows()
    with pytest.raises(CommandError, match=r"Bw-SQ was not measured on california with all of the seeds \[42, 43\]"):
        rate.curves(rows[(rows["method"] != "Bw-SQ") | (rows["seed"] == 42)], budget_rows(), "california", [42, 43])


def test_rows_of_other_data():
    with pytest.raises(CommandError, match="The rows of california are from different data: ff, 00e1"):
        rate.curves(paper_rows(data_sha256="ff"), budget_rows(), "california", [42, 43])


def test_other_files_are_refused(tmp_path, capsys):
    path = tmp_path / "paper.csv"
    for text in ("a,b\n1,2\n", None):
        path.write_text(text) if text else path.unlink()
        with pytest.raises(SystemExit):
            rate.main(["--paper", str(path), "--budget", str(path)])
        assert "holds no results" in capsys.readouterr().err


def test_picture_has_a_curve_per_method():
    figure = rate.draw(rate.curves(paper_rows(), budget_rows(), "california", [42, 43]), "california", 50)
    (ax,) = figure.axes
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(rate.LABELS.values())


def test_main(tmp_path, capsys):
    paths = tmp_path / "paper.csv", tmp_path / "budget.csv"
    for path, rows in zip(paths, (paper_rows(), budget_rows()), strict=True):
        rows.to_csv(path, index=False)
    picture = tmp_path / "new" / "rate.png"
    given = ["--paper", str(paths[0]), "--budget", str(paths[1]), "--seeds", "42", "43", "--output", str(picture)]
    rate.main(given)
    assert picture.stat().st_size > 10_000
    assert "Bw-SQ" in capsys.readouterr().out
