"""iptables' translations: `--to-destination 10.0.0.1-10.0.0.9:80-90 --random` to addresses and ports."""

from __future__ import annotations

import re

from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Elsewhere, Nat, NatFlag, NatKind, Span
from conntrim.core.parse.xt.canonical import Given, written
from conntrim.core.parse.xt.numbers import address, number, prefix

TARGETS: dict[str, NatKind] = {
    "SNAT": NatKind.SNAT, "DNAT": NatKind.DNAT, "MASQUERADE": NatKind.MASQUERADE, "REDIRECT": NatKind.REDIRECT,
    "NETMAP": NatKind.NETMAP,
}  # fmt: skip
"""Target to the kind of translation."""

FLAGS: dict[str, NatFlag] = {
    "random": NatFlag.RANDOM, "random-fully": NatFlag.FULLY_RANDOM, "persistent": NatFlag.PERSISTENT,
}  # fmt: skip
"""Options that say how to pick."""

_V6, _PORTS = r"[0-9a-fA-F:.]+", r"(?::(?P<ports>\d+(?:-\d+)?))"
_SPOTS = tuple(re.compile(form) for form in (
    _PORTS,
    rf"(?P<low>[\d.]+)(?:-(?P<high>[\d.]+))?{_PORTS}?",
    rf"\[(?P<low>{_V6})\]?(?:-\[?(?P<high>{_V6}))?\]{_PORTS}?",
    rf"(?P<low>{_V6})(?:-(?P<high>{_V6}))?",
))  # fmt: skip
"""Ports alone, IPv4 with or without them, IPv6 in brackets with them, IPv6 alone."""


def translation(target: str, given: Given, v6: bool) -> Nat:
    """A translation; what is not read of it stays in its own words."""
    kind = TARGETS[target]
    named = [o for o in given if o.name not in FLAGS]
    said = {FLAGS[o.name] for o in given if o.name in FLAGS}
    flags = tuple([flag for flag in NatFlag if flag in said]) if said else ()
    try:
        if len(named) > 1:
            raise ValueError("several targets")
        text = named[0].values[0] if named else ""
        return Nat(kind, *_target(kind, text, v6), flags)
    except ValueError:
        return Nat(kind, elsewhere=Elsewhere(written(target, given, v6)))


def _target(kind: NatKind, text: str, v6: bool) -> tuple[Span | None, Span | None]:
    """The addresses and ports that the one option names."""
    if kind is NatKind.NETMAP:
        return _network(text, v6), None
    if kind in (NatKind.MASQUERADE, NatKind.REDIRECT):
        return None, _ports(text) if text else None
    found = next((found.groupdict() for form in _SPOTS if (found := form.fullmatch(text))), None)
    if found is None:
        raise ValueError(f"{text!r} is no address")
    low, ports = found.get("low"), found.get("ports")
    first = address(low, v6) if low else 0
    addresses = (first, address(found["high"], v6) if found["high"] else first) if low else None
    return addresses, _ports(ports) if ports else None


def _ports(text: str) -> Span:
    low, dash, high = text.partition("-")
    first = number(low, 0xFFFF, "port")
    return first, number(high, 0xFFFF, "port") if dash else first


def _network(text: str, v6: bool) -> Span:
    match = prefix(Field.DST, text, False, v6)
    values = match.values if match is not None and match.mask is None else Intervals()
    if len(values.ranges) != 1:
        raise ValueError(f"{text!r} is no prefix")
    return values.ranges[0]
