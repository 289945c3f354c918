"""Which rules can matter to a question: told by the bounds of their fields, before any set is built.

A rule none of whose packets the question asks for is as good as not there. A box of bounds is looser than the rule,
so too much may stay, never too little.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import Family
from conntrim.core.model.ruleset import Base, Chain, Ruleset, Table
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import Arranged, arrange, tables_of
from conntrim.core.prove.bounds import ALL, Bounds, shifted
from conntrim.core.prove.nat_effects import without_nat
from conntrim.core.prove.rule_index import Listed

MOST_BOUNDS = 1024
"""Boxes a question may consist of; with more, looking for rules costs more than it saves."""


Made = dict[int, Chain]
"""By a chain's identity what is left of it."""


class Sieve:
    """Two rule sets of one family, from which a question takes only the rules that it can meet.

    What comes out of a translation may be asked for though what goes in is not: that is asked of all rules
    (translation.py).
    """

    def __init__(self, rulesets: tuple[Ruleset, Ruleset], family: Family, listed: Listed | None = None) -> None:
        self.family = family
        self._listed = listed or Listed(rulesets)
        self._whole = (arrange(rulesets[0]), arrange(rulesets[1]))
        self._tables = [tables_of(r, family) for r in rulesets]
        self._bases: dict[int, list[tuple[Chain, Base]]] = {}
        self._bounds = self._listed.bounds(family)

    def arranged(
        self, asked: Iterable[Bounds | None] | None, hooks: Collection[Hook] = tuple(Hook), *, nat: bool = True
    ) -> tuple[Arranged, Arranged]:
        """Both in the order of their hooks, without rules that match none of the packets in any of these boxes; None:
        whole. Else there is nothing on other hooks. What both have in common stays one thing. `nat` False: without
        nat chains."""
        boxes = None if asked is None else list(dict.fromkeys(b for b in asked if b is not None))
        if boxes is None or ALL[self.family] in boxes or len(boxes) > MOST_BOUNDS:
            return self._whole if nat else self._without_nat()
        met, made = self._overlapping(boxes), Made()
        few = (Ruleset(tuple(self._only(t, met, hooks, made, nat) for t in ts)) for ts in self._tables)
        one, other = (arrange(part, whole) for part, whole in zip(few, self._whole, strict=True))
        return (one, other) if nat else (without_nat(one), without_nat(other))

    def _without_nat(self) -> tuple[Arranged, Arranged]:
        one, other = map(without_nat, self._whole)
        return one, other

    def _overlapping(self, boxes: Iterable[Bounds]) -> NDArray[np.bool_]:
        """Which rules overlap any of the boxes. A field of which a box has all values leaves no rule out."""
        found, every = np.zeros(self._bounds.shape[2], dtype=np.bool_), ALL[self.family]
        for box in boxes:
            here = np.ones(len(found), dtype=np.bool_)
            for at, (low, high) in enumerate(shifted(box, self.family)):
                if box[at] != every[at]:
                    lows, highs = self._bounds[at]
                    here &= (lows <= high) & (highs >= low)
            found |= here
        return found

    def _only(self, table: Table, met: NDArray[np.bool_], hooks: Collection[Hook], made: Made, nat: bool) -> Table:
        """The chains that packets can come to, each with the rules that they can match."""
        todo = [c for c, base in self._hung(table) if base.hook in hooks and (nat or base.type != "nat")]
        found = {c.name: c for c in todo}
        while todo:
            chain = todo.pop()
            if id(chain) not in made:
                made[id(chain)] = self._listed.few(chain, met[self._listed.of(chain)])
            for name in made[id(chain)].jumps():
                if name not in found and (target := table.chain(name)) is not None:
                    found[name] = target
                    todo.append(target)
        return replace(table, chains=tuple(made[id(c)] for c in found.values()))

    def _hung(self, table: Table) -> list[tuple[Chain, Base]]:
        """A table's base chains: few of the tens of thousands that a node of Kubernetes has."""
        if id(table) not in self._bases:
            self._bases[id(table)] = [(c, c.base) for c in table.chains if c.base]
        return self._bases[id(table)]
