"""IPv4 and IPv6 addresses as one 128-bit number, IPv4 in ::ffff:0:0/96.

One number for both families lets flows, rules and packets share one notion of an address; such mapped
addresses never travel on a wire (RFC 4291 section 2.5.5.2), so nothing collides.
"""

from __future__ import annotations

import re
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

MAPPED = 0xFFFF << 32
"""The first IPv4 address, 0.0.0.0, as a 128-bit number."""

V4_ALL = (MAPPED, MAPPED | 0xFFFFFFFF)
"""All IPv4 addresses, as an inclusive range."""


_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN_V4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?:/(3[0-2]|[12]?[0-9]))?", re.ASCII)


class Family(IntEnum):
    """Address families, by the kernel's numbers (`AF_INET`, `AF_INET6`)."""

    IPV4 = 2
    IPV6 = 10

    @property
    def label(self) -> str:
        """As people write it."""
        return {Family.IPV4: "IPv4", Family.IPV6: "IPv6"}[self]


def family_of(address: int) -> Family:
    """The family of a 128-bit address."""
    return Family.IPV4 if V4_ALL[0] <= address <= V4_ALL[1] else Family.IPV6


def parse_address(text: str) -> int:
    """`192.0.2.1` or `2001:db8::1` to its 128-bit number; ValueError if it is no address."""
    if (plain := _PLAIN_V4.fullmatch(text)) is not None and plain[5] is None:
        return _plain_prefix(plain)[0]
    address = ip_address(text)
    return MAPPED | int(address) if isinstance(address, IPv4Address) else int(address)


def format_address(address: int) -> str:
    """The usual spelling of a 128-bit address."""
    if family_of(address) is Family.IPV4:
        return str(IPv4Address(address & 0xFFFFFFFF))
    return str(IPv6Address(address))


def parse_prefix(text: str) -> tuple[int, int]:
    """`192.0.2.0/24`, `192.0.2.0/255.255.255.0` or a bare address to an inclusive range.

    Host bits are ignored, as iptables does. ValueError if it is neither.
    """
    if (plain := _PLAIN_V4.fullmatch(text)) is not None:
        return _plain_prefix(plain)
    network = ip_network(text, strict=False)
    offset = MAPPED if network.version == 4 else 0
    return offset | int(network.network_address), offset | int(network.broadcast_address)


def _plain_prefix(text: re.Match[str]) -> tuple[int, int]:
    """The same for IPv4 with a length: thousands of them stand in a rule set."""
    a, b, c, d = map(int, text.groups()[:4])
    free = (1 << 32 - int(text[5] if text[5] is not None else 32)) - 1
    low = MAPPED | (a << 24 | b << 16 | c << 8 | d) & ~free
    return low, low | free


def format_range(low: int, high: int) -> str:
    """An inclusive range as an address, a prefix where it is one, else `low-high`."""
    size, mapped = high - low + 1, family_of(low) is Family.IPV4
    if size == 1:
        return format_address(low)
    if size & (size - 1) == 0 and low % size == 0:
        return f"{format_address(low)}/{(32 if mapped else 128) - (size.bit_length() - 1)}"
    return f"{format_address(low)}-{format_address(high)}"


def parse_range(text: str) -> tuple[int, int]:
    """The opposite of `format_range`. ValueError where it is none."""
    low, dash, high = text.partition("-")
    return (parse_address(low), parse_address(high)) if dash else parse_prefix(low)
