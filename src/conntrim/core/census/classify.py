"""What each entry belongs to, seen from one host: direction, server port, far end; for whole blocks at once.

An entry's origin is local or not, and so is the end that answers it (the reply's source, which differs from the
original destination where NAT is at work). Both local: loopback; origin only: outbound; answerer only: inbound;
neither: forwarded. A TCP entry picked up in the middle from its server's side has the roles exchanged (K13, K14).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.census import Viewpoint
from conntrim.core.model.conntrack import Status, TcpState
from conntrim.core.model.flows import U32, U64, FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.service import Direction, Service

DIRECTIONS = (Direction.FORWARDED, Direction.INBOUND, Direction.OUTBOUND, Direction.LOOPBACK)
"""By their code: 1 if the answering end is local, plus 2 if the origin is."""

LOOPBACK = Intervals.union_of((parse_prefix("127.0.0.0/8"), parse_prefix("::1")))
GROUPS = Intervals.union_of((parse_prefix("224.0.0.0/4"), parse_prefix("255.255.255.255"), parse_prefix("ff00::/8")))
"""Multicast and broadcast: what a stranger sends there arrives here."""

WELL_KNOWN, UNPRIVILEGED, FTP_DATA = 512, 1024, 20
"""No client is given a port below 512 (rcmd and NFS take 512 to 1023): it is a server's, except ftp-data, which calls
its client."""

HALF = (1 << 64) - 1
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Classified:
    """Columns of one block: service codes (`pack_service`), far ends uint64[n, 2], and which were picked up."""

    service: U32
    far: U64
    picked_up: Mask


class Classifier:
    """Classifies blocks from one viewpoint."""

    def __init__(self, viewpoint: Viewpoint) -> None:
        local = viewpoint.local | LOOPBACK
        self._origin, self._answerer = _Membership(local), _Membership(local | GROUPS)
        self._first_client_port = viewpoint.local_ports[0]

    def __call__(self, block: FlowTable) -> Classified:
        """Classify one block; it needs the columns of `NEEDS`."""
        from_here, to_here = self._origin(block.src), self._answerer(block.reply_src)
        turned = self._picked_up(block)
        direction = from_here.astype(np.uint32) * 2 + to_here
        port = np.where(turned, block.sport, block.dport).astype(np.uint32)
        if turned.any():
            direction = np.where(turned, to_here.astype(np.uint32) * 2 + from_here, direction)
        icmp = (block.protocol == Protocol.ICMP) | (block.protocol == Protocol.ICMPV6)
        if icmp.any():
            port = np.where(icmp, port >> np.uint32(8), port)
        portless = ~PORTS[block.protocol]
        if portless.any():
            port[portless] = 0
        service = direction << np.uint32(24) | block.protocol.astype(np.uint32) << np.uint32(16) | port
        # The far end is the origin of what comes in or passes through, and the answerer of what goes out.
        at_origin = ((direction & 2) == 0) ^ turned
        far = np.where(at_origin[:, None], block.src, block.reply_src)
        return Classified(service, far, turned)

    def _picked_up(self, block: FlowTable) -> Mask:
        """TCP past the handshake from a server's port to a client's, and never answered; or from a well-known port."""
        unanswered = (block.sport < self._first_client_port) & (block.dport >= self._first_client_port)
        unanswered &= (block.status & np.uint32(Status.SEEN_REPLY)) == 0
        well_known = (block.sport < WELL_KNOWN) & (block.dport >= UNPRIVILEGED) & (block.sport != FTP_DATA)
        turned: Mask = (unanswered | well_known) & (block.protocol == Protocol.TCP)
        turned &= (block.state > TcpState.SYN_RECV) & (block.state < TcpState.SYN_SENT2)
        return turned


NEEDS = frozenset({"protocol", "src", "reply_src", "sport", "dport", "state", "status"})

PORTS = np.zeros(256, np.bool_)
"""Which protocols' `dport` names a service: a port, or an ICMP type."""
PORTS[[*WITH_PORTS, Protocol.ICMP, Protocol.ICMPV6]] = True


class _Membership:
    """Which addresses of a column, uint64[n, 2], are in a set."""

    def __init__(self, addresses: Intervals) -> None:
        self._bounds = [tuple(np.uint64(b >> s & HALF) for b in r for s in (64, 0)) for r in addresses.ranges]

    def __call__(self, column: U64) -> Mask:
        high, low = column[:, 0], column[:, 1]
        inside = np.zeros(len(column), np.bool_)
        for low_high, low_low, high_high, high_low in self._bounds:
            if low_high == high_high:
                found = low == low_low if low_low == high_low else (low >= low_low) & (low <= high_low)
                inside |= found & (high == low_high)
            else:
                above = (high > low_high) | ((high == low_high) & (low >= low_low))
                inside |= above & ((high < high_high) | ((high == high_high) & (low <= high_low)))
        return inside


def unpack_service(code: int, servers: Intervals = Intervals()) -> Service:
    """A service code as its value."""
    return Service(DIRECTIONS[code >> 24], code >> 16 & 0xFF, code & 0xFFFF, servers)
