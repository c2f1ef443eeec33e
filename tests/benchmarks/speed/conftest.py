"""Measurements without the slow parts, which `test_processes` tests."""

import pickle

import pytest

from benchmarks import processes
from benchmarks.speed import chunks, cost, scale


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Calls that would run in a fresh process; they run here, on an old high-water mark."""

    def call(function, **arguments):
        pickle.dumps((function, arguments))  # a fresh process could receive them
        calls.append(arguments)
        return function(**arguments)

    calls = []
    monkeypatch.setattr(processes, "reset_peak", processes.peak_mb)
    for module in (chunks, cost, scale):
        monkeypatch.setattr(module, "in_fresh_process", call)
    return calls
