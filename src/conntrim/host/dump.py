"""A netlink dump in large blocks: many reads a system call, in a thread, so that the kernel and we work side by side.

The kernel makes at most 32 KiB of a dump a read. recvmmsg(2) fetches over a hundred of them at a time without Python
in between, each into a slot of one buffer; the rest of a slot is filled by a message that says nothing, so that a
block is one unbroken chain of messages. While one buffer is decoded the next is filled.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Generator
from queue import SimpleQueue
from threading import Thread

from conntrim.host.netlink import HEADER, NLMSG_DONE, NLMSG_ERROR, Netlink, netlink_error

SLOT = 33 << 10
"""Bytes of a slot: the kernel's 32 KiB, and always room for the header of a filling message."""

BUFFERS = 2
NLMSG_NOOP = 1
MSG_TRUNC, MSG_WAITFORONE = 0x20, 0x10000
FULL = 16 << 10
"""A read of less than this may be the last: it is searched for the end. A longer one can only end with the end."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Msghdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32),
        ("iov", ctypes.POINTER(_Iovec)), ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t), ("flags", ctypes.c_int),
    )  # fmt: skip


class _Mmsghdr(ctypes.Structure):
    _fields_ = (("message", _Msghdr), ("read", ctypes.c_uint))


_libc = ctypes.CDLL(None, use_errno=True)


class _Buffer:
    """Slots for some reads, and the vectors that tell the kernel of them."""

    def __init__(self, slots: int) -> None:
        self.bytes = bytearray(slots * SLOT)
        self.view = memoryview(self.bytes)
        self._base = base = ctypes.addressof((ctypes.c_char * len(self.bytes)).from_buffer(self.bytes))
        self._iovecs = (_Iovec * slots)(*(_Iovec(base + i * SLOT, SLOT) for i in range(slots)))
        self._headers = (_Mmsghdr * slots)()
        for header, iovec in zip(self._headers, self._iovecs, strict=True):
            header.message.iov, header.message.iovlen = ctypes.pointer(iovec), 1

    def fill(self, link: Netlink) -> tuple[int, bool]:
        """Read into the slots: bytes of the block, and whether the dump ended. HostError where the kernel refuses."""
        got = _libc.recvmmsg(link.fileno(), self._headers, len(self._headers), MSG_WAITFORONE, None)
        if got < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        ended = False
        for slot in range(got):
            header, start = self._headers[slot], slot * SLOT
            if header.message.flags & MSG_TRUNC:
                raise netlink_error(link.what, errno.EMSGSIZE)
            read = header.read
            # What an earlier read left there would look like messages of this dump.
            ctypes.memset(self._base + start + read, 0, SLOT - read)
            HEADER.pack_into(self.bytes, start + read, SLOT - read, NLMSG_NOOP, 0, link.seq, link.port)
            ended |= _ends(self.view[start : start + read])
        return got * SLOT, ended


def _ends(read: memoryview) -> bool:
    """Whether the dump's end, or an error in its place, is among the messages of one read."""
    at = 0 if len(read) < FULL else len(read) - HEADER.size - 4
    while at + HEADER.size <= len(read):
        length, kind, _, _, _ = HEADER.unpack_from(read, at)
        if kind in (NLMSG_DONE, NLMSG_ERROR) and length <= HEADER.size * 2 + 64:
            return True
        at += max((length + 3) & ~3, HEADER.size)
    return False


class Overrun:
    """Counts how often the socket's buffer ran over (ENOBUFS)."""

    times = 0


def dump_blocks(link: Netlink, slots: int, overrun: Overrun) -> Generator[memoryview, None, None]:
    """The blocks of a dump that was asked for, each valid until the next is taken; closing it stops the reading."""
    reader = _Reader(link, slots, overrun)
    reader.start()
    try:
        while True:
            got = reader.filled.get()
            if isinstance(got, BaseException):
                raise got
            if got is None:
                return
            buffer, size = got
            yield buffer.view[:size]
            reader.free.put(buffer)
    finally:
        reader.free.put(None)
        reader.join()


class _Reader(Thread):
    """Fills buffers until the dump ends, or until it is handed None instead of a buffer."""

    def __init__(self, link: Netlink, slots: int, overrun: Overrun) -> None:
        super().__init__(name="conntrim-dump", daemon=True)
        self._link, self._overrun = link, overrun
        self.free: SimpleQueue[_Buffer | None] = SimpleQueue()
        self.filled: SimpleQueue[tuple[_Buffer, int] | BaseException | None] = SimpleQueue()
        for _ in range(BUFFERS):
            self.free.put(_Buffer(slots))

    def run(self) -> None:
        """Read to the end; what goes wrong is for the one who waits for blocks."""
        try:
            ended = False
            while not ended and (buffer := self.free.get()) is not None:
                size, ended = self._filled(buffer)
                self.filled.put((buffer, size))
            self.filled.put(None)
        except Exception as error:
            self.filled.put(error)

    def _filled(self, buffer: _Buffer) -> tuple[int, bool]:
        while True:
            try:
                return buffer.fill(self._link)
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    self._overrun.times += 1
                elif error.errno != errno.EINTR:
                    raise netlink_error(self._link.what, error.errno or 0) from error
