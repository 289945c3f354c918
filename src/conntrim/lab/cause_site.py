"""A gateway between two networks, for causes: real sockets and made-up packets fill its table (K40).

Any address of 203.0.112.0/20 is behind `outside`, any of 10.20.0.0/16 and 10.96.0.0/12 behind `inside`; a raw socket on
either side speaks for all of them, and with `alive` the side's own sockets do.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from conntrim.core.model.address import MAPPED, Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.wire import Numbers, build

GATEWAY, OUTER, INNER = "192.0.2.18", "192.0.2.1", "10.21.0.2"
"""The gateway's outer address, and the next hops on either side."""

INSIDE, OUTSIDE = parse_address("10.20.0.0"), parse_address("203.0.112.0")

PLAIN = "table ip t { chain passing { type filter hook forward priority 0; ct state invalid counter; }\n" \
    "chain in { type filter hook input priority 0; ct state invalid counter; }\n}\n"  # fmt: skip
"""Tracking on, nothing translated."""

NAT = (
    PLAIN
    + """table ip n {
  chain pre { type nat hook prerouting priority dstnat
    ip daddr 10.96.0.10 udp dport 53 dnat to 10.20.200.3
  }
  chain post { type nat hook postrouting priority srcnat
    oif "eth0" ip saddr 10.20.0.0/16 masquerade
  }
}
"""
)

LONGER = dict.fromkeys(
    ("udp_timeout", *(f"tcp_timeout_{state}" for state in
                      ("syn_sent", "syn_recv", "fin_wait", "last_ack", "time_wait", "close"))), 600,
)  # fmt: skip
"""Time-outs in seconds, so that a slow machine has filled the table before the first entries go."""

SYN, ACK, FIN = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN
Step = tuple[bool, int, int, int]
"""Whether the client sends, the flags, and how far sequence numbers of sender and receiver are."""

OPENED: tuple[Step, ...] = ((True, SYN, 0, 0), (False, SYN | ACK, 0, 1), (True, ACK, 1, 1))
LEFT_OPEN: tuple[Step, ...] = (*OPENED, (True, FIN | ACK, 1, 1), (False, ACK, 1, 2))
"""The client closes, the server does not."""
CHALLENGED: tuple[Step, ...] = ((True, SYN, 0, 0), (False, ACK, 0, 1))
"""The answer to a SYN is no SYN/ACK, but an acknowledgement of an older connection (RFC 5961) or of a middlebox."""
LAST_ACK: tuple[Step, ...] = (*LEFT_OPEN, (False, FIN | ACK, 1, 2))
CLOSED: tuple[Step, ...] = (*LAST_ACK, (True, ACK, 2, 2))
FIRST = 1_000


@dataclass(frozen=True, slots=True)
class Flow:
    """Who asks whom; addresses as 128-bit numbers."""

    client: int
    server: int
    sport: int
    dport: int


class Wire:
    """A raw socket in a host: packets from whatever address."""

    def __init__(self, host: LabHost) -> None:
        with entered(host.name):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)

    def send(self, packet: Packet, seq: int = 0, ack: int = 0) -> None:
        """One packet."""
        target = socket.inet_ntoa(struct.pack(">I", packet.dst & 0xFFFFFFFF))
        self._socket.sendto(build(packet, Numbers(seq=seq, ack=ack)), (target, 0))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass(slots=True)
