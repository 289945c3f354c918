"""What iptables' targets do: verdicts, NOTRACK, templates, marks, NAT; the rest has no effect or stays opaque."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.refusal import XT_REJECTS, XT_REJECTS6, Queue
from conntrim.core.model.ruleset import (
    CtTemplate,
    End,
    Helper,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    SetZone,
    Statement,
    Verdict,
)  # fmt: skip
from conntrim.core.model.writes import AddToSet
from conntrim.core.parse.xt import nat
from conntrim.core.parse.xt.canonical import Given, canonical, written
from conntrim.core.parse.xt.numbers import masked, number

VERDICTS: dict[str, Statement] = {
    "ACCEPT": End(Verdict.ACCEPT),
    "DROP": End(Verdict.DROP),
    "RETURN": Return(),
    "QUEUE": End(Verdict.QUEUE),
}
"""Targets that need no extension."""

HARMLESS = frozenset({
    "AUDIT", "CHECKSUM", "CLASSIFY", "CONNSECMARK", "ECN", "IDLETIMER", "LED", "LOG", "NFLOG", "RATEEST", "SECMARK",
    "TCPMSS", "TCPOPTSTRIP", "TEE", "TRACE", "ULOG",
})  # fmt: skip
"""Targets without influence on where this packet goes: none of our fields reads what they write."""

SHORT: dict[str, str] = {
    "net-unreach": "icmp-net-unreachable", "host-unreach": "icmp-host-unreachable",
    "proto-unreach": "icmp-proto-unreachable", "port-unreach": "icmp-port-unreachable",
    "net-prohib": "icmp-net-prohibited", "host-prohib": "icmp-host-prohibited",
    "admin-prohib": "icmp-admin-prohibited", "tcp-rst": "tcp-reset",
}  # fmt: skip
"""`--reject-with` of IPv4, short names to long ones."""

SHORT6: dict[str, str] = {
    "no-route": "icmp6-no-route", "adm-prohibited": "icmp6-adm-prohibited", "addr-unreach": "icmp6-addr-unreachable",
    "port-unreach": "icmp6-port-unreachable", "policy-fail": "icmp6-policy-fail",
    "reject-route": "icmp6-reject-route",
}  # fmt: skip
"""The same for IPv6."""


def _reject(given: Given, v6: bool) -> tuple[Statement, ...]:
    short, known = (SHORT6, XT_REJECTS6) if v6 else (SHORT, XT_REJECTS)
    kind = given[-1].values[0] if given else "port-unreach"
    found = known.get(short.get(kind, kind))
    if found is None:
        raise ValueError(f"{kind!r} is nothing to reject with")
    return (End(Verdict.REJECT, found),)


def _nfqueue(given: Given, v6: bool) -> tuple[Statement, ...]:
    said = {option.name: option.values for option in given}
    low, colon, high = said.get("queue-balance", said.get("queue-num", ("0",)))[0].partition(":")
    first = number(low, 0xFFFF, "queue")
    last = number(high, 0xFFFF, "queue") if colon else first
    return (End(Verdict.QUEUE, Queue(first, last, "queue-bypass" in said, "queue-cpu-fanout" in said)),)


def _connmark(given: Given, v6: bool) -> tuple[Statement, ...]:
    """The entry's mark set, saved or restored; one that is shifted on its way stays opaque."""
    said = {option.name: option.values for option in canonical("CONNMARK", given, v6)}
    match said:
        case {"set-xmark": (text,), **more} if not more:
            return (SetMark(*masked(text, 32, "mark"), MarkOf.ENTRY),)
        case {"nfmask": (nfmask,), "ctmask": (ctmask,), **more} if len(more) == 1:
            packet, entry = int(nfmask, 0), int(ctmask, 0)
            if "save-mark" in more:
                return (SetMark(0, entry, MarkOf.ENTRY, MarkOf.PACKET, packet),)
            if "restore-mark" in more:
                return (SetMark(0, packet, MarkOf.PACKET, MarkOf.ENTRY, entry),)
    return (OpaqueStatement("CONNMARK", written("CONNMARK", given, v6)),)


def _mark(given: Given, v6: bool) -> tuple[Statement, ...]:
    if len(given) != 1:
        raise ValueError("MARK takes exactly one option")
    _, name, (text,) = given[0]
    value, mask = masked(text, 32, "mark")
    every = 0xFFFFFFFF
    table = {
        "set-xmark": (value, mask), "set-mark": (value, mask | value), "and-mark": (0, every ^ value),
        "or-mark": (value, value), "xor-mark": (value, 0),
    }  # fmt: skip
    return (SetMark(*table[name]),)


def _zone(name: str, text: str) -> Statement:
    ways = {"zone": "", "zone-orig": "original", "zone-reply": "reply"}
    return SetZone(None if text == "mark" else number(text, 0xFFFF, "zone"), ways[name])


def _ct(given: Given, v6: bool) -> tuple[Statement, ...]:
    if any(o.name == "notrack" for o in given):
        return (Notrack(),)
    done: list[Statement] = [_zone(o.name, o.values[0]) for o in given if o.name.startswith("zone")]
    done += [Helper(o.values[0]) for o in given if o.name == "helper"]
    rest = tuple(o for o in given if o.name in ("timeout", "ctevents", "expevents"))
    # A bare CT still attaches a template, and that is what a later NOTRACK runs into (K10).
    return tuple(done) + ((CtTemplate(written("CT", rest, v6)),) if rest or not done else ())


def _set(given: Given, v6: bool) -> tuple[Statement, ...]:
    """An element added to an ipset; what is taken out again, or looked up, stays opaque."""
    said = {option.name: option.values for option in given}
    text = written("SET", given, v6)
    if "add-set" not in said or not set(said) <= {"add-set", "exist", "timeout"}:
        return (OpaqueStatement("SET", text),)
    name, ways = said["add-set"]
    return (AddToSet(name, tuple(ways.split(",")), text),)


MEANINGS: dict[str, Callable[[Given, bool], tuple[Statement, ...]]] = {
    "NOTRACK": lambda given, v6: (Notrack(),),
    "CT": _ct,
    "CONNMARK": _connmark,
    "MARK": _mark,
    "REJECT": _reject,
    "NFQUEUE": _nfqueue,
    "SET": _set,
}


@lru_cache(maxsize=4096)
def effect(target: str, given: Given, v6: bool) -> tuple[Statement, ...]:
    """A target with its options as statements; ValueError for a value that makes no sense."""
    if target in MEANINGS:
        return MEANINGS[target](given, v6)
    if target in nat.TARGETS:
        return (nat.translation(target, given, v6),)
    if target in HARMLESS:
        return (NoEffect(target, written(target, given, v6)),)
    kind = target if target.isupper() else f"target {target}"  # nft's statements are called `log` and `last`
    return (OpaqueStatement(kind, written(target, given, v6)),)
