"""Numbers, ranges, masks and addresses in iptables' spellings; ValueError says what is wrong with one."""

from __future__ import annotations

import re
from functools import lru_cache

from conntrim.core.dialect.names import SERVICES
from conntrim.core.model.address import MAPPED, V4_ALL, parse_address
from conntrim.core.model.fields import FIELDS, Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import NUMBERS
from conntrim.core.model.ruleset import In

ALL_BITS = (1 << 128) - 1
V4 = Intervals((V4_ALL,))
V6 = V4.complement(128)


def number(text: str, limit: int, what: str) -> int:
    """A decimal, octal (leading 0) or hexadecimal (0x) number up to `limit`, as strtoul reads it."""
    try:
        base = 16 if text[:2].lower() == "0x" else 8 if text[:1] == "0" and len(text) > 1 else 10
        value = int(text, base) if text[:1].isalnum() and "_" not in text else -1
    except ValueError:
        value = -1
    if not 0 <= value <= limit:
        raise ValueError(f"{what} {text!r} is no number from 0 to {limit}")
    return value


def span(text: str, limit: int, what: str) -> tuple[int, int]:
    """`5`, `5:9`, `5:` and `:9` to an inclusive range."""
    low, colon, high = text.partition(":")
    first = number(low, limit, what) if low else 0
    last = number(high, limit, what) if high else limit if colon else first
    if not text or first > last:
        raise ValueError(f"{what} {text!r} is no range")
    return first, last


def _port(text: str) -> str:
    return str(SERVICES[text]) if text in SERVICES else text


@lru_cache(maxsize=4096)
def ports(text: str) -> Intervals:
    """`80`, `http`, `1024:`, `80,443,8000:8999` to port numbers.

    iptables takes ranges that run backwards; they hold no port.
    """
    found = []
    for part in text.split(","):
        low, colon, high = part.partition(":")
        first = number(_port(low), 0xFFFF, "port") if low or not colon else 0
        last = number(_port(high), 0xFFFF, "port") if high else 0xFFFF if colon else first
        if first <= last:
            found.append((first, last))
    return Intervals.union_of(found)


def masked(text: str, bits: int, what: str) -> tuple[int, int]:
    """`value[/mask]`, mask all ones where none is given."""
    limit = (1 << bits) - 1
    value, slash, mask = text.partition("/")
    return number(value, limit, what), number(mask, limit, f"mask of {what}") if slash else limit


def matched(field: Field, values: Intervals, negated: bool, mask: int | None = None) -> In:
    """`field & mask` in the values, or in none of them; a mask of all bits is none."""
    full = (1 << FIELDS[field].bits) - 1
    return In(field, values.complement(FIELDS[field].bits) if negated else values, None if mask == full else mask)


@lru_cache(maxsize=1024)
def protocol(text: str) -> int:
    """A layer-4 protocol by number or name; 0 is any."""
    name = text.lower()
    if name == "all":
        return 0
    return NUMBERS[name] if name in NUMBERS else number(name, 255, "protocol")


def known_protocol(text: str) -> bool:
    """Whether it is a number, or a name that every host knows."""
    return text.lower() in NUMBERS or text.lower() == "all" or text[:1].isdecimal()


_QUAD = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)


def _quad(text: str) -> int:
    """Dotted IPv4 to its 32-bit number."""
    found = _QUAD.fullmatch(text)
    a, b, c, d = map(int, found.groups()) if found else (256, 0, 0, 0)
    if max(a, b, c, d) > 255:
        raise ValueError(f"{text!r} is no IPv4 address; names are not looked up")
    return a << 24 | b << 16 | c << 8 | d


@lru_cache(maxsize=65536)
def address(text: str, v6: bool) -> int:
    """One address of the family as a 128-bit number."""
    if not v6:
        return MAPPED | _quad(text)
    try:
        if ":" in text and "%" not in text:
            return parse_address(text)
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no IPv6 address; names are not looked up")


@lru_cache(maxsize=1024)
def _mask(text: str, v6: bool) -> int:
    """A prefix length or a mask, as 128 bits of which IPv4 has the first 96 set."""
    width = 128 if v6 else 32
    if text.isascii() and text.isdigit():
        length = number(text, width, "prefix length")
        low = (1 << (width - length)) - 1
        return ALL_BITS ^ low
    return address(text, True) if v6 else (ALL_BITS ^ 0xFFFFFFFF) | _quad(text)


def _padded(text: str) -> str:
    """`10` and `192.168` as iptables reads them in -s and -d: with zeros behind."""
    return text + ".0" * (3 - text.count(".")) if text.replace(".", "").isdecimal() else text


@lru_cache(maxsize=65536)
def prefix(field: Field, text: str, negated: bool, v6: bool) -> In | None:
    """`-s` or `-d` with an address, prefix or mask, holes in the mask included; None where it is every address."""
    first, slash, mask_text = text.partition("/")
    mask = _mask(mask_text, v6) if slash else ALL_BITS
    base = address(first if v6 else _padded(first), v6) & mask
    hosts = ALL_BITS ^ mask
    if hosts & (hosts + 1):
        # Holes: only here the addresses are no range and the mask stays in the match.
        return In(field, _limited(Intervals(((base, base),)), negated, v6), mask)
    if not negated and not (mask if v6 else mask & 0xFFFFFFFF):
        return None
    return In(field, _limited(Intervals(((base, base | hosts),)), negated, v6))


def _limited(values: Intervals, negated: bool, v6: bool) -> Intervals:
    """The values or their complement, among the addresses of the family only."""
    if not negated:
        return values
    return values.complement(128) & (V6 if v6 else V4)


@lru_cache(maxsize=65536)
def address_range(field: Field, text: str, negated: bool, v6: bool) -> In:
    """iprange's `low-high` or one address."""
    low_text, dash, high_text = text.partition("-")
    low = address(low_text, v6)
    high = address(high_text, v6) if dash else low
    # iptables takes a range that runs backwards; it holds no address.
    return In(field, _limited(Intervals(((low, high),) if low <= high else ()), negated, v6))


def prefix_shaped(match: In, v6: bool) -> bool:
    """Whether the addresses, or the others of the family, are one prefix."""
    every = V6 if v6 else V4
    for values in (match.values, every - match.values):
        if len(values.ranges) == 1:
            low, high = values.ranges[0]
            size = high - low + 1
            if not size & (size - 1) and low % size == 0:
                return True
    return False