class Site:
    """The gateway and the two sides; `nat`: the gateway translates what inner clients send."""

    gateway: LabHost
    inside: LabHost
    outside: LabHost
    wires: dict[str, Wire]
    nat: bool = False

    def rules(self, more: str = "", *, nat: bool) -> None:
        """Other rules, and an empty table."""
        self.nat, text = nat, (NAT if nat else PLAIN) + more
        self.gateway.run("nft", "flush", "ruleset")
        self.gateway.run("nft", "-f", "-", text=text)
        self.gateway.run("conntrack", "-F")

    def alive(self, *, on: bool) -> None:
        """Let the sockets of the outer side answer for all its addresses, or nobody."""
        if on:
            self.outside.run("ip", "route", "replace", "local", "203.0.112.0/20", "dev", "lo")
        else:
            self.outside.run("ip", "route", "flush", "root", "203.0.112.0/20", "table", "local")

    def tcp(self, flows: Iterable[Flow], steps: Sequence[Step], *, only: bool | None = None) -> None:
        """Forwarded connections; `only` one side's packets are sent."""
        for flow in flows:
            for client, flags, near, far in steps:
                if only is None or client is only:
                    packet = _packet(Protocol.TCP, flow, client=client, nat=self.nat, flags=int(flags))
                    self._wire(flow, client).send(packet, FIRST + near, FIRST + far if flags & ACK else 0)

    def udp(self, flows: Iterable[Flow], *, answered: int = 1) -> None:
        """Forwarded questions, every so many of them answered (0: none)."""
        for number, flow in enumerate(flows):
            self._wire(flow, True).send(_packet(Protocol.UDP, flow, client=True, nat=self.nat))
            if answered and number % answered == 0:
                self._wire(flow, False).send(_packet(Protocol.UDP, flow, client=False, nat=self.nat))

    def _wire(self, flow: Flow, client: bool) -> Wire:
        end = flow.client if client else flow.server
        return self.wires["inside" if INSIDE - (1 << 24) <= end < INSIDE + (1 << 24) else "outside"]


def _packet(protocol: int, flow: Flow, *, client: bool, nat: bool, flags: int | None = None) -> Packet:
    if client:
        return Packet(Family.IPV4, protocol, flow.client, flow.server, flow.sport, flow.dport, flags)
    back = parse_address(GATEWAY) if nat else flow.client
    return Packet(Family.IPV4, protocol, flow.server, back, flow.dport, flow.sport, flags)


def inside(number: int) -> int:
    """An inner client."""
    return INSIDE + 256 + number


def outside(number: int) -> int:
    """An outer address."""
    return OUTSIDE + 1 + number % 4_000


def text(address: int) -> str:
    """An IPv4 address as sockets want it."""
    return socket.inet_ntoa(struct.pack(">I", address - MAPPED))


@contextmanager
def cause_site() -> Iterator[Site]:
    """The three hosts, wired; gone at the end."""
    with ExitStack() as stack:
        gateway, inner, outer = (stack.enter_context(lab_host(name)) for name in ("gateway", "inside", "outside"))
        for host, device, ours, theirs in ((outer, "eth0", GATEWAY, OUTER), (inner, "eth1", "10.21.0.1", INNER)):
            host.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", device, "netns", gateway.name)
            for each, name, address in ((gateway, device, ours), (host, "eth0", theirs)):
                each.run("ip", "address", "add", f"{address}/24", "broadcast", "+", "dev", name)
                each.run("ip", "link", "set", name, "up")
            host.run("ip", "route", "add", "default", "via", ours)
            host.sysctl("net.ipv4.ip_nonlocal_bind", 1)
        gateway.run("ip", "route", "add", "default", "via", OUTER)
        for network in ("10.20.0.0/16", "10.96.0.0/12"):
            gateway.run("ip", "route", "add", network, "via", INNER)
        for name, seconds in LONGER.items():
            gateway.sysctl(f"net.netfilter.nf_conntrack_{name}", seconds)
        gateway.sysctl("net.ipv4.ip_forward", 1)
        gateway.sysctl("net.ipv4.ip_local_port_range", "16384 65000")
        gateway.sysctl("net.ipv4.tcp_tw_reuse", 1)
        wires = {"inside": Wire(inner), "outside": Wire(outer), "gateway": Wire(gateway)}
        try:
            yield Site(gateway, inner, outer, wires)
        finally:
            for wire in wires.values():
                wire.close()
