"""The comparison on mixed tables: scores, the table by hand, and the command on short trainings."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import Dataset, load
from benchmarks.methods import build
from benchmarks.paper import mixed
from skbsq import QuantileQuantizer


@pytest.fixture
def small():
    data = load("mixed", categories=True)
    return Dataset("mixed", data.X[:600].drop(columns="label"), data.y[:600], data.task)


@pytest.mark.parametrize("method", [mixed.BOOSTED_CODES, mixed.BOOSTED])
def test_boosting_is_scored(small, method):
    found = mixed.measure(small, method, 3, 0)
    assert 0.1 < found["error"] < 0.9
    assert found["row_bits"] == (18 if method == mixed.BOOSTED_CODES else 6 * 32)


def test_ordinal_codes_share_one_code_for_rare_categories():
    X = pd.DataFrame({"kind": pd.Categorical(list("aaabbbccde")), "x": np.arange(10.0)})
    model = mixed._boosting("regression", ["kind"], 0, 4, QuantileQuantizer(2)).fit(X, X["x"])
    codes = model[0].transform(X)
    assert codes[:, 0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert codes[:, 1].max() == 3


def test_a_budget_has_the_bits_of_a_quantile_quantizer(small, monkeypatch):
    short = {"max_epochs": 2, "hidden_sizes": (8,)}
    monkeypatch.setattr(mixed, "build", lambda *given, **training: build(*given, **training, **short))
    learned = mixed.measure(small, mixed.LEARNED, 2, 0)
    assert learned["row_bits"] == 12
    assert mixed.measure(small, mixed.CONTROL, 2, 0)["row_bits"] == 14
    assert mixed.measure(small, mixed.BUDGET, 2, 0)["row_bits"] <= 12
    assert mixed.measure(small, mixed.ONE_HOT, 32, 0)["row_bits"] == 6 * 32


def test_table_by_hand():
    errors = {
        mixed.LEARNED: [1.0, 3.0],
        mixed.BUDGET: [1.0, 1.0],
        mixed.CONTROL: [2.0, 3.0],
        mixed.BOOSTED_CODES: [4.0, 4.0],
        mixed.ONE_HOT: [1.0, 1.5],
        mixed.BOOSTED: [5.0, 5.0],
    }
    rows = [
        ("a", 32 if method in mixed.UNQUANTIZED else 2, method, seed, values[seed], 7 + seed)
        for method, values in errors.items()
        for seed in range(2)
    ]
    found = mixed.table(pd.DataFrame(rows, columns=["dataset", "bits", "method", "seed", "error", "row_bits"])).iloc[0]
    assert found[["dataset", "bits", "splits", "row_bits"]].tolist() == ["a", 2, 2, 7.5]
    assert found[mixed.LEARNED] == 2
    assert found["learned / one-hot floats"] == pytest.approx(2 / 1.25)
    assert found["se learned / one-hot floats"] == pytest.approx(0.5)  # ratios 1 and 2
    assert found["budget / learned"] == pytest.approx(0.5)
    assert found["with chance / learned"] == pytest.approx(1.25)


def test_command(small, tmp_path, capsys, monkeypatch):
    short = {"max_epochs": 2, "hidden_sizes": (8,)}
    monkeypatch.setattr(mixed, "build", lambda *given, **training: build(*given, **training, **short))
    monkeypatch.setattr(mixed, "load_several", lambda *given, **options: [small])
    arguments = ["--dataset", "mixed", "--bits", "1", "--seeds", "0", "--output", str(tmp_path / "mixed.csv")]
    mixed.main(arguments)
    first = capsys.readouterr().out
    assert "budget / learned" in first
    mixed.main(arguments)  # all rows are stored
    assert capsys.readouterr().out == first
