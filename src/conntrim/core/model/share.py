"""A share of all clients, told by the last bits of their addresses: rules and proofs know those, as they know no hash.

The bits are ones: a network's own address, its router and the first servers have numbers that end otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.fields import Field, Key, Masked
from conntrim.core.model.intervals import Intervals

MOST_BITS = 8
"""One client in 256: fewer show nothing."""
_OF_IPV4 = (1 << 128) - (1 << 32)
"""The bits of an address that all of IPv4 have alike."""


@dataclass(frozen=True, slots=True)
class Share:
    """One client in `2 ** bits`: those whose address ends in so many ones."""

    bits: int

    def __str__(self) -> str:
        return f"one client in {1 << self.bits} (addresses whose last {self.bits} bits are ones)".replace(
            "last 1 bits are ones", "last bit is one"
        )

    @property
    def ones(self) -> int:
        """The bits themselves."""
        return (1 << self.bits) - 1

    @property
    def percent(self) -> float:
        """Of all addresses."""
        return 100 / (1 << self.bits)


def told_by(share: Share | None, family: Family) -> dict[Key, Intervals]:
    """What tells the packets that these clients send; nothing where it is everybody."""
    if share is None:
        return {}
    every, first = (_OF_IPV4, MAPPED) if family is Family.IPV4 else (0, 0)
    return {Masked(Field.SRC, every | share.ones): Intervals.of(first | share.ones)}
