"""A box is a set of packets that no rule can tell apart by more than it says: a set of values for each field.

Rules are judged against a box three-valued: they match none, some or all of it. *All* and *none* are exact;
*some* may be said where the truth is one of the others, never the other way round, so whatever is concluded from
*all* and *none* holds for every packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import asks_the_entry, may_ask_the_state
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import AnyOf, Field, In, InSet, Interface, Match, OpaqueMatch, Rule, XtConntrack

NO_ENTRY = frozenset({CtState.UNTRACKED, CtState.INVALID})
"""The states of packets without an entry (K21)."""

CARRIERS: dict[Field, frozenset[int]] = {
    Field.SPORT: frozenset(WITH_PORTS),
    Field.DPORT: frozenset(WITH_PORTS),
    Field.TCP_FLAGS: frozenset({Protocol.TCP}),
    Field.ICMP: frozenset({Protocol.ICMP}),
    Field.ICMPV6: frozenset({Protocol.ICMPV6}),
}
"""The protocols that have a field; other packets never match it."""


class Tri(IntEnum):
    """How much of a box a rule matches."""

    NO = 0
    SOME = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Box:
    """Packets with each field in its set (not named: any value), one ct state, and interfaces `lo` or any other.

    `interfaces` maps "in" and "out" to `lo`, `other` (any but lo) or "" (none on this hook). `holds` are matches
    that are true for every packet of the box, though no field says it.
    """

    fields: Mapping[Field, Intervals]
    state: CtState
    interfaces: Mapping[str, str]
    holds: tuple[Match, ...] = ()

    def empty(self) -> bool:
        """Whether no packet is left in it."""
        return not all(self.fields.values())

    def in_state(self, state: CtState) -> Box:
        """The same packets in another ct state."""
        return replace(self, state=state)


def _in(box: Box, match: In) -> Tri:
    if match.field is Field.CT_STATE:
        return Tri.ALL if box.state in match.values else Tri.NO
    carriers = CARRIERS.get(match.field)
    protocols = box.fields.get(Field.PROTOCOL)
    if carriers and protocols and not carriers.intersection(protocols):
        return Tri.NO
    values = box.fields.get(match.field)
    if values is None:
        return Tri.SOME if match.values else Tri.NO
    wanted = expanded(match)
    if wanted is None:
        return Tri.SOME
    if not values & wanted:
        return Tri.NO
    return Tri.ALL if values <= wanted else Tri.SOME


def expanded(match: In) -> Intervals | None:
    """The values themselves of a masked match; None where there are too many to list."""
    if match.mask is None:
        return match.values
    if match.field is not Field.TCP_FLAGS:
        return None
    return Intervals.of(*(v for v in range(256) if v & match.mask in match.values))


def _interface(box: Box, match: Interface) -> Tri:
    name = box.interfaces.get(match.way, "")
    found = Tri.NO
    for pattern in match.names:
        if pattern == "*" or (name == "lo" and pattern in {"lo", "l*", "lo*"}):
            found = Tri.ALL
        elif name == "other" and pattern != "lo" and found is Tri.NO:
            found = Tri.SOME
    return Tri(Tri.ALL - found) if match.negated else found


def _xt_conntrack(box: Box, match: XtConntrack) -> Tri:
    """K21: on packets without an entry the states alone are looked at, and without states nothing matches."""
    if match.states is None:
        return Tri.NO if box.state in NO_ENTRY else Tri.SOME
    pseudo = match.snat or match.dnat
    if box.state in NO_ENTRY:
        return Tri.ALL if box.state in match.states else Tri.NO
    if box.state not in match.states and not pseudo:
        return Tri.NO
    return Tri.SOME if match.others or pseudo else Tri.ALL


def asks_entry(match: Match) -> bool:
    """Whether a match looks at the conntrack entry beyond its state, counts entries, or is of a kind nobody knows."""
    if isinstance(match, XtConntrack):
        return bool(match.others) or match.states is None or match.snat or match.dnat
    if isinstance(match, CtIn):
        return True
    return isinstance(match, OpaqueMatch) and (asks_the_entry(match.kind) or may_ask_the_state(match.kind))


def judge_match(box: Box, match: Match) -> Tri:
    """How much of the box one match matches."""
    if match in box.holds:
        return Tri.ALL
    match match:
        case In():
            return _in(box, match)
        case Interface():
            return _interface(box, match)
        case XtConntrack():
            return _xt_conntrack(box, match)
        case AnyOf():
            return max((_in(box, m) for m in match.alternatives), default=Tri.NO)
        case InSet() | CtIn() | OpaqueMatch():
            return Tri.SOME


def judge(box: Box, rule: Rule) -> Tri:
    """How much of the box a rule matches: all of it only if each match does."""
    return min((judge_match(box, m) for m in rule.matches), default=Tri.ALL)


def remaining(box: Box, rule: Rule) -> Box:
    """The box without what the rule matches, where one field says what that is; else the whole box, which is wider."""
    some = [m for m in rule.matches if judge_match(box, m) is Tri.SOME]
    if len(some) != 1 or not isinstance(some[0], In) or some[0].mask is not None or some[0].field not in box.fields:
        return box
    field, values = some[0].field, some[0].values
    return replace(box, fields={**box.fields, field: box.fields[field] - values})


def narrow(box: Box, matches: Iterable[Match]) -> Box:
    """The part of the box that the matches match; what no field can say becomes something that holds."""
    fields, holds = dict(box.fields), list(box.holds)
    for match in matches:
        if isinstance(match, XtConntrack) or (isinstance(match, In) and match.field is Field.CT_STATE):
            continue
        if judge_match(replace(box, fields=fields, holds=tuple(holds)), match) is Tri.ALL:
            continue
        wanted = expanded(match) if isinstance(match, In) else None
        if isinstance(match, In) and wanted is not None and match.mask is None:
            fields[match.field] = fields.get(match.field, wanted) & wanted
        else:
            holds.append(match)
            if isinstance(match, In) and wanted is not None:
                fields[match.field] = fields.get(match.field, wanted) & wanted
    return replace(box, fields=fields, holds=tuple(holds))
