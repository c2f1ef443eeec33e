"""Searches over bits: the choice of a candidate, the table of bits and scores, paths over bits, and dask."""

import multiprocessing
import os
import signal
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import make_friedman1
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbsq import BitwiseClassifier, BitwiseRegressor, QuantileQuantizer
from skbsq.exceptions import MissingCodeWarning
from skbsq.model_selection import bits_path, dask_backend, fewest_bits, rate_distortion, row_bits

QUICK = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_friedman1(120, random_state=0)


# -- fewest_bits -------------------------------------------------------------------------------------


def results(scores, bits=None, params=None):
    """cv_results_ of a search; scores (n_candidates, n_splits)."""
    scores = np.asarray(scores, dtype=float)
    found = {"params": params or [{"n_bits": b} for b in range(1, len(scores) + 1)]}
    found |= {f"split{i}_test_score": column for i, column in enumerate(scores.T)}
    found |= {"mean_test_score": scores.mean(axis=1), "std_test_score": scores.std(axis=1)}
    if bits is not None:
        found |= {"mean_test_row_bits": np.asarray(bits), "split0_test_row_bits": np.asarray(bits)}
    return found


# The last candidate is the best: 0.9 with a standard error of 0.1 / sqrt(3) = 0.0577.
SCORES = [[0.1, 0.2, 0.3], [0.7, 0.8, 0.9], [0.83, 0.85, 0.87], [0.8, 0.9, 1.0]]


def test_within_one_standard_error():
    assert fewest_bits("1se")(results(SCORES, [8, 16, 24, 32])) == 2
    assert fewest_bits()(results(SCORES)) == 2


@pytest.mark.parametrize(("fraction", "picked"), [(0.0, 3), (0.05, 3), (0.06, 2), (0.12, 1), (0.7, 1), (0.78, 0)])
def test_within_a_fraction(fraction, picked):
    assert fewest_bits(fraction)(results(SCORES, [8, 16, 24, 32])) == picked


def test_fraction_of_a_negative_score():
    scores = [[-1.2], [-1.09], [-1.0]]
    assert fewest_bits(0.1)(results(scores, [1, 2, 3])) == 1
    assert fewest_bits(0.2)(results(scores, [1, 2, 3])) == 0


def test_fitted_bits_count_and_not_the_order_of_candidates():
    assert fewest_bits(0.0)(results([[0.5], [0.9], [0.9]], [8, 24, 16])) == 2
    # Among equal bits the better score wins.
    assert fewest_bits(0.5)(results([[0.7], [0.9], [0.8]], [8, 8, 8])) == 1


def test_failed_candidates_are_passed_over():
    assert fewest_bits(1.0)(results([[np.nan], [0.9], [0.9]], [8, 16, 24])) == 1
    with pytest.raises(ValueError, match="No candidate has a score"):
        fewest_bits()(results([[np.nan], [np.nan]], [8, 16]))


def test_one_split_has_no_standard_error():
    assert fewest_bits("1se")(results([[0.8], [0.9]], [8, 16])) == 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([{"alpha": 1}, {"alpha": 2}], "n_bits or bit_budget if the search varies one of these, but it varies none"),
        ([{"n_bits": 1, "bit_budget": 9}, {"n_bits": 2, "bit_budget": 8}], r"varies 2 of them \(bit_budget, n_bits\)"),
        ([{"q__n_bits": 1}, {"q__n_bits": None}], "q__n_bits=None is not a whole number"),
        ([{"n_bits": [1, 2]}, {"n_bits": [2, 1]}], r"n_bits=\[1, 2\] is not a whole number"),
    ],
)
def test_without_an_order_of_bits_the_message_names_the_way_out(params, message):
    with pytest.raises(ValueError, match=message) as caught:
        fewest_bits()(results([[0.8], [0.9]], params=params))
    assert 'scoring={"score": ..., "row_bits": row_bits}' in str(caught.value)
    assert fewest_bits(1.0)(results([[0.8], [0.9]], [8, 4], params=params)) == 1


def test_one_varying_parameter_is_enough():
    params = [{"a__n_bits": 4, "b__n_bits": b, "alpha": 1} for b in (3, 2, 1)]
    assert fewest_bits(1.0)(results([[0.9], [0.8], [0.7]], params=params)) == 2


