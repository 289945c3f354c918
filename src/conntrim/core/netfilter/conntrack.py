"""The tracker at priority -200: finds or makes the entry of a packet, or says why there is none.

Sequence numbers are not modelled: a packet of a known TCP flow is taken to be inside the window (K7).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from conntrim.core.model.conntrack import CtState, TcpState
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.matches import holds
from conntrim.core.netfilter.memory import Entry, Memory, Tuple, Zone, replied, tuple_of
from conntrim.core.netfilter.skb import Attached, Orphan, Skb, Template, Tracked, Untracked
from conntrim.core.netfilter.states import CHECKED, SANE, Class, Move, Need, Row, class_of


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tracker did: what it attached, the table afterwards, and why in words. `dropped`: K8."""

    attached: Attached
    memory: Memory
    why: str
    dropped: bool = False


def track(skb: Skb, memory: Memory) -> Seen:
    """What conntrack makes of this packet; its template says the zone and helper, an earlier mark stays."""
    if isinstance(skb.attached, Untracked):
        return Seen(skb.attached, memory, "conntrack passes it by")
    if isinstance(skb.attached, Tracked):
        return Seen(skb.attached, memory, "already tracked")  # K16: the mark of OUTPUT survives the loopback
    seen = _looked_up(skb, memory)
    # K19: an ICMP error keeps REJECT's mark where nothing is found, so NOTRACK passes it by on the loopback as well; a
    # RST loses it (nf_conntrack_in() clears it with the entry that it tried to make).
    kept = isinstance(skb.attached, Orphan) and seen.attached is None and not _is_tcp(skb.packet)
    return replace(seen, attached=skb.attached) if kept else seen


def _looked_up(skb: Skb, memory: Memory) -> Seen:
    if skb.packet.fragment or (skb.packet.first and _short(skb)):
        return Seen(None, memory, "a fragment: conntrack takes whole packets only")
    template = skb.attached if isinstance(skb.attached, Template) else Template()
    found = memory.find(tuple_of(skb.packet), template.zone)
    if found is None:
        return _fresh(skb, template, memory)
    entry, reply = found
    return _known_tcp(skb, template, entry, reply, memory) if _is_tcp(skb.packet) else _known(entry, reply, memory)


def _short(skb: Skb) -> bool:
    """K120: whether a first fragment fails conntrack's checks: UDP's of the length, or where packets come in of the
    checksum."""
    checked = skb.packet.protocol == Protocol.UDP or bool(skb.packet.iif)
    return checked or skb.answers.ask("whether a first fragment's checksum is right")


def _is_tcp(packet: Packet) -> bool:
    return packet.protocol == Protocol.TCP


def _state(entry: Entry, reply: bool) -> CtState:
    """K7: the reply direction is ESTABLISHED at once, the original one once a reply was seen."""
    return CtState.ESTABLISHED if reply or entry.seen_reply else CtState.NEW


def _known(entry: Entry, reply: bool, memory: Memory, changed: Entry | None = None) -> Seen:
    after = replied(changed or entry) if reply else changed or entry
    table = memory if after is entry else memory.having(after, entry)
    why = "belongs to an entry, reply direction" if reply else "belongs to an entry, original direction"
    return Seen(Tracked(after, _state(entry, reply), reply, confirmed=True), table, why)


# --- TCP packets of known entries -------------------------------------------------------------------------------


def _known_tcp(skb: Skb, template: Template, entry: Entry, reply: bool, memory: Memory) -> Seen:
    flags = skb.packet.tcp_flags or 0
    kind = class_of(flags)
    step = skb.kernel.transitions[reply, kind][entry.tcp] if flags & CHECKED in SANE else Move.INVALID
    if step is Move.INVALID:
        return Seen(None, memory, f"no {_name(kind)} is expected in state {entry.tcp.name}")
    if _reopens(entry, reply, step):
        return _fresh(skb, template, memory.without(entry))
    if kind is Class.RST and not entry.seen_reply:
        gone = Tracked(replied(entry) if reply else entry, _state(entry, reply), reply, confirmed=True)
        return Seen(gone, memory.without(entry), "the connection is refused: its entry goes")
    return _known(entry, reply, memory, _moved(entry, reply, kind, step))


def _name(kind: Class) -> str:
    return kind.name.replace("_", "/") if kind is not Class.NONE else "packet without flags"


def _reopens(entry: Entry, reply: bool, step: TcpState | Move) -> bool:
    """A SYN for a closed connection: the old entry goes and the packet starts afresh."""
    closed = entry.tcp in (TcpState.TIME_WAIT, TcpState.CLOSE)
    return step is TcpState.SYN_SENT and closed and (entry.closing or entry.last == (reply, Class.RST))


