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
    1: "icmp", 2: "igmp", 3: "ggp", 4: "ipencap", 5: "st", 6: "tcp", 8: "egp", 9: "igp", 12: "pup", 17: "udp",
    20: "hmp", 22: "xns-idp", 27: "rdp", 29: "iso-tp4", 33: "dccp", 36: "xtp", 37: "ddp", 38: "idpr-cmtp",
    41: "ipv6", 43: "ipv6-route", 44: "ipv6-frag", 45: "idrp", 46: "rsvp", 47: "gre", 50: "esp", 51: "ah",
    57: "skip", 58: "icmpv6", 59: "ipv6-nonxt", 60: "ipv6-opts", 73: "rspf", 81: "vmtp", 88: "eigrp", 89: "ospf",
    93: "ax.25", 94: "ipip", 97: "etherip", 98: "encap", 103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp",
    124: "isis", 132: "sctp", 133: "fc", 135: "mobility-header", 136: "udplite", 137: "mpls-in-ip", 138: "manet",
    139: "hip", 140: "shim6", 141: "wesp", 142: "rohc", 143: "ethernet",
}  # fmt: skip
"""Protocol number to name: those of /etc/protocols (netbase), which the save programs and nft print."""

NUMBERS: dict[str, int] = {name: number for number, name in NAMES.items()} | {
    "ip": 0, "hopopt": 0, "ipv6-icmp": 58, "icmp6": 58, "ipcomp4": 108, "ipv4": 4, "ip-encap": 4, "ipsec-esp": 50,
    "ipsec-ah": 51, "ospfigp": 89, "ipv6-mh": 135, "mh": 135, "swipe": 53, "mobile": 55, "l2tpv3": 115, "carp": 112,
    "pgm": 113, "st2": 5,
}  # fmt: skip
"""Name to protocol number: what else iptables knows, aliases, and the names of other systems' /etc/protocols."""

WITH_PORTS = frozenset({Protocol.TCP, Protocol.UDP, Protocol.DCCP, Protocol.SCTP, Protocol.UDPLITE})
"""The protocols whose header starts with two 16-bit ports."""


def protocol_name(number: int) -> str:
    """`tcp` for 6; `proto-99` for a number without a name."""
    return NAMES.get(number, f"proto-{number}")
