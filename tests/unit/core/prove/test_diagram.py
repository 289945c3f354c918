"""Numbers in ranges become the set of exactly those bit vectors, however the ranges lie."""

from __future__ import annotations

from random import Random

from conntrim.core.model.intervals import Intervals
from conntrim.core.prove.diagram import Diagrams, Set

TINY = 20_000
"""Nodes of a store that is made a thousand times."""


def _one(sets: Diagrams, bits: list[Set | None], value: int) -> Set:
    """The vectors with this number; none where a bit that is masked out is set."""
    found = sets.everything
    for at, bit in enumerate(reversed(bits)):
        here = bit or sets.nothing
        found = found & (here if value >> at & 1 else ~here)
    return found


def test_a_number_among_ranges_is_any_of_their_numbers() -> None:
    """Against one number after the other: prefixes, ranges over halves, single numbers, masked bits, more than fits."""
    chance = Random(1)
    for _ in range(1000):
        sets = Diagrams(nodes=TINY)
        bits = [sets.var(n) if chance.random() < 0.85 else None for n in sets.add(chance.randrange(1, 7))]
        top = 1 << len(bits)
        ends = [sorted(chance.choices(range(top + 3), k=2)) for _ in range(chance.randrange(6))]
        values = Intervals.of(*((low, high) for low, high in ends))
        expected = sets.either([_one(sets, bits, n) for n in range(top) if n in values])
        assert expected == sets.among(bits, values), (bits, values)
