"""What two rule sets leave behind beside verdicts: counted and remembered packets, zones, helpers, translated sources,
marks. Where other packets meet it than before, later packets, routing or peers are treated otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Place
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import Chain, Helper, NoEffect, Ruleset, SetZone, Table
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.reachability import Reach
from conntrim.core.prove.states import unsolicited
from conntrim.core.prove.watch import Item, Sight, Why

TELLING = frozenset({Why.COUNTS, Why.ACTS})
"""What of the watched parts other packets, rules or hosts notice."""

SOURCES = (Hook.POSTROUTING, Hook.INPUT)
"""Where sources are translated."""

Seen = dict[object, tuple[str, Set]]
"""By what makes two rules the same: the rule in words, and the packets that met it."""


def traces_left(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """What is left behind by other packets of a direction than before."""
    question, arranged = inputs.question(direction), inputs.pair.along(direction)
    before, after = question.before, question.after
    yield from _apart(
        f"{direction}: other packets are given a zone or helper by", _templates(before), _templates(after)
    )
    news = [unsolicited(question.view, way.untracked, inputs.loose)[CtState.NEW] for way in (before, after)]
    sources = [_sources(inputs, way, new) for way, new in zip((before, after), news, strict=True)]
    yield from _apart(f"{direction}: the source of other packets is translated by", *sources)
    if _marks_differ(inputs, before, after):
        yield f"{direction}: packets leave the rules with other marks, which routing may read"
    watch = inputs.watch(arranged)
    if watch is not None and any(
        item.why in TELLING and not isinstance(item.what, SetMark) for items in watch.items.values() for item in items
    ):
        ways = inputs.walked(arranged, direction, question.scope, watch=watch)
        yield from _apart(f"{direction}: other packets come to what counts or remembers them,", *map(_sights, ways))


def _apart(what: str, before: Seen, after: Seen) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        words, was = before.get(key, ("", None))
        other, now = after.get(key, ("", None))
        if was != now:
            yield f"{what} {words or other}"


def _gathered(found: Iterable[tuple[object, str, Set]]) -> Seen:
    seen: Seen = {}
    for key, words, packets in found:
        told, before = seen.get(key, (words, None))
        seen[key] = told, packets if before is None else before | packets
    return seen


def _templates(way: Reach) -> Seen:
    return _gathered(
        ((hook, hit.statement), hit.rule.where, hit.packets)
        for hook, hit in way.hits
        if isinstance(hit.statement, SetZone | Helper)
    )


def _sources(inputs: Inputs, way: Reach, new: Set) -> Seen:
    state = inputs.space.state(CtState.NEW)
    found = (
        ((hook, hit.statement), hit.rule.where, inputs.stateless(hit.packets & state) & new)
        for hook, hit in way.hits
        if isinstance(hit.statement, Nat) and hook in SOURCES
    )
    return _gathered(each for each in found if each[2] != inputs.space.nothing)


def _marks_differ(inputs: Inputs, before: Reach, after: Reach) -> bool:
    both, nothing = before.arrived & after.arrived, inputs.space.nothing
    return any(both & (old ^ new) != nothing for old, new in zip(before.left_marks, after.left_marks, strict=False))


def _tells(item: Item) -> bool:
    """A packet's mark is followed by itself."""
    followed = isinstance(item.what, SetMark) and item.what.to is MarkOf.PACKET
    return item.why in TELLING and not followed


def _sights(way: Reach) -> Seen:
    """Equal rules are told by their order: each counts for itself."""
    numbers: dict[int, int] = {}
    seen_before: Counter[object] = Counter()

    def key(hook: Hook, sight: Sight) -> object:
        same = hook, sight.table, sight.item, sight.rule
        if id(sight.rule) not in numbers:
            numbers[id(sight.rule)] = seen_before[sight.table, sight.rule]
            seen_before[sight.table, sight.rule] += 1
        return *same, numbers[id(sight.rule)]

    return _gathered(
        (key(hook, sight), sight.rule.where, sight.packets) for hook, sight in way.sights if _tells(sight.item)
    )


def left_out(before: Ruleset, after: Ruleset) -> Iterator[str]:
    """Tables and chains whose packets are not followed, where the two differ in them."""
    old, new = (dict(_elsewhere(ruleset)) for ruleset in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield f"{name} differs, and what it does to packets is not compared"


def _elsewhere(ruleset: Ruleset) -> Iterator[tuple[str, object]]:
    for table in ruleset.tables:
        if table.dormant:
            continue
        name = f"{table.family} {table.name}"
        if table.family not in FAMILIES:
            yield name, tuple(map(_bare, table.chains))
        for chain in table.chains:
            if table.family in FAMILIES and chain.base and chain.base.hook in (Hook.INGRESS, Hook.EGRESS):
                yield f"{name} {chain.name}", (_bare(chain), *map(_bare, _others(table, chain)))


def _others(table: Table, chain: Chain) -> Iterator[Chain]:
    """User chains that it may jump to."""
    return (c for c in table.chains if c.base is None and c is not chain)


def _bare(chain: Chain) -> Chain:
    """What a chain means: without comments, counters and logs."""
    rules = (
        replace(r, comment="", statements=tuple(s for s in r.statements if not isinstance(s, NoEffect)))
        for r in chain.rules
    )
    return replace(chain, rules=tuple(rules), place=Place(""))
