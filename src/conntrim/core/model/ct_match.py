"""What a rule asks of a packet's conntrack entry beside its state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conntrim.core.model.conntrack import Status
from conntrim.core.model.intervals import Intervals


class CtKey(StrEnum):
    """What is kept in an entry, by nft's names."""

    MARK = "mark"
    DIRECTION = "direction"  # 0 original, 1 reply
    STATUS = "status"  # conntrack.Status
    ZONE = "zone"
    FAMILY = "l3proto"  # address.Family
    PROTOCOL = "protocol"
    SRC = "saddr"  # 128-bit, IPv4 mapped (address.py)
    DST = "daddr"
    SPORT = "proto-src"
    DPORT = "proto-dst"
    EXPIRATION = "expiration"  # seconds


class Way(StrEnum):
    """Of which of an entry's tuples."""

    ANY = ""
    ORIGINAL = "original"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class CtIn:
    """`key & mask` of the entry is one of `values`, or is none of them. Without an entry neither holds (K21, K23).

    A negated address is resolved into the set, of its own family.
    """

    key: CtKey
    values: Intervals
    mask: int | None = None
    negated: bool = False
    way: Way = Way.ANY


def any_of(bits: int, negated: bool = False) -> CtIn:
    """The status has one of these bits, or none of them."""
    return CtIn(CtKey.STATUS, Intervals.of(0), bits, not negated)


TRANSLATED = (any_of(Status.DST_NAT), any_of(Status.SRC_NAT))
"""What holds for translated flows only: firewalld asks so."""
