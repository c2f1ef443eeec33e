"""What a fit does while it holds torch's generators."""

import torch
from joblib import Parallel, delayed, parallel_config
from joblib._parallel_backends import SequentialBackend

from skbsq.nn.randomness import own_randomness


class Elsewhere(SequentialBackend):
    """A backend as that of a cluster: it takes what is not asked to be parallel. This one refuses it."""

    def effective_n_jobs(self, n_jobs):
        raise AssertionError("sent elsewhere")


def test_nothing_is_sent_elsewhere():
    """A fit in a dask task waited for trees of its own, which stood behind a fit that waited for the generators."""
    with parallel_config(backend=Elsewhere()), own_randomness(0, torch.device("cpu")):
        assert Parallel()(delayed(abs)(i) for i in (-1, -2)) == [1, 2]
