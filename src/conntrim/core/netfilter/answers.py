"""Packets that come back: a peer's reply, what a REJECT sends, and how that is tied to what it answers (K19)."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.model.address import Family, family_of
from conntrim.core.model.address_types import BROADCAST, LOOPBACK, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import FIELDS, TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import RESET, Answered, Reject
from conntrim.core.netfilter.icmp import ANSWERS, ICMP
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.skb import Attached, Orphan, Template, Tracked

ICMPX: dict[Family, tuple[int, ...]] = {Family.IPV4: (0, 3, 1, 13), Family.IPV6: (0, 4, 3, 1)}
"""The codes behind nft's own numbers of `icmpx` (net/netfilter/nft_reject.c): no route, port, host, prohibited."""

PORT_UNREACHABLE = Reject(Answered.ICMPX, 1)
"""REJECT's default."""

MIRRORED = tuple((spec.attribute, FIELDS[spec.mirror].attribute) for f, spec in FIELDS.items() if spec.mirror is not f)
"""What of a packet stands where in its answer."""


def is_error(packet: Packet) -> bool:
    """Whether a packet is an ICMP error, or what the kernel takes for one: it is answered by none."""
    own = ICMP[packet.family]
    return packet.protocol == own.protocol and packet.icmp is not None and packet.icmp >> 8 in own.unanswered


def reply_to(packet: Packet) -> Packet:
    """The answer to a packet: everything turned round, the interfaces too."""
    swapped = replace(
        packet, bridge_in=packet.bridge_out, bridge_out=packet.bridge_in,
        **{there: getattr(packet, here) for here, there in MIRRORED},
    )  # fmt: skip
    answers = ANSWERS.get(packet.protocol)
    if answers is None or packet.icmp is None:
        return swapped
    return replace(swapped, icmp=answers.get(packet.icmp >> 8, packet.icmp >> 8) << 8 | packet.icmp & 0xFF)


def answer_to(packet: Packet, how: Reject, kernel: Kernel, routed: bool = True) -> Packet | None:
    """The packet that REJECT sends because of this one; None where it sends none. `routed`: its way is known."""
    # K54: from a loopback address there is no route to elsewhere, where the source was translated.
    stuck = packet.family is Family.IPV4 and packet.dst in LOOPBACK and packet.src not in LOOPBACK | kernel.local
    parted = packet.fragment or packet.first  # the checksum, which is verified first, is the whole datagram's (K120)
    silent = parted or packet.dst in MULTICAST or packet.dst in BROADCAST or (stuck and bool(kernel.local))
    if silent or (how != RESET and _nameless(packet, kernel)):
        return None
    answer = _reset(packet, kernel) if how == RESET else _error(packet, how, kernel, routed)
    return answer and replace(answer, ttl=kernel.ttl)


def _nameless(packet: Packet, kernel: Kernel) -> bool:
    """K114: what came round lo has a local route, so an ICMP error about it speaks in its destination's name; where
    a rule wrote another one there that is none of the host's, no route is found for the error."""
    ours = packet.dst in LOOPBACK or packet.dst in kernel.local
    return packet.family is Family.IPV4 and packet.iif == "lo" and bool(kernel.local) and not ours


def _back(packet: Packet, kernel: Kernel) -> tuple[str, str]:
    """The interfaces of the answer: where its receiver is, or round the loopback if that is the host itself."""
    route = kernel.route(packet.src)
    if route is not None and packet.src not in kernel.local:
        return ("lo", "lo") if route.device == "lo" else ("", route.device)
    return ("", packet.iif) if packet.iif and packet.iif != "lo" else ("lo", "lo")


def _reset(packet: Packet, kernel: Kernel) -> Packet | None:
    flags = packet.tcp_flags
    if packet.protocol != Protocol.TCP or flags is None or flags & TcpFlag.RST:
        return None
    answer = TcpFlag.RST if flags & TcpFlag.ACK else TcpFlag.RST | TcpFlag.ACK
    iif, oif = _back(packet, kernel)
    return Packet(
        packet.family, Protocol.TCP, packet.dst, packet.src, packet.dport, packet.sport, int(answer), iif=iif, oif=oif,
        length=HEADERS[packet.family] + 20, dscp=0, ecn=0,
    )  # fmt: skip


