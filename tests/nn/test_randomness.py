"""Fits do not depend on settings of torch, and send no tasks while they hold torch's generators."""

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import SequentialBackend
from sklearn.base import clone
from torch import nn

from skbsq import BitwiseRegressor, LLTQuantizer, LSQQuantizer, SoftQuantizer
from skbsq.nn.randomness import own_randomness


class Elsewhere(SequentialBackend):
    """A backend that, as that of a cluster, receives also tasks that need not be parallel, and rejects them."""

    def effective_n_jobs(self, n_jobs):
        raise AssertionError("sent elsewhere")


@pytest.mark.parametrize(
    "estimator",
    [
        BitwiseRegressor(2, bit_budget=3, max_epochs=2, random_state=0),
        BitwiseRegressor(quantizer=SoftQuantizer(2), max_epochs=1, random_state=0),
        BitwiseRegressor(quantizer=LSQQuantizer(2), max_epochs=1, random_state=0),
        BitwiseRegressor(quantizer=LLTQuantizer(2), max_epochs=1, random_state=0),
        BitwiseRegressor(2, head=nn.Linear, max_epochs=1, random_state=0),
    ],
    ids=str,
)
def test_settings_of_torch_change_nothing(estimator):
    """A fit with a budget once made layers with torch's global generator, and so disturbed fits in other threads."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    state = torch.get_rng_state()
    expected = clone(estimator).fit(X, X[:, 0]).predict(X)
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    try:
        found = clone(estimator).fit(X, X[:, 0]).predict(X)
        assert torch.get_default_dtype() == torch.float64
        assert not torch.is_grad_enabled()
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    np.testing.assert_array_equal(found, expected)


def test_nothing_is_sent_elsewhere():
    """A fit in a dask task waited for its trees, which waited for a fit that waited for the generators."""
    with parallel_config(backend=Elsewhere()), own_randomness(0, torch.device("cpu")):
        assert Parallel()(delayed(abs)(i) for i in (-1, -2)) == [1, 2]
