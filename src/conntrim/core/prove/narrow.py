"""Which rules can matter to a question: told by the bounds of their fields, before any set is built.

A rule none of whose packets the question asks for is as good as not there. A box of bounds is looser than the rule,
so too much may stay, never too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Chain, Field, In, Match, Nat, Rule, Ruleset, Table
from conntrim.core.netfilter.hooks import FAMILIES, Arranged, arrange

Bounds = tuple[tuple[int, int], ...]
"""The lowest and highest value of each of `FIELDS`."""

FIELDS = (Field.SRC, Field.DST, Field.PROTOCOL, Field.SPORT, Field.DPORT)
MIRRORED = (1, 0, 2, 4, 3)
"""Where each field's bounds stand in the answer's."""
_AT = {id(field): at for at, field in enumerate(FIELDS)}
"""By identity: an enum's own hash takes longer than the rest of the look-up."""

SHIFT = {Family.IPV4: 0, Family.IPV6: 65}
"""Bits of an address left out, so that bounds fit 64 bits."""
_V6_TOP = (1 << 128) - 1
_NONE: Bounds = ((1, 0),) * len(FIELDS)
"""Bounds that meet none."""
_ALL: dict[Family, Bounds] = {
    Family.IPV4: (V4_ALL, V4_ALL, (0, 255), (0, 65535), (0, 65535)),
    Family.IPV6: ((0, _V6_TOP), (0, _V6_TOP), (0, 255), (0, 65535), (0, 65535)),
}
MOST_BOUNDS = 1024
"""Boxes a question may consist of; with more, looking for rules costs more than it saves."""


def bounds_of(matches: Iterable[Match], family: Family) -> Bounds | None:
    """A box round the packets that the matches hold for; None where there are no such packets."""
    found = list(_ALL[family])
    for match in matches:
        if type(match) is In and match.mask is None and (at := _AT.get(id(match.field))) is not None:
            low, high = found[at]
            ranges = match.values.ranges
            if not ranges or ranges[0][0] > high or ranges[-1][1] < low:
                return None
            found[at] = max(low, ranges[0][0]), min(high, ranges[-1][1])
    return tuple(found)


def fields_of(fields: Iterable[tuple[Field, Intervals]], family: Family) -> Bounds | None:
    """The same for fields and their values."""
    return bounds_of((In(field, values) for field, values in fields), family)


def mirrored(bounds: Bounds) -> Bounds:
    """A box round the answers to these packets."""
    return tuple(bounds[at] for at in MIRRORED)


def _rows(bounds: Sequence[Bounds], family: Family) -> NDArray[np.int64]:
    """As an array of shape (boxes, fields, 2)."""
    shift = SHIFT[family]
    flat = [n for (s, t, p, x, y) in bounds for n in
            (s[0] >> shift, s[1] >> shift, t[0] >> shift, t[1] >> shift, *p, *x, *y)]  # fmt: skip
    return np.array(flat, dtype=np.int64).reshape(len(bounds), len(FIELDS), 2)


class Sieve:
    """Two rule sets of one family, from which a question takes only the rules that it can meet.

    Translating rules always stay: what comes out of them may be asked for though what goes in is not.
    """

    def __init__(self, rulesets: tuple[Ruleset, Ruleset], family: Family) -> None:
        self.family = family
        self._whole = (arrange(rulesets[0]), arrange(rulesets[1]))
        self._tables = [[t for t in r.tables if family in FAMILIES.get(t.family, ())] for r in rulesets]
        self._numbers: dict[int, int] = {}
        self._bounds: list[Bounds] = []
        chains = {id(c): c for tables in self._tables for t in tables for c in t.chains}
        self._of = {key: self._numbered(chain.rules) for key, chain in chains.items()}
        self._rows = _rows(self._bounds, family)

    def _numbered(self, rules: tuple[Rule, ...]) -> NDArray[np.int64]:
        """A number for each rule; both rule sets share most of theirs."""
        numbers = self._numbers
        for rule in rules:
            if id(rule) not in numbers:
                numbers[id(rule)] = len(numbers)
                self._bounds.append(bounds_of(rule.matches, self.family) or _NONE)
        return np.array([numbers[id(rule)] for rule in rules], dtype=np.int64)

    def arranged(self, asked: Iterable[Bounds | None] | None) -> tuple[Arranged, Arranged]:
        """Both in the order of their hooks, without rules that match none of the packets in any of these boxes; None:
        whole. What both have in common stays one thing."""
        boxes = None if asked is None else list(dict.fromkeys(b for b in asked if b is not None))
        if boxes is None or _ALL[self.family] in boxes or len(boxes) > MOST_BOUNDS:
            return self._whole
        met, made = _overlapping(self._rows, _rows(boxes, self.family)), dict[int, Chain]()
        one, other = (arrange(Ruleset(tuple(self._only(t, met, made) for t in tables))) for tables in self._tables)
        return one, other

    def _only(self, table: Table, met: NDArray[np.bool_], made: dict[int, Chain]) -> Table:
        nat = any(c.base is not None and c.base.type == "nat" for c in table.chains)
        for chain in table.chains:
            if id(chain) not in made:
                hit = met[self._of[id(chain)]]
                if nat:
                    hit |= np.fromiter(map(_translates, chain.rules), dtype=np.bool_, count=len(chain.rules))
                few = tuple(chain.rules[i] for i in np.nonzero(hit)[0].tolist())
                made[id(chain)] = chain if len(few) == len(chain.rules) else replace(chain, rules=few)
        return replace(table, chains=tuple(made[id(c)] for c in table.chains))


def _overlapping(rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros(len(rows), dtype=np.bool_)
    for box in boxes:
        found |= ((rows[:, :, 0] <= box[:, 1]) & (rows[:, :, 1] >= box[:, 0])).all(axis=1)
    return found


def _translates(rule: Rule) -> bool:
    return any(isinstance(s, Nat) for s in rule.statements)
