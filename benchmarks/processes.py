"""Time and memory of a call, and work in a fresh process."""

import ctypes
import gc
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from benchmarks.command import CommandError

MB = 1e6


def timed(function, *arguments):
    """Call a function, and return its result and the seconds it took."""
    start = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - start


def reset_peak():
    """Start a new high-water mark of the memory of this process, and return the memory in use, in MB.

    Where the system does not offer this, the old mark stays. The rise of `peak_mb` is then too small if the process
    held more memory earlier, so callers make their rows without temporary copies.
    """
    gc.collect()
    with suppress(AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)  # otherwise the call could reuse freed memory, which the mark does not show
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb():
    """Return the high-water mark of the memory of this process, in MB."""
    status = Path("/proc/self/status")
    mark = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if mark:
        return int(mark[1]) * 1024 / MB
    # The second choice: on Linux it starts from the memory of the parent process.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MB


def measured(function, *arguments, repeats=1):
    """Measure a call in this process.

    Returns
    -------
    result : object
    seconds : float
        Of the fastest call.
    mb : float
        Memory at its peak, above the memory held before, in MB.
    """
    seconds, held = [], reset_peak()
    for _ in range(repeats):
        result = None  # freed first: the peak must not hold two results
        result, of_call = timed(function, *arguments)
        seconds.append(of_call)
    return result, min(seconds), peak_mb() - held


def in_fresh_process(function, **arguments):
    """Call a function in a new process.

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
                "smaller cases. A rerun continues from here."
            ) from error


def printed_number(code, given):
    """Run code in a new interpreter, and return the number that it prints.

    Parameters
    ----------
    code : str
    given : bytes
        Standard input of the code.

    Returns
    -------
    float
    """
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], input=given, stdout=subprocess.PIPE, check=True, cwd=root)
    return float(done.stdout)
