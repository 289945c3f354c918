"""What a rule writes to a packet's mark, or to its entry's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVERY = 0xFFFFFFFF
"""All bits of a mark."""


class MarkOf(StrEnum):
    """Whose mark, by nft's words."""

    PACKET = "meta"
    ENTRY = "ct"


@dataclass(frozen=True, slots=True)
class SetMark:
    """A mark becomes (itself & ~mask) ^ (the source's & kept) ^ value; without a `source` nothing is copied."""

    value: int
    mask: int = EVERY
    to: MarkOf = MarkOf.PACKET
    source: MarkOf | None = None
    kept: int = 0

    @property
    def of_entry(self) -> bool:
        """Whether an entry is written or read."""
        return MarkOf.ENTRY in (self.to, self.source)

    @property
    def reads_entry(self) -> bool:
        """Whether an entry's mark is read: nft ends the rule where there is none (K53)."""
        return self.source is MarkOf.ENTRY or (self.to is MarkOf.ENTRY and self.mask != EVERY)

    def result(self, own: int, other: int) -> int:
        """The new mark; `own` is the old one, `other` the source's."""
        return ((own & ~self.mask) ^ (other & self.kept) ^ self.value) & EVERY
