"""nft's comparisons as matches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from conntrim.core.dialect.nft import FRAGMENT, TYPES, Spelt
from conntrim.core.dialect.nft import V4 as V4_ONLY
from conntrim.core.model.address import MAPPED
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import DEVICES, FIELDS, Field, full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nft_words import Json, Unspeakable, statement_words, words
from conntrim.core.model.protocol import WITH_PORTS
from conntrim.core.model.ruleset import Helper, In, InSet, Interface, Key, Match, NamedSet, OpaqueMatch, TableFamily
from conntrim.core.parse.nft import asks, entry
from conntrim.core.parse.nft.left import V4, Left, Name, Unread, both_families, implied, left
from conntrim.core.parse.nft.values import ADDRESSES, BITMASKS, flags, intervals, number

ALL_ONES = (1 << 128) - 1


@dataclass(slots=True)
class Context:
    """One table being read: its family, what its helper objects are, and the anonymous sets met so far."""

    family: TableFamily
    helpers: dict[str, Helper] = field(default_factory=dict)
    anonymous: list[NamedSet] = field(default_factory=list)


def domain(of: Left) -> Intervals:
    """Every value that the field can have there."""
    return TYPES[of.kind].domain or full(of.field)


ORDERED: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "<": lambda value, top: (0, value - 1),
    "<=": lambda value, top: (0, value),
    ">": lambda value, top: (value + 1, top),
    ">=": lambda value, top: (value, top),
}
"""Comparison to the inclusive range that it stands for."""


def _values(of: Left, op: str, right: Json) -> Intervals:
    """The values for which the comparison holds."""
    every = domain(of)
    if op in ORDERED:
        low, high = ORDERED[op](number(of.kind, right), (1 << FIELDS[of.field].bits) - 1)
        return Intervals.union_of([(low, high)] if low <= high else []) & every
    if op not in ("==", "!="):
        raise Unread
    if of.kind in BITMASKS and isinstance(right, list):
        bits = flags(of.kind, right)
        found = _states(lambda state: state == bits) if TYPES[of.kind].spelt is Spelt.STATES else Intervals.of(bits)
    else:
        found = intervals(of.kind, right, of.shift) & every
    return found if op == "==" else every - found


def _states(wanted: Callable[[int], bool]) -> Intervals:
    """The ct states whose nft bit does as wanted."""
    return Intervals.of(*(int(state) for state in CtState if wanted(1 << state)))


def _any_flag(of: Left, op: str, right: Json) -> In:
    """`X a,b` and `X ! a,b`: any of the flags, none of them."""
    if of.kind not in BITMASKS:
        raise Unread
    bits = flags(of.kind, right)
    if TYPES[of.kind].spelt is Spelt.STATES:
        return In(of.field, _states(lambda state: bool(state & bits) == (op == "in")))
    nothing = Intervals.of(0)
    return In(of.field, nothing.complement(FIELDS[of.field].bits) if op == "in" else nothing, bits)


def _masked(of: Left, mask: Json, op: str, right: Json) -> In:
    """`X & mask == value`."""
    if op not in ("==", "!=") or of.mask is not None or of.shift:
        raise Unread
    if of.kind in BITMASKS:
        bits, value = flags(of.kind, mask), flags(of.kind, right)
        if TYPES[of.kind].spelt is Spelt.STATES:
            return In(of.field, _states(lambda state: (state & bits == value) == (op == "==")))
    else:
        bits, value = number(of.kind, mask), number(of.kind, right)
        if TYPES[of.kind].domain == V4_ONLY:
            bits |= ALL_ONES ^ 0xFFFFFFFF
            value |= MAPPED
    hosts = ALL_ONES ^ bits
    if of.kind in ADDRESSES and not hosts & (hosts + 1):
        wanted, left_mask = Intervals(((value & bits, value & bits | hosts),)), None
    else:
        wanted, left_mask = Intervals.of(value), bits
    return In(of.field, wanted if op == "==" else domain(of) - wanted, left_mask)


def _names(right: Json) -> tuple[str, ...]:
    match right:
        case str():
            return (right,)
        case {"set": list() as members}:
            return tuple(sorted(name for member in members for name in _names(member)))
        case {"elem": {"val": inner}}:
            return _names(inner)
    raise Unread


def _one(of: Left | Name, op: str, right: Json) -> Match:
    """A comparison of one field."""
    if isinstance(right, str) and right.startswith("@"):
        if op not in ("==", "!=") or (isinstance(of, Left) and of.mask is not None):
            raise Unread
        return InSet(right[1:], (of.field if isinstance(of, Left) else DEVICES[of.way],), op == "!=")
    if isinstance(of, Name):
        if op not in ("==", "!="):
            raise Unread
        return Interface(of.way, _names(right), op == "!=")
    if op in ("in", "!"):
        return _any_flag(of, op, right)
    return In(of.field, _values(of, op, right), of.mask)


def _needs(of: Left | Name, before: tuple[Match, ...]) -> tuple[Match, ...]:
    """What nft leaves unsaid because the field implies it; Unread for `th` where no protocol with ports is named."""
    if isinstance(of, Name):
        return ()
    if of.field in (Field.SPORT, Field.DPORT) and not of.needs:
        named = [m.values for m in before if isinstance(m, In) and m.field is Field.PROTOCOL and m.mask is None]
        if not any(values <= Intervals.of(*map(int, WITH_PORTS)) for values in named):
            raise Unread
    return of.needs


def _fragment(expression: Json, op: str, right: Json) -> bool | None:
    """`ip frag-off & 0x1fff != 0`: whether it asks for later fragments, None where it is something else."""
    match expression:
        case {"&": [{"payload": {"protocol": str(protocol), "field": str(name)}}, mask]} if right == 0:
            if (f"{protocol} {name}", mask) == FRAGMENT:
                return {"!=": True, ">": True, "==": False}.get(op)
    return None


def part_of(expression: Json, family: TableFamily) -> tuple[Left | Name | str, Field | str]:
    """One part of a concatenation, and the field it is compared as."""
    try:
        of = left(expression, family)
    except Unread:
        said = words(expression)
        return said, said
    if isinstance(of, Name):
        return of, DEVICES[of.way]
    if of.mask is not None or (of.field in (Field.SPORT, Field.DPORT) and not of.needs):
        return of, of.field if of.mask is None else words(expression)
    return of, of.field


def key(of: Left | Name | str, value: Json) -> Key:
    """One part of a set's element as the set's key."""
    if isinstance(of, str):
        return (words(value),)
    return _names(value) if isinstance(of, Name) else intervals(of.kind, value, of.shift) & domain(of)


def _elements(parts: list[Left | Name | str], right: Json) -> tuple[tuple[Key, ...], ...]:
    match right:
        case {"set": list() as members}:
            return tuple(each for member in members for each in _elements(parts, member))
        case {"elem": {"val": inner}}:
            return _elements(parts, inner)
        case "*":
            return (tuple(key(of, right) for of in parts),)
        case {"concat": list() as values} if len(values) == len(parts):
            return (tuple(key(of, value) for of, value in zip(parts, values, strict=True)),)
    raise Unread


def _concatenated(
    expressions: list[Json], op: str, right: Json, context: Context, before: tuple[Match, ...]
) -> list[Match]:
    """`a . b` against a set, or against one value."""
    if op not in ("==", "!="):
        raise Unread
    both = [part_of(expression, context.family) for expression in expressions]
    parts, fields = [of for of, _ in both], tuple(name for _, name in both)
    if isinstance(right, str) and not right.startswith("@"):
        raise Unread
    one = None if isinstance(right, str) else _elements(parts, right)
    plain = op == "==" and one is not None and len(one) == 1 and not any(isinstance(of, str) for of in parts)
    seen: list[Match] = list(before)
    for at, of in enumerate(parts):
        # Each element says the protocol that its ports are of; what has none of these is looked at bit by bit.
        if not isinstance(of, str) and (plain or Field.PROTOCOL not in fields):
            seen += (need for need in _needs(of, tuple(seen)) if need not in seen)
        if plain and one:
            seen.append(_same(of, one[0][at]))
    found = seen[len(before) :]
    if one is None:
        return [*found, InSet(right[1:], fields, op == "!=")]
    if plain:
        return found
    named = _anonymous(tuple(sorted(one, key=repr)), " . ".join(map(words, expressions)))
    if named not in context.anonymous:
        context.anonymous.append(named)
    return [*found, InSet(named.name, fields, op == "!=")]


def _anonymous(elements: tuple[tuple[Key, ...], ...], kind: str) -> NamedSet:
    """A set without a name; ours is made of what it holds, so that it is the same in every listing."""
    text = f"{kind} {elements!r}"
    name = f"__set-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
    return NamedSet(name, elements, kind=kind, anonymous=True)


def _same(of: Left | Name | str, wanted: Key) -> Match:
    """The part has the one value of a concatenation without a set."""
    if isinstance(of, Left) and isinstance(wanted, Intervals):
        return In(of.field, wanted, of.mask)
    if isinstance(of, Name) and isinstance(wanted, tuple):
        return Interface(of.way, wanted)
    raise Unread


def spoken(expression: Json) -> str:
    """An expression in nft's words; what has none stands as JSON."""
    try:
        return statement_words(expression)
    except Unspeakable:
        return str(expression)


