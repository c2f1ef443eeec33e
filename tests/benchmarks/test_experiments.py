"""`python -m benchmarks.experiments`, end to end on a few rows."""

import json

import pandas as pd
import pytest

from benchmarks.datasets import load
from benchmarks.experiments import __main__ as command
from benchmarks.experiments.plans import PLANS, Plan
from benchmarks.methods import build, split


@pytest.fixture
def plan(monkeypatch):
    small = Plan(
        "Which?",
        {"a": {"max_epochs": 1, "hidden_sizes": [4]}, "b": {"max_epochs": 2, "hidden_sizes": [4]}},
        datasets=("fried",),
        bits=(1, 2),
        seeds=(42,),
    )
    monkeypatch.setitem(PLANS, "small", small)
    return small


def test_runs_resumes_and_compares(plan, tmp_path, capsys):
    arguments = ["small", "--n-samples", "150", "--output-dir", str(tmp_path)]
    command.main(arguments)
    rows = pd.read_csv(tmp_path / "small.csv")
    assert list(rows) == command.COLUMNS
    assert len(rows) == 4
    assert json.loads(rows["training"][0])["hidden_sizes"] == [4]
    printed = capsys.readouterr().out
    assert "Which?" in printed
    header = printed.splitlines()[2].split()
    assert header == ["variant", "fried", "1", "fried", "2", "mean", "worst"]
    before = (tmp_path / "small.csv").read_bytes()
    command.main(arguments)
    assert (tmp_path / "small.csv").read_bytes() == before


def test_no_test_row_is_seen():
    data = load("fried", n_samples=100)
    own = command.training_rows(data, 42)
    assert set(own.X.index) == set(split(data, 42)[0].index)
    assert not set(own.X.index) & set(split(data, 42)[1].index)


def test_relative_to_the_first():
    rows = pd.DataFrame(
        [("x", 1, "a", 2.0), ("x", 1, "b", 1.0), ("x", 2, "a", 1.0), ("x", 2, "b", 2.0)],
        columns=["dataset", "bits", "variant", "error"],
    )
    table = command.relative(rows, ["a", "b"]).set_index("variant")
    assert table.loc["a"].tolist() == [1, 1, 1, 1]
    assert table.loc["b"].tolist() == [0.5, 2, 1, 2]


@pytest.mark.parametrize("name", PLANS)
def test_variants_are_parameters(name):
    for training in PLANS[name].variants.values():
        build("bitwise", 2, "regression", **training)