def _moved(entry: Entry, reply: bool, kind: Class, step: TcpState | Move) -> Entry:
    """The entry after a packet that is not INVALID."""
    last = (reply, kind)
    if step is TcpState.SYN_SENT and entry.tcp in (TcpState.TIME_WAIT, TcpState.CLOSE):
        step = Move.IGNORE
    if step is Move.IGNORE:
        in_step = kind is Class.SYN_ACK and entry.last == (not reply, Class.SYN) and entry.ignored
        # An ignored SYN that is answered after all: the two ends agree, the entry follows them.
        # And one of the opener's own makes conntrack forget that both ends had opened at once.
        both = entry.simultaneous and last != (False, Class.SYN)
        tcp = TcpState.SYN_RECV if in_step else entry.tcp
        return replace(entry, tcp=tcp, last=last, ignored=True, simultaneous=both)
    if (entry.tcp, kind, entry.last) == (TcpState.LAST_ACK, Class.ACK, (not reply, Class.SYN)) and entry.ignored:
        return replace(entry, ignored=False)  # perhaps a challenge ACK (RFC 5961 section 4): it moves nothing (K59)
    if step is TcpState.SYN_RECV and reply and kind is Class.ACK and entry.simultaneous:
        step = TcpState.ESTABLISHED
    assert isinstance(step, TcpState), "an INVALID packet moves nothing"
    closing = entry.closing or (step is TcpState.FIN_WAIT and entry.tcp is not TcpState.FIN_WAIT)
    simultaneous = entry.simultaneous or step is TcpState.SYN_SENT2
    works = entry.seen_reply and step is TcpState.ESTABLISHED and entry.tcp in (TcpState.SYN_RECV, step)
    return replace(
        entry, tcp=step, closing=closing, last=last, ignored=False, simultaneous=simultaneous,
        assured=entry.assured or works,
    )  # fmt: skip


# --- packets without an entry -------------------------------------------------------------------------------------


def row_of(skb: Skb) -> Row:
    """The row of the kernel's table that this packet falls under."""
    return next(row for row in skb.kernel.fresh if all(holds(match, skb, None) for match in row.when))


def _fresh(skb: Skb, template: Template, memory: Memory) -> Seen:
    row = row_of(skb)
    if row.need is Need.INNER:
        return _error(skb.packet, template.zone, memory)
    if row.state is CtState.UNTRACKED:
        return Seen(Untracked(), memory, row.fact)
    if skb.kernel.full and row.makes:
        return Seen(None, memory, "the table is full: no entry can be made (K8)", dropped=True)
    if why := _refused(skb, row):
        return Seen(None, memory, why)
    return _new(skb, template, memory, row)


def _refused(skb: Skb, row: Row) -> str:
    """Why a packet opens nothing; empty where it does."""
    if row.state is not CtState.NEW:
        return row.fact
    if row.need is Need.LOOSE and not skb.kernel.tcp_loose:
        return "the middle of a connection, and nf_conntrack_tcp_loose=0"
    if row.need is Need.CHUNK and not skb.answers.ask(row.fact):
        return "no chunk that opens an association"
    return ""


def _new(skb: Skb, template: Template, memory: Memory, row: Row) -> Seen:
    packet = skb.packet
    original = tuple_of(packet)
    reply = original.inverted()
    if reply is None:
        return Seen(None, memory, "there is no answer to it")
    entry = Entry(original, reply, template.zone, helper=template.helper)
    if _is_tcp(packet):
        kind = class_of(packet.tcp_flags or 0)
        entry = _moved(entry, False, kind, skb.kernel.transitions[False, kind][TcpState.NONE])
    return Seen(Tracked(entry, CtState.NEW, reply=False, confirmed=False), memory, row.fact)


def _error(packet: Packet, zone: Zone, memory: Memory) -> Seen:
    """RELATED where the flow that the error is about has an entry, and the error goes to that flow's sender."""
    asked: Tuple | None = tuple_of(packet.inner).inverted() if packet.inner is not None else None
    found = memory.find(asked, zone) if asked is not None else None
    if found is None:
        return Seen(None, memory, "an ICMP error about a flow that has no entry")
    entry, reply = found
    if packet.dst != (entry.reply if reply else entry.original).dst:
        return Seen(None, memory, "an ICMP error that is not for the flow's sender")
    return Seen(Tracked(entry, CtState.RELATED, reply, confirmed=True), memory, "an ICMP error about a known flow")
