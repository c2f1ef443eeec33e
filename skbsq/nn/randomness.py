"""Randomness of our own, beside torch's global generators."""

import threading
from contextlib import contextmanager

import numpy as np
import torch
from joblib import parallel_config
from sklearn.utils import check_random_state

# torch has one global generator, which heads and dropout draw from: fits in threads take turns.
_GLOBAL_GENERATOR = threading.RLock()


@contextmanager
def own_randomness(random_state, device):
    """Seed torch for the block and give its generators back as they were; yields the seed.

    Whatever scikit-learn does within runs in this thread: sent to a cluster, it could wait behind fits that wait for
    this one.
    """
    if random_state is None:
        random_state = np.random.RandomState()  # fresh entropy; the global generator stays untouched
    seed = int(check_random_state(random_state).randint(2**31 - 1))
    on_gpu = device.type == "cuda"
    forked = torch.random.fork_rng(devices=[device] if on_gpu else [])
    with _GLOBAL_GENERATOR, parallel_config(backend="sequential"), forked:
        # Not torch.manual_seed: it would seed every GPU, those that are not given back included.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        yield seed
