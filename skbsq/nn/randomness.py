"""Reproducible randomness that leaves the global generators untouched."""

import threading
from contextlib import contextmanager

import numpy as np
import torch
from joblib import parallel_config
from sklearn.utils import check_random_state

# Heads and dropout draw from torch's one global generator, so fits in different threads take turns.
_GLOBAL_GENERATOR = threading.RLock()


def draw_seed(random_state):
    """Draw a seed from a random_state; None means fresh entropy, not the global generator of NumPy."""
    if random_state is None:
        random_state = np.random.RandomState()
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def own_randomness(seed, device):
    """Seed torch for the block, with float32 as the default type, and restore its generators afterwards.

    scikit-learn runs in this thread meanwhile. Tasks sent to a cluster could wait behind fits that wait for this one.
    """
    on_gpu = device.type == "cuda"
    forked = torch.random.fork_rng(devices=[device] if on_gpu else [])
    with _GLOBAL_GENERATOR, parallel_config(backend="sequential"), forked, _default_float32():
        # torch.manual_seed would seed every GPU, also those that are not restored.
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _default_float32():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def random_states(device):
    """Return the states of the generators that training draws from, by name: tensors of uint8."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states, device):
    """Restore the states that `random_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
