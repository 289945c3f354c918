"""The kernel's table as frames: the beginning of its dump, read again and again."""

from __future__ import annotations

import struct
import time
from contextlib import closing

from conntrim.core.census.panel.reading import PANEL_COLUMNS
from conntrim.core.model.flows import FlowTable, joined
from conntrim.core.model.panel import Frame
from conntrim.host.conntrack_stat import number
from conntrim.host.flows import CT_GET, NETLINK_NETFILTER, NFGENMSG, KernelFlows
from conntrim.host.netlink import NLM_F_DUMP, Netlink, attribute
from conntrim.host.netns import entered

MARK, MARK_MASK = 8, 21
"""CTA_MARK and CTA_MARK_MASK: a dump shows only entries with that mark."""

NOBODYS = 0x9D3C_5A17
"""A mark that no entry has, or next to none."""

RESIZED = "the hash table was resized while it was read: entries may be missing or counted twice"
EXPIRED = "expired entries could not be swept out first: the numbers may be too high by as many as the kernel kept"


class KernelFrames:
    """The table of one network namespace (None: ours), of which each frame holds at least a panel's columns."""

    def __init__(self, netns: str | None = None, columns: frozenset[str] = PANEL_COLUMNS) -> None:
        self._netns, self._columns = netns, columns
        self.source = KernelFlows(netns).source

    def population(self) -> int:
        """The kernel's own count."""
        return KernelFlows(self._netns).population() or 0

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame:
        """See the port."""
        time.sleep(max(0.0, not_before - time.monotonic()))
        swept = settle and self._sweep()
        flows, buckets = KernelFlows(self._netns), self._buckets()
        population = flows.population() or 0
        began, worked = time.monotonic(), time.process_time()
        blocks, whole = self._blocks(flows, rows)
        took, cpu = time.monotonic() - began, time.process_time() - worked
        resized = [RESIZED] * (self._buckets() != buckets)
        remarks = [*flows.remarks, *resized, *[EXPIRED] * (settle and not swept)]
        incomplete = flows.incomplete or bool(resized)
        return Frame(
            began, took, cpu, population, blocks, whole, swept, buckets, tuple(remarks), incomplete
        )  # fmt: skip

    def _blocks(self, flows: KernelFlows, rows: int | None) -> tuple[FlowTable, bool]:
        """So many entries of the dump, and whether there are no more."""
        found: list[FlowTable] = []
        with closing(flows.blocks(self._columns, few=True)) as blocks:
            for block in blocks:
                found.append(block)
                if rows is not None and sum(map(len, found)) >= rows:
                    return joined(found), False
        return joined(found), True

    def _buckets(self) -> int | None:
        with entered(self._netns):
            return number("nf_conntrack_buckets")

    def _sweep(self) -> bool:
        """Let the kernel walk the whole table for a mark that nobody has: a dump takes out what has expired on its way.

        The kernel counts expired entries until it comes across them. Whether it heeded the mark.
        """
        asked = attribute(MARK, struct.pack(">I", NOBODYS)) + attribute(MARK_MASK, struct.pack(">I", 0xFFFF_FFFF))
        with Netlink(NETLINK_NETFILTER, "sweeping the conntrack table", self._netns) as link:
            link.send(CT_GET, NLM_F_DUMP, NFGENMSG + asked)
            return not any(True for _ in link.answers())