@pytest.mark.parametrize("tolerance", ["2se", -0.1, True, None, np.inf, np.nan])
def test_tolerance_is_checked(tolerance):
    with pytest.raises(ValueError, match='tolerance must be "1se" or a fraction'):
        fewest_bits(tolerance)


# -- rate_distortion ---------------------------------------------------------------------------------


def test_table():
    table = rate_distortion(results(SCORES, [32, 8, 16, 16], params=[{"n_bits": b, "score": 1} for b in (4, 1, 2, 3)]))
    assert table.columns.tolist() == [
        *("candidate", "row_bits", "score", "std", "sem", "frontier", "n_bits", "param_score"),
    ]
    assert table["candidate"].tolist() == [1, 3, 2, 0]
    assert table["row_bits"].tolist() == [8, 16, 16, 32]
    np.testing.assert_allclose(table["score"], [0.8, 0.9, 0.85, 0.2])
    np.testing.assert_allclose(table["std"], [0.1, 0.1, 0.02, 0.1])
    np.testing.assert_allclose(table["sem"], table["std"] / np.sqrt(3))
    assert table["frontier"].tolist() == [True, True, False, False]
    assert table["n_bits"].tolist() == [1, 3, 2, 4]


def test_scores_by_name():
    several = {**results(SCORES, [1, 2, 3, 4]), "mean_test_r2": np.arange(4.0), "split0_test_r2": np.arange(4.0)}
    assert rate_distortion(several, score="r2")["score"].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=r"2 scores besides row_bits, \['score', 'r2'\]: name one"):
        rate_distortion(several)
    with pytest.raises(ValueError, match="no score 'mse'"):
        fewest_bits(score="mse")(several)


def test_splits_of_a_score_whose_name_ends_like_another():
    several = results([[0.5, 0.7]], [1], params=[{}])
    several |= {"mean_test_x_test_score": np.ones(1), "split0_test_x_test_score": np.full(1, 9.0)}
    assert rate_distortion(several, score="score")["std"].item() == pytest.approx(np.sqrt(0.02))


# -- real searches -----------------------------------------------------------------------------------


def test_grid_search_picks_the_best_of_the_good(data):
    grid = {"bitwiseregressor__n_bits": [1, 2, 3], "bitwiseregressor__hidden_sizes": [(4,), (8,)]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), BitwiseRegressor(**QUICK)),
        grid,
        scoring={"score": "r2", "row_bits": row_bits},
        refit=fewest_bits(0.0),
        cv=2,
    ).fit(*data)
    table = rate_distortion(search.cv_results_)
    assert sorted(table["row_bits"]) == [10, 10, 20, 20, 30, 30]
    picked = table.set_index("candidate").loc[search.best_index_]
    assert picked["score"] == table["score"].max()
    assert row_bits(search) == picked["row_bits"]
    assert search.predict(data[0]).shape == (120,)


def test_randomized_search_orders_by_n_bits_alone(data):
    search = RandomizedSearchCV(
        make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
        {"quantilequantizer__n_bits": [1, 2, 3, 4]},
        n_iter=4,
        cv=3,
        refit=fewest_bits(1e9),
        random_state=0,
    ).fit(*data)
    assert search.best_params_ == {"quantilequantizer__n_bits": 1}


def test_halving_searches_never_call_it(data):
    def refit(cv_results):
        raise AssertionError

    search = HalvingGridSearchCV(
        make_pipeline(QuantileQuantizer(encode="thermometer"), Ridge()),
        {"quantilequantizer__n_bits": [1, 2, 3, 4]},
        cv=3,
        refit=refit,
        random_state=0,
    ).fit(*data)
    assert fewest_bits(1e9)(search.cv_results_) in range(len(search.cv_results_["params"]))


# -- bits_path ---------------------------------------------------------------------------------------


def test_path_is_near_separate_fits():
    X, y = make_friedman1(700, random_state=0)
    regressor = BitwiseRegressor(max_epochs=15, hidden_sizes=(32,), lr=0.01, init="quantile", random_state=0)
    path = bits_path(regressor, X, y, [3, 1, 2], cv=2).set_index("n_bits")
    assert list(path) == ["row_bits", "score", "std", "sem", "fit_seconds"]
    assert path["row_bits"].tolist() == [10, 20, 30]
    assert path["score"].is_monotonic_increasing
    separate = GridSearchCV(regressor, {"n_bits": [1, 2, 3]}, cv=2).fit(X, y).cv_results_["mean_test_score"]
    np.testing.assert_allclose(path["score"], separate, atol=0.06)
    np.testing.assert_allclose(path["sem"], path["std"] / np.sqrt(2))


