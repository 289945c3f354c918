"""Packets told by matches, as a rule can tell them: what a plan's own rules are spelled from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import DEVICES, Field, Fields, matched
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In, Match, Table
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import LOOPBACK as LO

CODES: Mapping[str, tuple[tuple[str, ...], bool]] = {"lo": ((LO,), False), "other": (("", LO), True)}
"""Interfaces by name, or all but those."""


def by_family(families: Sequence[Family], fields: Callable[[Family], Fields], *, inet: bool) -> Iterator[Fields]:
    """What rules ask to tell packets of some families; in tables for both (`inet`) the family besides, or once where
    both are told alike."""
    told = [fields(family) for family in families]
    if inet and len(told) == len(Family) and told[0] == told[1]:
        yield told[0]
        return
    for family, each in zip(families, told, strict=True):
        yield {Field.FAMILY: Intervals.of(family), **each} if inet else each


@dataclass(frozen=True, slots=True)
class Described:
    """Packets with each field in its set (not named: any value), one ct state, and interfaces `lo` or any other.

    `interfaces` maps "in" and "out" to `lo` or `other` (any but lo). `holds` are matches that are true for every
    packet, though no field says it.
    """

    fields: Fields
    state: CtState
    interfaces: Mapping[str, str]
    holds: tuple[Match, ...] = ()

    def in_state(self, state: CtState) -> Described:
        """The same packets in another ct state."""
        return replace(self, state=state)

    def packets(self, view: MatchEncoder, table: Table) -> Set:
        """The packets themselves, whatever their state."""
        found = view.space.everything
        for each in matched(self.fields.items()):
            found = found & view.field(*each)
        for way, name in self.interfaces.items():
            names, negated = CODES[name]
            found = found & view.space.values(DEVICES[way], view.space.names.codes(names, negated))
        for match in self.holds:
            found = found & view.match(match, table)
        return found

    def narrowed(self, match: Match) -> Described:
        """Those that a match holds for; what no field can say becomes something that holds."""
        if not isinstance(match, In):
            return replace(self, holds=(*self.holds, match))
        wanted = expanded(match)
        holds = self.holds if match.mask is None and wanted is not None else (*self.holds, match)
        fields = dict(self.fields)
        if wanted is not None:
            fields[match.field] = fields.get(match.field, wanted) & wanted
        return replace(self, fields=fields, holds=holds)


def expanded(match: In) -> Intervals | None:
    """The values themselves of a masked match; None where there are too many to list."""
    if match.mask is None:
        return match.values
    if match.field is not Field.TCP_FLAGS:
        return None
    return Intervals.of(*(v for v in range(256) if v & match.mask in match.values))
