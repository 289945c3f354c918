"""What a packet's entry answers when a rule asks for more than its state, and the marks that rules write.

What the model does not keep (time-outs, some status bits) stays not decided.
"""

from __future__ import annotations

from typing import assert_never

from conntrim.core.model.address import V4_ALL, Family, family_of
from conntrim.core.model.conntrack import CtState, Status
from conntrim.core.model.ct_match import CtIn, CtKey, Way
from conntrim.core.model.marks import EVERY, SetMark
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.memory import ANY_PORT, Entry, Tuple
from conntrim.core.netfilter.skb import Tracked

UNKNOWN_MARK = -1
"""The mark of an entry that was written by something that is not read here."""

ASSURED_UNKNOWN = frozenset({Protocol.UDP, Protocol.UDPLITE, Protocol.SCTP})
"""Protocols whose answered entries become ASSURED by time, or by what the model does not follow."""

NAT_DONE = Status.SRC_NAT_DONE | Status.DST_NAT_DONE
"""Set where a nat chain was asked, translated or not: the model does not keep them."""

EVERY_BIT = (1 << 128) - 1


def holds(match: CtIn, attached: Tracked) -> bool | None:
    """The answer for a packet with an entry; None where the model does not know."""
    value = _value(match, attached)
    if value is None:
        return None
    mask = EVERY_BIT if match.mask is None else match.mask
    unknown = _doubtful(attached) & mask if match.key is CtKey.STATUS else 0
    if not unknown:
        return (value & mask in match.values) is not match.negated
    if all((value ^ low) & mask & ~unknown for low, _ in match.values.ranges):
        return match.negated  # the bits that are known tell it already
    return None


def _value(match: CtIn, attached: Tracked) -> int | None:
    """What the entry has; of a reply's address, None where the kernel picked it."""
    entry, way = attached.entry, match.way
    tuple_ = entry.reply if way is Way.REPLY else entry.original
    match match.key:
        case CtKey.MARK:
            return None if entry.mark == UNKNOWN_MARK else entry.mark
        case CtKey.DIRECTION:
            return int(attached.reply)
        case CtKey.STATUS:
            return status_of(attached)
        case CtKey.ZONE:
            return entry.zone.number if way is Way.ANY else entry.zone.of(way.value)
        case CtKey.FAMILY:
            return family_of(entry.original.src)
        case CtKey.PROTOCOL:
            return tuple_.protocol
        case CtKey.SRC | CtKey.DST:
            picked = entry.guessed and way is Way.REPLY
            return None if picked else tuple_.src if match.key is CtKey.SRC else tuple_.dst
        case CtKey.SPORT | CtKey.DPORT:
            port = tuple_.sport if match.key is CtKey.SPORT else tuple_.dport
            return None if port == ANY_PORT else port
        case CtKey.EXPIRATION:
            return None
    assert_never(match.key)


def status_of(attached: Tracked) -> int:
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


FIRST_LACKS = Status.SEEN_REPLY | Status.ASSURED | Status.EXPECTED
"""Status bits that a packet never finds in its entry while it is NEW; the others depend on the way."""


def of_new(match: CtIn) -> bool | None:
    """The answer for every packet that is NEW, whose entry has seen no answer yet (K107); None where packets differ."""
    if match.key is CtKey.DIRECTION:
        return (0 in match.values) is not match.negated
    if match.key is not CtKey.STATUS:
        return None
    if all(low == high and low & FIRST_LACKS for low, high in match.values.ranges):
        return match.negated
    told = match.mask is not None and not match.mask & ~FIRST_LACKS
    return (0 in match.values) is not match.negated if told else None


def blank(packet: Packet) -> Tracked:
    """A template (K10) as iptables sees it: an entry of the original direction with nothing but zeros in it."""
    nobody = V4_ALL[0] if packet.family is Family.IPV4 else 0
    return Tracked(Entry(Tuple(0, nobody, nobody), Tuple(0, nobody, nobody)), CtState.NEW, False, confirmed=True)


def result(statement: SetMark, own: int, other: int) -> int:
    """The mark that a statement writes; unknown where a bit that it keeps is."""
    if UNKNOWN_MARK in (own if statement.mask != EVERY else 0, other if statement.kept else 0):
        return UNKNOWN_MARK
    return statement.result(own, other)
