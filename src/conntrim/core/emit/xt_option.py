"""One field as an iptables option: the rows of `core/dialect/xt.py`, written."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from conntrim.core.dialect.xt import NEEDS_PROTOCOL, OPTIONS, PROTOCOL_NAMES, Says, XtOption
from conntrim.core.emit.refusal import NotExpressible
from conntrim.core.model.address import V4_ALL, Family
from conntrim.core.model.fields import Field, full
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import In

V4 = Intervals((V4_ALL,))
V6 = V4.complement(128)
ROWS = {field: tuple(row for row in OPTIONS if row.field is field) for field in {row.field for row in OPTIONS}}
MOST_PORTS = 15
"""What multiport's list holds; a range takes two places."""


def option_words(match: In, protocol: int | None, v6: bool) -> tuple[str, str] | None:
    """The match as the module and its options; None where no option says these values. NotExpressible without the
    protocol that has the field."""
    rows = [row for row in ROWS.get(match.field, ()) if row.module and _of_family(row, v6)]
    able = [row for row in rows if protocol in NEEDS_PROTOCOL.get(row.module, (protocol,))]
    if rows and not able:
        raise NotExpressible(f"{match.field} needs one protocol with ports")
    found = ((row.module, written(row, match, v6)) for row in able)
    return next(((module, text) for module, text in found if text is not None), None)


def base_words(match: In, v6: bool) -> str | None:
    """The match as an option that needs no module; None where none says these values."""
    row = next((r for r in ROWS.get(match.field, ()) if not r.module and _of_family(r, v6)), None)
    return None if row is None else written(row, match, v6)


def listed_ports(match: In, v6: bool) -> str | None:
    """The match as an option of multiport."""
    row = next((r for r in ROWS.get(match.field, ()) if r.says is Says.PORTS), None)
    return None if row is None else written(row, match, v6)


def _of_family(row: XtOption, v6: bool) -> bool:
    return row.family in (None, Family.IPV6 if v6 else Family.IPV4)


def written(row: XtOption, match: In, v6: bool) -> str | None:
    """One option with the values, or negated with all others; None where it cannot say them."""
    return WRITERS[row.says](row, match, v6) if match.mask is None or row.says in MASKED else None


# --- how each kind of value is written ------------------------------------------------------------------------------

Said = Callable[[Intervals], str | None]
"""Values as an option's value, None where it cannot say them."""

Writer = Callable[[XtOption, In, bool], str | None]


def _name(row: XtOption) -> str:
    return f"--{row.option}" if row.module else f"-{row.option}"


def _either(row: XtOption, match: In, said: Said, domain: Intervals | None = None) -> str | None:
    """The option with the values, or negated with their complement."""
    every = full(match.field) if domain is None else domain
    for negation, values in (("", match.values), ("! ", every - match.values)):
        if (text := said(values)) is not None:
            return f"{negation}{_name(row)} {text}".rstrip()
    return None


def _simply(said: Said) -> Writer:
    return lambda row, match, v6: _either(row, match, said)


def _only(values: Intervals) -> int | None:
    """The one number of the set."""
    return values.ranges[0][0] if values.size == 1 else None


def _span_of(values: Intervals) -> tuple[int, int] | None:
    return values.ranges[0] if len(values.ranges) == 1 else None


def _number(values: Intervals) -> str | None:
    number = _only(values)
    return None if number is None else str(number)


def spelt(address: int, v6: bool) -> str:
    """An address in the table's family; in an IPv6 table a mapped address stays one."""
    return str(IPv6Address(address) if v6 else IPv4Address(address & 0xFFFFFFFF))


def _address(row: XtOption, match: In, v6: bool) -> str | None:
    domain, mask = V6 if v6 else V4, match.mask
    if not match.values:
        return None
    if mask is None:
        return _either(row, match, lambda values: _prefix(values, v6), domain)
    return _either(row, match, lambda values: _holes(values, mask, v6), domain)


def prefix_text(name: str, values: Intervals, mask: int | None, v6: bool) -> str | None:
    """An option with an address, which stands alone, or a prefix; negated where the others of the family are one."""
    every = V6 if v6 else V4
    for negation, found in (("", values), ("! ", every - values)):
        said = _prefix(found, v6) if mask is None else _holes(found, mask, v6)
        if said is not None:
            return f"{negation}{name} {said.removesuffix('/128' if v6 else '/32')}"
    return None


def _prefix(values: Intervals, v6: bool) -> str | None:
    """One address or prefix; every address of the family is the prefix of length 0."""
    if values == (V6 if v6 else V4):
        return f"{spelt(0, v6)}/0"
    found = _span_of(values)
    if found is None:
        return None
    low, size = found[0], found[1] - found[0] + 1
    if size & (size - 1) or low % size:
        return None
    return f"{spelt(low, v6)}/{(128 if v6 else 32) - (size.bit_length() - 1)}"


