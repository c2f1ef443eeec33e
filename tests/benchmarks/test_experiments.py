"""`python -m benchmarks.experiments`, end to end on a few rows."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.datasets import load
from benchmarks.experiments import __main__ as command
from benchmarks.experiments.changes import CHANGES, _Averaging, _MeanOfEpochs, _Shrinking, measure_changed
from benchmarks.experiments.plans import PLANS, Plan
from benchmarks.methods import build, split
from skbsq import QuantileQuantizer


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
def test_variants_are_parameters_and_changes(name):
    for training in PLANS[name].variants.values():
        given = dict(training)
        assert given.pop("change", None) in {None, *CHANGES}
        build("bitwise", 2, "regression", **given)


SMALL = {"method": "bitwise", "seed": 0, "hidden_sizes": [8], "max_epochs": 8, "lr": 0.02}


@pytest.fixture(scope="module")
def errors():
    """Without a change, for a width and for a budget."""
    data = load("fried", n_samples=300)
    widths = [{"bits": 2, "init": "quantile"}, {"bits": None, "bit_budget": 20}]
    return data, [(own, measure_changed(data=data, **SMALL, **own)["error"]) for own in widths]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_changes_the_fit_and_is_taken_back(change, errors):
    data, plain = errors
    own, before = plain[change.startswith("split")]
    changed = measure_changed(change, data=data, **SMALL, **own)["error"]
    assert np.isfinite(changed)
    assert changed != before
    assert measure_changed(data=data, **SMALL, **own)["error"] == before


def test_a_budget_is_bits_per_feature(tmp_path):
    own = {"hidden_sizes": [4], "max_epochs": 1}
    plan = Plan("Which?", {"a": own}, bits=(1,), seeds=(42,), budget=True)
    (row,) = command.explore(plan, [load("fried", n_samples=150)], tmp_path / "rows.csv").to_dict("records")
    assert row["bits"] == 1
    assert row["row_bits"] == 10


def test_blend_of_rows_and_range():
    X = np.float32([[0], [1], [2], [3], [10]])
    # Half way between values the share of the rows is 0.2, 0.4, 0.6, 0.8, and that of the range 0.05, 0.15, 0.25, 0.65.
    share = 0.7 * np.array([0, 0.2, 0.4, 0.6, 0.8, 1]) + 0.3 * np.array([0, 0.05, 0.15, 0.25, 0.65, 1])
    expected = np.interp([0.25, 0.5, 0.75], share, [0, 0.5, 1.5, 2.5, 6.5, 10])
    with CHANGES["blended start"]():
        np.testing.assert_allclose(QuantileQuantizer(2).fit(X).thresholds_[0], expected, rtol=1e-6)


def test_averaging_is_a_running_mean():
    net = SimpleNamespace(max_epochs=2, history=[0, 0], module_=torch.nn.Linear(1, 1, bias=False))
    averaging = _Averaging(decay=0.75, last=0.5)
    averaging.on_train_begin(net)
    for weight in (1.0, 2.0, 4.0):
        torch.nn.init.constant_(net.module_.weight, weight)
        averaging.on_batch_end(net, training=True)
    averaging.on_train_end(net)
    assert net.module_.weight.item() == 0.75 * (0.75 * 1 + 0.25 * 2) + 0.25 * 4


def test_mean_of_epochs():
    net = SimpleNamespace(max_epochs=4, history=[], module_=torch.nn.Linear(1, 1, bias=False))
    averaging = _MeanOfEpochs(0.5)
    averaging.on_train_begin(net)
    for weight in (1.0, 2.0, 4.0, 8.0):
        net.history.append({})
        torch.nn.init.constant_(net.module_.weight, weight)
        averaging.on_epoch_end(net)
    averaging.on_train_end(net)
    assert net.module_.weight.item() == 6.0


def test_shrinking_shortens_vectors_and_stops_at_zero():
    head = torch.nn.Sequential(torch.nn.Linear(2, 2))
    head[0].weight.data = torch.tensor([[3.0, 0.1], [4.0, 0.0]])
    net = SimpleNamespace(
        **{"max_epochs": 4, "history": [0, 0], "module_": SimpleNamespace(head=head)},
        optimizer_=SimpleNamespace(param_groups=[{"lr": 9.0}, {"lr": 2.0}]),
    )
    _Shrinking(strength=1.0).on_batch_end(net, training=True)  # by 1 * 2 * 2 / 4
    torch.testing.assert_close(head[0].weight, torch.nn.Parameter(torch.tensor([[2.4, 0.0], [3.2, 0.0]])))
