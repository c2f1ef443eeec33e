"""The comparison of nested rates: what is fitted, errors of each rate, the tables by hand, and the command."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, mean_squared_error

from benchmarks.datasets import load
from benchmarks.methods import build, split
from benchmarks.paper import rates

QUICK = {"max_epochs": 2, "hidden_sizes": [4]}


def test_a_dedicated_fit_for_each_rate_below_the_top():
    found = [(fit["method"], fit["top"], fit["rates"]) for fit in rates.fits(rates.BITS, 3, [1, 2, 3, 4])]
    assert found == [(rates.NESTED, 3, [2, 1]), *((rates.DEDICATED, rate, []) for rate in (3, 2, 1))]
    assert [fit["method"] for fit in rates.fits(rates.BITS, 1, [1])] == [rates.DEDICATED]


@pytest.mark.parametrize(
    ("name", "kind", "parameters", "numbers"),
    [
        ("iris", rates.BITS, {"bits": 2, "rates": [1]}, {2: 2, 1: 1}),
        ("diabetes", rates.BUDGET, {"bits": None, "bit_budget": 20, "rates": [10]}, {2: 20, 1: 10}),
    ],
)
def test_measure_scores_each_rate(name, kind, parameters, numbers):
    data = load(name)
    found = rates.measure(data, kind, 2, [1], 0, **QUICK)
    X_train, X_test, y_train, y_test = split(data, 0)
    model = build("bitwise", task=data.task, random_state=0, **parameters, **QUICK).fit(X_train, y_train)
    for rate, number in numbers.items():
        if data.task == "regression":
            expected = mean_squared_error(y_test, model.predict(X_test, rate=number))
        else:
            expected = log_loss(y_test, model.predict_proba(X_test, rate=number))
        assert json.loads(found["errors"])[str(rate)] == pytest.approx(expected)
    assert found["error"] == json.loads(found["errors"])["2"]


def rows_of(dataset, nested, dedicated):
    """Rows of fits at 2 bits and 1 bit: the errors of these rates, for each split."""
    fits = [(seed, rates.NESTED, 2, dict(zip("21", errors, strict=True)), 3.0) for seed, errors in enumerate(nested)]
    for seed, (high, low) in enumerate(dedicated):
        fits += [(seed, rates.DEDICATED, 2, {"2": high}, 2.0), (seed, rates.DEDICATED, 1, {"1": low}, 1.0)]
    rows = pd.DataFrame(fits, columns=["seed", "method", "top", "errors", "fit_seconds"])
    return rows.assign(dataset=dataset, kind=rates.BITS, errors=rows["errors"].map(json.dumps))


def test_tables_by_hand():
    even = rows_of("even", [(1.0, 2.0), (1.0, 6.0)], [(1.0, 2.0), (1.0, 2.0)])
    better = rows_of("better", [(1.0, 1.0)], [(1.0, 2.0)])
    pairs = rates.side_by_side(pd.concat([even, better]))
    assert set(pairs["top"]) == {2}
    of_sets = rates.ratios(pairs).set_index(["rate", "dataset"])
    assert of_sets.loc[(1, "even"), ["nested", "dedicated", "ratio", "standard error", "splits"]].tolist() == [
        4,
        2,
        2,
        1,
        2,
    ]
    high, low = rates.table(of_sets.reset_index()).sort_values("rate", ascending=False).to_dict("records")
    assert (high["geometric mean"], high["data sets"]) == (1, 2)
    assert low["geometric mean"] == pytest.approx(np.sqrt(2 * 0.5))
    assert (low["worst"], low["its ratio"], low["standard error"]) == ("even", 2, 1)
    seconds = rates.ratios(pairs[pairs["rate"] == 2], "nested_seconds", "dedicated_seconds")
    assert rates.table(seconds)["geometric mean"].item() == pytest.approx(1.5)


def test_command(tmp_path, capsys):
    arguments = ["--dataset", "iris", "--bits", "2", "--rates", "1", "2", "--budgets", "1", "1.5", "--seeds", "0", "1"]
    arguments += ["--max-epochs", "2", "--hidden-sizes", "4", "--output", str(tmp_path / "rates.csv")]
    rates.main(arguments)
    first = capsys.readouterr().out
    assert "Seconds of a nested fit" in first
    assert len(pd.read_csv(tmp_path / "rates.csv")) == 2 * 6
    rates.main(arguments)  # all rows are stored
    assert capsys.readouterr().out == first
