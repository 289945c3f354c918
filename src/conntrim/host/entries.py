"""Keeps the entries of open connections through a trial, and gives them back their windows when it is undone."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.conntrack import TCP_TIMEOUTS, Status, TcpState
from conntrim.core.model.flows import FlowTable, table_of
from conntrim.core.model.policy import Untrack
from conntrim.core.model.protocol import Protocol
from conntrim.core.rollout.alive import (
    BE_LIBERAL,
    MARGIN,
    SACK_PERM,
    TCP_COLUMNS,
    WINDOW_SCALE,
    is_kept,
    is_liberal,
    is_open,
    is_opening,
)  # fmt: skip
from conntrim.core.rollout.stale import Mask, asked_by_source, stale
from conntrim.host import ct_messages as ct
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.flows import NETLINK_NETFILTER, KernelFlows
from conntrim.host.netlink import Netlink, attribute, netlink_error
from conntrim.host.netns import entered
from conntrim.host.sockets import Socket, open_sockets

MAX, SYSCTL = "nf_conntrack_max", "/proc/sys/net/netfilter/"
ROOM = 16
"""A table with less than one part in so many free is left alone: what is deleted might not find a place again."""
TRIES = 50
"""Times that an entry whose place was taken meanwhile is tried again."""
SETTLED = Status.CONFIRMED | Status.SEEN_REPLY | Status.ASSURED


class KernelEntries:
    """The table of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def keep_alive(self, services: Sequence[Untrack], seconds: float) -> int:
        """Let the entries of these services' open connections outlive so many seconds untracked; how many."""
        wanted, changes = int(seconds) + MARGIN, list[bytes]()
        for block, mine in self._of(services):
            opening = is_opening(block)
            needy = (is_open(block) & ~is_kept(block, seconds)) | opening
            for row in np.flatnonzero(mine & needy).tolist():
                changes += _kept(block, row, wanted, bool(opening[row]))
        return self._sent(changes, {errno.ENOENT})

    def renew(self, services: Sequence[Untrack]) -> int:
        """Make anew the entries that `keep_alive` made liberal; how many had to stay as they are."""
        pairs = [
            message
            for block, mine in self._of(services)
            for row in np.flatnonzero(mine & is_liberal(block)).tolist()
            for message in _renewal(block, row)
        ]
        if not pairs or not self._has_room():
            return len(pairs) // 2
        with Netlink(NETLINK_NETFILTER, "making conntrack entries anew", self.netns) as link:
            # Both of a pair in one call of the kernel: a kill comes before it or after it.
            numbers = ct.exchange(link, pairs, 2 * ct.BATCH)[1::2]
            lost = _refused(pairs[1::2], numbers)
            for _ in range(TRIES if lost else 0):
                lost = _refused(lost, ct.exchange(link, lost, ct.BATCH))
        return len(lost)

    def adopt(self, services: Sequence[Untrack]) -> int:
        """Make entries for this host's open TCP connections of these services that have none; how many."""
        if not any(service.protocol == Protocol.TCP for service in services):
            return 0
        found, default = list(open_sockets(self.netns)), TCP_TIMEOUTS[TcpState.ESTABLISHED]
        local, ports = local_addresses(self.netns), local_ports(self.netns)
        seconds, made = self._sysctl(default.key) or default.default, dict[bytes, None]()
        for incoming in (True, False):
            flows = _flows(found, incoming)
            for row in np.flatnonzero(asked_by_source(flows, services, local, ports)).tolist():
                made[ct.Ends.of(flows, row).creation(_adopted(found[row], incoming, seconds))] = None
        return self._sent(list(made), {errno.EEXIST})

    def _of(self, services: Sequence[Untrack]) -> Iterator[tuple[FlowTable, Mask]]:
        """The table, and which entries are these services'."""
        local, ports = local_addresses(self.netns), local_ports(self.netns)
        for block in KernelFlows(self.netns).blocks(TCP_COLUMNS):
            yield block, stale(block, services, local, ports)

    def _sent(self, requests: list[bytes], tolerated: Iterable[int]) -> int:
        """How many were done; HostError on a refusal that is none of these."""
        if not requests:
            return 0
        with Netlink(NETLINK_NETFILTER, "keeping conntrack entries", self.netns) as link:
            numbers = ct.exchange(link, requests, ct.BATCH)
        if bad := set(numbers) - {0, *tolerated}:
            raise netlink_error("keeping conntrack entries", min(bad))
        return numbers.count(0)

    def _has_room(self) -> bool:
        """Whether entries can be made for certain: not where the table is nearly full."""
        most, count = self._sysctl(MAX), KernelFlows(self.netns).population()
        return not most or count is None or count < most - most // ROOM

    def _sysctl(self, name: str) -> int | None:
        with suppress(OSError, ValueError), entered(self.netns), open(SYSCTL + name, encoding="ascii") as file:
            return int(file.read())
        return None


