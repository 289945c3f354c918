"""A proved plan's rule set, broken in every way that a careless hand could break it, one way at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import is_own_comment
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    Chain,
    Dialect,
    End,
    In,
    Jump,
    Match,
    Notrack,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    Table,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.service import Hook

SWAPPED = {Field.SRC: Field.DST, Field.DST: Field.SRC, Field.SPORT: Field.DPORT, Field.DPORT: Field.SPORT}
PORTS, ADDRESSES = (Field.SPORT, Field.DPORT), (Field.SRC, Field.DST)
STATES = (CtState.INVALID, CtState.NEW, CtState.ESTABLISHED)

Rules = tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken rule set: where it was touched, and how."""

    name: str
    ruleset: Ruleset


@dataclass(frozen=True, slots=True)
class Spot:
    """One rule of the plan in the rule set."""

    ruleset: Ruleset
    table: Table
    chain: Chain
    index: int

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        return self.chain.rules[self.index]

    def with_rules(self, rules: Rules) -> Ruleset:
        """The rule set with these rules in the place of this one."""
        before, after = self.chain.rules[: self.index], self.chain.rules[self.index + 1 :]
        return with_chain(self.ruleset, self.table, replace(self.chain, rules=(*before, *rules, *after)))

    def __str__(self) -> str:
        return f"{self.table.family} {self.table.name} {self.chain.name} {self.index + 1}"


def with_chain(ruleset: Ruleset, table: Table, chain: Chain) -> Ruleset:
    """The rule set with another chain of this name in a table."""
    return with_table(ruleset, replace(table, chains=tuple(chain if c.name == chain.name else c for c in table.chains)))


def with_table(ruleset: Ruleset, table: Table) -> Ruleset:
    """The rule set with another table of this name, family and dialect."""
    key = (table.dialect, table.family, table.name)
    return replace(ruleset, tables=tuple(table if (t.dialect, t.family, t.name) == key else t for t in ruleset.tables))


def spots(ruleset: Ruleset) -> Iterator[Spot]:
    """Every rule that the plan added."""
    for table in ruleset.tables:
        for chain in table.chains:
            for index, rule in enumerate(chain.rules):
                if is_own_comment(rule.comment):
                    yield Spot(ruleset, table, chain, index)


def mutants(ruleset: Ruleset) -> Iterator[Mutant]:
    """All of them, in an order that does not change."""
    for spot in spots(ruleset):
        for how, rules in changes(spot.rule):
            yield Mutant(f"{spot}: {how}", spot.with_rules(rules))
        for how, moved in moves(spot):
            yield Mutant(f"{spot}: {how}", moved)
    for table in ruleset.tables:
        yield from additions(ruleset, table)


# --- one rule -------------------------------------------------------------------------------------------------------


def changes(rule: Rule) -> Iterator[tuple[str, Rules]]:
    """The rule gone, doubled, wider, narrower, turned round, doing something else."""
    yield "gone", ()
    yield "twice", (rule, rule)
    for index, match in enumerate(rule.matches):
        yield f"without {kind_of(match)}", (_with_match(rule, index),)
        for how, other in variants(match):
            yield f"{kind_of(match)} {how}", (_with_match(rule, index, other),)
    turned = tuple(map(_turned, rule.matches))
    if turned != rule.matches:
        yield "turned round", (replace(rule, matches=turned),)
    for how, statement in effects(rule.statements[-1]):
        yield how, (replace(rule, statements=(*rule.statements[:-1], statement)),)


def _turned(match: Match) -> Match:
    return replace(match, field=SWAPPED.get(match.field, match.field)) if isinstance(match, In) else match


def _with_match(rule: Rule, index: int, *others: Match) -> Rule:
    return replace(rule, matches=(*rule.matches[:index], *others, *rule.matches[index + 1 :]))


def kind_of(match: Match) -> str:
    """What a match is about."""
    if isinstance(match, In):
        return str(match.field)
    return "state" if isinstance(match, XtConntrack) else type(match).__name__.lower()


def variants(match: Match) -> Iterator[tuple[str, Match]]:
    """The match a little wider, narrower or beside itself."""
    if isinstance(match, XtConntrack) or (isinstance(match, In) and match.field is Field.CT_STATE):
        for state in STATES:
            values = Intervals.of(int(state))
            yield (
                f"{state.name} instead",
                (replace(match, states=values) if isinstance(match, XtConntrack) else replace(match, values=values)),
            )
    elif isinstance(match, In) and match.field in PORTS:
        low, high = match.values.ranges[0][0], match.values.ranges[-1][1]
        yield "one wider below", replace(match, values=match.values | Intervals.of(low - 1))
        yield "one wider above", replace(match, values=match.values | Intervals.of(high + 1))
        yield "one further", replace(match, values=Intervals.of((low + 1, high + 1)))
        if low < high:
            yield "one narrower below", replace(match, values=match.values - Intervals.of(low))
            yield "one narrower above", replace(match, values=match.values - Intervals.of(high))
    elif isinstance(match, In) and match.field in ADDRESSES:
        low, _ = match.values.ranges[0]
        yield "with its neighbour", replace(match, values=match.values | Intervals.of(low ^ 1))
        yield "its neighbour's", replace(match, values=Intervals.of(low ^ 1))
    elif isinstance(match, In) and match.field is Field.PROTOCOL:
        yield "udp instead", replace(match, values=Intervals.of(Protocol.UDP))
    elif isinstance(match, In) and match.field is Field.TCP_FLAGS:
        yield "inverted", replace(match, values=match.values.complement(8))


