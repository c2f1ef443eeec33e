"""Fixtures for all tests."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

# The tests run in parallel and their heads are tiny: more threads than cores would only wait for each other.
torch.set_num_threads(1)

# A busy machine is not a failure.
settings.register_profile("skbsq", deadline=None)
settings.load_profile("skbsq")


def pytest_generate_tests(metafunc):
    """Run one seed by default, more with SKBSQ_TEST_SEEDS="0-9" or "all" (0 to 99). No test may need a lucky seed."""
    if "global_random_seed" not in metafunc.fixturenames:
        return
    first, _, last = os.environ.get("SKBSQ_TEST_SEEDS", "42").replace("all", "0-99").partition("-")
    metafunc.parametrize("global_random_seed", range(int(first), int(last or first) + 1))


@pytest.fixture
def rng(global_random_seed):
    return np.random.default_rng(global_random_seed)


@pytest.fixture(scope="module")
def client():
    """Start a dask cluster of two processes and give its client. Without dask the test is skipped."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def data_dir():
    """Give the folder of the real data sets. Without it the test is skipped."""
    if not (folder := os.environ.get("SKBSQ_DATA_DIR")):
        pytest.skip("SKBSQ_DATA_DIR is not set")
    return Path(folder)


@pytest.fixture
def built_site():
    """Give the folder of the site that `make docs` builds. Without it the test is skipped, and under CI it fails."""
    folder = Path(__file__).parent.parent / "docs" / "_build" / "html"
    if not folder.is_dir():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("The site is not built: make docs.")
    return folder


@pytest.fixture
def ctrl_c_after():
    """Give a function that sends Ctrl-C once, after so many seconds.

    The handler is set because a process that a script starts in the background ignores Ctrl-C.
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
