"""nft's translations: addresses and ports where they are named, else the target's own words."""

from __future__ import annotations

from typing import Final

from conntrim.core.model.address import parse_address
from conntrim.core.model.nat import Elsewhere, Nat, NatFlag, NatKind, Span
from conntrim.core.model.nft_words import Json, statement_words
from conntrim.core.model.ruleset import TableFamily
from conntrim.core.parse.nft.left import Unread
from conntrim.core.parse.nft.values import spans

KNOWN: Final = frozenset({"family", "addr", "port", "flags"})
"""What a translation to named addresses and ports has; a prefix map has more."""


def translation(kind: str, content: Json, family: TableFamily) -> Nat:
    """A translation; what is not read of it stays in nft's words."""
    said = content or {}
    listed = said.get("flags", [])
    words = [listed] if isinstance(listed, str) else listed
    flags = tuple(flag for flag in NatFlag if flag in words)
    try:
        if not set(said) <= KNOWN or len(flags) != len(words):
            raise Unread
        addresses = _addresses(said["addr"]) if "addr" in said else None
        return Nat(NatKind(kind), addresses, _ports(said["port"]) if "port" in said else None, flags)
    except Unread:
        return Nat(NatKind(kind), None, None, flags, _elsewhere(kind, said))


def _addresses(value: Json) -> Span:
    """One address, a range, or a prefix as a range."""
    match value:
        case str(first) | {"range": [str(first), _]} | {"prefix": {"addr": str(first)}}:
            return _span("ipv6_addr" if ":" in first else "ipv4_addr", value)
    raise Unread


def _ports(value: Json) -> Span:
    """One port or a range."""
    match value:
        case int() | str() | {"range": [_, _]}:
            return _span("inet_service", value)
    raise Unread


def _span(kind: str, value: Json) -> Span:
    (found,) = spans(kind, value)
    return found


def _elsewhere(kind: str, said: Json) -> Elsewhere:
    bare = {key: value for key, value in said.items() if key != "flags"}
    text = statement_words({kind: bare}).removeprefix(kind).strip()
    if said.get("type_flags") == "prefix":
        text = text.replace(" to ", " prefix to ", 1) if not text.startswith("to ") else f"prefix {text}"
    parts = [value for key, value in bare.items() if key in ("addr", "port")]
    maps = [value["map"] for value in parts if isinstance(value, dict) and "map" in value]
    return Elsewhere(text, bool(maps), bool(maps) and "port" not in bare and all(map(_gives_addresses, maps)))


def _gives_addresses(content: Json) -> bool:
    """Whether a map with its elements at hand gives an address and nothing else."""
    data = content["data"]
    pairs = data.get("set", ()) if isinstance(data, dict) else ()
    return bool(pairs) and all(isinstance(pair, list) and _is_address(pair[1]) for pair in pairs)


def _is_address(value: Json) -> bool:
    try:
        return isinstance(value, str) and parse_address(value) > 0
    except ValueError:
        return False
