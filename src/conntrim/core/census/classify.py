"""What each entry belongs to, seen from one host: direction, server port, far end; for whole blocks at once.

An entry's origin is local or not, and so is the end that answers it (the reply's source, which differs from the
original destination where NAT is at work). Both local: loopback; origin only: outbound; answerer only: inbound;
neither: forwarded; what others send to a group or a broadcast address comes in. A TCP entry picked up in the middle
from its server's side has the roles exchanged (K13, K14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conntrim.core.census.membership import Ends, Mask, Membership
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.census import Kind, Viewpoint
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import U8, U32, FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.service import Direction, Service

DIRECTIONS = (Direction.FORWARDED, Direction.INBOUND, Direction.OUTBOUND, Direction.LOOPBACK)
"""By their code: 1 if the answering end is local, plus 2 if the origin is."""

UNICAST, BROADCAST, MULTICAST = (np.uint8(number) for number in range(len(Kind)))
"""Codes of `Kind`, in its order."""

WELL_KNOWN, UNPRIVILEGED, FTP_DATA = 512, 1024, 20
"""No client is given a port below 512 (rcmd and NFS take 512 to 1023): it is a server's, except ftp-data, which calls
its client."""


@dataclass(frozen=True, slots=True)
class Classified:
    """Columns of one block: service codes (`unpack_service`), who asks whom, which entries were picked up, codes of
    `Kind`, and which of this host's own questions come from a port outside its range.
    """

    service: U32
    client: Ends
    server: Ends
    outbound: Mask
    picked_up: Mask
    kind: U8
    odd_port: Mask

    @property
    def far(self) -> Ends:
        """The far end: the server of what goes out, else the client."""
        return self.server.where(self.outbound, self.client)


class Classifier:
    """Classifies blocks of one family from one viewpoint."""

    def __init__(self, viewpoint: Viewpoint) -> None:
        local = viewpoint.local | LOOPBACK
        self._local = Membership(local)
        self._first_client_port, last = viewpoint.local_ports
        self._given = (0, 0xFFFF) if viewpoint.inferred or viewpoint.saved else (self._first_client_port, last)
        """The ports that clients on this host are given: of a listing's host all."""

    def __call__(self, block: FlowTable, *, mapped: bool) -> Classified:
        """Classify a block of entries that all are IPv4 (`mapped`) or all are not; it needs the columns of `NEEDS`."""
        origin, answerer = Ends.of(block.src, mapped=mapped), Ends.of(block.reply_src, mapped=mapped)
        kind = kinds(origin, answerer, (block.status & np.uint32(Status.SEEN_REPLY)) == 0)
        from_here, to_here = self._local(origin), self._local(answerer)
        # What anybody sends to a group arrives here.
        to_here |= (kind != UNICAST) & ~from_here
        turned, port = self._picked_up(block), block.dport
        if turned.any():
            port = np.where(turned, block.sport, port)
            from_here, to_here = np.where(turned, to_here, from_here), np.where(turned, from_here, to_here)
            origin, answerer = answerer.where(turned, origin), origin.where(turned, answerer)
        icmp = ICMP[block.protocol]
        if icmp.any():
            port = np.where(icmp, port >> np.uint16(8), port)
        code = (from_here.view(np.uint8) << np.uint8(1) | to_here.view(np.uint8)).astype(np.uint32)
        code = (code << np.uint32(8) | block.protocol) << np.uint32(16) | port * PORTS[block.protocol]
        return Classified(code, origin, answerer, from_here, turned, kind, self._odd_port(block, turned, from_here))

    def _odd_port(self, block: FlowTable, turned: Mask, from_here: Mask) -> Mask:
        """Which clients on this host have a port that it gives to none: such a program chooses its ports itself."""
        port = np.where(turned, block.dport, block.sport)
        odd: Mask = from_here & PORTED[block.protocol]
        odd &= (port < self._given[0]) | (port > self._given[1])
        return odd

    def _picked_up(self, block: FlowTable) -> Mask:
        """TCP past the handshake from a server's port to a client's, and never answered; or from a well-known port."""
        from_server = block.sport < self._first_client_port
        well_known = (block.sport < WELL_KNOWN) & (block.sport != FTP_DATA)
        candidates = (from_server & (block.dport >= self._first_client_port)) | (
            well_known & (block.dport >= UNPRIVILEGED)
        )
        turned: Mask = candidates & (block.protocol == Protocol.TCP)
        if turned.any():
            turned &= well_known | ((block.status & np.uint32(Status.SEEN_REPLY)) == 0)
            turned &= (block.state > TcpState.SYN_RECV) & (block.state < TcpState.SYN_SENT2)
        return turned


def kinds(origin: Ends, answerer: Ends, unreplied: Mask) -> U8:
    """What is addressed, by `Kind`'s codes. A directed broadcast shows only where the network is the origin's /24."""
    if answerer.v4 is not None and origin.v4 is not None:
        multicast = answerer.v4 >> np.uint32(28) == 0xE
        broadcast = answerer.v4 == 0xFFFFFFFF
        own_net = (answerer.v4 & np.uint32(0xFF) == 0xFF) & unreplied
        if own_net.any():
            broadcast |= own_net & (origin.v4 >> np.uint32(8) == answerer.v4 >> np.uint32(8))
        found: U8 = broadcast.view(np.uint8) * BROADCAST + multicast.view(np.uint8) * MULTICAST
        return found
    assert answerer.v6 is not None  # one of the two is there
    in_v6: U8 = (answerer.v6[:, 0] >> np.uint64(56) == 0xFF).view(np.uint8) * MULTICAST
    return in_v6


NEEDS = frozenset({"family", "protocol", "src", "reply_src", "sport", "dport", "state", "status"})

PORTED = np.isin(np.arange(256), list(WITH_PORTS))
"""The protocols whose `sport` is a port."""

ICMP = np.isin(np.arange(256), [Protocol.ICMP, Protocol.ICMPV6])
"""The protocols whose `dport` holds type and code."""

PORTS = np.isin(np.arange(256), [*WITH_PORTS, Protocol.ICMP, Protocol.ICMPV6]).astype(np.uint16)
"""1 where the protocol's `dport` names a service: a port, or an ICMP type; else 0."""


def unpack_service(code: int, servers: Intervals = Intervals()) -> Service:
    """A service code as its value."""
    return Service(DIRECTIONS[code >> 24], code >> 16 & 0xFF, code & 0xFFFF, servers)
