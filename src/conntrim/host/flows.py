"""The kernel's own table, by a ctnetlink dump read in blocks: no /proc, no program."""

from __future__ import annotations

import struct
from collections.abc import Generator
from contextlib import closing

from conntrim.core.model.flows import FlowTable
from conntrim.core.parse.ctnetlink import Decoded, Decoder
from conntrim.host.dump import Trouble, dump_blocks
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attributes, netlink_error

CT_GET, CT_GET_STATS = (1 << 8) | 1, (1 << 8) | 5
"""IPCTNL_MSG_CT_GET and IPCTNL_MSG_CT_GET_STATS of NFNL_SUBSYS_CTNETLINK."""

NETLINK_NETFILTER = 12
"""The socket module has no name for it."""

NFGENMSG = b"\0\0\0\0"
"""`struct nfgenmsg`: AF_UNSPEC (both families), version 0, no resource."""

SLOTS = 62
"""Reads of 32 KiB that are decoded at once, 2 MB: a core's cache holds it, and NumPy's cost a call is small."""

FEW_SLOTS = 16
"""The same for a reading that may stop early."""

REMARKS = {
    "interrupted": "the table changed in shape while it was read: entries may be missing or counted twice",
    "overrun": "the socket's buffer ran over: entries are missing",
    "stalled": "the kernel stopped sending before the end of the dump: entries are missing",
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

    @property
    def incomplete(self) -> bool:
        """Whether anything went wrong."""
        return bool(self._seen)

    def population(self) -> int | None:
        """The kernel's own count of this namespace's entries (CTA_STATS_GLOBAL_ENTRIES)."""
        with Netlink(NETLINK_NETFILTER, "reading the entry count", self._netns) as link:
            link.send(CT_GET_STATS, 0, NFGENMSG)
            for _, payload in link.answers():
                count = attributes(payload[4:]).get(1)
                return None if count is None else int(struct.unpack(">I", count)[0])
        return None

    def blocks(self, columns: frozenset[str], *, few: bool = False) -> Generator[FlowTable, None, None]:
        """Dump the table."""
        trouble = Trouble()
        with Netlink(NETLINK_NETFILTER, "reading the conntrack table", self._netns) as link:
            link.send(CT_GET, NLM_F_DUMP, NFGENMSG)
            decoder = Decoder(columns, link.seq)
            with closing(dump_blocks(link, FEW_SLOTS if few else SLOTS, trouble, decoder.decode)) as blocks:
                for decoded in blocks:
                    self._note(decoded, link.what, trouble)
                    if few:
                        # Together and in order: a small block is compared with its neighbours, as a sample must be,
                        # and a later reading is compared with it from the beginning of the dump on.
                        yield decoded.in_order()
                    else:
                        yield from decoded.tables

    def _note(self, decoded: Decoded, what: str, trouble: Trouble) -> None:
        if decoded.error:
            raise netlink_error(what, decoded.error)
        for name in ("overrun", "stalled"):
            if getattr(trouble, name):
                self._seen[name] = None
        if decoded.interrupted:
            self._seen["interrupted"] = None
        if decoded.malformed:
            self.bad_lines += decoded.malformed
            self._seen["malformed"] = None
