"""What made-up hosts untrack, and whom their rules name: the same for both dialects."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

SERVICES = (
    ("tcp", 80),
    ("tcp", 443),
    ("tcp", 22),
    ("tcp", 11211),
    ("udp", 53),
    ("udp", 443),
    ("tcp", 53),
    ("tcp", 3306),
)
FAMILIES = (("ip",), ("ip",), ("ip6",), ("ip", "ip6"))

PINS = {"ip": ("192.0.2.0/24", "203.0.113.0/24", "203.0.113.9", "198.51.100.0/24"),
        "ip6": ("2001:db8::/64", "2001:db8:2::/64", "2001:db8:2::9", "2001:db8:1::/64")}  # fmt: skip
"""Peers that rules name."""
BEHIND = {"ip": "198.51.100.9", "ip6": "2001:db8:1::9"}
OUTER = {"ip": "192.0.2.1", "ip6": "2001:db8::1"}


@dataclass(frozen=True, slots=True)
class Service:
    """What is to be untracked, as the one who writes the rules sees it."""

    direction: str
    protocol: str
    port: int

    @property
    def legs(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Hook and port's side of requests and of answers."""
        return LEGS[self.direction]


LEGS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "inbound": (("PREROUTING", "dport"), ("OUTPUT", "sport")),
    "outbound": (("OUTPUT", "dport"), ("PREROUTING", "sport")),
    "forwarded": (("PREROUTING", "dport"), ("PREROUTING", "sport")),
    "loopback": (("OUTPUT", "dport"), ("OUTPUT", "sport")),
}
"""Where a service's two directions meet the raw rules (K9, K16)."""

SIDES = ((0, 1), (0, 1), (0, 1), (0,), (1,))
"""Which of the two are untracked; often both."""


def services(random: Random) -> list[Service]:
    """One to three services of a host."""
    ways = random.choices(("inbound", "outbound", "forwarded", "loopback"), (5, 4, 2, 1), k=random.choice((1, 1, 2, 3)))
    return [Service(way, *random.choice(SERVICES)) for way in ways]