def _kind(expression: Json) -> str:
    """What an opaque comparison is called: `ct mark`, `meta skuid`, `ether saddr`, `fib`."""
    if isinstance(expression, dict) and len(expression) == 1:
        kind, content = next(iter(expression.items()))
        if kind == "&" and isinstance(content, list) and content:
            return _kind(content[0])
        if kind in ("meta", "ct", "socket", "rt") and isinstance(content, dict):
            return f"{kind} {content.get('key', '')}".strip()
        if kind == "payload" and isinstance(content, dict) and "protocol" in content:
            return f"{content.get('tunnel', '')} {content['protocol']} {content.get('field', '')}".strip()
        return str(kind)
    return "match"


def comparison(content: Json, context: Context, before: tuple[Match, ...]) -> list[Match]:
    """A `match` object as matches, those included that nft leaves unsaid and that are not among `before`."""
    expression, op, right = content["left"], content.get("op", "=="), content["right"]
    try:
        return _read(expression, op, right, context, before)
    except (Unread, Unspeakable):
        needs = (need for need in implied(expression, context.family) if need not in before)
        said = {"match": content}
        return [*needs, OpaqueMatch(_kind(expression), spoken(said), asks=asks.asked(said))]


def _read(expression: Json, op: str, right: Json, context: Context, before: tuple[Match, ...]) -> list[Match]:
    fragment = _fragment(expression, op, right)
    if fragment is not None:
        family = [V4] if both_families(context.family) and V4 not in before else []
        return [*family, In(Field.FRAGMENT, Intervals.of(int(fragment)))]
    match expression:
        case {"concat": list() as parts}:
            return _concatenated(parts, op, right, context, before)
        case {"ct": {"key": str(key)}} | {"&": [{"ct": {"key": str(key)}}, _]} if key != "state":
            return [entry.asked(expression, op, right)]
        case {"&": [inner, mask]}:
            of = left(inner, context.family)
            if isinstance(of, Name):
                raise Unread
            needs = _needs(of, before)
            return [*(n for n in needs if n not in before), _masked(of, mask, op, right)]
    of = left(expression, context.family)
    needs = tuple(need for need in _needs(of, before) if need not in before)
    found = _one(of, op, right)
    return list(needs) if found in needs else [*needs, found]
