"""What a chain that translates or marks does to all packets: found once for all walks, directions and both rule sets.

A node of Kubernetes has thousands of such chains, one for each service and endpoint, and who comes to them differs from
question to question. What they do to whoever comes does not, as long as they ask for headers alone: then it is told for
every packet, and a walk takes its own part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import FIELDS, Source
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    AnyOf,
    Chain,
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
from conntrim.core.prove.diagram import NotDecided, Set
from conntrim.core.prove.first_match import ACCEPTED, DROPPED, KINDS, LEFT
from conntrim.core.prove.match_encoder import SPECIAL, MatchEncoder, changes

MOST_RULES = 64
"""Rules of a chain and of all below it: what is larger is walked for those alone who come to it."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Packets that a statement of this rule took effect on."""

    rule: Rule
    statement: Statement
    packets: Set


@dataclass(frozen=True, slots=True)
class Summary:
    """Where a chain sends all packets, on which of them its statements take effect, which are translated, and by the
    mark's bits (the highest is 0) whom it gives a one and whom a zero."""

    dropped: Set
    accepted: Set
    left: Set
    hits: tuple[Hit, ...]
    translated: Set
    marks: dict[int, tuple[Set, Set]]


def summary(view: MatchEncoder, table: Table, chain: Chain) -> Summary | None:
    """What a chain does to all packets; None where that depends on more than their headers. The view's packets are as
    they came: no rule has written a field of theirs."""
    below = table.below(chain)
    if sum(len(each.rules) for each in below) > MOST_RULES:
        return None
    known, rows = view.space.known, tuple(id(each.rules) for each in below)
    asked = known.get(("asks", rows))
    if asked is None:  # holding the chains keeps their ids theirs
        asked = known["asks", rows] = below, _asks(below)
    if asked[1] is None:
        return None
    seen = asked[1], view.mirrored, *(view.here() if asked[1] else ())
    key = "summary", rows, *seen
    if key not in known:
        _, sums = known.setdefault(("sums", id(table), *seen), (table, {}))  # many chains jump to the same few
        known[key] = below, _Sum(view, table, made=sums).of(chain)
    found: Summary = known[key][1]
    return found


def _asks(chains: tuple[Chain, ...]) -> bool | None:
    """Whether the rules of chains ask for more than what every hook sees alike; None where what is attached to packets
    matters, or a statement does something else than to end their way, translate or mark them."""
    rules = [rule for chain in chains for rule in chain.rules]
    if not all(map(_plain, (s for rule in rules for s in rule.statements))):
        return None
    matches = {id(m): m for rule in rules for m in rule.matches}.values()
    return None if any(map(changes, matches)) else not all(map(_of_headers, matches))


def _plain(statement: Statement) -> bool:
    match statement:
        case Jump() | Return() | NoEffect():
            return True
        case End(verdict=verdict):
            return verdict is not Verdict.QUEUE
        case Nat(elsewhere=elsewhere):
            return elsewhere is None
        case SetMark():
            written = statement.to is MarkOf.PACKET and statement.source is None
            return written and not statement.value & ~statement.mask
        case Notrack() | SetZone() | CtTemplate() | Helper() | SetField() | AddToSet() | OpaqueStatement():
            return False
        case _:
            assert_never(statement)


def _of_headers(match: Match) -> bool:
    """Whether every hook sees the same: a field of the header, or a question that has one answer everywhere."""
    match match:
        case In(field=asked):
            return asked not in SPECIAL and FIELDS[asked].source is Source.HEADER
        case OpaqueMatch():
            return True
        case Interface() | XtConntrack() | InSet() | AnyOf() | CtIn():
            return False
        case _:
            assert_never(match)