def handshake(packet: Packet, kernel: Kernel) -> Packet:
    """SYNPROXY's SYN/ACK to a SYN."""
    iif, oif = _back(packet, kernel)
    return Packet(
        packet.family, Protocol.TCP, packet.dst, packet.src, packet.dport, packet.sport,
        int(TcpFlag.SYN | TcpFlag.ACK), iif=iif, oif=oif, dscp=0, ecn=0, ttl=kernel.ttl,
    )  # fmt: skip


def opening(packet: Packet, kernel: Kernel) -> Packet:
    """SYNPROXY's SYN to the server, in the name of the client whose ACK this is."""
    here = not packet.oif
    return Packet(
        packet.family, Protocol.TCP, packet.src, packet.dst, packet.sport, packet.dport, int(TcpFlag.SYN),
        iif="lo" if here else "", oif=packet.oif or "lo", dscp=0, ecn=0, ttl=kernel.ttl,
    )  # fmt: skip


def _error(packet: Packet, how: Reject, kernel: Kernel, routed: bool) -> Packet | None:
    if is_error(packet):
        return None
    icmp = ICMP[packet.family]
    code = ICMPX[packet.family][how.code] if how.kind is Answered.ICMPX else how.code
    iif, oif = _back(packet, kernel)
    src = _speaker(packet, kernel, routed)
    return Packet(
        packet.family, icmp.protocol, src, packet.src, icmp=icmp.unreachable << 8 | code, iif=iif, oif=oif,
        inner=packet, length=_error_length(packet), dscp=_kept(packet, packet.dscp, 0x07, 0x30),
        ecn=_kept(packet, packet.ecn, 0x02),
    )  # fmt: skip


HEADERS: dict[Family, int] = {Family.IPV4: 20, Family.IPV6: 40}
"""Bytes of a network header without options."""

LONGEST: dict[Family, int] = {Family.IPV4: 576, Family.IPV6: 1280}
"""Bytes of an ICMP error at most: it quotes as much as fits (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4)."""


def _error_length(packet: Packet) -> int | None:
    if packet.length is None:
        return None
    return min(HEADERS[packet.family] + 8 + packet.length, LONGEST[packet.family])


def _kept(packet: Packet, value: int | None, mask: int, added: int = 0) -> int | None:
    """A part of the TOS byte: icmp_send() keeps 0x1e of it and sets the precedence to internetwork control; ICMPv6 has
    class 0."""
    if packet.family is Family.IPV6:
        return 0
    return None if value is None else value & mask | added


def _speaker(packet: Packet, kernel: Kernel, routed: bool) -> int:
    """Who sends an ICMP error: the host in its own name, from the address that was asked or one near the receiver.

    The kernel asks its routes for the latter; where they are not told the longest common prefix is the best guess.
    Over IPv4 it takes the address that was asked only where the route says that it is local (K61).
    """
    own = [low for low, _ in kernel.local.ranges if family_of(low) is packet.family]
    asked = routed or packet.family is Family.IPV6 or packet.src in kernel.local
    if (asked and (packet.dst in kernel.local or packet.dst in LOOPBACK)) or not own:
        return packet.dst
    if (route := kernel.route(packet.src)) is not None and route.source:
        return route.source
    return min(own, key=lambda address: (address ^ packet.src).bit_length())


def tied(attached: Attached) -> Attached:
    """What the kernel attaches to the answer of a packet with this attached."""
    if isinstance(attached, Tracked):
        pending = attached.pending or not attached.confirmed
        return Tracked(
            attached.entry, CtState.RELATED, not attached.reply, confirmed=True, pending=pending, bound=attached.bound
        )
    if isinstance(attached, Template):
        return replace(attached, state=CtState.RELATED)  # a zone goes along with the answer (K62)
    return None if attached is None else Orphan()
