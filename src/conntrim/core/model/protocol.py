"""Layer-4 protocol numbers and names, and what each carries.

Numbers: IANA protocol numbers; the names are those that iptables and nft print.
"""

from __future__ import annotations

from enum import IntEnum


class Protocol(IntEnum):
    """The protocols that conntrack knows more of than their number."""

    ICMP = 1
    TCP = 6
    UDP = 17
    DCCP = 33
    GRE = 47
    ICMPV6 = 58
    SCTP = 132
    UDPLITE = 136


NAMES: dict[int, str] = {
    1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 17: "udp", 33: "dccp", 41: "ipv6", 47: "gre", 50: "esp",
    51: "ah", 58: "icmpv6", 89: "ospf", 103: "pim", 108: "ipcomp", 112: "vrrp", 132: "sctp", 136: "udplite",
}  # fmt: skip
"""Protocol number to name."""

NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()} | {
    "ipv6-icmp": 58, "icmp6": 58, "ipip": 4, "ipcomp4": 108,
}  # fmt: skip
"""Name to protocol number, further spellings included."""

WITH_PORTS = frozenset({Protocol.TCP, Protocol.UDP, Protocol.DCCP, Protocol.SCTP, Protocol.UDPLITE})
"""The protocols whose header starts with two 16-bit ports."""


def protocol_name(number: int) -> str:
    """`tcp` for 6; `proto-99` for a number without a name."""
    return NAMES.get(number, f"proto-{number}")