def _holes(values: Intervals, mask: int, v6: bool) -> str | None:
    """An address under a mask with holes."""
    value = _only(values)
    return None if value is None else f"{spelt(value, v6)}/{spelt(mask, v6)}"


def _addresses(row: XtOption, match: In, v6: bool) -> str | None:
    """Two addresses; a range that runs backwards holds none."""
    if not match.values:
        return f"{_name(row)} {spelt(1, v6)}-{spelt(0, v6)}"

    def dashed(values: Intervals) -> str | None:
        found = _span_of(values)
        return None if found is None else "-".join(spelt(end, v6) for end in found)

    return _either(row, match, dashed, V6 if v6 else V4)


def _span(values: Intervals) -> str | None:
    """One number or range."""
    found = _span_of(values)
    return None if found is None else f"{found[0]}:{found[1]}" if found[0] != found[1] else str(found[0])


def _port(row: XtOption, match: In, v6: bool) -> str | None:
    return _either(row, match, _span) if match.values else None


def port_list(values: Intervals) -> str | None:
    """multiport's list."""
    if not values or sum(1 + (low != high) for low, high in values.ranges) > MOST_PORTS:
        return None
    return ",".join(f"{a}:{b}" if a != b else str(a) for a, b in values.ranges)


def _flags(row: XtOption, match: In, v6: bool) -> str | None:
    mask, known = 0xFF if match.mask is None else match.mask, row.names["ALL"]

    def names(bits: int) -> str:
        return ",".join(name for name, bit in row.names.items() if bit & bits == bit and bit.bit_count() == 1) or "NONE"

    def said(values: Intervals) -> str | None:
        value = _only(values)
        return None if value is None or (mask | value) & ~known else f"{names(mask)} {names(value)}"

    return _either(row, match, said)


def _bits(row: XtOption, match: In, v6: bool) -> str | None:
    mask, value = row.bits
    return _either(row, match, lambda values: "" if (match.mask, _only(values)) == (mask, value) else None)


def _type(row: XtOption, match: In, v6: bool) -> str | None:
    if not match.values and match.field is Field.ICMP:
        return f"! {_name(row)} any"

    def said(values: Intervals) -> str | None:
        found = _span_of(values)
        if found is None or found[0] >> 8 != found[1] >> 8:
            return None
        if found[0] == found[1]:
            return f"{found[0] >> 8}/{found[0] & 255}"
        return str(found[0] >> 8) if found[1] - found[0] == 255 else None

    return _either(row, match, said)


def _mark(row: XtOption, match: In, v6: bool) -> str | None:
    mask = "" if match.mask is None else f"/{match.mask:#x}"
    return _either(row, match, lambda values: None if (n := _only(values)) is None else f"{n:#x}{mask}")


def _named(row: XtOption, match: In, v6: bool) -> str | None:
    """One name: of those of a number the first."""
    names = {row.names[name]: name for name in reversed(list(row.names))}
    return _either(row, match, lambda values: names.get(n) if (n := _only(values)) is not None else None)


def _names(row: XtOption, match: In, v6: bool) -> str | None:
    names = {number: name for name, number in row.names.items()}

    def said(values: Intervals) -> str | None:
        return ",".join(names[n] for n in values) if values and values.ranges[-1][1] in names else None

    return _either(row, match, said)


def _hops(row: XtOption, match: In, v6: bool) -> str | None:
    found, most = _span_of(match.values), full(match.field).ranges[0][1]
    stem = _name(row).removesuffix("eq")
    if found and found[0] == 0 and found[1] < most:
        return f"{stem}lt {found[1] + 1}"
    if found and found[1] == most and found[0] > 0:
        return f"{stem}gt {found[0] - 1}"
    return _either(row, match, _number)


def _protocol(values: Intervals) -> str | None:
    number = _only(values)
    return PROTOCOL_NAMES.get(number, str(number)) if number else None


def _yes(row: XtOption, match: In, v6: bool) -> str | None:
    return _either(row, match, lambda values: "" if _only(values) == 1 else None)


WRITERS: dict[Says, Writer] = {
    Says.ADDRESS: _address,
    Says.ADDRESSES: _addresses,
    Says.PORT: _port,
    Says.PORTS: _simply(port_list),
    Says.FLAGS: _flags,
    Says.BITS: _bits,
    Says.TYPE: _type,
    Says.MARK: _mark,
    Says.NUMBER: _simply(_number),
    Says.NAME: _named,
    Says.NAMES: _names,
    Says.SPAN: _simply(_span),
    Says.HOPS: _hops,
    Says.PROTOCOL: _simply(_protocol),
    Says.YES: _yes,
}
"""What writes each kind of option but those that name an interface, which is no set of numbers."""

MASKED = frozenset({Says.ADDRESS, Says.FLAGS, Says.BITS, Says.MARK})
"""The kinds that can say a mask."""
