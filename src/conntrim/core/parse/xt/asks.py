"""What matches of iptables ask that count packets, know clients, look up the way back, or want more than plain ones."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.asks import Asks, BridgePorts, Connections, Rate, Visitors, WayBack, Wrapping
from conntrim.core.parse.xt.canonical import Given

BURST = 5
"""What a limit lets through at once where nothing is said (libxt_limit, libxt_hashlimit)."""


def _number(given: Given, *names: str, usual: int = 0) -> int:
    found = (option.values[0] for option in given if option.name in names and option.values)
    text = next(found, "")
    return int(text) if text.isdecimal() else usual


def _limit(given: Given) -> Asks | None:
    return Rate(_number(given, "limit-burst", usual=BURST))


def _hashlimit(given: Given) -> Asks | None:
    if any(value.endswith("b/s") for option in given for value in option.values):
        return None
    return Rate(_number(given, "hashlimit-burst", usual=BURST), any(o.name == "hashlimit-above" for o in given))


def _recent(given: Given) -> Asks | None:
    names = {option.name for option in given}
    name = next((option.values[0] for option in given if option.name == "name"), "DEFAULT")
    if "set" in names:
        return Visitors(name, adds=True)
    if names & {"rcheck", "update", "remove"}:
        return Visitors(name, adds=False, hits=_number(given, "hitcount", usual=1))
    return None


def _connlimit(given: Given) -> Asks | None:
    above, upto = _number(given, "connlimit-above"), _number(given, "connlimit-upto")
    return Connections(above or upto, over=bool(above)) if above or upto else None


def _rpfilter(given: Given) -> Asks | None:
    names = {option.name for option in given}
    return WayBack("invert" in names, "loose" in names, plain=not names & {"validmark", "accept-local"})


def _physdev(given: Given) -> Asks | None:
    return BridgePorts(tuple((o.name, o.values[0] if o.values else "", o.negated) for o in given))


def _policy(given: Given) -> Asks | None:
    return Wrapping(plain=any(option.name == "pol" and "none" in option.values for option in given))


def _extension(given: Given) -> Asks | None:
    return Wrapping(plain=False)


ASKS: dict[str, Callable[[Given], Asks | None]] = {
    "limit": _limit, "hashlimit": _hashlimit, "recent": _recent, "connlimit": _connlimit, "rpfilter": _rpfilter,
    "physdev": _physdev, "policy": _policy, "rt": _extension, "hbh": _extension, "dst": _extension, "mh": _extension,
}  # fmt: skip
"""By match; a negated one is nothing that anybody has measured, but for bridges' ports."""


def asked(module: str, given: Given) -> Asks | None:
    """What a match asks; None where the model has no type for it."""
    if module not in ASKS or (module != "physdev" and any(option.negated for option in given)):
        return None
    return ASKS[module](given)
