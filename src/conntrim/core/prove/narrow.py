"""Which rules can matter to a question: told by the bounds of their fields, before any set is built.

A rule none of whose packets the question asks for is as good as not there. A box of bounds is looser than the rule,
so too much may stay, never too little.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Chain, Field, In, Match, Nat, Rule, Ruleset, Table
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import FAMILIES, Arranged, arrange

Bounds = tuple[tuple[int, int], ...]
"""The lowest and highest value of each of `FIELDS`."""

FIELDS = (Field.SRC, Field.DST, Field.PROTOCOL, Field.SPORT, Field.DPORT)
MIRRORED = (1, 0, 2, 4, 3)
"""Where each field's bounds stand in the answer's."""
ADDRESSES = 2
"""So many of the fields are addresses; they come first."""
_AT = {id(field): at for at, field in enumerate(FIELDS)}
"""By identity: an enum's own hash takes longer than the rest of the look-up."""

SHIFT = {Family.IPV4: 0, Family.IPV6: 65}
"""Bits of an address left out, so that bounds fit 64 bits."""
_V6_TOP = (1 << 128) - 1
_NEVER = (1 << 63) - 1
"""Above every bound."""
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


class Listed:
    """The rules of some rule sets and their matches, each looked at once however many of them share it.

    `of` holds the numbers of each chain's rules by the chain's id, `matches` the different matches of all.
    """

    def __init__(self, rulesets: Iterable[Ruleset]) -> None:
        chains = {id(c): c for r in rulesets for t in r.tables for c in t.chains}
        rules = {id(rule): rule for c in chains.values() for rule in c.rules}
        numbers = {key: n for n, key in enumerate(rules)}
        self.of = {key: _ids(c.rules, numbers.__getitem__) for key, c in chains.items()}
        asked = [m for rule in rules.values() for m in rule.matches]
        _, first, self._match = np.unique(_ids(asked), return_index=True, return_inverse=True)
        self._rule = np.repeat(np.arange(len(rules)), [len(rule.matches) for rule in rules.values()])
        self._rules, self.matches = len(rules), [asked[n] for n in first.tolist()]

    def bounds(self, family: Family) -> NDArray[np.int64]:
        """The bounds of each rule's packets, of shape (fields, ends, rules)."""
        known = np.array([_known(m, family) for m in self.matches], dtype=np.int64).reshape(-1, 3)
        found = np.repeat(_shifted(_ALL[family], family)[:, :, None], self._rules, axis=2)
        asked = known[:, 0][self._match]
        for field in range(len(FIELDS)):
            here = asked == field
            found[field][:, self._rule[here]] = known[self._match[here], 1:].T  # of two, either bounds the rule
        return found


def _ids(things: Sequence[object], number: Callable[[int], int] = int) -> NDArray[np.int64]:
    return np.fromiter(map(number, map(id, things)), dtype=np.int64, count=len(things))


def _known(match: Match, family: Family) -> tuple[int, int, int]:
    """Which of `FIELDS` a match bounds, and how; -1 where it bounds none."""
    if type(match) is not In or match.mask is not None or (at := _AT.get(id(match.field))) is None:
        return -1, 0, 0
    (low, high), ranges = _ALL[family][at], match.values.ranges
    if not ranges or ranges[0][0] > high or ranges[-1][1] < low:
        return at, _NEVER, -1
    shift = SHIFT[family] if at < ADDRESSES else 0
    return at, max(low, ranges[0][0]) >> shift, min(high, ranges[-1][1]) >> shift


def _shifted(bounds: Bounds, family: Family) -> NDArray[np.int64]:
    """As an array of shape (fields, ends)."""
    shifts = [SHIFT[family] if at < ADDRESSES else 0 for at in range(len(FIELDS))]
    return np.array([(a >> s, b >> s) for (a, b), s in zip(bounds, shifts, strict=True)], dtype=np.int64)


class Sieve:
    """Two rule sets of one family, from which a question takes only the rules that it can meet.

    Translating rules always stay: what comes out of them may be asked for though what goes in is not.
    """

    def __init__(self, rulesets: tuple[Ruleset, Ruleset], family: Family, listed: Listed | None = None) -> None:
        self.family = family
        self._listed = listed or Listed(rulesets)
        self._whole = (arrange(rulesets[0]), arrange(rulesets[1]))
        self._tables = [[t for t in r.tables if family in FAMILIES.get(t.family, ())] for r in rulesets]
        self._bounds = self._listed.bounds(family)

    def arranged(
        self, asked: Iterable[Bounds | None] | None, hooks: Collection[Hook] = tuple(Hook)
    ) -> tuple[Arranged, Arranged]:
        """Both in the order of their hooks, without rules that match none of the packets in any of these boxes; None:
        whole. Else there is nothing on other hooks. What both have in common stays one thing."""
        boxes = None if asked is None else list(dict.fromkeys(b for b in asked if b is not None))
        if boxes is None or _ALL[self.family] in boxes or len(boxes) > MOST_BOUNDS:
            return self._whole
        met, made = self._overlapping(boxes), dict[int, Chain]()
        one, other = (arrange(Ruleset(tuple(self._only(t, met, hooks, made) for t in ts))) for ts in self._tables)
        return one, other

    def _overlapping(self, boxes: Iterable[Bounds]) -> NDArray[np.bool_]:
        """Which rules overlap any of the boxes."""
        found = np.zeros(self._bounds.shape[2], dtype=np.bool_)
        for box in boxes:
            here = np.ones(len(found), dtype=np.bool_)
            for (lows, highs), (low, high) in zip(self._bounds, _shifted(box, self.family), strict=True):
                here &= (lows <= high) & (highs >= low)
            found |= here
        return found

    def _only(self, table: Table, met: NDArray[np.bool_], hooks: Collection[Hook], made: dict[int, Chain]) -> Table:
        nat = any(c.base is not None and c.base.type == "nat" for c in table.chains)
        chains = tuple(c for c in table.chains if c.base is None or c.base.hook in hooks)
        for chain in chains:
            if id(chain) not in made:
                hit = met[self._listed.of[id(chain)]]
                if nat:
                    hit |= np.fromiter(map(_translates, chain.rules), dtype=np.bool_, count=len(chain.rules))
                few = tuple(chain.rules[i] for i in np.nonzero(hit)[0].tolist())
                made[id(chain)] = chain if len(few) == len(chain.rules) else replace(chain, rules=few)
        return replace(table, chains=tuple(made[id(c)] for c in chains))


def _translates(rule: Rule) -> bool:
    return any(isinstance(s, Nat) for s in rule.statements)
