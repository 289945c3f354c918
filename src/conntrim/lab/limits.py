"""The two conntrack sizes that are global to the kernel (K25): changed for a lab run, put back whatever happens."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from conntrim.host.signals import uninterrupted

SYSCTL = "/proc/sys/net/netfilter/"
LOCK = "/run/lock/conntrim-lab"
"""Held while a size is changed: two lab runs at once would put back each other's values. It holds the old values."""


def _read(key: str) -> int:
    with open(SYSCTL + key, encoding="ascii") as file:
        return int(file.read())


def _write(values: dict[str, int]) -> None:
    for key, value in values.items():
        with open(SYSCTL + key, "w", encoding="ascii") as file:
            file.write(str(value))


def _remember(lock: IO[str], values: dict[str, int]) -> None:
    lock.seek(0)
    lock.truncate()
    json.dump(values, lock)
    lock.flush()


@contextmanager
def global_limits(**wanted: int) -> Iterator[None]:
    """With `nf_conntrack_max` (and `nf_conntrack_buckets`) set so; put back at the end.

    Waits while another lab run holds them. The old values stand in the lock file meanwhile: where a run was killed
    before it could put them back, the next one does so first.
    """
    with open(LOCK, "a+", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        _write(json.loads(lock.read() or "{}"))
        before = {key: _read(key) for key in wanted}
        _remember(lock, before)
        try:
            _write(wanted)
            yield
        finally:
            with uninterrupted():
                _write(before)
                _remember(lock, {})
