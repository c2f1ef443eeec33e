"""The comparison of losses: counts with known rates, errors by hand, the table, and the command on short trainings."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_poisson_deviance

from benchmarks.datasets import Dataset
from benchmarks.paper import losses

POISSON = {"loss": "poisson"}


def test_counts_are_poisson_at_their_rates():
    task = losses.bikes()
    counts, expected = task.data.y * task.weights, task.rates * task.weights
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    assert np.average((counts - expected) ** 2 / expected) == pytest.approx(1, abs=0.1)
    assert task.data.sha256 == losses.bikes().data.sha256
    assert task.rates.min() > 0


def test_errors_by_hand():
    y, predicted, weights = np.array([1.0, 5.0]), np.array([3.0, 1.0]), np.array([1.0, 3.0])
    assert losses.error_of({"loss": "quantile", "quantile": 0.9}, y, predicted, weights) == pytest.approx(
        (0.1 * 2 + 3 * 0.9 * 4) / 4
    )
    # The mean is 4, so that a rate below 0.04 counts as 0.04.
    expected = mean_poisson_deviance(y, [3, 0.04], sample_weight=weights)
    assert losses.error_of(POISSON, y, np.array([3.0, -2.0]), weights) == pytest.approx(expected)


@pytest.mark.parametrize("method", [losses.BOOSTED, losses.FLOATS, losses.CONSTANT, losses.TRUTH])
def test_measure(method):
    task = losses.bikes(400)
    error = losses.measure(task, POISSON, method, 4, 0)["error"]
    truth = losses.measure(task, POISSON, losses.TRUTH, 4, 0)["error"]
    assert error >= truth
    assert error == losses.measure(task, POISSON, method, 4, 0)["error"]


def test_constants_are_those_of_the_loss():
    y, weights = np.arange(1.0, 101.0), np.repeat([1.0, 3.0], 50)
    found = [
        losses.predict(losses.CONSTANT, loss, 4, 0, y[:, None], y, weights, y[:1, None]).item()
        for loss in (POISSON, {"loss": "quantile", "quantile": 0.25})
    ]
    assert found == [pytest.approx(np.average(y, weights=weights)), pytest.approx(50, abs=1)]


def test_weights_of_years(tmp_path):
    table = pd.DataFrame({"year": [2003, 2009], "age": [30, 40], "wage": [1.0, 2.0]})
    table.to_csv(tmp_path / "wage.csv.gz", index=False)
    task = losses.load_weighted("wage", tmp_path)
    np.testing.assert_allclose(task.weights, [0.8**6, 1])
    assert isinstance(task.data, Dataset)


def test_table_by_hand():
    errors = {losses.LEARNED: [1.0, 2.0], losses.BOOSTED: [2.0, 4.0], losses.CONSTANT: [9.0, 9.0]}
    rows = pd.DataFrame(
        [("bikes", "poisson", method, 4, seed, errors[method][seed]) for method in errors for seed in range(2)],
        columns=["dataset", "objective", "method", "bits", "seed", "error"],
    )
    found = losses.table(rows).set_index("method").iloc[:, 3:]
    assert list(found.index) == [losses.LEARNED, losses.BOOSTED, losses.CONSTANT]
    np.testing.assert_allclose(found.loc[losses.LEARNED], [1.5, 0.5, -1.5, 0.5])
    np.testing.assert_allclose(found.loc[losses.BOOSTED], [3, 1, 0, 0])


def test_command(tmp_path, capsys, monkeypatch):
    few, quick = losses.bikes(300), {"max_epochs": 2, "hidden_sizes": (4,)}
    monkeypatch.setattr(losses, "bikes", lambda: few)
    model = losses.BitwiseRegressor
    monkeypatch.setattr(losses, "BitwiseRegressor", lambda *args, **given: model(*args, **given, **quick))
    arguments = ["--dataset", "bikes", "--bits", "2", "--seeds", "0", "1", "--output", str(tmp_path / "losses.csv")]
    losses.main(arguments)
    first = capsys.readouterr().out
    assert losses.TRUTH in first
    losses.main(arguments)  # all rows are stored
    assert capsys.readouterr().out == first
