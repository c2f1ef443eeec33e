"""`python -m benchmarks.paper.budget`, end to end, and its tables by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.paper import budget
from benchmarks.paper.budget import BUDGET, COLUMNS, FLOATS, UNIFORM, at_equal_bits, fewest_bits_without_loss

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
    assert "Compression without loss" in capsys.readouterr().out
    monkeypatch.setattr(budget, "measure", lambda *args, **kwargs: pytest.fail("measured again"))
    budget.main(arguments)


def rows(errors):
    table = [
        {"dataset": "a", "method": method, "asked": asked, "seed": i, "error": e, "row_bits": asked, "float_bits": 320}
        for (method, asked), values in errors.items()
        for i, e in enumerate(values)
    ]
    return pd.DataFrame(table)


ERRORS = {
    (FLOATS, 320): [1.0, 2.0],
    (UNIFORM, 10): [2.0, 4.0],
    (UNIFORM, 20): [1.0, 2.0],
    (BUDGET, 10): [1.0, 2.0],
    (BUDGET, 15): [1.0, 1.9],
}


def test_at_equal_bits():
    table = at_equal_bits(rows(ERRORS))
    assert table.to_dict("records") == [
        {"dataset": "a", "asked": 10, "uniform": 3.0, "budget": 1.5, "ratio": 0.5, "sem": 0.0}
    ]


def test_compression_without_loss():
    table = fewest_bits_without_loss(rows(ERRORS)).set_index("dataset")
    assert table.loc["a"].tolist() == [16.0, 32.0, 2.0]
    assert table.loc["geometric mean", "ratio"] == pytest.approx(2)
    # A fit that failed is none: it makes no interval narrower.
    failed = rows(ERRORS)
    failed.loc[failed["method"].eq(BUDGET) & failed["seed"].gt(43), "error"] = np.nan
    few = fewest_bits_without_loss(failed.dropna(subset="error"))
    pd.testing.assert_frame_equal(fewest_bits_without_loss(failed), few)
    # Nothing within the margin: floats are sent.
    worse = {key: (np.multiply(e, 2) if key[0] != FLOATS else e) for key, e in ERRORS.items()}
    assert fewest_bits_without_loss(rows(worse)).set_index("dataset").loc["a"].tolist() == [1.0, 1.0, 1.0]
