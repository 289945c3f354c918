"""A question whose answer counts is one of its own: for each rule, and for each time that a packet is asked.

Theory. What the model does not know is a variable for its text (packet_vars.py). That two rules with one text answer
alike is true of what does not change meanwhile. A `limit`, `quota` or `statistic` counts for its rule alone (K132);
`recent`, `hashlimit` and sets are read and written by many: a reader is told by who wrote before. So here the
variable is one for the rule (the same in both rule sets where it is the same rule at its place, alignment.py), for how
often the packet was asked there before, and for the writers that it has come by.

That the counters themselves stand alike is asked elsewhere: the same packets must come to what counts (traces_left.py).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import assert_never

from conntrim.core.model.ct_match import CtIn, CtKey
from conntrim.core.model.kinds import Answer, Held, answer_of, counts_alone, leaves
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    AnyOf,
    CtTemplate,
    End,
    Helper,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Statement,
    Table,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.prove.diagram import Set

MOST_PARTS = 64
"""Parts of packets by whom they came by; with more, they are told by all that was written to anybody's."""

ENTRY, LISTS = frozenset({Held.ENTRY}), frozenset({Held.LISTS})
EVERYWHERE, NOWHERE = frozenset(Held), frozenset[Held]()

Again = Callable[[str], str]
"""From a question's text to what is added to it, so that it is one of its own."""


def as_it_is(_: str) -> str:
    """Nothing: questions with one text are one."""
    return ""


@dataclass(slots=True)
class Occurrences:
    """The askings of two rule sets, numbered: the first with a text keeps it as it is. `twins` as alignment.py says."""

    twins: Mapping[int, int]
    _known: dict[str, dict[Hashable, str]] = field(default_factory=dict)

    def of(self, rule: Rule) -> int:
        """What stands for a rule in both rule sets."""
        return self.twins.get(id(rule), id(rule))

    def again(self, key: Hashable, where: str) -> Again:
        """What tells an asking from others with the same text."""

        def added(text: str) -> str:
            known = self._known.setdefault(text, {})
            if key not in known:
                known[key] = f" (asked by {where}{', again' * (len(known) > 1)} #{len(known) + 1})" if known else ""
            return known[key]

        return added


@dataclass(slots=True)
class Turns:
    """One walk of one rule set: who was asked by which rule, how often, and who came by what writes."""

    of: Occurrences
    nothing: Set
    _asked: dict[tuple[int, int], list[Set]] = field(default_factory=dict)
    _written: list[tuple[frozenset[Held], tuple[int, int], Set]] = field(default_factory=list)

    def asking(self, rule: Rule, at: int, match: Match, table: Table, packets: Set) -> Iterator[tuple[Set, Again]]:
        """The packets that a match is asked about, by what tells their asking from others; nothing at all where it may
        be taken for its text."""
        counts, held = answer_of(match, table) is Answer.COUNTS, _reads(match, table)
        if not counts and not held:
            return
        for often, asked in self._by_turn(rule, at, packets) if counts else ((0, packets),):
            who = (self.of.of(rule), at, often) if counts else ()
            for before, part in self._by_writers(asked, held):
                yield part, self.of.again((who, before), rule.where)
        if counts and held:
            self._written.append((held, (self.of.of(rule), at), packets))

    def done(self, rule: Rule, at: int, statement: Statement, packets: Set) -> Iterator[tuple[Set, Again]]:
        """A statement takes place: the packets that its questions are about, by what tells them from others."""
        written = leaves(statement)
        match statement:
            case SetMark():
                asked = self._by_writers(packets, ENTRY if statement.source is MarkOf.ENTRY else NOWHERE)
                yield from ((part, self.of.again(before, rule.where)) for before, part in asked)
            case OpaqueStatement() | End(verdict=Verdict.QUEUE):
                for often, part in self._by_turn(rule, ~at, packets):
                    for before, among in self._by_writers(part, EVERYWHERE):
                        yield among, self.of.again((self.of.of(rule), at, often, before), rule.where)
            case End() | NoEffect() | Jump() | Return() | Notrack() | SetZone() | CtTemplate() | Helper() | Nat():
                yield packets, as_it_is
            case SetField() | AddToSet():
                yield packets, as_it_is
            case _:
                assert_never(statement)
        if written:
            self._written.append((written, (self.of.of(rule), at), packets))

    def _by_turn(self, rule: Rule, at: int, packets: Set) -> Iterator[tuple[int, Set]]:
        """Packets by how often they were asked before."""
        turns, often = self._asked.setdefault((id(rule), at), []), 0
        while packets != self.nothing:
            already = turns[often] if often < len(turns) else self.nothing
            turns[often : often + 1] = [already | packets]
            if packets & ~already != self.nothing:
                yield often, packets & ~already
            packets, often = packets & already, often + 1

    def _by_writers(self, packets: Set, held: frozenset[Held]) -> Iterator[tuple[Hashable, Set]]:
        """Packets by the writers there that they came by, in order."""
        parts: list[tuple[tuple[tuple[int, int], ...], Set]] = [((), packets)]
        for where, who, wrote in self._written:
            if not where & held:
                continue
            if len(parts) > MOST_PARTS:
                yield (tuple(self._written), packets), packets
                return
            parts = [
                (writers, part)
                for before, known in parts
                for writers, part in (((*before, who), known & wrote), (before, known & ~wrote))
                if part != self.nothing
            ]
        yield from parts


def in_its_turn(match: Match, table: Table) -> bool:
    """Whether a match may answer the same packet in two ways at two places."""
    return answer_of(match, table) is Answer.COUNTS or bool(_reads(match, table))


def _reads(match: Match, table: Table) -> frozenset[Held]:
    """What an answer depends on that may be written meanwhile."""
    match match:
        case OpaqueMatch():
            return NOWHERE if counts_alone(match) or answer_of(match, table) is not Answer.COUNTS else LISTS
        case InSet(set_name=name):
            named = table.set(name)
            return LISTS if named is None or not named.known or named.dynamic else NOWHERE
        case CtIn(key=key):
            return ENTRY if key is CtKey.MARK else NOWHERE
        case XtConntrack() | In() | Interface() | AnyOf():
            return NOWHERE
        case _:
            assert_never(match)
