"""What rules of either dialect ask of a packet's entry beside its state, and the mark that they write.

The rule-set model keeps these as text; here the commonest of it is read: marks, directions, status bits,
zones. What is not read stays not decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from conntrim.core.model.conntrack import Status
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import EVERY, SetMark
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import OpaqueMatch
from conntrim.core.netfilter.skb import Tracked

UNKNOWN_MARK = -1
"""The mark of an entry that was written by something that is not read here."""

SYMBOLS: dict[str, dict[str, int]] = {
    "direction": {"original": 0, "reply": 1},
    "status": {
        "expected": Status.EXPECTED, "seen-reply": Status.SEEN_REPLY, "assured": Status.ASSURED,
        "confirmed": Status.CONFIRMED, "snat": Status.SRC_NAT, "dnat": Status.DST_NAT,
    },
    "mark": {}, "zone": {},
}  # fmt: skip
"""What nft calls the values of each ct key that is read here."""

ASSURED_UNKNOWN = frozenset({Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP})
"""Protocols whose answered entries become ASSURED by time, or by what the model does not follow."""


NAT_DONE = Status.SRC_NAT_DONE | Status.DST_NAT_DONE
"""Set where a nat chain was asked, translated or not: the model does not keep them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`key & mask` is one of `values`, or is not."""

    key: str
    values: Intervals
    mask: int = EVERY
    negated: bool = False
    way: str = ""

    def holds(self, attached: Tracked) -> bool | None:
        """The answer for a packet with an entry; None where the model does not know."""
        value = VALUES[self.key](attached, self.way)
        unknown = _doubtful(attached) & self.mask if self.key == "status" else 0
        if not unknown:
            return self.fits(value)
        if all((value ^ low) & self.mask & ~unknown for low, _ in self.values.ranges):
            return self.negated  # the bits that are known tell it already
        return None

    def fits(self, value: int) -> bool | None:
        """The answer where the key has this value."""
        return None if value == UNKNOWN_MARK else (value & self.mask in self.values) is not self.negated


def _mark(attached: Tracked, way: str) -> int:
    return attached.entry.mark


def _direction(attached: Tracked, way: str) -> int:
    return int(attached.reply)


def _zone(attached: Tracked, way: str) -> int:
    return attached.entry.zone.of(way) if way else attached.entry.zone.number


def status_of(attached: Tracked, way: str = "") -> int:
    """The status bits, as far as `_doubtful` does not name them."""
    entry = attached.entry
    confirmed = attached.confirmed and not attached.pending
    bits = (
        (confirmed, Status.CONFIRMED), (entry.seen_reply, Status.SEEN_REPLY), (entry.assured, Status.ASSURED),
        (entry.snat, Status.SRC_NAT), (entry.dnat, Status.DST_NAT),
    )  # fmt: skip
    return sum(bit for there, bit in bits if there)


def _doubtful(attached: Tracked) -> int:
    timed = attached.entry.original.protocol in ASSURED_UNKNOWN
    return NAT_DONE | (Status.ASSURED if timed and attached.entry.seen_reply else 0)


VALUES: dict[str, Callable[[Tracked, str], int]] = {
    "mark": _mark, "direction": _direction, "zone": _zone, "status": status_of,
}  # fmt: skip

_NFT = re.compile(
    r"ct (?:(?P<way>original|reply) )?(?P<key>mark|direction|status|zone) "
    r"(?:& (?P<mask>\([^)]*\)|[\w-]+) )?(?:(?P<op>==|!=) )?(?P<right>\{[^}]*\}|[^<>{}]+)"
)
_XT = re.compile(r"(?P<op>! )?--mark (?P<right>\w+)(?:/(?P<mask>\w+))?")


@lru_cache(maxsize=4096)
def asked(match: OpaqueMatch) -> Asked | None:
    """What a match asks; None where it is not read here."""
    try:
        if match.kind == "connmark" and (found := _XT.fullmatch(match.text)):
            mask = int(found["mask"] or "0xffffffff", 0)
            return Asked("mark", Intervals.of(int(found["right"], 0)), mask, bool(found["op"]))
        found = _NFT.fullmatch(match.text) if match.kind.startswith("ct ") else None
        return _nft(found) if found else None
    except (KeyError, ValueError):
        return None


def _nft(found: re.Match[str]) -> Asked:
    key, right, negated = found["key"], found["right"], found["op"] == "!="
    flags = key == "status" and not found["mask"]
    if flags and not right.startswith("{"):  # K58: nft asks for any of the flags, or compares all bits
        bits = _bits(key, right)
        return Asked(key, Intervals.of(bits), negated=True) if negated else Asked(key, Intervals.of(0), bits, True)
    if key == "status" and right.startswith("{"):
        raise ValueError("a set of status words")
    mask = _bits(key, found["mask"].strip("()")) if found["mask"] else EVERY
    parts = right.strip("{} ").split(",") if key != "status" else [right]
    return Asked(key, Intervals.of(*(_span(key, part.strip()) for part in parts)), mask, negated, found["way"] or "")


def _bits(key: str, text: str) -> int:
    bits = 0
    for word in re.split(r"[|,]", text):
        bits |= _number(key, word.strip())
    return bits


def _span(key: str, text: str) -> tuple[int, int]:
    if key == "status" or text in SYMBOLS[key]:
        return _bits(key, text), _bits(key, text)
    low, _, high = text.partition("-")
    return int(low, 0), int(high or low, 0)


def _number(key: str, word: str) -> int:
    return SYMBOLS[key][word] if word in SYMBOLS[key] else int(word, 0)


def result(statement: SetMark, own: int, other: int) -> int:
    """The mark that a statement writes; unknown where a bit that it keeps is."""
    if UNKNOWN_MARK in (own if statement.mask != EVERY else 0, other if statement.kept else 0):
        return UNKNOWN_MARK
    return statement.result(own, other)
