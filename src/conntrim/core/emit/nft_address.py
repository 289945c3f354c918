"""Addresses as nft writes them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from conntrim.core.model.address import V4_ALL


def address_text(low: int, high: int) -> str:
    """A range of addresses, as an address or a prefix where it is one."""
    v4, size = V4_ALL[0] <= low <= V4_ALL[1], high - low + 1
    first = str(IPv4Address(low & 0xFFFFFFFF) if v4 else IPv6Address(low))
    if size == 1:
        return first
    if size & (size - 1) == 0 and low % size == 0:
        return f"{first}/{(32 if v4 else 128) - (size.bit_length() - 1)}"
    last = str(IPv4Address(high & 0xFFFFFFFF) if v4 else IPv6Address(high))
    return f"{first}-{last}"
