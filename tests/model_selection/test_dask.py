"""Searches on a dask cluster."""

import multiprocessing
import os
import signal
from contextlib import suppress

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbsq import BitwiseRegressor
from skbsq.model_selection import dask_backend

QUICK = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}


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
