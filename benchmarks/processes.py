"""Work in a process that does nothing else, and the memory it takes there."""

import ctypes
import gc
import re
import resource
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from benchmarks.command import CommandError

MB = 1e6


def reset_peak():
    """Start a new high-water mark of this process's memory, and return it: what is held now, in MB.

    Where a system does not offer that, the old mark stays. What `peak_mb` rises by is then too little if more was
    held before than now, which is why the rows are made without a detour.
    """
    gc.collect()
    with suppress(AttributeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)  # free memory that is kept would be used again, unseen
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb():
    """The high-water mark of this process's memory, in MB."""
    status = Path("/proc/self/status")
    mark = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if mark:
        return int(mark[1]) * 1024 / MB
    # The second choice: on Linux it starts from the memory of the process that started this one.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MB


def in_fresh_process(function, **arguments):
    """Call a function in a process of its own.

    Raises
    ------
    CommandError
        If that process dies.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, **arguments).result()
        except BrokenProcessPool as error:
            raise CommandError(
                f"The process of {function.__name__}({arguments}) died, most likely because memory ran out: measure "
                "less. A rerun goes on here."
            ) from error


def printed_number(code, given):
    """Run code in a new interpreter, and return the number that it prints.

    Parameters
    ----------
    code : str
    given : bytes
        Its standard input.

    Returns
    -------
    float
    """
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], input=given, stdout=subprocess.PIPE, check=True, cwd=root)
    return float(done.stdout)
