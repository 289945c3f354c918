"""The conntrack table of one namespace as a value: entries found by either of their two tuples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

from conntrim.core.model.conntrack import TcpState
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.netfilter.icmp import ANSWERS
from conntrim.core.netfilter.states import Class

ANY_PORT = 0
"""A port that the kernel picked, and the model cannot know."""


class Tuple(NamedTuple):
    """One direction of a flow. For ICMP `sport` is the identifier and `dport` type << 8 | code."""

    protocol: int
    src: int
    dst: int
    sport: int = 0
    dport: int = 0

    def inverted(self) -> Tuple | None:
        """The tuple of the answers; None for an ICMP type that has no opposite."""
        answers = ANSWERS.get(self.protocol)
        if answers is None:
            return Tuple(self.protocol, self.dst, self.src, self.dport, self.sport)
        if (opposite := answers.get(self.dport >> 8)) is None:
            return None
        return Tuple(self.protocol, self.dst, self.src, self.sport, opposite << 8 | self.dport & 0xFF)


def tuple_of(packet: Packet) -> Tuple:
    """The tuple that conntrack looks this packet up by."""
    if packet.icmp is not None and packet.protocol in ANSWERS:
        return Tuple(packet.protocol, packet.src, packet.dst, packet.icmp_id, packet.icmp)
    if packet.protocol in WITH_PORTS:
        return Tuple(packet.protocol, packet.src, packet.dst, packet.sport or 0, packet.dport or 0)
    return Tuple(packet.protocol, packet.src, packet.dst)


@dataclass(frozen=True, slots=True)
class Zone:
    """A conntrack zone: it counts for both directions, or for the one named by `way` ("original", "reply")."""

    number: int = 0
    way: str = ""

    def of(self, way: str) -> int:
        """The zone's number for tuples of that direction."""
        return self.number if self.way in ("", way) else 0


NO_ZONE = Zone()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `original` and `reply` differ by more than direction where it is translated.

    `guessed`: an address in `reply` is one of several that the kernel picks from.
    `assured`: a TCP connection that was seen to work both ways; what the model knows of other protocols is less.
    `closing`: one side has begun to close (a new SYN may then reopen it); `last` is the last TCP packet that was
    taken or ignored, as (reply direction, class); `ignored`: it was.
    """

    original: Tuple
    reply: Tuple
    zone: Zone = NO_ZONE
    seen_reply: bool = False
    assured: bool = False
    tcp: TcpState = TcpState.NONE
    closing: bool = False
    last: tuple[bool, Class] | None = None
    ignored: bool = False
    simultaneous: bool = False
    snat: bool = False
    dnat: bool = False
    guessed: bool = False
    helper: str = ""
    mark: int = 0


Key = tuple[Tuple, str, int]
"""A tuple, the direction that it is of, and the number of its zone."""


Element = tuple[str, tuple[int | str, ...]]
"""A set (with its table) and what a packet has added to it."""


@dataclass(frozen=True, slots=True)
class Memory:
    """All entries, in the order in which they were made, and the index by both their tuples; what packets have added to
    sets beside."""

    entries: tuple[Entry, ...] = ()
    added: frozenset[Element] = frozenset()
    index: Mapping[Key, Entry] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    def find(self, tuple_: Tuple, zone: Zone = NO_ZONE) -> tuple[Entry, bool] | None:
        """The entry that a packet with this tuple belongs to, and whether it goes in the reply direction.

        Where one end talks to itself both tuples are the same, and the kernel has put the reply tuple in front of
        their hash chain. With a zone for one direction only they are in two chains: the original's is searched first.
        """
        for way in ("original", "reply") if zone.way else ("reply", "original"):
            if (entry := self.index.get((tuple_, way, zone.of(way)))) is not None:
                return entry, way == "reply"
        return None

    def clashes(self, entry: Entry) -> bool:
        """Whether a tuple of this new entry is taken already: possible where a zone counts for one direction only.

        Where a zone does, a tuple is held against one of the other direction only if the new entry has the same number
        for that direction too (nf_ct_key_equal() asks for it).
        """
        original, reply = entry.zone.of("original"), entry.zone.of("reply")
        return any(
            zone == entry.zone.of(way) and (tuple_, way, zone) in self.index
            for tuple_, zone in ((entry.original, original), (entry.reply, reply))
            for way in ("original", "reply")
        )

    def taken(self, entry: Entry) -> bool:
        """Whether the NAT core finds this new entry's reply tuple in use: it looks in the zone of replies only, and
        takes another entry's original tuple for one only where the new entry's original zone is that one as well.
        """
        zone = entry.zone.of("reply")
        return (entry.reply, "reply", zone) in self.index or (
            entry.zone.of("original") == zone and (entry.reply, "original", zone) in self.index
        )

    def without(self, entry: Entry) -> Memory:
        """The table after that entry was deleted."""
        return _indexed(tuple(e for e in self.entries if e is not entry), self.added)

    def having(self, entry: Entry, instead_of: Entry | None = None) -> Memory:
        """The table with a new entry, or with one changed."""
        if instead_of is None:
            return _indexed((*self.entries, entry), self.added)
        return _indexed(tuple(entry if e is instead_of else e for e in self.entries), self.added)


def _indexed(entries: tuple[Entry, ...], added: frozenset[Element]) -> Memory:
    index: dict[Key, Entry] = {}
    for entry in entries:
        index[entry.original, "original", entry.zone.of("original")] = entry
        index[entry.reply, "reply", entry.zone.of("reply")] = entry
    return Memory(entries, added, MappingProxyType(index))


def replied(entry: Entry) -> Entry:
    """The entry once a packet went in its reply direction."""
    return entry if entry.seen_reply else replace(entry, seen_reply=True)


EMPTY = Memory()
"""A table without entries."""
