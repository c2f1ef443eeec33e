"""Threads of torch in forked processes."""

from contextlib import contextmanager

import torch

from skbsq import _forks


@contextmanager
def serial_after_fork():
    """Run torch on one thread in a forked process.

    A fork copies the memory of the parent, but not the threads that torch has started there. Every parallel operation,
    however small, would wait for them forever.

    Examples
    --------
    >>> import torch
    >>> from skbsq.nn.threads import serial_after_fork
    >>> with serial_after_fork():
    ...     float(torch.ones(3).sum())
    3.0
    """
    n_threads = torch.get_num_threads() if _forks.in_child() else 1
    if n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