@dataclass(slots=True)
class _Sum:
    """One chain being summed up: where every packet there is goes so far, what has effect, who gets which mark."""

    view: MatchEncoder
    table: Table
    depth: int = 0
    made: dict[str, Summary] = field(default_factory=dict)
    ends: dict[str, list[Set]] = field(default_factory=lambda: {DROPPED: [], LEFT: [], ACCEPTED: []})
    hits: list[Hit] = field(default_factory=list)
    marks: dict[int, tuple[Set, Set]] = field(default_factory=dict)

    def of(self, chain: Chain) -> Summary:
        """Its rules in order."""
        space = self.view.space
        live, either, ends = space.everything, space.sets.either, self.ends
        for rule in chain.rules:
            space.sets.tick()
            fits = live
            for match in rule.matches:
                fits = fits & self.view.match(match, self.table)
            if fits == space.nothing:
                continue
            on = fits
            for statement in rule.statements:
                on = self._statement(rule, statement, on)
            live = (live & ~fits) | on
            if live == space.nothing:
                break
        ends[LEFT].append(live)
        dropped, accepted, left = (either(ends[kind]) for kind in (DROPPED, ACCEPTED, LEFT))
        translated = either([hit.packets for hit in self.hits if type(hit.statement) is Nat])
        return Summary(dropped, accepted, left, tuple(self.hits), translated, self.marks)

    def _statement(self, rule: Rule, statement: Statement, on: Set) -> Set:
        """The packets that go on to the next one."""
        nothing = self.view.space.nothing
        match statement:
            case End(verdict=verdict):
                self.ends[KINDS[verdict]].append(on)
            case Return():
                self.ends[LEFT].append(on)
            case Nat():
                self.hits.append(Hit(rule, statement, on))
                self.ends[ACCEPTED].append(on)
            case SetMark():
                self.hits.append(Hit(rule, statement, on))
                for at, one in written(statement):
                    self._give(at, *((on, nothing) if one else (nothing, on)))
                return on
            case Jump():
                return self._jump(statement, on)
            case NoEffect():
                return on
            case Notrack() | SetZone() | CtTemplate() | Helper() | SetField() | AddToSet() | OpaqueStatement():
                raise AssertionError(statement)  # _plain lets none through
            case _:
                assert_never(statement)
        return nothing

    def _jump(self, jump: Jump, on: Set) -> Set:
        """What the other chain does to these packets."""
        target, nothing = self.table.chain(jump.chain), self.view.space.nothing
        if target is None:
            return on
        if self.depth > MOST_RULES:
            raise NotDecided(f"{self.table.family} {self.table.name} {jump.chain}: its jumps do not end")
        inner = self.made.get(jump.chain)
        if inner is None:
            inner = self.made[jump.chain] = _Sum(self.view, self.table, self.depth + 1, self.made).of(target)
        self.ends[DROPPED].append(on & inner.dropped)
        self.ends[ACCEPTED].append(on & inner.accepted)
        self.hits += parts(inner.hits, on, nothing)
        for at, (ones, zeros) in inner.marks.items():
            self._give(at, on & ones, on & zeros)
        if not jump.goto:
            return on & inner.left
        self.ends[LEFT].append(on & inner.left)
        return nothing

    def _give(self, at: int, one: Set, zero: Set) -> None:
        """A bit is written once more: whom it is given a one now, and whom a zero."""
        nothing = self.view.space.nothing
        ones, zeros = self.marks.get(at, (nothing, nothing))
        ones = ones if zero == nothing else ones & ~zero
        self.marks[at] = ones | one, zero if zeros == nothing else (zeros & ~one) | zero


def written(statement: SetMark) -> Iterator[tuple[int, bool]]:
    """The bits of the mark that a constant is written to, and whether it is a one."""
    return ((31 - bit, bool(statement.value >> bit & 1)) for bit in range(32) if statement.mask >> bit & 1)


def parts(hits: Iterable[Hit], packets: Set, nothing: Set) -> list[Hit]:
    """The effects on some packets."""
    found = [(hit, packets & hit.packets) for hit in hits]
    return [Hit(hit.rule, hit.statement, mine) for hit, mine in found if mine != nothing]