def effects(statement: Statement) -> Iterator[tuple[str, Statement]]:
    """What the rule may do instead."""
    match statement:
        case Notrack():
            yield "accepts instead", End(Verdict.ACCEPT)
            yield "drops instead", End(Verdict.DROP)
        case End(verdict=Verdict.ACCEPT):
            yield "drops instead", End(Verdict.DROP)
        case End():
            yield "accepts instead", End(Verdict.ACCEPT)


# --- several rules --------------------------------------------------------------------------------------------------


def moves(spot: Spot) -> Iterator[tuple[str, Ruleset]]:
    """The rule at another place: first or last of its chain, or in another chain of its table."""
    without = tuple(r for i, r in enumerate(spot.chain.rules) if i != spot.index)
    orders = {"first": (spot.rule, *without), "last": (*without, spot.rule)}
    for how, rules in orders.items():
        if rules != spot.chain.rules:
            yield f"{how} of its chain", with_chain(spot.ruleset, spot.table, replace(spot.chain, rules=rules))
    if any(isinstance(s, Jump) for s in spot.rule.statements):
        return
    gone = with_chain(spot.ruleset, spot.table, replace(spot.chain, rules=without))
    table = next(t for t in gone.tables if (t.dialect, t.family, t.name) == _key(spot.table))
    for other in table.chains:
        if other.name != spot.chain.name and (other.base is None) == (spot.chain.base is None):
            moved = replace(other, rules=(spot.rule, *other.rules))
            yield f"in {other.name} instead", with_chain(gone, table, moved)


def _key(table: Table) -> tuple[str, str, str]:
    return table.dialect, table.family, table.name


def additions(ruleset: Ruleset, table: Table) -> Iterator[Mutant]:
    """Somebody else's rule in front of all others of a base chain, or the chain itself elsewhere."""
    for chain in table.chains:
        if chain.base is None or chain.base.type != "filter":
            continue
        raw = chain.base.priority < -200
        where = f"{table.family} {table.name} {chain.name}"
        for how, rule in intruders(table.dialect, chain.base.hook, raw=raw):
            yield Mutant(f"{where}: {how}", with_chain(ruleset, table, replace(chain, rules=(rule, *chain.rules))))
        if raw and table.dialect is Dialect.NFTABLES:
            for priority in (-400, -150, 0):
                late = replace(chain, base=replace(chain.base, priority=priority))
                yield Mutant(f"{where}: at priority {priority}", with_chain(ruleset, table, late))
    if table.dialect is Dialect.NFTABLES:
        yield Mutant(f"{table.family} {table.name}: dormant", with_table(ruleset, replace(table, dormant=True)))


def intruders(dialect: Dialect, hook: Hook, *, raw: bool) -> Iterator[tuple[str, Rule]]:
    """Rules that are put in front."""
    tcp = In(Field.PROTOCOL, Intervals.of(Protocol.TCP))
    from_cache = In(Field.SPORT, Intervals.of(11211))
    if raw:
        yield "accepts tcp first", _rule((tcp,), End(Verdict.ACCEPT))
        yield "a zone first", _rule((tcp,), SetZone(5))
        yield "untracks all tcp first", _rule((tcp,), Notrack())
        yield "untracks whatever comes from 11211 first", _rule((tcp, from_cache), Notrack())
        return
    for state in (CtState.UNTRACKED, CtState.INVALID):
        values = Intervals.of(int(state))
        asked: Match = In(Field.CT_STATE, values) if dialect is Dialect.NFTABLES else XtConntrack(values)
        yield f"accepts {state.name} first", _rule((asked,), End(Verdict.ACCEPT))
        yield f"drops {state.name} first", _rule((asked,), End(Verdict.DROP))
    if hook is Hook.INPUT:
        yield "accepts whatever comes from 11211 first", _rule((tcp, from_cache), End(Verdict.ACCEPT))


def _rule(matches: tuple[Match, ...], statement: Statement) -> Rule:
    return Rule(matches, (statement,), Place("mutant"), "")