def _refused(requests: Sequence[bytes], numbers: Sequence[int]) -> list[bytes]:
    """The creations that found no place; one that is there has been picked up meanwhile."""
    return [r for r, number in zip(requests, numbers, strict=True) if number not in (0, errno.EEXIST)]


def _kept(flows: FlowTable, row: int, wanted: int, opening: bool) -> Iterator[bytes]:
    """One message; none where nothing is to be changed."""
    what = b""
    if opening:
        what += ct.word(ct.STATUS, int(flows.status[row]) | Status.SEEN_REPLY)
    elif int(flows.timeout[row]) < wanted:
        what += ct.word(ct.TIMEOUT, wanted)
    if int(flows.protocol[row]) == Protocol.TCP:
        # An entry that waits for a SYN/ACK which goes untracked would call all that follows INVALID.
        state = attribute(ct.STATE, bytes([TcpState.SYN_RECV])) if opening else b""
        what += ct.tcp(state, ct.flags(BE_LIBERAL, BE_LIBERAL))
    if what:
        yield ct.Ends.of(flows, row).change(what)


def _renewal(flows: FlowTable, row: int) -> tuple[bytes, bytes]:
    """The old entry's end, and the same connection with its window still to be seen."""
    ends = ct.Ends.of(flows, row)
    original = int(flows.tcp_flags[row]) >> 8, int(flows.scale[row])
    reply = int(flows.reply_tcp_flags[row]) >> 8, int(flows.reply_scale[row])
    what = ct.word(ct.STATUS, int(flows.status[row]) & SETTLED | Status.CONFIRMED)
    what += ct.word(ct.TIMEOUT, max(1, int(flows.timeout[row])))
    what += ct.word(ct.MARK, int(flows.mark[row])) if flows.mark[row] else b""
    return ends.deletion(), ends.creation(what + ct.window(int(flows.state[row]), original, reply))


def _flows(found: Sequence[Socket], incoming: bool) -> FlowTable:
    """Sockets as flows from the peer, or to it."""

    def addresses(numbers: list[int]) -> npt.NDArray[Any]:
        return np.array([(n >> 64, n & (1 << 64) - 1) for n in numbers], np.uint64).reshape(-1, 2)

    here = addresses([s.local for s in found]), np.array([s.port for s in found], np.uint16)
    there = addresses([s.peer for s in found]), np.array([s.peer_port for s in found], np.uint16)
    (src, sport), (dst, dport) = (there, here) if incoming else (here, there)
    family = np.array([s.family for s in found], np.uint8)
    protocol = np.full(len(found), Protocol.TCP, np.uint8)
    filled = {"family": family, "protocol": protocol, "src": src, "sport": sport, "dst": dst, "dport": dport}
    return table_of(len(found), frozenset(filled), filled)


def _adopted(mine: Socket, incoming: bool, seconds: int) -> bytes:
    """An entry of a connection that was opened while untracked."""

    def way(scale: int | None) -> tuple[int, int]:
        return (SACK_PERM, 0) if scale is None else (SACK_PERM | WINDOW_SCALE, scale)

    ours, theirs = way(mine.scale), way(mine.peer_scale)
    left = seconds if mine.established else min(seconds, TCP_TIMEOUTS[TcpState.FIN_WAIT].default)
    ways = (theirs, ours) if incoming else (ours, theirs)
    return ct.word(ct.STATUS, SETTLED) + ct.word(ct.TIMEOUT, left) + ct.window(TcpState.ESTABLISHED, *ways)
