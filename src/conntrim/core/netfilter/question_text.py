"""Matches and statements in words, for questions that the model cannot answer."""

from __future__ import annotations

from typing import assert_never

from conntrim.core.emit.ct import nft_text
from conntrim.core.model.address import format_address, format_range
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import FIELDS, Field, Reading
from conntrim.core.model.intervals import span_text
from conntrim.core.model.marks import SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.refusal import Queue
from conntrim.core.model.ruleset import (
    AnyOf,
    Base,
    CtTemplate,
    End,
    Helper,
    In,
    InSet,
    Interface,
    Jump,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    XtConntrack,
)
from conntrim.core.model.writes import AddToSet, SetField


def hangs(base: Base, device: str) -> str:
    """The question whether an ingress chain, of which no listing told the devices, sees what comes in by one (K137)."""
    return f"whether an ingress chain at priority {base.priority} hangs at {device}"


def astray(statement: SetField) -> str:
    """The question whether a packet with another address or port, which no entry knows, is lost."""
    return f"{statement.text}: it does not arrive"


def not_new(statement: OpaqueStatement) -> str:
    """The question whether the entry of a NEW packet is there already, from one before it (K136)."""
    return f"{statement.text}: the entry is not new"


def membership(match: InSet) -> str:
    """The question whether a packet's fields are in a set, negated or not: both ask the same."""
    return f"{' '.join(str(f) for f in match.fields)} is in the set {match.set_name}"


def queue(end: End) -> str:
    """A program's queue."""
    if not isinstance(end.how, Queue):
        return "queue 0"
    first, last = end.how.first, end.how.last
    return f"queue {end.how.unread or (first if first == last else f'{first}-{last}')}"


def translation(nat: Nat) -> str:
    """A translation and where it goes, in the words of neither dialect."""
    if nat.elsewhere is not None:
        return f"{nat.kind} {nat.elsewhere.text}"
    hosts = "-".join(format_address(each) for each in dict.fromkeys(nat.addresses or ()))
    ports = "-".join(str(each) for each in dict.fromkeys(nat.ports or ()))
    hosts = f"[{hosts}]" if ports and ":" in hosts else hosts
    return f"{nat.kind} to {hosts}{':' * bool(ports)}{ports}" if hosts or ports else nat.kind.value


def question(what: Match | Statement) -> str:
    """The question whether this match holds, or this statement takes the packet; one text, one question."""
    match what:
        case OpaqueMatch() | OpaqueStatement():
            return f"{what.kind}: {(what.asked if isinstance(what, OpaqueMatch) else '') or what.text}"
        case In():
            return f"the packet's {_asked(what)}"
        case Interface():
            return f"the {what.way}going interface is {'not ' * what.negated}{' or '.join(what.names)}"
        case AnyOf():
            return " or ".join(question(alternative) for alternative in what.alternatives)
        case InSet():
            return f"the packet is {'not ' * what.negated}in the set {what.set_name}"
        case XtConntrack():
            return " ".join(map(nft_text, what.others))
        case CtIn():
            return nft_text(what)
        case (
            End()
            | Jump()
            | Return()
            | Notrack()
            | SetZone()
            | SetMark()
            | CtTemplate()
            | Helper()
            | Nat()
            | NoEffect()
            | SetField()
            | AddToSet()
        ):
            return str(what)
        case _:
            assert_never(what)


def _asked(match: In) -> str:
    """`dport is one of: 53, 80-90`: two sets are two questions."""
    wording = format_range if FIELDS[match.field].reading is Reading.ADDRESSES else span_text
    masked = "" if match.mask is None else f" & {match.mask:#x}"
    return f"{match.field}{masked} is one of: {', '.join(wording(*each) for each in match.values.ranges)}"


def condition(match: Match) -> str:
    """What a match asks about, where it is the one that failed."""
    match match:
        case In():
            return CONDITIONS.get(match.field, f"its {FIELDS[match.field].phrase or match.field}")
        case Interface():
            return f"its {match.way}going interface"
        case InSet():
            return f"the set {match.set_name}, which it is {'' if match.negated else 'not '}in"
        case OpaqueMatch():
            return match.kind
        case AnyOf():
            return " or ".join(dict.fromkeys(map(condition, match.alternatives)))
        case XtConntrack() | CtIn():
            return "its connection"
        case _:
            assert_never(match)


CONDITIONS: dict[Field, str] = {
    Field.SRC: "its source address", Field.DST: "its destination address", Field.TCP_FLAGS: "its TCP flags",
    Field.SRC_TYPE: "the type of its source address", Field.DST_TYPE: "the type of its destination address",
    Field.PACKET_TYPE: "the type of packet", Field.FRAGMENT: "being a fragment",
}  # fmt: skip
"""Fields whose phrase needs a value behind it."""
