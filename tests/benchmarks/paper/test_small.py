import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from benchmarks.datasets import load
from benchmarks.paper import small


def test_measure_scores_the_rows_left_out():
    data = load("iris")
    constant = small.measure(data, small.CONSTANT, 32, 0)["error"]
    assert constant == pytest.approx(np.log(3), rel=1e-2)
    assert small.measure(data, small.FLOATS, 32, 0)["error"] < constant
    found = small.measure(data, "30 epochs", 2, 0)["error"]
    assert found == small.measure(data, "30 epochs", 2, 0)["error"] < constant


def test_the_constant_of_a_regression_has_error_one():
    assert small.measure(load("diabetes"), small.CONSTANT, 32, 0)["error"] == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize(("default", "level"), [(0.9, True), (1.05, True), (1.2, False)])
def test_table_by_hand(default, level):
    errors = {
        small.DEFAULT: [default, default],
        small.STOPPED: [0.9, 1.1],  # the best, with a standard error of 0.1
        "30 epochs": [2.0, 2.0],
        small.QUANTILE: [1.5, 1.5],
        small.BOOSTED: [0.1, 0.1],
    }
    rows = [("iris", 4, method, seed, values[seed]) for method, values in errors.items() for seed in range(2)]
    rows += [("iris", 32, method, seed, 3.0) for method in small.UNQUANTIZED for seed in range(2)]
    found = small.table(pd.DataFrame(rows, columns=["dataset", "bits", "method", "seed", "error"]))
    assert found[["dataset", "bits"]].to_numpy().tolist() == [["iris", 4]]
    assert found["level"].item() is level or bool(found["level"].item()) == level
    assert found[small.CONSTANT].item() == 3


def test_command(tmp_path, capsys, monkeypatch):
    # All methods, with short trainings.
    short = {name: (method, given | {"max_epochs": 4}) for name, (method, given) in small.NETWORKS.items()}
    monkeypatch.setattr(small, "NETWORKS", short)
    arguments = ["--dataset", "iris", "--bits", "1", "--seeds", "0", "1", "--output", str(tmp_path / "small.csv")]
    small.main(arguments)
    first = capsys.readouterr().out
    assert "in geometric mean" in first
    small.main(arguments)  # all rows are there
    assert capsys.readouterr().out == first


def test_sets_are_as_described():
    noisy, imbalanced, irrelevant = (load(name) for name in ("noisy", "imbalanced", "irrelevant"))
    assert (noisy.X.shape, irrelevant.X.shape) == ((1000, 20), (2000, 505))
    assert imbalanced.y.mean() == pytest.approx(0.055, abs=0.01)
    assert log_loss(noisy.y, np.full(1000, 0.5)) == pytest.approx(np.log(2))
