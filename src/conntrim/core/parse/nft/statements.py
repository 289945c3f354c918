"""nft's statements as ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import assert_never

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.kinds import does
from conntrim.core.model.marks import EVERY, MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.nft_words import Json, Unspeakable, one_key, statement_words, words
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import CODES, RESET, Answered, Queue, Reject
from conntrim.core.model.ruleset import (
    CtTemplate,
    End,
    Helper,
    In,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    TableFamily,
    Verdict,
)  # fmt: skip
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.parse.nft.left import V4, V6, Name, Unread, both_families, implied, left
from conntrim.core.parse.nft.matches import part_of, spoken
from conntrim.core.parse.nft.nat import translation
from conntrim.core.parse.nft.values import number
from conntrim.core.parse.xt.targets import HARMLESS

DEFAULT_REJECTS = {TableFamily.IP: Answered.ICMP, TableFamily.IP6: Answered.ICMPV6}
"""What a plain `reject` answers with; in other tables it is `icmpx`."""

WORDED = frozenset({"counter", "log", "last", "ct timeout"})
"""Statements without effect on the packet's way, which keep their arguments as words."""

MATCHING = frozenset({"limit", "quota", "ct count", "meter", "connlimit"})
"""Statements that end the rule where they do not hold: matches in all but name."""

WRITES = re.compile(r"(?:add|update|delete) @(\S+) ")
"""A rule's writing to a map, which nft 1.0.6 prints as text amid its JSON (K102)."""


def matching(kind: str, content: Json) -> bool:
    """Whether a statement is a match in all but name: so is writing to a set with a condition, or out of it."""
    if kind != "set":
        return kind in MATCHING
    conditions = (next(iter(each), "") for each in content.get("stmt", ()))
    return content["op"] == "delete" or any(each not in WORDED for each in conditions)


HARMLESS_KEYS = frozenset({"nftrace", "priority"})
"""`meta` keys whose setting none of our fields sees."""


def _value(value: Json) -> tuple[MarkOf | None, int, int]:
    """What a mark is set to, as (the mark of whom & kept) ^ flipped."""
    match value:
        case bool():
            raise Unread
        case int():
            return None, 0, value & EVERY
        case {"meta": {"key": "mark"}}:
            return MarkOf.PACKET, EVERY, 0
        case {"ct": {"key": "mark"}}:
            return MarkOf.ENTRY, EVERY, 0
        case {"&": [inner, int(bits)]}:
            source, kept, flipped = _value(inner)
            return source, kept & bits, flipped & bits
        case {"|": [inner, int(bits)]}:
            source, kept, flipped = _value(inner)
            return source, kept & ~bits & EVERY, flipped & ~bits | bits & EVERY
        case {"^": [inner, int(bits)]}:
            source, kept, flipped = _value(inner)
            return source, kept, flipped ^ bits & EVERY
    raise Unread


def _mark(to: MarkOf, value: Json) -> SetMark:
    """A mark set; its own bits that stay are none that are copied."""
    source, kept, flipped = _value(value)
    if source is None or (source is to and (kept or to is MarkOf.PACKET)):
        return SetMark(flipped, EVERY ^ kept, to)
    return SetMark(flipped, EVERY, to, source, kept)


def _mangle(content: Json, family: TableFamily) -> Statement:
    """`X set VALUE`."""
    match content:
        case {"key": {"meta": {"key": "mark"}}, "value": value}:
            return _mark(MarkOf.PACKET, value)
        case {"key": {"ct": {"key": "mark"}}, "value": value}:
            return _mark(MarkOf.ENTRY, value)
        case {"key": {"ct": {"key": "zone", **rest}}, "value": int(zone)} if not isinstance(content["value"], bool):
            return SetZone(zone, str(rest.get("dir", "")))
        case {"key": {"payload": _} as key, "value": value}:
            of = left(key, family)
            if isinstance(of, Name) or of.mask is not None or isinstance(value, dict):
                raise Unread
            return SetField(of.field, number(of.kind, value) << of.shift, statement_words({"mangle": content}))
        case {"key": {"meta": {"key": str(key)}}} if key in HARMLESS_KEYS:
            return NoEffect(f"meta {key}", statement_words({"mangle": content}))
    raise Unread


def _reject(content: Json, family: TableFamily) -> Statement:
    """What a reject answers with."""
    said = content or {}
    kind = said.get("type") or DEFAULT_REJECTS.get(family, Answered.ICMPX)
    if kind not in list(Answered):
        raise Unread
    code = said.get("expr", "port-unreachable")
    names = CODES[Answered(kind)]
    if kind == Answered.RESET:
        return End(Verdict.REJECT, RESET)
    if not isinstance(code, int) and code not in names:
        raise Unread
    return End(Verdict.REJECT, Reject(Answered(kind), code if isinstance(code, int) else names[code]))


def _queue(content: Json, family: TableFamily) -> Statement:
    """To which queues a queue statement sends packets."""
    said = content or {}
    flags, unread, first = said.get("flags", []), "", 0
    match said.get("num", 0):
        case int(first):
            last = first
        case {"range": [int(first), int(last)]}:
            pass
        case other:
            last, unread = first, words(other)
    return End(Verdict.QUEUE, Queue(first, last, "bypass" in flags, "fanout" in flags, unread))


