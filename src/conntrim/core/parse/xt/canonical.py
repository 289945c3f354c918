"""One spelling for the opaque options that iptables itself respells when it lists them."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.parse.xt.tokens import joined

_UNITS = {"s": "sec", "m": "min", "h": "hour", "d": "day"}


def _rate(text: str) -> str:
    """`5/second`, `5/s`, `5` to `5/sec`: libxt_limit prints the short names."""
    count, _, unit = text.partition("/")
    return f"{count}/{_UNITS.get(unit[:1].lower(), unit) if unit else 'sec'}"


VALUES: dict[str, Callable[[str], str]] = {
    "limit": _rate,
    "mac-source": str.lower,
}
"""Option to what its value is written as."""


def canonical(negated: bool, name: str, values: tuple[str, ...]) -> str:
    """One option as text."""
    if name in VALUES:
        values = tuple(map(VALUES[name], values))
    return ("! " if negated else "") + joined((f"--{name}", *values))
