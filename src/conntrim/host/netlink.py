"""A netlink socket of our own: requests, their answers as messages or as raw blocks, and what went wrong, in words."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from types import TracebackType

from conntrim.core.model.errors import HostError
from conntrim.host.netns import entered

HEADER = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length with the header, type, flags, sequence number, port."""

ATTRIBUTE = struct.Struct("=HH")
"""`struct nlattr`: length with the header, type."""

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12
READ = 1 << 16
"""Bytes offered to one read; the kernel fills at most 32 KiB of a dump at a time (K34)."""

PATIENCE = 10
"""Seconds that one read may take; the kernel answers a dump within milliseconds."""

ADVICE: dict[int, str] = {
    errno.EPERM: "this needs root (CAP_NET_ADMIN)",
    errno.EPROTONOSUPPORT: "this kernel lacks that netlink family: modprobe nf_conntrack_netlink",
    errno.EINVAL: "this kernel may lack nf_conntrack_netlink: modprobe nf_conntrack_netlink",
    errno.EAGAIN: f"the kernel gave no answer within {PATIENCE} s",
    errno.EOPNOTSUPP: "this kernel does not offer it",
}


def netlink_error(what: str, number: int) -> HostError:
    """The kernel's error number as an error for the operator."""
    return HostError(f"netlink, {what}", os.strerror(number), advice=ADVICE.get(number, ""))


class Netlink:
    """One netlink socket in the namespace `netns` (None: ours); `what` names the purpose in errors."""

    def __init__(self, family: int, what: str, netns: str | None = None) -> None:
        self.what, self.seq = what, int.from_bytes(os.urandom(4), "little") | 1
        try:
            with entered(netns):
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
            self._socket.bind((0, 0))
        except OSError as error:
            raise netlink_error(what, error.errno or 0) from error
        # SO_RCVTIMEO and not settimeout(), which would make the socket non-blocking for recvmmsg too.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", PATIENCE, 0))
        self.port: int = self._socket.getsockname()[0]

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def strict(self) -> None:
        """Let the kernel heed the filters of a dump request (since 4.20; older ones ignore them)."""
        try:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)
        except OSError:
            return

    def send(self, kind: int, flags: int, payload: bytes) -> None:
        """Send one request."""
        self.send_raw(HEADER.pack(HEADER.size + len(payload), kind, NLM_F_REQUEST | flags, self.seq, 0) + payload)

    def send_raw(self, messages: bytes) -> None:
        """Send messages that are packed already."""
        try:
            self._socket.send(messages)
        except OSError as error:
            raise netlink_error(self.what, error.errno or 0) from error

    def receive_into(self, buffer: memoryview) -> int:
        """Read once; the number of bytes. OSError as recv(2) has it (ENOBUFS: the socket's buffer ran over)."""
        try:
            read, _, flags, _ = self._socket.recvmsg_into([buffer])
        except BlockingIOError as error:
            raise HostError(f"netlink, {self.what}", f"no answer within {PATIENCE} s") from error
        if flags & socket.MSG_TRUNC:
            raise HostError(f"netlink, {self.what}", f"an answer was longer than the {len(buffer)} bytes of its buffer")
        return read

    def answers(self) -> Iterator[tuple[int, bytes]]:
        """Type and payload of each answer, up to the end of a dump or an acknowledgement. HostError on an error."""
        buffer = bytearray(READ)
        while True:
            read = self.receive_into(memoryview(buffer))
            for kind, payload in messages(bytes(buffer[:read])):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", payload)[0]
                    if number:
                        raise netlink_error(self.what, number)
                    return
                yield kind, payload


def messages(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and payload of each message in a block."""
    at = 0
    while at + HEADER.size <= len(block):
        length, kind, _, _, _ = HEADER.unpack_from(block, at)
        if length < HEADER.size:
            return
        yield kind, block[at + HEADER.size : at + length]
        at += (length + 3) & ~3


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded; the opposite of `attributes`."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def attributes(payload: bytes) -> dict[int, bytes]:
    """The attributes of one level, by type."""
    found, at = {}, 0
    while at + ATTRIBUTE.size <= len(payload):
        length, kind = ATTRIBUTE.unpack_from(payload, at)
        if length < ATTRIBUTE.size:
            break
        found[kind & 0x3FFF] = payload[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found
