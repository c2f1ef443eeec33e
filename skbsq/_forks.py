"""Whether this process is a fork. Imported with the package, to see also forks that come before torch is needed."""

import os
import sys


class _State:
    in_child = False


def in_child():
    """Whether this process was forked from one that had imported the package, or by multiprocessing."""
    return _State.in_child


def _note_fork():
    _State.in_child = True


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_note_fork)
    process = sys.modules.get("multiprocessing.process")
    _State.in_child = process is not None and type(process.current_process()).__name__ == "ForkProcess"