def test_narrower_models_of_a_path_are_trained_for_fewer_epochs(data):
    regressor = BitwiseRegressor(max_epochs=20, hidden_sizes=(8,), random_state=0)
    before, epochs = repr(regressor), []
    bits_path(regressor, *data, [1, 2, 6], cv=2, scoring=lambda model, X, y: epochs.append(model.n_iter_) or 0.0)
    assert epochs == [20, 6, 6] * 2
    # The estimator stays unchanged.
    assert repr(regressor) == before
    assert not hasattr(regressor, "net_")


def test_path_of_classes_with_missing_values(data):
    X, y = data[0].copy(), np.where(data[1] > np.median(data[1]), "high", "low")
    X[::5, 0] = np.nan
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(10)])
    classifier = BitwiseClassifier(missing="code", class_weight="balanced", **QUICK)
    with pytest.warns(MissingCodeWarning, match="x9"):
        path = bits_path(classifier, frame, pd.Series(y), [2, 1], cv=3, scoring="neg_log_loss")
    assert path["n_bits"].tolist() == [1, 2]
    assert (path["score"] < 0).all()


@pytest.mark.parametrize(
    ("estimator", "bits", "message"),
    [
        (Ridge(), [1], "needs a BitwiseRegressor or BitwiseClassifier, got Ridge"),
        (BitwiseRegressor(quantizer=QuantileQuantizer()), [1], "leave quantizer at None"),
        (BitwiseRegressor(head=Ridge), [1], "leave head at None"),
        (BitwiseRegressor(bit_budget=3), [1], "leave bit_budget at None"),
        (BitwiseRegressor(), [], "bits is empty"),
    ],
)
def test_path_rejects(data, estimator, bits, message):
    with pytest.raises(ValueError, match=message):
        bits_path(estimator, *data, bits)


# -- dask_backend ------------------------------------------------------------------------------------


def fragile_search(fuse, *, kill):
    """A search in which one fit in a worker fails, or kills the worker: the first one that removes the file `fuse`."""

    class Fragile(TransformerMixin, BaseEstimator):  # a local class, so that workers need not import this module
        def __init__(self, power=1):
            self.power = power

        def fit(self, X, y=None):
            if multiprocessing.parent_process():
                with suppress(FileNotFoundError):
                    os.unlink(fuse)
                    if not kill:
                        raise ZeroDivisionError("the fuse is gone")
                    os.kill(os.getpid(), signal.SIGKILL)
            return self

        def transform(self, X):
            return X**self.power

    fuse.touch()
    return GridSearchCV(make_pipeline(Fragile(), Ridge()), {"fragile__power": [1, 2, 3, 4]}, cv=3, error_score="raise")


def test_backend_without_a_client():
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="create a Dask Client"):
        dask_backend()


def test_fits_on_a_cluster_equal_those_without(data):
    """In threads, which share torch's generators."""
    distributed = pytest.importorskip("distributed")
    grid = {"n_bits": [1, 2], "bit_budget": [None, 15]}
    search = GridSearchCV(BitwiseRegressor(**QUICK), grid, cv=2)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
        parallel_config(backend=dask_backend(shared=[*data])),
    ):
        found = search.fit(*data).cv_results_["split0_test_score"]
    np.testing.assert_array_equal(found, search.fit(*data).cv_results_["split0_test_score"])


def test_an_error_on_a_worker_ends_the_search(client, data, tmp_path):
    search = fragile_search(tmp_path / "fuse", kill=False)
    with parallel_config(backend=dask_backend(shared=[*data])):
        with pytest.raises(ZeroDivisionError, match="the fuse is gone") as caught:
            search.fit(*data)
        search.fit(*data)
    assert "in fit" in caught.value.__notes__[-1]


def test_a_search_survives_the_loss_of_a_worker(client, data, tmp_path):
    search = fragile_search(tmp_path / "fuse", kill=True)
    pids = set(client.run(os.getpid).values())
    with parallel_config(backend=dask_backend(shared=[*data])):
        found = search.fit(*data).cv_results_["mean_test_score"]
    client.wait_for_workers(2)
    assert len(pids & set(client.run(os.getpid).values())) == 1
    np.testing.assert_array_equal(found, search.fit(*data).cv_results_["mean_test_score"])
