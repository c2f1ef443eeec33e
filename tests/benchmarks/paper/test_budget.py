"""`python -m benchmarks.paper.budget`, end to end, and its tables by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.paper import budget
from benchmarks.paper.budget import BUDGET, COLUMNS, FLOATS, UNIFORM, at_equal_bits, fewest_bits_without_loss
from tests.benchmarks.paper.stored import stored_rows

TINY = ["--dataset", "fried", "--n-samples", "150", "--max-epochs", "2", "--hidden-sizes", "8", "--seeds", "42"]


def test_measures_and_resumes(tmp_path, capsys, monkeypatch):
    output = tmp_path / "budget.csv"
    arguments = [*TINY, "--bits", "1", "2", "--budgets", "0.5", "2", "--output", str(output)]
    budget.main(arguments)
    rows = pd.read_csv(output)
    assert list(rows) == COLUMNS
    asked = rows.groupby("method")["asked"].apply(sorted).to_dict()
    assert asked == {FLOATS: [320], UNIFORM: [10, 20], BUDGET: [5, 20]}
    assert (rows["row_bits"] <= rows["asked"]).all()
    assert rows["failure"].isna().all()
    assert rows["boosted_error"].notna().sum() == 4
    assert "Compression without loss" in capsys.readouterr().out
    monkeypatch.setattr(budget, "measure", lambda *args, **kwargs: pytest.fail("measured again"))
    budget.main(arguments)


ERRORS = {
    (FLOATS, 32): [1.0, 2.0],
    (UNIFORM, 1): [2.0, 4.0],
    (UNIFORM, 2): [1.0, 2.0],
    (BUDGET, 1): [1.0, 2.0],
    (BUDGET, 1.5): [1.0, 1.9],
}


def test_at_equal_bits():
    table = at_equal_bits(stored_rows(COLUMNS, ERRORS))
    assert table.to_dict("records") == [
        {"dataset": "fried", "asked": 10, "uniform": 3.0, "budget": 1.5, "ratio": 0.5, "sem": 0.0}
    ]


def test_compression_without_loss():
    rows = stored_rows(COLUMNS, ERRORS)
    table = fewest_bits_without_loss(rows).set_index("dataset")
    assert table.loc["fried"].tolist() == [16.0, 32.0, 2.0]
    assert table.loc["geometric mean", "ratio"] == pytest.approx(2)
    # A failed fit does not count: it makes no interval narrower.
    failed = rows.copy()
    failed.loc[failed["method"].eq(BUDGET) & failed["seed"].gt(42), "error"] = np.nan
    few = fewest_bits_without_loss(failed.dropna(subset="error"))
    pd.testing.assert_frame_equal(fewest_bits_without_loss(failed), few)
    # Nothing within the margin: floats are sent.
    rows.loc[rows["method"].ne(FLOATS), "error"] *= 2
    assert fewest_bits_without_loss(rows).set_index("dataset").loc["fried"].tolist() == [1.0, 1.0, 1.0]
