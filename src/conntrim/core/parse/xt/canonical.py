"""One spelling for what stays opaque: iptables lists options with defaults, in its own order and numbers.

Equal rules then have equal text, whether they come from a file or from the kernel's listing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from conntrim.core.dialect.names import DSCP_CLASSES
from conntrim.core.parse.xt.numbers import number
from conntrim.core.parse.xt.tokens import joined


class Option(NamedTuple):
    """One option as written: negated or not, its name without dashes, its values."""

    negated: bool
    name: str
    values: tuple[str, ...]


Given = tuple[Option, ...]

SCALE = 10_000
RATES = (("day", 86_400 * SCALE), ("hour", 3_600 * SCALE), ("min", 60 * SCALE), ("sec", SCALE))
LONGEST_RATE = 1_000_000_000


def _rate(text: str) -> str:
    """`5/m`, `300/hour` to `5/min`: libxt_limit keeps a period and prints the largest unit that fits it."""
    count, slash, unit = text.partition("/")
    units = [name for name, _ in RATES if unit and (name.startswith(unit.lower()) or unit.lower().startswith(name))]
    if not count.isdecimal() or not 0 < int(count) < LONGEST_RATE or (slash and not units):
        return text
    period = dict(RATES)[units[0] if slash else "sec"] // int(count) or 1
    said = RATES[0]
    for rate in RATES[1:]:
        if period > rate[1] or rate[1] // period < rate[1] % period:
            break
        said = rate
    return f"{said[1] // period}/{said[0]}"


def _hex(text: str, masked: bool = False) -> str:
    """A number, or a number under a mask, in hexadecimal."""
    value, slash, mask = text.partition("/")
    try:
        tail = f"/{number(mask, 0xFFFFFFFF, 'mask'):#x}" if slash else "/0xff" if masked else ""
        return f"{number(value, 0xFFFFFFFF, 'value'):#x}{tail if tail != '/0xffffffff' else ''}"
    except ValueError:
        return text


def _tos(text: str) -> str:
    return _hex(text, masked=True)


def _full_mark(text: str) -> str:
    said = _hex(text)
    return said if "/" in said else f"{said}/0xffffffff"


def _clock(text: str) -> str:
    return text if text.count(":") == 2 else f"{text}:00"


def _probability(text: str) -> str:
    try:
        return f"{float(text):.11f}"
    except ValueError:
        return text


def _u32(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+|\d+", lambda found: _hex(found[0]), re.sub(r"\s", "", text.lower()))


def _level(text: str) -> str:
    levels = ("emerg", "alert", "crit", "error", "warning", "notice", "info", "debug")
    short = {"panic": "0", "err": "3", "warn": "4"}
    return str(levels.index(text)) if text in levels else short.get(text, text)


VALUES: dict[tuple[str, str], Callable[[str], str]] = {
    ("limit", "limit"): _rate,
    ("hashlimit", "hashlimit-upto"): _rate,
    ("hashlimit", "hashlimit-above"): _rate,
    ("mac", "mac-source"): str.lower,
    ("connmark", "mark"): _hex,
    ("realm", "realm"): _hex,
    ("devgroup", "src-group"): _hex,
    ("devgroup", "dst-group"): _hex,
    ("tos", "tos"): _tos,
    ("time", "timestart"): _clock,
    ("time", "timestop"): _clock,
    ("statistic", "probability"): _probability,
    ("u32", "u32"): _u32,
    ("addrtype", "src-type"): str.upper,
    ("addrtype", "dst-type"): str.upper,
    ("connbytes", "connbytes"): lambda text: text.removesuffix(":"),
    ("LOG", "log-level"): _level,
    ("TOS", "set-tos"): _tos,
    ("DSCP", "set-dscp"): _hex,
    ("TPROXY", "tproxy-mark"): _full_mark,
}
"""Module and option to what its value is listed as."""

RENAMED: dict[tuple[str, str], str] = {
    ("hashlimit", "hashlimit"): "hashlimit-upto",
}

Wanted = tuple[tuple[str, ...], str, tuple[str, ...]]
"""Options one of which is always listed, and what is listed where none of them was given."""

DEFAULTS: dict[str, tuple[Wanted, ...]] = {
    "recent": ((("name",), "name", ("DEFAULT",)), (("mask",), "mask", ("ALL",)), (("rsource", "rdest"), "rsource", ())),
    "hashlimit": ((("hashlimit-burst",), "hashlimit-burst", ("5",)),),
    "connlimit": (
        (("connlimit-mask",), "connlimit-mask", ("WIDTH",)),
        (("connlimit-saddr", "connlimit-daddr"), "connlimit-saddr", ()),
    ),
    "TPROXY": ((("on-ip",), "on-ip", ("ANY",)), (("tproxy-mark",), "tproxy-mark", ("0x0/0x0",))),
}
"""What iptables lists though it was not given."""

FAMILY_VALUES: dict[str, tuple[str, str]] = {
    "ALL": ("255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    "WIDTH": ("32", "128"),
    "ANY": (".".join("0000"), "::"),
}
"""Defaults that differ between IPv4 and IPv6."""

UNSAID: frozenset[tuple[str, str, tuple[str, ...]]] = frozenset({
    ("limit", "limit-burst", ("5",)),
    ("LOG", "log-level", ("4",)),
    ("string", "to", ("65535",)),
    ("time", "datestop", ("2038-01-19T03:14:07",)),
})  # fmt: skip
"""Defaults that are not listed; the two last are listed by some versions though nobody gave them."""

ORDERS: dict[str, str] = {
    "recent": "set rcheck update remove seconds reap hitcount rttl name mask rsource rdest",
    "hashlimit": "hashlimit-upto hashlimit-above hashlimit-burst hashlimit-mode hashlimit-name hashlimit-htable-size"
    " hashlimit-htable-max hashlimit-htable-gcinterval hashlimit-htable-expire hashlimit-srcmask hashlimit-dstmask",
    "string": "string hex-string algo from to icase",
    "connbytes": "connbytes connbytes-mode connbytes-dir",
    "owner": "socket-exists uid-owner gid-owner suppl-groups",
    "TPROXY": "on-port on-ip tproxy-mark",
    "CONNMARK": "set-xmark save-mark restore-mark nfmask ctmask",
    "LOG": "log-prefix log-level log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode",
    "NFLOG": "nflog-prefix nflog-group nflog-range nflog-size nflog-threshold",
    "SET": "add-set del-set map-set exist timeout map-mark map-prio map-queue",
}
"""Modules whose options are listed in an order of their own."""


def _connmark(given: Given) -> Given:
    """CONNMARK as --set-xmark, or with both masks."""
    said = {option.name: option.values for option in given}
    every = 0xFFFFFFFF
    for name in ("set-mark", "and-mark", "or-mark", "xor-mark", "set-xmark"):
        if name in said:
            text, slash, mask_text = said[name][0].partition("/")
            value = number(text, every, "mark")
            mask = number(mask_text, every, "mask") if slash else every
            table = {
                "set-mark": (value, mask | value), "set-xmark": (value, mask), "and-mark": (0, every ^ value),
                "or-mark": (value, value), "xor-mark": (value, 0),
            }  # fmt: skip
            value, mask = table[name]
            return (Option(False, "set-xmark", (f"{value:#x}/{mask:#x}",)),)
    masks = [o for o in given if o.name not in ("mask", "nfmask", "ctmask")]
    whole = said.get("mask", (f"{every:#x}",))
    for name in ("nfmask", "ctmask"):
        value = number(said.get(name, whole)[0], every, "mask")
        masks.append(Option(False, name, (f"{value:#x}",)))
    return tuple(masks)


def _string(given: Given) -> Given:
    """A hexadecimal string of printable characters is listed as a string."""
    return tuple(
        Option(o.negated, "string", (text,))
        if o.name == "hex-string" and (text := _printable(" ".join(o.values)))
        else o
        for o in given
    )


def _printable(text: str) -> str:
    parts = text.split("|")
    try:
        said = "".join(bytes.fromhex(p).decode("ascii") if at % 2 else p for at, p in enumerate(parts))
    except ValueError:
        return ""
    return said if len(parts) % 2 and said.isprintable() else ""


def _dscp(given: Given) -> Given:
    return tuple(
        Option(False, "set-dscp", (f"{DSCP_CLASSES[o.values[0].upper()]:#04x}",))
        if o.name == "set-dscp-class" and o.values[0].upper() in DSCP_CLASSES
        else o
        for o in given
    )


WHOLE: dict[str, Callable[[Given], Given]] = {"CONNMARK": _connmark, "string": _string, "DSCP": _dscp}
"""Modules that are respelt as a whole."""


def _one(module: str, option: Option) -> Option:
    name = RENAMED.get((module, option.name), option.name)
    spell = VALUES.get((module, name))
    return Option(option.negated, name, tuple(map(spell, option.values)) if spell else option.values)


def canonical(module: str, given: Given, v6: bool) -> Given:
    """The options as iptables lists them."""
    told = [_one(module, option) for option in given]
    names = {option.name for option in told}
    for alternatives, name, values in DEFAULTS.get(module, ()):
        if not names & set(alternatives):
            told.append(Option(False, name, tuple(FAMILY_VALUES[v][v6] if v in FAMILY_VALUES else v for v in values)))
    told = [option for option in told if (module, option.name, option.values) not in UNSAID]
    found = WHOLE[module](tuple(told)) if module in WHOLE else tuple(told)
    order = ORDERS.get(module, "").split()
    return tuple(sorted(found, key=lambda o: order.index(o.name) if o.name in order else len(order)))


def written(module: str, given: Sequence[Option], v6: bool) -> str:
    """The options as text, negation in front."""
    told = canonical(module, tuple(given), v6)
    return " ".join(("! " if o.negated else "") + joined((f"--{o.name}", *o.values)) for o in told)
