"""Time and memory of a call, and work in a fresh process."""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import processes
from benchmarks.command import CommandError


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the high-water mark cannot be reset")
def test_peak_starts_at_the_reset():
    np.ones(15_000_000)
    result, seconds, megabytes = processes.measured(lambda n: np.ones(n).size, 5_000_000, repeats=2)
    assert result == 5_000_000
    assert 0 < seconds < 10
    assert 39 < megabytes < 60


def test_peak_without_proc(monkeypatch):
    monkeypatch.setattr(processes, "Path", lambda path: Path("/nowhere", path.lstrip("/")))
    assert 100 < processes.peak_mb() < 20_000  # the libraries alone have more than 100 MB


def test_fresh_process():
    assert processes.in_fresh_process(os.getpid) != os.getpid()
    with pytest.raises(CommandError, match=r"process of _exit\(.* died"):
        processes.in_fresh_process(os._exit, status=3)


def test_printed_number():
    assert processes.printed_number("import sys, benchmarks; print(2 * int(sys.stdin.read()))", b"21") == 42
