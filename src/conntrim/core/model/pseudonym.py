"""Addresses and names replaced by others, by a key: who shared a prefix still does, and who one was nobody can tell.

Prefix-preserving (the property of Crypto-PAn): two addresses that agree in their first n bits agree in their first n
bits afterwards, so prefixes, networks and rules about them keep their meaning. Whether a bit is turned depends by a
keyed hash (BLAKE2b) on all bits before it. Bits are left as they are where turning them would exchange a range with a
meaning of its own (loopback, private, link-local, multicast) for another: those ranges stay what they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from conntrim.core.model.address import MAPPED, Family, format_address, parse_address, parse_prefix
from conntrim.core.model.flows import U64

KEPT = tuple(
    parse_prefix(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "224.0.0.0/4", "255.255.255.255", "::/96", "64:ff9b::/96", "fc00::/7", "fe80::/10", "ff00::/8",
    )
)  # fmt: skip
"""Ranges with a meaning of their own: an address in one stays in it."""

WHOLE = tuple(
    parse_prefix(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255", "::/96", "ff00::/8")
)
"""Of these every address stays as it is: they are nobody's."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The replacement that one key makes; `key` has 16 to 64 bytes."""

    key: bytes
    _turns: dict[tuple[Family, bytes], bytes] = field(default_factory=dict)

    def name(self, text: str) -> str:
        """Another name for a name, always the same; "" stays."""
        return f"n{blake2b(text.encode('utf-8', 'surrogateescape'), key=self.key, digest_size=5).hexdigest()}" * bool(
            text
        )

    def address(self, number: int) -> int:
        """Another address for an address (128-bit number, IPv4 in ::ffff:0:0/96)."""
        if any(low <= number <= high for low, high in WHOLE):
            return number
        family, size, base = (Family.IPV4, 4, MAPPED) if number >> 32 == MAPPED >> 32 else (Family.IPV6, 16, 0)
        data = (number - base).to_bytes(size, "big")
        turned = bytes(byte ^ self._turn(family, data[:at], byte) for at, byte in enumerate(data))
        return base + int.from_bytes(turned, "big")

    def range(self, low: int, high: int) -> tuple[int, int]:
        """A range: of a prefix the other prefix, of anything else the two ends in their order."""
        size = high - low + 1
        if size & (size - 1) == 0 and low % size == 0:
            start = self.address(low) // size * size
            return start, start + size - 1
        ends = sorted((self.address(low), self.address(high)))
        return ends[0], ends[1]

    def text(self, address: str) -> str:
        """An address as text. ValueError where it is none."""
        return format_address(self.address(parse_address(address)))

    def addresses(self, column: U64) -> U64:
        """A column of addresses, uint64[n, 2]."""
        if not len(column):
            return column
        distinct, inverse = np.unique(np.ascontiguousarray(column), axis=0, return_inverse=True)
        others = [self.address(high << 64 | low) for high, low in distinct.tolist()]
        made = np.array([divmod(number, 1 << 64) for number in others], np.uint64)
        return made[inverse.reshape(-1)]

    def _turn(self, family: Family, before: bytes, byte: int) -> int:
        """Which bits of the byte behind `before` are turned: one hash tells all 255 places of a byte."""
        known = self._turns.get((family, before))
        if known is None:
            known = blake2b(bytes([family]) + before, key=self.key, digest_size=64).digest()
            self._turns[family, before] = known
        mask = 0
        for bit in range(8):
            place = (1 << bit) | (byte >> (8 - bit))  # the path from the root of the byte's tree: 1 to 255
            if known[place >> 3] >> (place & 7) & 1 and not _decides(family, before, byte >> (8 - bit), bit):
                mask |= 0x80 >> bit
        return mask


def _decides(family: Family, before: bytes, bits: int, number: int) -> bool:
    """Whether the next bit decides between a kept range and others."""
    size = 32 if family is Family.IPV4 else 128
    done = 8 * len(before) + number
    low = (int.from_bytes(before, "big") << number | bits) << (size - done)
    low += MAPPED if family is Family.IPV4 else 0
    high = low + (1 << (size - done)) - 1
    return any(low <= first and last <= high and (low, high) != (first, last) for first, last in KEPT)
