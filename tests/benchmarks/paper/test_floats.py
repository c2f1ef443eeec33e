"""The references on unquantized rows: boosting on float16 reads float16, and comparisons use the same splits."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.command import CommandError
from benchmarks.datasets import load
from benchmarks.paper import floats
from benchmarks.paper.budget import BUDGET, UNIFORM
from benchmarks.paper.budget import COLUMNS as BUDGET_COLUMNS
from benchmarks.paper.budget import FLOATS as HEAD
from benchmarks.paper.protocol import COLUMNS as PAPER_COLUMNS

SEEDS = (42, 43, 44)


def rows_of(columns, cells):
    """A row per seed for cells of method, width and error; `columns` of a command."""
    width = "asked" if columns is BUDGET_COLUMNS else "bits"
    rows = [
        {
            "dataset": "fried",
            "method": method,
            width: bits,
            "row_bits": 10 * bits,
            "seed": seed,
            "error": error,
            "data_sha256": "00e1",
            "training": "{}",
        }
        for method, bits, error in cells
        for seed in SEEDS
    ]
    return pd.DataFrame(rows, columns=columns)


PAPER = rows_of(PAPER_COLUMNS, [("FP", 32, 0.3), ("bitwise", 2, 0.4), ("bitwise", 4, 0.2)])
BUDGETS = rows_of(BUDGET_COLUMNS, [(HEAD, 32, 0.25), (UNIFORM, 2, 0.4), (UNIFORM, 4, 0.2), (BUDGET, 2, 0.2)])
BUDGETS["float_bits"] = 320
BUDGETS["boosted_error"] = BUDGETS["error"]


def boosting_rows():
    cells = [("boosting on floats", 32, 0.2), ("boosting on float16", 16, 0.21)]
    return rows_of(PAPER_COLUMNS, cells)[["dataset", "method", "seed", "data_sha256", "error", "row_bits"]]


def test_float16_keeps_what_it_holds():
    X = np.array([[1.0, 1e-3], [0.1, 6e4], [-2048.0, 2.0]])
    train, test = floats.as_float16(X, X)
    np.testing.assert_array_equal(train, X.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(train, test)


def test_float16_scales_a_feature_beyond_its_range():
    """By a power of two: order and relative precision stay."""
    X = np.array([[1e6], [2e6], [2.0001e6]])
    train, test = floats.as_float16(X, np.array([[1e6], [1e8]]))
    ratio = train.ravel() / X.ravel()
    assert np.isfinite(train).all()
    np.testing.assert_allclose(ratio, 2.0**-5, rtol=1e-3)
    assert test[0] == train[0]
    assert test[1] == np.inf


@pytest.mark.parametrize(("method", "bits"), floats.BOOSTING.items())
def test_boost(method, bits):
    found = floats.boost(load("fried", n_samples=400), method, 42)
    assert found["row_bits"] == 10 * bits
    assert 0.05 < found["error"] < 0.6


def test_multiples_on_the_same_splits():
    models = floats.references(boosting_rows(), PAPER, BUDGETS)
    table = floats.against_floats(PAPER, models)
    assert table.loc[("fried", floats.HEAD)].tolist() == pytest.approx([1.6, 0.8])
    assert table.loc[("fried", floats.PAPER_HEAD)].tolist() == pytest.approx([4 / 3, 2 / 3])
    assert table.loc[("geometric mean", floats.BEST)].tolist() == pytest.approx([2, 1])


def test_the_head_on_floats_of_the_paper_counts():
    own = rows_of(PAPER_COLUMNS, [("floats", 32, 0.1)])
    models = floats.references(boosting_rows(), pd.concat([PAPER, own]), BUDGETS).set_index("model")["error"]
    assert models[floats.HEAD].tolist() == [0.1] * len(SEEDS)


def test_a_model_that_lacks_a_split_is_no_reference():
    models = floats.references(boosting_rows(), PAPER, BUDGETS)
    lacking = models[(models["model"] != "boosting on floats") | (models["seed"] == 42)]
    assert "boosting on floats" not in floats.on_splits(lacking, SEEDS)


def test_compression_against_the_best():
    models = floats.references(boosting_rows(), PAPER, BUDGETS)
    row, means = floats.without_loss(BUDGETS, models).to_dict("records")
    assert means[BUDGET] == pytest.approx(row[BUDGET])
    assert row["best"] == "boosting on floats"
    assert row[UNIFORM] == 320 / 40
    assert row[BUDGET] == 320 / 20


def test_rows_of_different_data():
    with pytest.raises(CommandError, match="The rows of fried are from different data"):
        floats.references(boosting_rows().assign(data_sha256="ff"), PAPER, BUDGETS)


def test_main(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(floats, "load_several", lambda names, data_dir: [load("fried", n_samples=300)])
    digest = load("fried", n_samples=300).sha256
    given = ["--dataset", "fried", "--seeds", *map(str, SEEDS), "--output", str(tmp_path / "floats.csv")]
    for name, rows in (("paper", PAPER), ("budget", BUDGETS)):
        rows.assign(data_sha256=digest).to_csv(tmp_path / f"{name}.csv", index=False)
        given += [f"--{name}", str(tmp_path / f"{name}.csv")]
    floats.main(given)
    printed = capsys.readouterr().out
    assert "the best of them" in printed
    stored = pd.read_csv(tmp_path / "floats.csv")
    assert len(stored) == 2 * len(SEEDS)
    floats.main(given)
    assert len(pd.read_csv(tmp_path / "floats.csv")) == len(stored)
