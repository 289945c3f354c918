"""Which rules must meet the same packets before and after a plan, though they may not decide about them.

Theory. The proofs take a match that is unknown to the model to answer a packet as it did before. That is so where the
answer is the same for every packet of a connection's end. Where it varies from packet to packet, counts, or is changed
by asking (`limit`, `recent`, a set that packets add to), it is so only if the same packets of each connection come to
ask. Likewise a statement that others see (a mark that routing reads, a name put into a set) has the effect that it had
only if it happens to the same packets. Behind an ESTABLISHED accept only opening packets come by; untracked, all do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

from conntrim.core.model.fields import VARYING
from conntrim.core.model.kinds import Answer, Effect, answer_of, asks_entry, effect_of, writes_entry
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
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
)  # fmt: skip
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter.hooks import Arranged
from conntrim.core.netfilter.question_text import membership, question
from conntrim.core.prove.diagram import Set


class Why(Enum):
    """What is at stake; the value says it of a rule."""

    VARIES = "asks each packet of {} anew"
    COUNTS = "counts packets of {}, or is changed by asking"
    LOGS = "logs packets of {}"
    ACTS = "does something to packets of {} that others see"
    REFUSES = "answers packets of {} that it refuses"
    ASKS = "asks the conntrack entry of {}"
    WRITES = "writes to the conntrack entry of {}"


OF_THE_ENTRY = frozenset({Why.ASKS, Why.WRITES})
"""What a packet without an entry cannot be asked."""


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a rule that is watched: the match or statement at a place in it."""

    why: Why
    what: Match | Statement
    at: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """Packets that came to a watched part of a rule: told by the table, and by what makes two rules the same there."""

    table: tuple[str, str, str]
    rule: Rule
    item: Item
    packets: Set

    @property
    def key(self) -> object:
        """The same for rules that may stand for each other: what counts, counts for itself."""
        if self.item.why is Why.VARIES:
            return self.table, self.item.what, self.rule.statements
        return self.table, self.item, self.rule, self.rule.place, self.rule.handle


@dataclass(slots=True)
class Known:
    """Rules and chains that were looked at, by identity; chains are `held`, so that their ids stay theirs."""

    refusals: bool = False
    """Rules that answer what they refuse are watched too."""
    rules: dict[int, tuple[Item, ...]] = field(default_factory=dict)
    chains: dict[int, tuple[dict[int, tuple[Item, ...]], set[str]]] = field(default_factory=dict)
    held: list[Chain] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watch:
    """The watched parts of rules, by the rules' ids."""

    items: dict[int, tuple[Item, ...]]
    texts: frozenset[str]
    """The questions whose answers vary or count."""

    @classmethod
    def of(cls, arranged: Iterable[Arranged], known: Known) -> Watch:
        """What is to be watched in these rule sets; `known` is what was looked at before."""
        found: dict[int, tuple[Item, ...]] = {}
        texts: set[str] = set()
        stations = (s for a in arranged for groups in a.groups.values() for group in groups for s in group)
        hung = {(id(t), id(c)): (t, c) for station in stations for t, c in station.chains}
        for table, base in hung.values():
            for chain in table.below(base):
                if id(chain) not in known.chains:
                    known.chains[id(chain)] = _watched(chain, table, known)
                items, asked = known.chains[id(chain)]
                found |= items
                texts |= asked
        return cls(found, frozenset(texts))


def _watched(chain: Chain, table: Table, known: Known) -> tuple[dict[int, tuple[Item, ...]], set[str]]:
    """What is watched in one chain, and the questions whose answers vary or count."""
    found: dict[int, tuple[Item, ...]] = {}
    texts: set[str] = set()
    known.held.append(chain)
    for rule in chain.rules:
        if (items := known.rules.get(id(rule))) is None:
            refuses = tuple(_refusals(rule)) if known.refusals else ()
            items = known.rules[id(rule)] = (*refuses, *(() if _plain(rule) else items_of(rule, table)))
        if items:
            found[id(rule)] = items
            varying = (m for m in rule.matches if answer_of(m, table) is not Answer.SAME)
            texts.update(membership(m) if isinstance(m, InSet) else question(m) for m in varying)
    return found, texts


def _refusals(rule: Rule) -> Iterator[Item]:
    for at, statement in enumerate(rule.statements):
        if isinstance(statement, End) and statement.verdict is Verdict.REJECT:
            yield Item(Why.REFUSES, statement, at)


MOST_DEPTH = 4
"""Jumps followed to see whether a chain does nothing but log."""

PLAIN = frozenset({In, Interface, XtConntrack, End, Jump, Return, Nat, Notrack, SetZone, Helper})
"""Matches and statements that are watched in few of their forms, if in any."""


def _plain(rule: Rule) -> bool:
    """Whether there is nothing to look at in a rule: so it is of nearly all."""
    return (
        PLAIN.issuperset(map(type, (*rule.matches, *rule.statements)))
        and not any(type(m) is In and m.field in VARYING for m in rule.matches)
        and not any(type(m) is XtConntrack and asks_entry(m) for m in rule.matches)
        and not any(type(s) is End and s.verdict is Verdict.QUEUE for s in rule.statements)
    )


def items_of(rule: Rule, table: Table) -> Iterator[Item]:
    """What of a rule is watched. Where it only logs, or does nothing, an answer by itself matters to nobody."""
    effects = [effect_of(s) for s in rule.statements]
    idle = _idle(rule, table)
    limited = False
    for at, match in enumerate(rule.matches):
        answer = answer_of(match, table)
        private = _private(match)
        limited = limited or private
        if answer is Answer.COUNTS and not (idle and private):
            yield Item(Why.COUNTS, match, at)
        elif answer is Answer.VARIES and not idle:
            yield Item(Why.VARIES, match, at)
        if asks_entry(match):
            yield Item(Why.ASKS, match, at)
    for at, (statement, effect) in enumerate(zip(rule.statements, effects, strict=True)):
        if effect is Effect.ACTS:
            yield Item(Why.ACTS, statement, at)
        elif effect is Effect.LOGS and not limited:
            yield Item(Why.LOGS, statement, at)
        if writes_entry(statement):
            yield Item(Why.WRITES, statement, at)


def _idle(rule: Rule, table: Table, depth: int = 0) -> bool:
    """Whether a rule at most logs, and sends no packet another way: itself, or a chain that it jumps to."""
    for statement in rule.statements:
        match statement:
            case NoEffect() if effect_of(statement) in (Effect.NOTHING, Effect.LOGS):
                continue
            case Jump(chain=name, goto=False) if depth < MOST_DEPTH and (target := table.chain(name)):
                if all(_idle(inner, table, depth + 1) for inner in target.rules):
                    continue
            case Return() if depth:
                continue
            case NoEffect() | Jump() | Return() | End() | Notrack() | SetZone() | CtTemplate():
                return False
            case SetMark() | Helper() | Nat() | SetField() | AddToSet() | OpaqueStatement():
                return False
            case _:
                assert_never(statement)
    return True


def _private(match: Match) -> bool:
    """A limit without a name counts for its own rule only."""
    return isinstance(match, OpaqueMatch) and match.kind == "limit"
