"""The rules of rule sets as columns: looked at one by one once, then thousands at a time.

What is listed of a rule set when it is read serves all questions about it. A change shares nearly all of its rules:
only those that it brings are looked at anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from conntrim.core.model.address import Family
from conntrim.core.model.ruleset import Chain, Interface, Rule, Ruleset, Statement
from conntrim.core.prove.bounds import ALL, FIELDS, known_of, shifted


class Listed:
    """The rules of some rule sets, each once however many chains share it, behind those that `base` lists already.

    Rules and chains are told by identity; all are held here, so that their ids stay theirs. `interfaces` are the
    different matches on interfaces.
    """

    def __init__(self, rulesets: Iterable[Ruleset], base: Listed | None = None) -> None:
        of, numbers = (base._of, base._numbers) if base else ({}, {})
        lists = {id(c.rules): c.rules for r in rulesets for t in r.tables for c in t.chains if id(c.rules) not in of}
        new = {id(rule): rule for rules in lists.values() for rule in rules if id(rule) not in numbers}
        self._base, self._held, self._rules = base, tuple(lists.values()), tuple(new.values())
        self._numbers: dict[int, int] = numbers | {key: n for n, key in enumerate(new, len(numbers))}
        self._of: dict[int, NDArray[np.int64]] = of | {key: self._found(rules) for key, rules in lists.items()}
        own = {id(m): m for rule in self._rules for m in rule.matches if type(m) is Interface}
        self.interfaces: tuple[Interface, ...] = (*(base.interfaces if base else ()), *own.values())
        self._bounds: dict[Family, NDArray[np.int64]] = {}
        self._having: dict[type[Statement], NDArray[np.bool_]] = {}

    def _found(self, rules: Sequence[Rule]) -> NDArray[np.int64]:
        return np.fromiter(map(self._numbers.__getitem__, map(id, rules)), dtype=np.int64, count=len(rules))

    def of(self, chain: Chain) -> NDArray[np.int64]:
        """The numbers of a chain's rules."""
        return self._of[id(chain.rules)]

    def having(self, kind: type[Statement], chain: Chain) -> NDArray[np.bool_]:
        """Which of a chain's rules have a statement of this kind."""
        return self._among(kind)[self.of(chain)]

    def _among(self, kind: type[Statement]) -> NDArray[np.bool_]:
        if kind not in self._having:
            own = np.array([any(type(s) is kind for s in rule.statements) for rule in self._rules], dtype=np.bool_)
            self._having[kind] = np.concatenate((self._base._among(kind), own) if self._base else (own,))
        return self._having[kind]

    def bounds(self, family: Family) -> NDArray[np.int64]:
        """The bounds of each rule's packets, of shape (fields, ends, rules)."""
        if family not in self._bounds:
            own = _bounds(self._rules, family)
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
    for field in range(len(FIELDS)):
        here = fields == field
        found[field][:, owner[here]] = known[match[here], 1:].T  # of two, either bounds the rule
    return found
