"""What a layout is: the rules that one program loads, as a host of the lab loads them, and what they let in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

HOST4, HOST6 = "192.0.2.10", "2001:db8::10"
"""The host's own addresses on eth0."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rules as a program loads them.

    `ip`, `ip6` are texts for iptables-restore of either back end, `nft` one for `nft -f`; empty where the program
    loads none. `inbound` are the services (protocol, port) that they let in from anywhere. `devices` are interfaces
    that the host has beside eth0, each with its own address and prefix length. `uplink` is the mark with which routing
    sends packets out of another interface (`ip rule fwmark`); 0 where it heeds none.
    """

    name: str
    inbound: tuple[tuple[str, int], ...]
    ip: str = ""
    ip6: str = ""
    nft: str = ""
    devices: tuple[tuple[str, str], ...] = ()
    uplink: int = 0


PUBLIC = (22, 25, 80, 443, 8080, 8443, 3306, 5432, 11211, 6379)


@dataclass(slots=True)
class Draw:
    """What chance makes of one host: which ports are open, which numbers its private networks have."""

    chance: Random
    tcp: tuple[int, ...] = field(init=False)
    udp: tuple[int, ...] = field(init=False)
    octet: int = field(init=False)

    def __post_init__(self) -> None:
        self.tcp = tuple(sorted(self.chance.sample(PUBLIC, self.chance.randint(1, 3))))
        self.udp = tuple(sorted(self.chance.sample((53, 123, 514, 1194), self.chance.randint(0, 1))))
        self.octet = self.chance.randint(1, 200)

    @property
    def inbound(self) -> tuple[tuple[str, int], ...]:
        """The open services."""
        return tuple(("tcp", port) for port in self.tcp) + tuple(("udp", port) for port in self.udp)

    def often(self, odds: float) -> bool:
        """Whether something is there on this host."""
        return self.chance.random() < odds


def save(table: str, policies: dict[str, str], chains: Iterable[str], rules: Iterable[str]) -> str:
    """One table as iptables-restore reads it."""
    declared = [f":{chain} {policy} [0:0]" for chain, policy in policies.items()]
    declared += [f":{chain} - [0:0]" for chain in chains]
    return "\n".join([f"*{table}", *declared, *(f"-A {rule}" for rule in rules), "COMMIT", ""])


FILTER = {"INPUT": "ACCEPT", "FORWARD": "ACCEPT", "OUTPUT": "ACCEPT"}
RAW = {"PREROUTING": "ACCEPT", "OUTPUT": "ACCEPT"}
MANGLE = {"PREROUTING": "ACCEPT", "INPUT": "ACCEPT", "FORWARD": "ACCEPT", "OUTPUT": "ACCEPT", "POSTROUTING": "ACCEPT"}
NAT = {"PREROUTING": "ACCEPT", "INPUT": "ACCEPT", "OUTPUT": "ACCEPT", "POSTROUTING": "ACCEPT"}
DROPPED = {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "ACCEPT"}
