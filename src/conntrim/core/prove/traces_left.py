"""What two rule sets leave behind beside verdicts: counted and remembered packets, zones, helpers, translated sources,
marks. Where other packets meet it than before, later packets, routing or peers are treated otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.kinds import counts_alone, leaves
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import (
    Chain,
    CtTemplate,
    Helper,
    InSet,
    NoEffect,
    OpaqueMatch,
    Ruleset,
    SetZone,
    Table,
)
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.reachability import SOURCES, TRANSLATING, Reach, existing
from conntrim.core.prove.states import unsolicited
from conntrim.core.prove.turns import Occurrences
from conntrim.core.prove.watch import Item, Why

TELLING = frozenset({Why.COUNTS, Why.ACTS})
"""What of the watched parts other packets, rules or hosts notice."""

Seen = dict[object, tuple[str, Set]]
"""By what makes two rules the same: the rule in words, and the packets that met it."""


def traces_left(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """What is left behind by other packets of a direction than before."""
    question = inputs.question(direction)
    ways = question.before, question.after
    yield from _apart(f"{direction}: other packets are given a zone, helper or time-out by", *map(_templates, ways))
    passing = inputs.stateless(question.before.arrived | question.after.arrived) & existing(inputs.space, direction)
    if inputs.pair.tracks and passing & (question.before.untracked ^ question.after.untracked) != inputs.space.nothing:
        yield f"{direction}: other packets than before are left untracked"
    yield from _apart(
        f"{direction}: the source of other packets is translated by", *(_sources(inputs, w) for w in ways)
    )
    yield from _fields_left(inputs, direction)
    yield from _refused(inputs, direction)
    for pair in _counted(*(sights_of(way, inputs) for way in ways)):
        yield from _apart(f"{direction}: other packets come to what counts or remembers them,", *pair)


def expected(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """Whether connections that a helper expects are translated otherwise."""
    question = inputs.question(direction)
    ways = (_expected(inputs, way) for way in (question.before, question.after))
    yield from _apart(f"{direction}: other expected connections are translated by", *ways)


def expected_and_translated(inputs: Inputs, direction: Direction) -> Set:
    """The opening packets of expected connections whose destination a nat rule translates, of either rule set: another
    source is given behind all that filters."""
    question = inputs.question(direction)
    found = [inputs.space.nothing]
    for way in (question.before, question.after):
        found += [packets for _, packets in _expected(inputs, way, TRANSLATING).values()]
    return inputs.space.sets.either(found)


def _fields_left(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """Whether what passes under both rule sets leaves them with other marks, TTLs, classes."""
    before, after = inputs.question(direction).before, inputs.question(direction).after
    both, nothing = before.arrived & after.arrived & ~before.translated & ~after.translated, inputs.space.nothing
    for name in dict.fromkeys((*before.left, *after.left)):
        came = tuple(inputs.space.sets.var(n) for n in inputs.space.variables(name))
        pairs = zip(before.left.get(name, came), after.left.get(name, came), strict=True)
        if any(both & (old ^ new) != nothing for old, new in pairs):
            what = "marks, which routing may read" if name is Field.MARK else f"values of {name}"
            yield f"{direction}: packets leave the rules with other {what}"


def _apart(
    what: str, before: Mapping[object, tuple[str, object]], after: Mapping[object, tuple[str, object]]
) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        words, was = before.get(key, ("", None))
        other, now = after.get(key, ("", None))
        if was != now:
            yield f"{what} {words or other}"


def _gathered(found: Iterable[tuple[object, str, Set]]) -> Seen:
    seen: Seen = {}
    for key, words, packets in found:
        text, before = seen.get(key, (words, None))
        seen[key] = text, packets if before is None else before | packets
    return seen


def _templates(way: Reach) -> Seen:
    return _gathered(
        ((hook, hit.statement), hit.rule.where, hit.packets)
        for hook, hit in way.hits
        if isinstance(hit.statement, SetZone | Helper | CtTemplate)
    )


def _sources(inputs: Inputs, way: Reach) -> Seen:
    new = unsolicited(inputs.question(way.direction).view, way.untracked, inputs.loose)[
        CtState.NEW
    ] & ~inputs.stateless(way.translated)
    return _translated(inputs, way, CtState.NEW, new, SOURCES)


def _expected(inputs: Inputs, way: Reach, hooks: tuple[Hook, ...] = tuple(Hook)) -> Seen:
    """Connections that a helper expects come to the nat chains as RELATED."""
    return _translated(inputs, way, CtState.RELATED, ~way.untracked & inputs.space.with_ports, hooks)


def _translated(inputs: Inputs, way: Reach, state: CtState, among: Set, hooks: tuple[Hook, ...]) -> Seen:
    here = inputs.space.state(state)
    found = (
        ((hook, hit.statement), hit.rule.where, inputs.stateless(hit.packets & here) & among)
        for hook, hit in way.hits
        if isinstance(hit.statement, Nat) and hook in hooks
    )
    return _gathered(each for each in found if each[2] != inputs.space.nothing)


def _tells(item: Item) -> bool:
    """A packet's mark is followed by itself."""
    followed = isinstance(item.what, SetMark) and item.what.to is MarkOf.PACKET
    return item.why in TELLING and not followed


