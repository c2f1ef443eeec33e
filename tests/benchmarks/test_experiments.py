"""`python -m benchmarks.experiments`, end to end on a few rows."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.datasets import load
from benchmarks.experiments import __main__ as command
from benchmarks.experiments.plans import PLANS, Plan
from benchmarks.methods import build, split

TINY = {"hidden_sizes": [4], "max_epochs": 1}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Function that runs a plan of these variants on few rows, and returns its file."""

    def _run(variants, *arguments):
        monkeypatch.setitem(PLANS, "small", Plan("Which?", variants, ("fried",), (1, 2), (42,)))
        command.main(["small", "--n-samples", "120", "--output-dir", str(tmp_path), *arguments])
        return tmp_path / "small.csv"

    return _run


def test_runs_resumes_and_compares(run, capsys):
    variants = {"10": TINY, "0.3": {**TINY, "lr": 0.01}}  # names that could be read as numbers
    path = run(variants)
    rows = pd.read_csv(path)
    assert list(rows) == command.COLUMNS
    assert len(rows) == 4
    assert json.loads(rows["training"][0])["hidden_sizes"] == [4]
    printed = capsys.readouterr().out
    assert "Which?" in printed
    header = printed.splitlines()[2].split()
    assert header == ["variant", "fried", "1", "fried", "2", "mean", "sem", "worst"]
    stored = path.read_bytes()
    run(variants)
    assert path.read_bytes() == stored


def test_no_test_row_is_seen():
    data = load("fried", n_samples=100)
    train, *_ = split(data, 42)
    assert set(command.training_rows(data, 42).X.index) == set(train.index)


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


def test_fits_that_fail_are_printed(run, capsys):
    run({"good": TINY, "bad": {**TINY, "lr": -1.0}}, "--bits", "1")
    printed = capsys.readouterr().out
    assert "InvalidParameterError" in printed
    assert printed.splitlines()[-1].split()[:2] == ["bad", "-"]


@pytest.mark.parametrize("name", PLANS)
def test_variants_are_parameters(name):
    for training in PLANS[name].variants.values():
        build("bitwise", 2, "regression", **training)
