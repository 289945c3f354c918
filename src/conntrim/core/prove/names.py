"""Interface names as numbers: one code for each name in the rules, and one for each way of being another name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Interface, Ruleset, Table

LOOPBACK = "lo"
OTHERS = ("eth0", "eth1", "eth9", *(f"{letter}other0" for letter in "abcdefghijklmnopqrstuvwxyz_0123456789"))
"""Names for "any other interface" in witnesses: the first that no rule means."""


def matches(name: str, pattern: str) -> bool:
    """Whether an interface of that name is meant by `eth0` or `eth*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass(frozen=True, slots=True)
class Names:
    """`known[code]` is the interface that stands for all that no rule tells apart; code 0 is "no interface".

    `patterns` are the names and wildcards that the rules tell them apart by.
    """

    known: tuple[str, ...]
    patterns: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rulesets: Iterable[Ruleset]) -> Names:
        """All names and patterns that these rule sets tell apart."""
        tables = [t for ruleset in rulesets for t in ruleset.tables]
        asked = (m for t in tables for r in t.rules() for m in r.matches)
        return cls.told(tables, (m for m in asked if type(m) is Interface))

    @classmethod
    def told(cls, tables: Iterable[Table], asked: Iterable[Interface]) -> Names:
        """The same by what the tables' rules ask for, and by the tables' sets."""
        patterns = {p for match in asked for p in match.names}
        tables = tuple(tables)
        hung = {name for table in tables for c in table.chains if c.base for name in c.base.devices}
        patterns = (patterns | hung | {p for table in tables for p in _elements(table)}) - {""}
        exact = {p for p in patterns if not p.endswith("*")} | {LOOPBACK}
        found, kinds = ["", *sorted(exact)], {frozenset[str]()}
        for stem in sorted((p[:-1] for p in patterns if p.endswith("*") and p != "*"), key=len):
            name = _fresh(stem or "if", exact)
            kind = frozenset(p for p in patterns if p.endswith("*") and p != "*" and matches(name, p))
            if kind not in kinds:
                kinds.add(kind)
                found.append(name)
        return cls((*found, _fresh_outside(exact, patterns)), frozenset(patterns))

    @property
    def bits(self) -> int:
        """How many bits a code has."""
        return max((len(self.known) - 1).bit_length(), 1)

    def code(self, name: str) -> int:
        """The code of an interface: its own, or that of the one which stands for its like."""
        if name in self.known:
            return self.known.index(name)
        alike = (c for c, known in enumerate(self.known) if known not in ("", LOOPBACK, *self.patterns)
                 and self._kind(known) == self._kind(name))  # fmt: skip
        return next(alike, len(self.known) - 1)

    def _kind(self, name: str) -> frozenset[str]:
        return frozenset(pattern for pattern in self.patterns if matches(name, pattern))

    def codes(self, patterns: Iterable[str], negated: bool = False) -> Intervals:
        """The codes of the interfaces meant by any of the patterns, or by none of them."""
        wanted = tuple(patterns)
        hits = (any(matches(name, p) for p in wanted) is not negated for name in self.known)
        return Intervals.of(*(code for code, hit in enumerate(hits) if hit))


def _fresh(stem: str, taken: set[str]) -> str:
    return next(name for n in range(len(taken) + 1) if (name := f"{stem}{n}") not in taken)


def _fresh_outside(exact: set[str], patterns: set[str]) -> str:
    starts = tuple(p[:-1] for p in patterns if p.endswith("*") and p != "*")
    return next((c for c in OTHERS if c not in exact and not c.startswith(starts)), "?")


def _elements(table: Table) -> Iterator[str]:
    for named in table.sets:
        for element in named.elements:
            for key in element:
                if isinstance(key, tuple):
                    yield from key
