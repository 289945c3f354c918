"""Two rule sets made ready for questions: what differs, and which of their rules packets of a direction can meet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from conntrim.core.model.address import Family
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import End, Jump, NoEffect, Notrack, Return, Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.hooks import JOURNEYS, Arranged
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.prove.affected_set import Changes, along, changed_rules, parts, sharing
from conntrim.core.prove.bounds import Bounds, bounds_of, fields_of, mirrored
from conntrim.core.prove.flows import BACK, Flow
from conntrim.core.prove.names import Names
from conntrim.core.prove.nat_effects import only_translate
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.rule_slicing import Sieve

Way = tuple[Direction, bool]
"""A direction, and whether it is about answers only: on the loopback they go the way of the requests."""
Arrangements = tuple[Arranged, Arranged]
Asked = Mapping[Way, Iterable[Bounds | None]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two rule sets of one family, and the rules that only one of them has.

    `asked` are boxes of packets that a question is about beside those which may meet what changed.
    """

    sieve: Sieve
    changed: Changes
    asked: Asked
    _made: dict[tuple[Direction, bool, bool], Arrangements] = field(default_factory=dict)
    _carrying: dict[Direction, Arrangements] = field(default_factory=dict)
    _translate: dict[Direction, bool] = field(default_factory=dict)

    def whole(self) -> Arrangements:
        """Both with all their rules."""
        return self.sieve.arranged(None)

    def along(self, direction: Direction, *, answers: bool = False, translated: bool = True) -> Arrangements:
        """Both as packets see them that go that way. `translated` False: nobody asks who is translated, and nat chains
        that do nothing else are left out."""
        nat = translated or not self.only_translate(direction)
        if (direction, answers, nat) not in self._made:
            met = self._met(direction)
            boxes = None if met is None else [*met, *self.asked.get((direction, answers), ())]
            self._made[direction, answers, nat] = self.sieve.arranged(boxes, JOURNEYS[direction], nat=nat)
        return self._made[direction, answers, nat]

    def _met(self, direction: Direction) -> list[Bounds | None] | None:
        """Boxes of the packets that may meet what changed on that way; None for all of them."""
        changed = along(self.changed, direction)
        return None if changed is None else [bounds_of(m, self.sieve.family) for c in changed for m in parts(c)]

    def carrying(self, direction: Direction) -> Arrangements:
        """Both as the packets that go that way see them, of connections of which a packet of either way may meet what
        changed."""
        if direction not in self._carrying:
            met, back = self._met(direction), self._met(BACK[direction])
            boxes = None if met is None or back is None else [*met, *(box and mirrored(box) for box in back)]
            self._carrying[direction] = self.sieve.arranged(
                boxes, JOURNEYS[direction], nat=not self.only_translate(direction)
            )
        return self._carrying[direction]

    @property
    def tracks(self) -> bool:
        """Whether either rule set switches conntrack on: else nobody is tracked (K5)."""
        return any(arranged.active[self.sieve.family] for arranged in self.whole())

    def only_translate(self, direction: Direction) -> bool:
        """Whether the nat chains on that way do nothing but translate, in both rule sets, and the change gives nobody a
        mark."""
        if direction not in self._translate:
            plain = (End, Jump, Return, Notrack, NoEffect)
            changed = self.changed is not None and all(
                isinstance(s, plain) for c in self.changed for s in c.rule.statements
            )
            self._translate[direction] = changed and all(
                only_translate(arranged, self.sieve.family, direction) for arranged in self.whole()
            )
        return self._translate[direction]


@dataclass(frozen=True, slots=True)
class Change:
    """The same for every family; what both rule sets share is one thing, and looked at once."""

    rulesets: tuple[Ruleset, Ruleset]
    listed: Listed
    names: Names
    changed: Changes

    @classmethod
    def of(cls, before: Ruleset, after: Ruleset, listed: Listed | None = None) -> Change:
        """From BEFORE and AFTER as they were read; `listed` are rules of theirs that are listed already."""
        pair = before, sharing(before, after)
        whole = Listed(pair, listed)
        names = Names.told((t for ruleset in pair for t in ruleset.tables), whole.interfaces)
        return cls(pair, whole, names, changed_rules(*pair, whole))

    def pair(self, family: Family, asked: Asked | None = None) -> Pair:
        """For questions about one family."""
        return Pair(Sieve(self.rulesets, family, self.listed), self.changed, asked or {})


def asked_of(flows: Iterable[Flow], family: Family) -> Asked:
    """The boxes of the packets that flows consist of, and of errors about them, as they go."""
    errors = fields_of([(Field.PROTOCOL, Intervals.of(ICMP[family].protocol))], family)
    found: dict[Way, list[Bounds | None]] = {(d, False): [errors] for d in Direction} | {(Direction.LOOPBACK, True): []}
    for flow in flows:
        mine = fields_of(flow.fields.items(), family)
        found[flow.direction, False].append(mine)
        found[BACK[flow.direction], flow.direction is Direction.LOOPBACK].append(mine and mirrored(mine))
    return found
