"""Threads for work that is NumPy's or the kernel's, which let go of the interpreter meanwhile."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

THREADS = 2
"""As many as the interpreter keeps busy; more would only take turns at it."""

SWITCH = 1e-4
"""Seconds after which a thread must let another one have the interpreter. Python's own 5 ms are longer than a block of
work: the thread that could go back to the kernel would wait for all of it, and the two would work one after the other.
"""


def workers(name: str, threads: int = THREADS) -> ThreadPoolExecutor:
    """A pool of them."""
    sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH))
    return ThreadPoolExecutor(threads, name)
