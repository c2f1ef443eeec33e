"""Fixtures for all tests."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# The tests run in parallel and their nets are tiny: more threads than cores would only wait for each other.
torch.set_num_threads(1)

# A busy machine is no failure.
settings.register_profile("skbsq", deadline=None)
settings.load_profile("skbsq")


def pytest_generate_tests(metafunc):
    """One seed by default; SKBSQ_TEST_SEEDS="0-9" or "all" (0 to 99) runs more. No test may need a lucky one."""
    if "global_random_seed" not in metafunc.fixturenames:
        return
    wanted = os.environ.get("SKBSQ_TEST_SEEDS", "42")
    if wanted == "all":
        wanted = "0-99"
    first, _, last = wanted.partition("-")
    metafunc.parametrize("global_random_seed", range(int(first), int(last or first) + 1))


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


@pytest.fixture(scope="module")
def client():
    """Client of a dask cluster of two processes; without dask the test is skipped."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def data_dir():
    """Folder with the real data sets; the test is skipped where there is none."""
    folder = os.environ.get("SKBSQ_DATA_DIR")
    if not folder:
        pytest.skip("SKBSQ_DATA_DIR is not set")
    return Path(folder)


@pytest.fixture
def ctrl_c_after():
    """Function that sends Ctrl-C once, after so many seconds.

    A process that a script starts in the background ignores it from birth, hence the handler.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timers = []

    def send(seconds):
        timers.append(threading.Timer(seconds, signal.raise_signal, [signal.SIGINT]))
        timers[-1].start()

    yield send
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGINT, before)