def _added(content: Json, family: TableFamily) -> AddToSet:
    """`add @s { ip saddr }`; the element's own time-out and counter tell nothing."""
    elem = content["elem"]
    value = elem["elem"]["val"] if isinstance(elem, dict) and "elem" in elem else elem
    parts = value["concat"] if isinstance(value, dict) and "concat" in value else [value]
    fields = tuple(part_of(part, family)[1] for part in parts)
    return AddToSet(str(content["set"]).removeprefix("@"), fields, statement_words({"set": content}))


ANSWERS: dict[Answered, tuple[In, ...]] = {
    Answered.ICMP: (V4,), Answered.ICMPV6: (V6,), Answered.ICMPX: (), Answered.RESET: (),
}  # fmt: skip
"""What a reject's answer says of the packet, in a table of both families."""
TCP = In(Field.PROTOCOL, Intervals.of(int(Protocol.TCP)))
"""What a reset says of it, in any table (K129)."""


def needs(expression: Json, done: Statement, family: TableFamily) -> tuple[In, ...]:
    """The checks of a statement that nft does not list: its family's in an inet table, those of headers it names."""
    own: tuple[In, ...] = ()
    match done:
        case End(how=Reject(kind=Answered.RESET)):
            own = (TCP,)
        case End(how=Reject(kind=kind)) if both_families(family):
            own = ANSWERS[kind]
        case Nat() if both_families(family):
            _, content = one_key(expression)
            own = FAMILIES.get(str((content or {}).get("family", "")), ())
        case _:  # the rest: they say nothing of the packet
            pass
    return tuple(dict.fromkeys((*own, *implied(expression, family))))


FAMILIES: dict[str, tuple[In, ...]] = {"ip": (V4,), "ip6": (V6,)}
"""What a translation's own word says of the packet."""


FIXED: dict[str, Statement] = {
    "accept": End(Verdict.ACCEPT),
    "drop": End(Verdict.DROP),
    "return": Return(),
    "notrack": Notrack(),
}
"""Statements without arguments."""


READ: dict[str, Callable[[Json, TableFamily], Statement]] = {
    "jump": lambda content, family: Jump(str(content["target"])),
    "goto": lambda content, family: Jump(str(content["target"]), goto=True),
    "mangle": _mangle,
    "set": _added,
    "ct helper": lambda content, family: Helper(str(content)),
    "reject": _reject,
    "queue": _queue,
    **{kind: partial(translation, kind) for kind in ("snat", "dnat", "masquerade", "redirect")},
}
"""Statements whose meaning the model has."""


def statement(expression: Json, family: TableFamily) -> Statement:
    """Any statement that is no match; what the model does not know stays opaque."""
    if isinstance(expression, str):
        # An anonymous chain comes as raw text (K38); whether it ends the walk nobody can tell from outside.
        return OpaqueStatement("map" if WRITES.match(expression) else "chain", expression)
    kind, content = one_key(expression)
    try:
        if kind in FIXED or kind in READ:
            return FIXED[kind] if kind in FIXED else READ[kind](content, family)
        if kind in WORDED:
            return NoEffect(kind, statement_words(expression).removeprefix(kind).strip())
    except (Unread, Unspeakable):
        pass
    name = _name(kind, content)
    if kind == "xt" and name.removeprefix("xt ") in HARMLESS:
        return NoEffect(name.removeprefix("xt "), "")  # whatever its arguments are
    return OpaqueStatement(name, spoken(expression), _may_break(expression))


def _may_break(expression: Json) -> bool:
    """Whether anything is looked up in a map, or read of an entry to be written elsewhere (K53)."""
    match expression:
        case {"map": _} | {"tproxy": _}:  # nft's tproxy ends the rule where no program listens
            return True
        case {"mangle": {"value": value}}:
            return _may_break(value) or _reads_entry(value)
        case dict():
            return any(map(_may_break, expression.values()))
        case list():
            return any(map(_may_break, expression))
    return False


def _reads_entry(value: Json) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict) and "ct" in value) or any(map(_reads_entry, inner))


def _name(kind: str, content: Json) -> str:
    """What an opaque statement is called."""
    if kind == "mangle" and isinstance(content, dict) and isinstance(content.get("key"), dict) and content["key"]:
        of, inner = next(iter(content["key"].items()))
        name = inner.get("key") or f"{inner.get('protocol', '')} {inner.get('field', '')}"
        return f"{of} {name}".strip() if of in ("meta", "ct") else name.strip() if of == "payload" else of
    if kind == "xt" and isinstance(content, dict):
        return f"xt {content.get('name', '')}".strip()
    return str(kind)


def writes(done: Statement) -> frozenset[Field]:
    """The fields of ours that a statement changes, as far as the model sees it."""
    match done:
        case SetMark():
            return frozenset({Field.MARK}) if done.to is MarkOf.PACKET else frozenset()
        case Notrack() | SetZone():
            return frozenset({Field.CT_STATE})
        case NoEffect() | OpaqueStatement():
            return frozenset(does(done).writes)
        case SetField():
            return frozenset({done.field})
        case End() | Jump() | Return() | Nat() | Helper() | CtTemplate() | AddToSet():
            return frozenset()
        case _:
            assert_never(done)
