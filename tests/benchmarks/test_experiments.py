"""`python -m benchmarks.experiments`, end to end on a few rows."""

import json

import numpy as np
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
    assert header == ["variant", "fried", "1", "fried", "2", "mean", "sem", "worst"]
    before = (tmp_path / "small.csv").read_bytes()
    command.main(arguments)
    assert (tmp_path / "small.csv").read_bytes() == before


def test_no_test_row_is_seen():
    data = load("fried", n_samples=100)
    own = command.training_rows(data, 42)
    assert set(own.X.index) == set(split(data, 42)[0].index)
    assert not set(own.X.index) & set(split(data, 42)[1].index)


TINY = {"hidden_sizes": [4], "max_epochs": 1}


def test_relative_to_the_first_on_the_same_split():
    rows = pd.DataFrame(
        [
            *[("x", 1, 0, "a", 2.0), ("x", 1, 0, "b", 1.0), ("x", 1, 1, "a", 8.0), ("x", 1, 1, "b", 16.0)],
            *[("x", 2, 0, "a", 1.0), ("x", 2, 0, "b", 4.0), ("x", 2, 1, "a", 1.0), ("x", 2, 1, "b", 1.0)],
        ],
        columns=["dataset", "bits", "seed", "variant", "error"],
    )
    table = command.relative(rows, ["a", "b"]).set_index("variant")
    assert table.loc["a"].tolist() == [1, 1, 1, 0, 1]
    # The ratios are 1/2 and 2, 4 and 1: logarithms of -1, 1, 2 and 0 to base 2.
    sem = np.log(2) * np.std([-1, 1, 2, 0], ddof=1) / 2
    np.testing.assert_allclose(table.loc["b"], [1, 2, np.sqrt(2), sem, 2])


def test_variants_that_are_named_by_numbers_are_resumed(tmp_path, capsys):
    given = ["threshold-rate", "--dataset", "fried", "--n-samples", "120", "--bits", "1", "--seeds", "42"]
    plan = Plan("Which?", {"10": {**TINY, "lr": 0.01}, "0.3": TINY}, bits=(1,), seeds=(42,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.PLANS, "threshold-rate", plan)
        for _ in range(2):
            command.main([*given, "--output-dir", str(tmp_path)])
    assert len((tmp_path / "threshold-rate.csv").read_text().splitlines()) == 3


def test_fits_that_fail_are_printed(tmp_path, capsys):
    plan = Plan("Which?", {"good": TINY, "bad": {**TINY, "lr": -1.0}}, bits=(1,), seeds=(42,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.PLANS, "start", plan)
        command.main(["start", "--dataset", "fried", "--n-samples", "120", "--output-dir", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "InvalidParameterError" in printed
    assert printed.splitlines()[-1].split()[:2] == ["bad", "-"]


@pytest.mark.parametrize("name", PLANS)
def test_variants_are_parameters(name):
    for training in PLANS[name].variants.values():
        build("bitwise", 2, "regression", **training)