Met = dict[object, tuple[str, tuple[Set, ...]]]
"""By what makes two rules the same: its place, and who came to it once, twice, and so on."""


def sights_of(way: Reach, inputs: Inputs) -> Met:
    """Who came to what counts or leaves something behind. A rule that counts, or writes what others read, is told by
    the place that it shares with one of the other rule set; else equal rules by their order. What was translated on
    the way is followed by itself."""
    asked = inputs.space.occurrences or Occurrences({})
    numbers: dict[int, int] = {}
    seen_before: Counter[object] = Counter()
    found: Met = {}
    for hook, sight in way.sights:
        rule, item = sight.rule, sight.item
        if not _tells(item):
            continue
        if id(rule) not in numbers:
            numbers[id(rule)] = seen_before[sight.table, rule]
            seen_before[sight.table, rule] += 1
        placed = item.why is Why.COUNTS or any(s is item.what and leaves(s) for s in rule.statements)
        who = asked.of(rule) if placed else (rule.matches, rule.statements, numbers[id(rule)])
        alone = isinstance(item.what, OpaqueMatch) and counts_alone(item.what)
        key = hook, sight.table, item.why, item.what, who, alone
        where, times = found.get(key, (rule.where, ()))
        comes = sight.packets if hook in TRANSLATING else sight.packets & ~way.translated
        found[key] = where, _again(times, comes)
    return found


def met_by(way: Reach, inputs: Inputs) -> dict[object, tuple[Set, ...]]:
    """The same without places."""
    return {key: times for key, (_, times) in sights_of(way, inputs).items()}


def _refused(inputs: Inputs, direction: Direction) -> Iterator[str]:
    """Whether packets that neither rule set lets through are answered otherwise."""
    question = inputs.question(direction)
    lost = question.scope & ~question.before.arrived & ~question.after.arrived
    lost = lost & ~question.before.translated & ~question.after.translated
    found = [
        _gathered(
            (sight.item.what, sight.rule.where, sight.packets & lost)
            for _, sight in way.sights
            if sight.item.why is Why.REFUSES and sight.packets & lost != inputs.space.nothing
        )
        for way in (question.before, question.after)
    ]
    yield from _apart(f"{direction}: other packets are refused with an answer by", *found)


def _counted(before: Met, after: Met) -> Iterator[tuple[Met, Met]]:
    """Both, without rules of one of them that count for themselves alone: whatever they answer is looked at."""
    lone = {key for key in before.keys() ^ after.keys() if isinstance(key, tuple) and key[-1]}
    yield ({k: v for k, v in before.items() if k not in lone}, {k: v for k, v in after.items() if k not in lone})


def _again(times: tuple[Set, ...], comes: Set) -> tuple[Set, ...]:
    """Who came how often, after these came once more."""
    after = []
    for before in times:
        after.append(before | comes)
        comes = before & comes
    return (*after, comes) if comes != comes & ~comes else tuple(after)


def left_out(before: Ruleset, after: Ruleset) -> Iterator[str]:
    """Tables and chains whose packets are not followed, where the two differ in them."""
    old, new = (dict(_elsewhere(ruleset)) for ruleset in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield f"{name} differs, and what it does to packets is not compared"


def declared(before: Ruleset, after: Ruleset) -> Iterator[str]:
    """Sets that fill or empty themselves, and other objects of a table, where they are others than before: no packet by
    itself shows it."""
    old, new = (dict(_declared(ruleset)) for ruleset in (before, after))
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            yield f"{name} is another than before: what it holds, its time-outs or its rates"


def _declared(ruleset: Ruleset) -> Iterator[tuple[str, object]]:
    for table in ruleset.tables:
        asked = {m.set_name for r in table.rules() for m in r.matches if isinstance(m, InSet)}
        for named in table.sets:
            if named.dynamic and named.name in asked:
                content = named.elements, named.declaration, named.text
                yield f"set {named.name} of table {table.family} {table.name}", content
        objects = sorted(each for each in table.objects if not each.startswith(COUNTER))
        yield f"an object of table {table.family} {table.name}", objects


COUNTER = '{"counter"'
"""How an object begins that counts and does nothing."""


def _elsewhere(ruleset: Ruleset) -> Iterator[tuple[str, object]]:
    for table in ruleset.tables:
        if table.dormant:
            continue
        name = f"{table.family} {table.name}"
        if table.family not in FAMILIES:
            yield name, tuple(map(_bare, table.chains))
        for chain in table.chains:
            if table.family in FAMILIES and chain.base and chain.base.hook is Hook.EGRESS:
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
