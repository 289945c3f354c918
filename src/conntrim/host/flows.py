"""The kernel's own table, by a ctnetlink dump read in blocks: no /proc, no program."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator

import numpy as np

from conntrim.core.model.errors import HostError
from conntrim.core.model.flows import FlowTable
from conntrim.core.parse.ctnetlink import Decoded, Decoder
from conntrim.host.netlink import NLM_F_DUMP, READ, Netlink, attributes, netlink_error

CT_GET, CT_GET_STATS = (1 << 8) | 1, (1 << 8) | 5
"""IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_GET_STATS of NFNL_SUBSYS_CTNETLINK."""

NETLINK_NETFILTER = 12
"""The socket module has no name for it."""

NFGENMSG = b"\0\0\0\0"
"""`struct nfgenmsg`: AF_UNSPEC (both families), version 0, no resource."""

BLOCK = 1 << 20
"""Bytes gathered before they are decoded: enough that NumPy's cost a call vanishes, little enough for the cache."""

REMARKS = {
    "interrupted": "the table changed in shape while it was read: entries may be missing or counted twice",
    "overrun": "the socket's buffer ran over: entries are missing",
    "malformed": "messages of the kernel could not be read",
}


class KernelFlows:
    """The table of one network namespace (None: ours)."""

    bad_lines = 0

    def __init__(self, netns: str | None = None) -> None:
        self._netns = netns
        self._seen: dict[str, None] = {}
        self.source = f"kernel, netns {netns}" if netns else "kernel"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What went wrong, in words."""
        return tuple(REMARKS[seen] for seen in self._seen)

    def population(self) -> int | None:
        """The kernel's own count of this namespace's entries (CTA_STATS_GLOBAL_ENTRIES)."""
        with Netlink(NETLINK_NETFILTER, "reading the entry count", self._netns) as link:
            link.send(CT_GET_STATS, 0, NFGENMSG)
            for _, payload in link.answers():
                count = attributes(payload[4:]).get(1)
                return None if count is None else int(struct.unpack(">I", count)[0])
        return None

    def blocks(self, columns: frozenset[str]) -> Iterator[FlowTable]:
        """Dump the table."""
        with Netlink(NETLINK_NETFILTER, "reading the conntrack table", self._netns) as link:
            link.send(CT_GET, NLM_F_DUMP, NFGENMSG)
            decoder = Decoder(columns, link.seq)
            for block in self._reads(link):
                decoded = decoder.decode(np.frombuffer(block, np.uint8))
                self._note(decoded, link.what)
                yield from decoded.tables
                if decoded.done:
                    return

    def _reads(self, link: Netlink) -> Iterator[memoryview]:
        """Blocks of whole messages, until the caller stops asking; the buffer is used again for the next."""
        buffer = memoryview(bytearray(BLOCK + READ))
        while True:
            filled = 0
            while filled < BLOCK:
                read = self._read(link, buffer[filled : filled + READ])
                filled += read
                # A short read is the dump's last, or the kernel had only little room: decode what is there.
                if read < READ // 4:
                    break
            yield buffer[:filled]

    def _read(self, link: Netlink, buffer: memoryview) -> int:
        while True:
            try:
                return link.receive_into(buffer)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise HostError(f"netlink, {link.what}", os.strerror(error.errno or 0)) from error
                self._seen["overrun"] = None

    def _note(self, decoded: Decoded, what: str) -> None:
        if decoded.error:
            raise netlink_error(what, decoded.error)
        if decoded.interrupted:
            self._seen["interrupted"] = None
        if decoded.malformed:
            self.bad_lines += decoded.malformed
            self._seen["malformed"] = None
