"""This kernel's log: the ring buffer, else the journal, else the files syslog writes; or a file the operator names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from conntrim.app.ports.kernel_log import LogExtract
from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.facts import Overflow
from conntrim.core.parse.kernel_log import Kept, overflows
from conntrim.host import programs
from conntrim.host.sources import lines, opened

RING = "/dev/kmsg"
RECORD = 8192
"""The kernel's own bound of a record (PRINTKRB_RECORD_MAX and its predecessors)."""

JOURNAL = ("journalctl", "-k", "-b", "-q", "--no-pager", "-o", "short-iso")
FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/syslog")


class HostKernelLog:
    """Reads logs; see the port."""

    def overflows(self, source: str | None) -> LogExtract:
        """The overflows of a file, or of the first of this kernel's logs that may be read."""
        if source is not None:
            return _extract(lambda kept: _from_file(source, kept), source)
        remarks: list[str] = []
        for name in OWN:
            try:
                return _extract(partial(_own, name), name)
            except (OSError, HostError) as error:
                remarks.append(f"{name}: {error.strerror if isinstance(error, OSError) else error}")
        return LogExtract((), "", (f"the kernel log could not be read: {'; '.join(remarks)}",))


def _own(name: str, kept: Kept) -> tuple[Overflow, ...]:
    return tuple(overflows(OWN[name](), name, kept))


def _extract(read: Callable[[Kept], tuple[Overflow, ...]], name: str) -> LogExtract:
    kept = Kept()
    found = read(kept)
    return LogExtract(found, name, (), kept.suppressed, kept.expect_full)


def _from_file(source: str, kept: Kept) -> tuple[Overflow, ...]:
    try:
        with opened(source) as stream:
            return tuple(overflows(lines(stream, RECORD), source, kept))
    except InputError as error:
        raise InputError(source, error.message, advice="--log takes a kernel log file or -") from error


def _lines(path: str) -> Iterator[str]:
    with open(path, "rb") as file:
        yield from lines(file, RECORD)


def _ring() -> Iterator[str]:
    """The records of the ring buffer, oldest first, as /dev/kmsg writes them."""
    ring = os.open(RING, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                yield os.read(ring, RECORD).decode("utf-8", "replace").partition("\n")[0]
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # records were overwritten before we read them; the next read gives the oldest left
    finally:
        os.close(ring)


def _journal() -> Iterator[str]:
    yield from programs.run(JOURNAL).splitlines()


def _syslog() -> Iterator[str]:
    readable = next((path for path in FILES if os.access(path, os.R_OK)), FILES[0])
    yield from _lines(readable)


OWN: dict[str, Callable[[], Iterator[str]]] = {RING: _ring, "journalctl -k": _journal, "syslog file": _syslog}
"""Logs in the order in which they are tried."""
