"""The two conntrack sizes that are global to the kernel (K25): changed for a lab run, put back whatever happens."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SYSCTL = "/proc/sys/net/netfilter/"
LOCK = "/run/lock/conntrim-lab"
"""Held while a size is changed: two lab runs at once would put back each other's values."""


def _read(key: str) -> str:
    with open(SYSCTL + key, encoding="ascii") as file:
        return file.read().strip()


def _write(key: str, value: str) -> None:
    with open(SYSCTL + key, "w", encoding="ascii") as file:
        file.write(value)


def _leave(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def global_limits(**wanted: int) -> Iterator[None]:
    """With `nf_conntrack_max` (and `nf_conntrack_buckets`) set so; put back at the end, on SIGTERM and SIGHUP too."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = {key: _read(key) for key in wanted}
        handlers = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            for key, value in wanted.items():
                _write(key, str(value))
            yield
        finally:
            for key, old in before.items():
                _write(key, old)
            for number, handler in handlers.items():
                signal.signal(number, handler)
