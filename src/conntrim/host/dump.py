"""A netlink dump in large blocks: many reads a system call, in a thread, so that the kernel and we work side by side.

The kernel makes at most 32 KiB of a dump a read. recvmmsg(2) fetches many of them at a time without Python in between,
each into a slot of one buffer; the rest of a slot is filled by a message that says nothing, so that a block is one
unbroken chain of messages. While one buffer is decoded the next ones are filled.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from conntrim.host.netlink import HEADER, NLMSG_DONE, NLMSG_ERROR, netlink_error
from conntrim.host.workers import workers

SLOT = 33 << 10
"""Bytes of a slot: the kernel's 32 KiB, and always room for the header of a filling message."""

TAIL = 2 << 10
"""Bytes at the end of every slot that are cleared before a read: what an earlier read left there would look like
messages of this dump. The kernel leaves less of its 32 KiB unused than that, but for the last read."""

BUFFERS = 3
"""One is decoded, one is filled, and one is ready where either was faster."""

NLMSG_NOOP = 1
MSG_TRUNC, MSG_WAITFORONE = 0x20, 0x10000
FULL = 16 << 10
"""A read of less than this may be the last: it is searched for the end. A longer one can only end with the end."""

Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")


IOVEC = np.dtype([("base", np.uintp), ("length", np.uintp)], align=True)
MSGHDR = np.dtype(
    [("name", np.uintp), ("namelen", np.uint32), ("iov", np.uintp), ("iovlen", np.uintp),
     ("control", np.uintp), ("controllen", np.uintp), ("flags", np.intc)],
    align=True,
)  # fmt: skip
MMSGHDR = np.dtype([("message", MSGHDR), ("read", np.uintc)], align=True)

_libc = ctypes.CDLL(None, use_errno=True)


class Link(Protocol):
    """What a dump needs of a socket; `Netlink` is one."""

    what: str
    seq: int

    def fileno(self) -> int:
        """The descriptor."""


class _Buffer:
    """Slots for some reads, and the vectors that tell the kernel of them."""

    def __init__(self, slots: int) -> None:
        self.bytes: Bytes = np.zeros(slots * SLOT, np.uint8)
        self._words = self.bytes.view(np.uint32)
        self._tails = self.bytes.reshape(slots, SLOT)[:, -TAIL:]
        self._iovecs, self._headers = np.zeros(slots, IOVEC), np.zeros(slots, MMSGHDR)
        self._iovecs["base"], self._iovecs["length"] = self.bytes.ctypes.data + np.arange(slots) * SLOT, SLOT
        message = self._headers["message"]
        message["iov"], message["iovlen"] = self._iovecs.ctypes.data + np.arange(slots) * IOVEC.itemsize, 1
        self._flags, self._read = message["flags"], self._headers["read"]
        self._vector = ctypes.c_void_p(self._headers.ctypes.data)
        self._got = 0

    def fill(self, link: Link) -> bool:
        """Read into the slots; whether the dump ended. OSError as recvmmsg(2) has it.

        The kernel waits for this thread meanwhile: what can be done elsewhere is done in `block` and `clear`.
        """
        self._got = 0
        got = _libc.recvmmsg(link.fileno(), self._vector, len(self._headers), MSG_WAITFORONE, None)
        if got < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._got = got
        last = (got - 1) * SLOT
        return _ends(self.bytes[last : last + int(self._read[got - 1])].tobytes())

    def block(self, link: Link) -> Bytes:
        """What was read, as one chain of messages."""
        got = self._got
        if (self._flags[:got] & MSG_TRUNC).any():
            raise netlink_error(link.what, errno.EMSGSIZE)
        read = self._read[:got].astype(np.intp)
        for slot in np.flatnonzero(read < SLOT - TAIL).tolist():
            self.bytes[slot * SLOT + read[slot] : (slot + 1) * SLOT] = 0
        rest = (np.arange(got) * SLOT + read) >> 2
        self._words[rest], self._words[rest + 1], self._words[rest + 2] = SLOT - read, NOOP, link.seq
        return self.bytes[: got * SLOT]

    def clear(self) -> None:
        """Make it ready for the next reads."""
        self._tails[:] = 0


NOOP = np.uint32(struct.unpack("=I", struct.pack("=HH", NLMSG_NOOP, 0))[0])
"""The word of `nlmsg_type` and `nlmsg_flags` of a filling message."""


def _ends(read: bytes) -> bool:
    """Whether the dump's end, or an error in its place, is among the messages of the last read."""
    at = 0 if len(read) < FULL else len(read) - HEADER.size - 4
    while at + HEADER.size <= len(read):
        length, kind, _, _, _ = HEADER.unpack_from(read, at)
        if kind in (NLMSG_DONE, NLMSG_ERROR) and length <= HEADER.size * 2 + 64:
            return True
        at += max((length + 3) & ~3, HEADER.size)
    return False


@dataclass(slots=True)
class Trouble:
    """What went wrong in a dump that was used all the same: the socket's buffer ran over (ENOBUFS), or the kernel gave
    no more answer before the end.
    """

    overrun: bool = False
    stalled: bool = False


def dump_blocks(link: Link, slots: int, trouble: Trouble, decode: Callable[[Bytes], T]) -> Generator[T, None, None]:
    """What `decode` makes of each block of a dump that was asked for, in their order; it must keep nothing of the
    block itself. Closing stops the reading.
    """
    reader = _Reader(link, slots, trouble)
    try:
        while buffer := reader.filled.get():
            made = decode(buffer.block(link))
            buffer.clear()
            reader.free.put(buffer)
            yield made
        reader.ended.result()
    finally:
        reader.close()


class _Reader:
    """The thread that fills buffers; `filled` are they in their order, None at the end; `free` those done with."""

    def __init__(self, link: Link, slots: int, trouble: Trouble) -> None:
        self._link, self._trouble, self._closed = link, trouble, False
        self._thread = workers("conntrim-dump", 1)
        self.filled: SimpleQueue[_Buffer | None] = SimpleQueue()
        self.free: SimpleQueue[_Buffer] = SimpleQueue()
        for _ in range(BUFFERS):
            self.free.put(_Buffer(slots))
        self.ended = self._thread.submit(self._read)

    def close(self) -> None:
        """Stop reading, wait for the thread."""
        self._closed = True
        # It may be waiting for a buffer; that it gets one lets it see that it is over.
        self.free.put(_Buffer(1))
        self._thread.shutdown()

    def _read(self) -> None:
        """Fill buffers up to the end of the dump, or of what the kernel sends of it."""
        begun = ended = False
        try:
            while not ended:
                buffer = self.free.get()
                ended = self._fill(buffer, begun)
                begun = True
                self.filled.put(buffer)
        finally:
            self.filled.put(None)

    def _fill(self, buffer: _Buffer, begun: bool) -> bool:
        """Fill one; whether nothing follows. It stays empty where the kernel, once begun, sends no more."""
        while not self._closed:
            try:
                return buffer.fill(self._link)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._trouble.overrun = True
                elif error.errno == errno.EAGAIN and begun:
                    self._trouble.stalled = True
                    break
                elif error.errno != errno.EINTR:
                    raise netlink_error(self._link.what, error.errno or 0) from error
        return True
