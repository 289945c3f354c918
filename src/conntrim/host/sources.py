"""Files that the operator names, or `-`, read within bounds of time and size: pipes too, but no devices."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from conntrim.core.model.errors import InputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PATIENCE = 60.0
"""Seconds for which a pipe may be silent: a FIFO that nobody writes to would hold us for ever."""
AT_TERMINAL = 3600.0
"""Seconds for standard input: a person may be pasting, or typing a password for what feeds the pipe."""
PIECE = 1 << 20
ENDLESS = 64 << 30
"""Bytes that are no file any more, but a pipe whose writer never ends."""


class Patient(io.RawIOBase):
    """A descriptor as a raw stream that ends in TimeoutError where nothing comes for too long."""

    def __init__(self, descriptor: int, patience: float) -> None:
        self.descriptor, self.patience, self.left = descriptor, patience, ENDLESS
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Some bytes, 0 at the end."""
        end = time.monotonic() + self.patience
        while True:
            if not self._poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError(0, f"nothing came within {self.patience:g} s")
            try:
                count = os.readv(self.descriptor, [buffer])
            except BlockingIOError:
                continue
            self.left -= count
            if self.left < 0:
                raise OSError(errno.EFBIG, f"more than {ENDLESS >> 30} GiB, and no end")
            return count

    def close(self) -> None:
        """Close the descriptor with it."""
        if not self.closed:
            os.close(self.descriptor)
        super().close()


@contextmanager
def opened(path: str, patience: float | None = None) -> Iterator[io.BufferedReader[Patient]]:
    """The file as a stream of bytes. InputError, also for what fails while it is read."""
    try:
        with io.BufferedReader(_raw(path, patience), PIECE) as stream:
            yield stream
    except OSError as error:
        raise InputError(path, error.strerror or str(error), advice="is the name right?") from error


def _raw(path: str, patience: float | None) -> Patient:
    if path == "-":
        return Patient(os.dup(sys.stdin.fileno()), AT_TERMINAL if patience is None else patience)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if why := _refused(os.fstat(descriptor)):
            raise InputError(path, why, advice="name a file or a pipe")
    except BaseException:
        os.close(descriptor)
        raise
    return Patient(descriptor, PATIENCE if patience is None else patience)


def regular(path: str) -> bool:
    """Whether there is a regular file of that name: to look into anything else would take away what is read."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _refused(status: os.stat_result) -> str:
    """A device may have no end, or do something when it is read. /dev/null has an end."""
    if stat.S_ISDIR(status.st_mode):
        return "a directory, not a file"
    null = stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)
    device = stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return "a device, not a file" if device and not null else ""


def read_whole(path: str, largest: int, what: str, patience: float | None = None) -> bytes:
    """All of it. InputError where it is larger than any such file is."""
    with opened(path, patience) as stream:
        parts, size = [], 0
        while size <= largest and (part := stream.read1(PIECE)):
            parts.append(part)
            size += len(part)
    if size > largest:
        bound = f"{largest >> 20} MiB" if largest >= 1 << 20 else f"{largest >> 10} KiB"
        raise InputError(path, f"more than {bound}", advice=f"this is no {what}")
    return b"".join(parts)


def lines(stream: BinaryIO, longest: int) -> Iterator[str]:
    """Lines of text, each the first `longest` bytes of it; what is no UTF-8 becomes a replacement character."""
    begins = True
    while part := stream.readline(longest):
        if begins:
            yield part.decode("utf-8", "replace")
        begins = part.endswith(b"\n")
