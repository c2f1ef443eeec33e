"""The picture of rate against error shows what was measured, and on the same splits."""

import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.paper import budget, floats, protocol, rate
from benchmarks.paper.budget import BUDGET, UNIFORM
from benchmarks.paper.floats import BOOSTING
from tests.benchmarks.paper.stored import stored_rows

CALIFORNIA = {"dataset": "california", "n_features": 8}


def paper_rows(**changed):
    errors = {(method, bits): [bits + 42, bits + 43] for method in ("Bw-SQ", "LSQ", *rate.PAPER) for bits in (2, 4)}
    return stored_rows(protocol.COLUMNS, {("FP", 32): [1, 1], **errors}, **CALIFORNIA).assign(**changed)


def budget_rows(**changed):
    errors = {(method, bits): [1 / 8 / bits] * 2 for method in (UNIFORM, BUDGET) for bits in (1, 2)}
    rows = stored_rows(budget.COLUMNS, {(budget.FLOATS, 32): [1 / 256] * 2, **errors}, **CALIFORNIA)
    rows.loc[rows["method"] == BUDGET, "row_bits"] -= 1  # a budget need not be used up
    return rows.assign(**changed)


FLOATS = stored_rows(floats.COLUMNS, {cell: [0.42, 0.43] for cell in BOOSTING.items()}, **CALIFORNIA)


def curves(paper=None, budget=None):
    paper = paper_rows() if paper is None else paper
    budget = budget_rows() if budget is None else budget
    return rate.curves(paper, budget, FLOATS, "california", [42, 43])


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
    with pytest.raises(CommandError, match="The rows of california are from different data: ff and 00e1"):
        curves(paper=paper_rows(data_sha256="ff"))


def test_rows_of_different_training():
    mixed = pd.concat([budget_rows(), budget_rows(training='{"max_epochs": 5}')])
    with pytest.raises(CommandError, match="The rows of california in the budget file are from different training"):
        curves(budget=mixed)


@pytest.fixture
def given(tmp_path):
    """Arguments for files of all rows; those of the paper's methods and of ours lie in two files."""
    paper = paper_rows()
    ours = paper["method"].isin(["quantile", "tree"])
    files = {"paper": paper[~ours], "ours": paper[ours], "budget": budget_rows(), "floats": FLOATS}
    paths = {name: tmp_path / f"{name}.csv" for name in files}
    for name, rows in files.items():
        rows.to_csv(paths[name], index=False)
    arguments = ["--paper", paths["paper"], paths["ours"], "--budget", paths["budget"], "--floats", paths["floats"]]
    return [str(argument) for argument in arguments]


def test_a_missing_file_is_refused(given, tmp_path, capsys):
    (tmp_path / "ours.csv").unlink()
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


def test_main(given, tmp_path, capsys):
    picture = tmp_path / "new" / "rate.png"
    rate.main([*given, "--seeds", "42", "43", "--output", str(picture)])
    assert picture.stat().st_size > 10_000
    assert "Bw-SQ" in capsys.readouterr().out
