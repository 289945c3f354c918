"""What an nft rule compares: an expression's field, its type of value, and what nft hides because it follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.core.dialect.nft import EXPRESSIONS, TYPES, Spelt
from conntrim.core.model.address import Family
from conntrim.core.model.fields import DEVICES, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import INTERFACES, Json
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import In, TableFamily


class Unread(ValueError):  # noqa: N818 - it names what is so
    """An expression that the model does not know: it stays opaque."""


@dataclass(frozen=True, slots=True)
class Left:
    """A field, the nft type of its values, and the matches that it needs to be there at all.

    `mask`: the bits that are compared.
    """

    field: Field
    kind: str
    needs: tuple[In, ...] = ()
    mask: int | None = None

    @property
    def shift(self) -> int:
        """The values' place in the field's number."""
        return shift_of(self.kind)


def shift_of(kind: str) -> int:
    """How many bits a type's values stand above the field's lowest: ICMP types above the code."""
    return 8 if kind in TYPES and TYPES[kind].spelt is Spelt.ABOVE else 0


@dataclass(frozen=True, slots=True)
class Name:
    """An interface's name; `way` is in or out."""

    way: str


def only(field: Field, value: int) -> In:
    """The field is this one value."""
    return In(field, Intervals.of(int(value)))


V4, V6 = only(Field.FAMILY, Family.IPV4), only(Field.FAMILY, Family.IPV6)


def l4(protocol: int) -> In:
    """The layer-4 protocol is this one."""
    return only(Field.PROTOCOL, protocol)


ROWS = {row.words: row for row in EXPRESSIONS}

_NETWORKS: dict[str, In] = {"ip": V4, "ip6": V6, "icmp": V4, "igmp": V4, "icmpv6": V6}
_TRANSPORTS: dict[str, In] = {
    **{protocol.name.lower(): l4(protocol) for protocol in Protocol},
    "igmp": l4(2),
    "comp": l4(108),
}
"""What of the packet a header's name says (nft adds both checks and does not list them)."""

_OPTIONS: dict[str, tuple[In, ...]] = {"tcp option": (l4(Protocol.TCP),), "ip option": (V4,), "exthdr": (V6,)}
"""What a header's option says of the packet."""


def implied(expression: Json, family: TableFamily) -> tuple[In, ...]:
    """What nft checks of the packet before it reads or writes the headers that an expression or statement names.

    A rule ends where that does not hold, whatever stands behind it (K134).
    """
    found = dict.fromkeys(
        need for need in _implied(expression) if need.field is not Field.FAMILY or both_families(family)
    )
    return tuple(found)


def both_families(family: TableFamily) -> bool:
    """Whether a table sees packets of both families."""
    return family not in (TableFamily.IP, TableFamily.IP6)


def _implied(expression: Json) -> Iterator[In]:
    match expression:
        case {"payload": {"protocol": str(name), **rest}}:
            if "tunnel" not in rest:  # else it is about what is inside
                yield from (table[name] for table in (_NETWORKS, _TRANSPORTS) if name in table)
        case dict():
            for kind, content in expression.items():
                if kind != "tcp option" or "field" in content:  # that an option is missing is said of every packet
                    yield from _OPTIONS.get(str(kind), ())
                yield from _implied(content)
        case list():
            for each in expression:
                yield from _implied(each)


WAYS = {field: way for way, field in DEVICES.items()}


def _said(expression: Json) -> str:
    """The expression in nft's words; empty where it is none of ours in any case."""
    match expression:
        case {"payload": {"protocol": str(protocol), "field": str(name), **rest}} if (
            not rest
        ):  # "tunnel": what is inside
            return f"{protocol} {name}"
        case {"meta": {"key": str(key)}}:
            return key if key in INTERFACES else f"meta {key}"
        case {"ct": {"key": "state"}}:
            return "ct state"
        case {"fib": {"result": "type", "flags": str() | list() as flags}}:
            # nft 1.0.6 gives a single flag as a list, later versions as text.
            return f"fib {flags if isinstance(flags, str) else ' . '.join(map(str, flags))} type"
    return ""


def left(expression: Json, family: TableFamily) -> Left | Name:
    """The left side of a comparison; Unread where the model has no such field.

    In a table of one family nft needs no family check, so none is added.
    """
    row = ROWS.get(_said(expression))
    if row is None:
        raise Unread
    if row.field in WAYS:
        return Name(WAYS[row.field])
    needs = [only(Field.FAMILY, row.family)] if row.family and both_families(family) else []
    needs += [l4(row.protocol)] if row.protocol is not None else []
    return Left(row.field, row.type, tuple(needs), row.mask)
