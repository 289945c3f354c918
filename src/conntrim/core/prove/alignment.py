"""Which rules of two rule sets stand for each other: the same rule at the corresponding place of the same chain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from conntrim.core.model.kinds import Answer, Effect, answer_of, counts_alone, effect_of
from conntrim.core.model.ruleset import Chain, Match, NoEffect, OpaqueMatch, Rule, Ruleset, Statement, Table

MOST_PAIRS = 4_000_000
"""Pairs of rules that may be aligned in one chain; beyond, everything between the common ends counts as changed."""

Meaning = tuple[tuple[Match, ...], tuple[Statement, ...]]
Block = tuple[int, int, int]
"""Rules that both chains have in a row: where it begins in each, and how many."""


def meaning(rule: Rule) -> Meaning:
    """What a rule does, whatever it counts or logs."""
    return rule.matches, tuple(s for s in rule.statements if not isinstance(s, NoEffect))


def keyed(ruleset: Ruleset) -> dict[tuple[str, str, str], Table]:
    """The tables that are on hooks, by what tells them apart."""
    kept = (t for t in ruleset.tables if not t.dormant)
    return {(t.dialect, t.family, t.name): t for t in kept}


def blocks(old: Sequence[Rule], new: Sequence[Rule]) -> Iterator[Block]:
    """What two chains have in common, in order."""
    start = _alike(old, new)
    least = min(len(old), len(new)) - start
    end = min(_alike(old[::-1], new[::-1]), least)
    if start:
        yield 0, 0, start
    x, y = old[start : len(old) - end], new[start : len(new) - end]
    if x and y and len(x) * len(y) <= MOST_PAIRS:
        numbers: dict[Meaning, int] = {}
        one, other = ([numbers.setdefault(meaning(r), len(numbers)) for r in rules] for rules in (x, y))
        for i, j, size in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
            if size:
                yield start + i, start + j, size
    if end:
        yield len(old) - end, len(new) - end, end


def _alike(old: Sequence[Rule], new: Sequence[Rule]) -> int:
    """How many rules mean the same from the start on; a plan shares most of its rules with what was there."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a is not b and meaning(a) != meaning(b)), min(len(old), len(new)))


def apart(old: Chain, new: Chain) -> tuple[list[Rule], list[Rule]]:
    """The rules that only the one and only the other chain has, aligned in order."""
    if old is new:
        return [], []
    gone, come, at, to = list[Rule](), list[Rule](), 0, 0
    for i, j, size in (*blocks(old.rules, new.rules), (len(old.rules), len(new.rules), 0)):
        gone += old.rules[at:i]
        come += new.rules[to:j]
        at, to = i + size, j + size
    return gone, come


def twins(before: Ruleset, after: Ruleset) -> dict[int, int]:
    """By the identity of a rule of AFTER that of the rule of BEFORE which it stands for.

    A rule that counts for itself alone (`limit`) is known again wherever it went in its table: whether the same packets
    come to it is asked by itself. What others read or write (`recent`, sets) is that only at its place.
    """
    found: dict[int, int] = {}
    old, new = keyed(before), keyed(after)
    for key in old.keys() & new.keys():
        if old[key] is not new[key]:
            found |= _of_table(old[key], new[key])
    return found


def _of_table(old: Table, new: Table) -> dict[int, int]:
    found: dict[int, int] = {}
    lone: tuple[list[Rule], list[Rule]] = [], []
    for one, other in _chains(old, new):
        if one is other:
            continue
        for i, j, size in blocks(one.rules, other.rules):
            found |= {id(b): id(a) for a, b in zip(one.rules[i : i + size], other.rules[j : j + size], strict=True)}
        gone, come = apart(one, other)
        lone[0].extend(gone)
        lone[1].extend(come)
    again = defaultdict[Meaning, list[Rule]](list)
    for rule in _private(lone[0], old):
        again[meaning(rule)].append(rule)
    for rule in _private(lone[1], new):
        if waiting := again.get(meaning(rule)):
            found[id(rule)] = id(waiting.pop(0))
    return found


def _chains(old: Table, new: Table) -> Iterator[tuple[Chain, Chain]]:
    """Chains that stand for each other: by name, else by what they hold."""
    named = {c.name: c for c in new.chains}
    gone = [c for c in old.chains if c.name not in named]
    yield from ((c, named[c.name]) for c in old.chains if c.name in named)
    known = {c.name for c in old.chains}
    come = defaultdict[tuple[Meaning, ...], list[Chain]](list)
    for chain in new.chains:
        if chain.name not in known:
            come[tuple(map(meaning, chain.rules))].append(chain)
    for chain in gone:
        alike = come.get(tuple(map(meaning, chain.rules)))
        yield chain, alike.pop(0) if alike else Chain(chain.name, ())
    yield from ((Chain(chain.name, ()), chain) for left in come.values() for chain in left)


def _private(rules: Iterable[Rule], table: Table) -> Iterator[Rule]:
    """Those that count for themselves alone, and leave nothing behind."""
    for rule in rules:
        counting = [m for m in rule.matches if answer_of(m, table) is Answer.COUNTS]
        alone = all(isinstance(m, OpaqueMatch) and counts_alone(m) for m in counting)
        if counting and alone and not any(effect_of(s) is Effect.ACTS for s in rule.statements):
            yield rule
