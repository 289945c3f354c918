"""The rules of rule sets as columns: looked at one by one once, then thousands at a time.

What is listed of a rule set when it is read serves all questions about it. A change shares nearly all of its rules:
only those that it brings are looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import Family
from conntrim.core.model.ruleset import Chain, Interface, Rule, Ruleset, Statement
from conntrim.core.prove.bounds import ALL, COLUMNS, known_of, shifted


class Listed:
    """The rules of some rule sets, each once however many chains share it, behind those that `base` lists already.

    Rules and chains are told by identity; all are held here, so that their ids stay theirs. `interfaces` are the
    different matches on interfaces.
    """

    def __init__(self, rulesets: Iterable[Ruleset], base: Listed | None = None) -> None:
        self._base, self._own = base, list[Rule]()
        self._numbers: dict[int, int] = dict(base._numbers) if base else {}
        self._of: dict[int, NDArray[np.int64]] = dict(base._of) if base else {}
        self._held = [c.rules for r in rulesets for t in r.tables for c in t.chains]
        new_ones = {id(rules): rules for rules in self._held if id(rules) not in self._of}
        numbered, at = self._numbered([rule for rules in new_ones.values() for rule in rules]), 0
        for key, rules in new_ones.items():
            self._of[key] = numbered[at : at + len(rules)]
            at += len(rules)
        own = {id(m): m for rule in self._own for m in rule.matches if type(m) is Interface}
        self.interfaces: tuple[Interface, ...] = (*(base.interfaces if base else ()), *own.values())
        new = np.fromiter(self._own, dtype=np.object_, count=len(self._own))
        self._rules: NDArray[np.object_] = np.concatenate((base._rules, new)) if base else new
        self._bounds: dict[Family, NDArray[np.int64]] = {}
        self._having: dict[type[Statement], NDArray[np.bool_]] = {}

    def _numbered(self, rules: Sequence[Rule]) -> NDArray[np.int64]:
        """The numbers of these rules; those that have none get one."""
        numbers = self._numbers
        found = np.fromiter(map(numbers.get, map(id, rules), repeat(-1)), dtype=np.int64, count=len(rules))
        for at in np.flatnonzero(found < 0).tolist():
            if id(rules[at]) not in numbers:
                numbers[id(rules[at])] = len(numbers)
                self._own.append(rules[at])
            found[at] = numbers[id(rules[at])]
        return found

    def of(self, chain: Chain) -> NDArray[np.int64]:
        """The numbers of a chain's rules."""
        return self._of[id(chain.rules)]

    def few(self, chain: Chain, hit: NDArray[np.bool_]) -> Chain:
        """The chain with those of its rules only."""
        return chain if hit.all() else replace(chain, rules=tuple(self._rules[self.of(chain)[hit]].tolist()))

    def having(self, kind: type[Statement], chain: Chain) -> NDArray[np.bool_]:
        """Which of a chain's rules have a statement of this kind."""
        return self._among(kind)[self.of(chain)]

    def anywhere(self, kind: type[Statement]) -> bool:
        """Whether any rule has a statement of this kind."""
        return bool(self._among(kind).any())

    def _among(self, kind: type[Statement]) -> NDArray[np.bool_]:
        if kind not in self._having:
            own = np.array([any(type(s) is kind for s in rule.statements) for rule in self._own], dtype=np.bool_)
            self._having[kind] = np.concatenate((self._base._among(kind), own) if self._base else (own,))
        return self._having[kind]

    def bounds(self, family: Family) -> NDArray[np.int64]:
        """The bounds of each rule's packets, of shape (fields, ends, rules)."""
        if family not in self._bounds:
            own = _bounds(self._own, family)
            self._bounds[family] = np.concatenate((self._base.bounds(family), own) if self._base else (own,), axis=2)
        return self._bounds[family]


def _bounds(rules: Sequence[Rule], family: Family) -> NDArray[np.int64]:
    """Each different match is looked at once: most are shared by many rules."""
    asked = [m for rule in rules for m in rule.matches]
    ids = np.fromiter(map(id, asked), dtype=np.int64, count=len(asked))
    _, first, match = np.unique(ids, return_index=True, return_inverse=True)
    owner = np.repeat(np.arange(len(rules)), [len(rule.matches) for rule in rules])
    known = np.array([known_of(asked[n], family) for n in first.tolist()], dtype=np.int64).reshape(-1, 3)
    found = np.repeat(shifted(ALL[family], family)[:, :, None], len(rules), axis=2)
    fields = known[:, 0][match]
    for field in range(len(COLUMNS)):
        here = fields == field
        found[field][:, owner[here]] = known[match[here], 1:].T  # of two, either bounds the rule
    return found
