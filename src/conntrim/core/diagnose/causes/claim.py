"""What a cause says of a table: which entries are its, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.view import View
from conntrim.core.model.finding import Remedy

MOSTLY = 0.6
"""The share of unanswered questions above which something is wrong."""


class Habit(Enum):
    """How unusual it is, and so when it is told."""

    USUAL = 1
    """Any busy host has it: it explains a table that is short of room, and is nothing in one with room."""
    ODD = 2
    """Told in every table, a warning where it is short of room."""
    WRONG = 3
    """A mistake or an attack: always a warning."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A mask over the view's entries, and what speaks for and against; `who` are clients or servers by address.

    `unanswered`: it is the nature of such entries.
    """

    mask: Mask
    title: str
    evidence_for: tuple[str, ...]
    evidence_against: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    who: tuple[str, ...] = ()
    unanswered: bool = False

    def expected(self, view: View) -> bool:
        """Whether its entries are answered as such entries should be; not where most questions are in vain."""
        return self.unanswered or view.share(self.mask & ~view.replied, self.mask) <= MOSTLY
