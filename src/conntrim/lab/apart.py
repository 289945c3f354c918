"""Dialogues that share one table get in each other's way: of which of them nothing can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from conntrim.lab.entries import Kept
from conntrim.lab.expect import Believed, Source
from conntrim.lab.talk import Key, key
from conntrim.lab.wire import End

TAKEN, MOVED = "a tuple of another dialogue", "the source of another dialogue"
"""The doubts about a dialogue that shares one with another."""


def apart(believed: Sequence[Believed]) -> list[Believed]:
    """The same, but nothing is believed of dialogues that a translation brought upon each other's tuples or sources.

    Whose tuple was taken may have got any port, and all flows of its source get the same (K57).
    """
    met = Counter(k for each in believed for k in _claims(each))
    became: dict[Source, set[End]] = {}
    for source, end in (pair for each in believed for pair in each.sources):
        became.setdefault(source, set()).add(end)
    shared = Counter(s for each in believed for s in {source for source, _ in each.sources})
    moved = {s for each in believed for s, _ in each.sources if any(met[k] > 1 for k in _claims(each))}

    def clash(each: Believed) -> str:
        if any(met[k] > 1 for k in _claims(each)):
            return TAKEN
        loose = any(s in moved or shared[s] > 1 < len(became[s]) for s, _ in each.sources)
        return MOVED if loose else ""

    return [_left_open(each, clash(each)) for each in believed]


def clear(believed: Sequence[Believed], entries: Sequence[Sequence[Kept]]) -> list[Believed]:
    """The same, but nothing is believed of dialogues whose tuples or sources an entry of an undecided one has."""
    left = [entry for each, kept in zip(believed, entries, strict=True) if each.doubt for entry in kept]
    tuples = {key(tuple_) for entry in left for tuple_ in (entry.original, entry.reply)}
    sources = {(entry.original.protocol, entry.original.src, entry.original.sport) for entry in left if entry.snat}

    def clash(each: Believed) -> str:
        if not tuples.isdisjoint(_claims(each)):
            return TAKEN
        return MOVED if any(source[:3] in sources for source, _ in each.sources) else ""

    return [each if each.doubt else _left_open(each, clash(each)) for each in believed]


def _left_open(each: Believed, doubt: str) -> Believed:
    return replace(each, traces=(), entries=None, doubt=doubt) if doubt else each


def _claims(each: Believed) -> set[Key]:
    return {key(tuple_) for tuple_ in each.tuples}
