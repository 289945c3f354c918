"""Matches as nft text; nft lists what it makes of it so that it parses to the same matches again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn, assert_never

from conntrim.core.dialect.nft import EXPRESSIONS, FRAGMENT, TYPES, V4, NftExpression, NftType, Spelt
from conntrim.core.emit.ct import nft_text as ct_text
from conntrim.core.emit.nft_address import address_text
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn
from conntrim.core.model.fields import DEVICES, Field, TcpFlag, full
from conntrim.core.model.intervals import Intervals, span_text
from conntrim.core.model.kinds import ORDER
from conntrim.core.model.ruleset import (
    CT_STATES,
    AnyOf,
    In,
    InSet,
    Interface,
    Key,
    Match,
    NamedSet,
    OpaqueMatch,
    TableFamily,
    XtConntrack,
)

FAMILIES = {TableFamily.IP: Family.IPV4, TableFamily.IP6: Family.IPV6}
ROWS = {field: tuple(row for row in EXPRESSIONS if row.field is field) for field in Field}


def refused(what: object) -> NoReturn:
    """Nothing in nft says this."""
    raise NotExpressible(f"no nft rule says {what}")


def _types(low: int, high: int) -> str:
    """ICMP types, which stand above the code."""
    if low & 0xFF or high & 0xFF != 0xFF:
        refused(f"ICMP {low:#x}-{high:#x}")
    return span_text(low >> 8, high >> 8)


Spelling = Callable[[NftType, int, int], str]
"""How a range of a type's values is written."""


def _named(kind: NftType, low: int, high: int) -> str:
    names = {kind.symbols[name]: name for name in reversed(list(kind.symbols))}
    if any(value not in names for value in range(low, high + 1)):
        refused(f"a value without a name: {low}-{high}")
    return ", ".join(names[value] for value in range(low, high + 1))


def _plainly(spell: Callable[[int, int], str]) -> Spelling:
    return lambda kind, low, high: spell(low, high)


SPELLINGS: dict[Spelt, Spelling] = {
    Spelt.NUMBERS: _plainly(span_text),
    Spelt.NAMES: _named,
    Spelt.ADDRESSES: _plainly(address_text),
    Spelt.ABOVE: _plainly(_types),
    Spelt.CODES: _plainly(span_text),
}
"""How each kind of value is written but flags, of which a set asks another question, and names."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the rest of the rule and its table say: family and layer-4 protocol where they are one."""

    family: Family | None
    protocol: int | None
    sets: dict[str, NamedSet]


def around(matches: tuple[Match, ...], family: TableFamily, sets: dict[str, NamedSet]) -> Around:
    """The context of a rule's matches."""
    families = [m.values for m in matches if isinstance(m, In) and m.field is Field.FAMILY]
    protocols = [m.values for m in matches if isinstance(m, In) and m.field is Field.PROTOCOL]
    one = next((Family(v.ranges[0][0]) for v in families if v.size == 1), FAMILIES.get(family))
    return Around(one, next((v.ranges[0][0] for v in protocols if v.size == 1), None), sets)


def chosen(where: Field, context: Around) -> NftExpression | None:
    """The row that says a field there; where only one does, nft adds what it needs itself."""
    rows = [row for row in ROWS[where] if row.mask is None]
    fit = (r for r in rows if r.family in (None, context.family) and r.protocol in (None, context.protocol))
    return rows[0] if len(rows) == 1 else next(fit, None)


def expression(where: Field | str, context: Around) -> str:
    """The left side of a comparison."""
    if not isinstance(where, Field):
        return where
    row = chosen(where, context)
    return refused(f"{where} of any family" if ROWS[where] else where) if row is None else row.words


def _domain(where: Field, context: Around) -> Intervals:
    row = chosen(where, context)
    return (row and TYPES[row.type].domain) or full(where)


def spelling(kind: str) -> Callable[[int, int], str]:
    """How a range of this type's values is written."""
    if kind not in TYPES or TYPES[kind].spelt not in SPELLINGS:
        refused(f"a value of type {kind}")
    return partial(SPELLINGS[TYPES[kind].spelt], TYPES[kind])


def _compared(match: In, context: Around) -> str:
    """A field without a mask: one value, a range, a set, or none of them."""
    left, every = expression(match.field, context), _domain(match.field, context)
    others = every - match.values
    spell = spelling(ROWS[match.field][0].type)
    if not match.values or (not others and match.field not in (Field.SRC, Field.DST)):
        return refused(match)
    negated = bool(others) and len(_whole(others).ranges) < len(_whole(match.values).ranges)
    said = ", ".join(spell(low, high) for low, high in _whole(others if negated else match.values).ranges)
    said = f"{{ {said} }}" if "," in said else said
    return f"{left} {'!= ' if negated else ''}{said}"


