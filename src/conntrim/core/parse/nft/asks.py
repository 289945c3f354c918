"""What nft's expressions ask that count packets, or look up the way back."""

from __future__ import annotations

from conntrim.core.model.asks import Asks, Connections, Rate, WayBack
from conntrim.core.model.nft_words import Json

BURST = 5
"""The burst that nft 0.9.8 does not list (K140), and that a limit has without one."""


def asked(expression: Json) -> Asks | None:
    """What a statement or comparison asks; None where the model has no type for it."""
    match expression:
        case {"limit": {"rate": int(), **rest}} if rest.get("rate_unit", "packets") == "packets":
            burst = rest.get("burst", BURST)
            return Rate(burst, bool(rest.get("inv"))) if isinstance(burst, int) else None
        case {"ct count": {"val": int(limit), **rest}} if limit:
            return Connections(limit, bool(rest.get("inv")))
        case {"match": {"left": {"fib": {"result": "oif", "flags": list() as flags}}, "op": str(op), "right": right}}:
            return _way_back(flags, op, right) if isinstance(right, bool | int | str) else None
    return None


def _way_back(flags: list[Json], op: str, right: bool | int | str) -> WayBack | None:
    """`fib saddr . iif oif missing`: older programs write `missing` as 0."""
    exists = {0: False, 1: True, "missing": False, "exists": True}.get(right)
    plain = {"saddr", "iif"}
    if exists is None or op not in ("==", "!=") or not plain <= set(flags):
        return None
    return WayBack(inverted=exists is (op == "!="), plain=set(flags) == plain)
