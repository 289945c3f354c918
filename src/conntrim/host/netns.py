"""Other network namespaces: this thread enters one and comes back.

Sockets and children made inside belong to that namespace. `/proc/sys/net` follows the calling thread, but `/proc/net`
is `/proc/self/net`, which follows the main thread: read `/proc/thread-self/net` instead.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from conntrim.core.model.errors import HostError, InputError

CLONE_NEWNET = 0x40000000
RUN = "/run/netns"
"""Where `ip netns` keeps its names."""

_libc = ctypes.CDLL(None, use_errno=True)


def setns(descriptor: int) -> None:
    """setns(2) for this thread; os.setns came with Python 3.12. HostError without permission."""
    if _libc.setns(descriptor, CLONE_NEWNET):
        raise HostError("setns", os.strerror(ctypes.get_errno()), advice="entering another namespace needs root")


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Be in the namespace `name` (of `ip netns`, or a path); None: stay. InputError where there is none."""
    if name is None:
        yield
        return
    path = name if "/" in name else f"{RUN}/{name}"
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError("--netns", f"no network namespace {name}: {error.strerror}", advice="see ip netns") from error
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(there)
        try:
            yield
        finally:
            setns(here)
    finally:
        os.close(there)
        os.close(here)


@contextmanager
def fresh() -> Iterator[str]:
    """An empty network namespace without a name, as a path for `entered`; it goes when the last in it has gone."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(CLONE_NEWNET):
            raise HostError("unshare", os.strerror(ctypes.get_errno()), advice="a namespace of our own needs root")
        try:
            made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            setns(here)
    finally:
        os.close(here)
    try:
        yield f"/proc/self/fd/{made}"
    finally:
        os.close(made)
