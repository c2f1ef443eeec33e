"""Detect forked processes.

The package imports this module first, so that it also detects a fork that happens before torch is imported.
"""

import os
import sys


class _State:
    in_child = False


def in_child():
    """Check whether this process is a fork: of a process that had imported the package, or by multiprocessing."""
    return _State.in_child


def _note_fork():
    _State.in_child = True


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_note_fork)
    process = sys.modules.get("multiprocessing.process")
    _State.in_child = process is not None and type(process.current_process()).__name__ == "ForkProcess"
