"""What rules ask of a connection's entry beside its state, where the connection is followed packet by packet: the
questions are variables of a walk (match_encoder.py), and the table that the earlier packets left answers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from conntrim.core.model.ct_match import CtIn, CtKey, Way
from conntrim.core.model.fields import Field
from conntrim.core.model.kinds import expects
from conntrim.core.model.ruleset import Rule, Ruleset, entry_questions
from conntrim.core.netfilter.ct_expressions import holds
from conntrim.core.netfilter.question_text import not_new, question
from conntrim.core.netfilter.skb import Tracked
from conntrim.core.prove.assumed import answered
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.packet_vars import PacketVars

ENDS: dict[CtKey, tuple[Field, Field]] = {
    CtKey.SRC: (Field.SRC, Field.DST), CtKey.DST: (Field.DST, Field.SRC), CtKey.SPORT: (Field.SPORT, Field.DPORT),
    CtKey.DPORT: (Field.DPORT, Field.SPORT),
}  # fmt: skip
"""The field of a connection's request that an end of an entry has, where its original direction is that of the
requests, and where it is the other."""

KNOWN = frozenset({CtKey.DIRECTION, CtKey.STATUS, CtKey.PROTOCOL, CtKey.FAMILY, CtKey.ZONE})
"""What is the same for all connections that left a table; their zone where no rule gives them one."""


@dataclass(frozen=True, slots=True)
class EntryQuestions:
    """Those of a rule set, each with all that it asks together. `fresh`: those whether an entry was there before."""

    space: PacketVars
    asked: tuple[tuple[str, tuple[CtIn, ...]], ...]
    fresh: tuple[str, ...] = ()

    @classmethod
    def of(cls, space: PacketVars, ruleset: Ruleset) -> Self:
        """Of all rules."""
        asked = ((m, entry_questions(m)) for rule in ruleset.those(_asks) for m in rule.matches)
        asks = {question(match): wanted for match, wanted in asked if wanted}
        fresh = dict.fromkeys(not_new(s) for rule in ruleset.those(_expecting) for s in rule.statements if expects(s))
        return cls(space, tuple(asks.items()), tuple(fresh))

    def __bool__(self) -> bool:
        return bool(self.asked or self.fresh)

    def settled(self, found: Set, attached: Tracked, source: int, zoned: Set) -> Set:
        """The connections of a set, told by their requests, where the packet's entry answers; `source` sends the
        requests of the one that stands for all. Nothing translates them; which zone those of `zoned` have stays
        open."""
        confirmed = attached.confirmed and not attached.pending
        found = answered(self.space, found, dict.fromkeys(self.fresh, confirmed))
        for text, asked in self.asked:
            number = self.space.free.get(text)
            if number is None or (answer := self._answer(asked, attached, source)) is None:
                continue
            yes = self.space.sets.var(number)
            said = answer.ite((found & yes).exists(yes), (found & ~yes).exists(yes))
            found = zoned.ite(found, said) if any(m.key is CtKey.ZONE for m in asked) else said
        return found

    def _answer(self, asked: tuple[CtIn, ...], attached: Tracked, source: int) -> Set | None:
        answers = list(self._answers(asked, attached, source))
        if None in answers:
            return None
        whole = self.space.everything
        for each in answers:
            whole = whole & each if each is not None else whole
        return whole

    def _answers(self, asked: tuple[CtIn, ...], attached: Tracked, source: int) -> Iterator[Set | None]:
        for match in asked:
            if match.key in KNOWN:
                said = holds(match, attached)
                yield None if said is None else self.space.everything if said else self.space.nothing
            elif match.key in ENDS:
                turned = (match.way is Way.REPLY) is (attached.entry.original.src == source)
                found = self.space.field(ENDS[match.key][turned], match.values, match.mask)
                yield ~found if match.negated else found
            else:
                yield None


def _expecting(rule: Rule) -> bool:
    return any(map(expects, rule.statements))


def _asks(rule: Rule) -> bool:
    return any(map(entry_questions, rule.matches))