def _whole(values: Intervals) -> Intervals:
    """With the block of mapped addresses where it is all that parts two ranges: no packet carries one."""
    filled = values | V4
    return filled if not values & V4 and len(filled.ranges) < len(values.ranges) else values


def _flag_names(bits: int) -> str:
    return " | ".join(flag.name.lower() for flag in TcpFlag if bits & flag and flag.name) or "0x0"


def _masked(match: In, context: Around) -> str:
    """`X & mask == value` or `!=`."""
    mask, left = match.mask or 0, expression(match.field, context)
    every = _domain(match.field, context)
    for op, values in (("==", match.values), ("!=", every - match.values)):
        if values.size == 1:
            value = values.ranges[0][0]
            if match.field is Field.TCP_FLAGS:
                return f"{left} & ({_flag_names(mask)}) {op} {_flag_names(value)}"
            if match.field in (Field.SRC, Field.DST):
                bits = mask & 0xFFFFFFFF if context.family is Family.IPV4 else mask
                spelt = IPv4Address(bits) if context.family is Family.IPV4 else IPv6Address(bits)
                return f"{left} & {spelt} {op} {address_text(value, value)}"
            return f"{left} & {mask:#x} {op} {value:#x}"
    return refused(match)


def _code(match: In) -> str:
    """The ICMP code alone."""
    others = match.values.complement(16)
    negated = len(others.ranges) < len(match.values.ranges) or match.values.ranges[-1][1] > 0xFF
    said = ", ".join(span_text(low, high) for low, high in (others if negated else match.values).ranges)
    said = f"{{ {said} }}" if "," in said else said
    left = next(row.words for row in ROWS[match.field] if row.mask == match.mask)
    return f"{left} {'!= ' if negated else ''}{said}"


def _exact_flags(match: In) -> str:
    """The whole flags byte."""
    others = match.values.complement(8)
    negated = others.size < match.values.size
    values = list(others if negated else match.values)
    if not values:
        return refused(match)
    if len(values) == 1:
        return f"tcp flags {'!=' if negated else '=='} {_flag_names(values[0])}"
    return f"tcp flags {'!= ' if negated else ''}{{ {', '.join(_flag_names(v) for v in values)} }}"


def _field(match: In, context: Around) -> str:
    if match.field is Field.CT_STATE:
        names = [CtState(n).name.lower() for n in match.values & CT_STATES]
        return f"{expression(match.field, context)} {','.join(names)}" if names else refused(match)
    if match.field is Field.FRAGMENT:
        left, mask = FRAGMENT
        return f"{left} & {mask:#x} {'!=' if match.values == Intervals.of(1) else '=='} 0"
    if match.field in (Field.ICMP, Field.ICMPV6) and match.mask == 0xFF:
        return _code(match)
    if match.mask is not None:
        return _masked(match, context)
    return _exact_flags(match) if match.field is Field.TCP_FLAGS else _compared(match, context)


def key_text(key: Key, kind: str) -> str:
    """One part of a set's element."""
    if isinstance(key, tuple):
        return f'"{key[0]}"' if kind in TYPES and TYPES[kind].spelt is Spelt.DEVICES else key[0]
    if len(key.ranges) != 1:
        refused(f"an element of type {kind}")
    return spelling(kind)(*key.ranges[0])


def _in_set(match: InSet, context: Around) -> str:
    named = context.sets.get(match.set_name)
    kinds = named.kind.split(" . ") if named and not named.anonymous else []
    lefts = []
    for at, where in enumerate(match.fields):
        family = {"ipv4_addr": Family.IPV4, "ipv6_addr": Family.IPV6}.get(kinds[at] if at < len(kinds) else "")
        lefts.append(expression(where, Around(family or context.family, context.protocol, context.sets)))
    right = f"@{match.set_name}"
    if named is not None and named.anonymous:
        parts = [ROWS[where][0].type if isinstance(where, Field) else where for where in match.fields]
        right = ", ".join(
            " . ".join(key_text(key, kind) for key, kind in zip(element, parts, strict=True))
            for element in named.elements
        )
        right = f"{{ {right} }}"
    return f"{' . '.join(lefts)} {'!= ' if match.negated else ''}{right}"


def match_text(match: Match, context: Around) -> str:
    """One match; NotExpressible where nft has no such thing."""
    match match:
        case In():
            return _field(match, context)
        case Interface(way, names, negated):
            said = ", ".join(f'"{name}"' for name in names)
            left, said = expression(DEVICES[way], context), said if len(names) == 1 else f"{{ {said} }}"
            return f"{left} {'!= ' if negated else ''}{said}"
        case InSet():
            return _in_set(match, context)
        case CtIn():
            return ct_text(match)
        case OpaqueMatch(kind, text) if kind != ORDER and not text.startswith(("{", "--", "!")):
            return text
        case XtConntrack() | AnyOf() | OpaqueMatch():
            return refused(match)
        case _:
            assert_never(match)
