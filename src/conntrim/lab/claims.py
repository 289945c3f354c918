"""What a witness claims about two rule sets, as a scene that the kernel can play: who knows it, what came before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.address_types import BROADCAST, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.answers import is_error, reply_to
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.plan.obligations.decide import Proof
from conntrim.core.prove.compare import Comparison
from conntrim.core.prove.inputs import Broken
from conntrim.core.prove.populations import Population
from conntrim.lab.oracle import LAST_ORDERS, Trace, delivered
from conntrim.lab.wire import TTL, size_of


class Claim(Enum):
    """What the two rule sets are said to do with a packet."""

    ADMITTED = "refused before, let through after"
    DROPPED = "let through before, refused after"
    TRACKED = "tracked after"
    UNTRACKED = "tracked before, untracked after"


def _untracked(trace: Trace) -> bool:
    """Whether conntrack let it alone: the state right behind conntrack."""
    return bool(trace) and trace[0].state is CtState.UNTRACKED


def arrived(packet: Packet, trace: Trace) -> bool:
    """Whether the packet got where it wanted to; round the loopback it leaves the host on its way."""
    return delivered(trace) and (packet.oif != "lo" or Hook.INPUT in (s.hook for s in trace if not s.answer))


def holds(claim: Claim, packet: Packet, before: Trace, after: Trace) -> bool:
    """Whether the kernel's two answers about a packet are as claimed."""
    was, is_ = arrived(packet, before), arrived(packet, after)
    match claim:
        case Claim.ADMITTED:
            return not was and is_
        case Claim.DROPPED:
            return was and not is_
        case Claim.TRACKED:
            return not _untracked(after)
        case Claim.UNTRACKED:
            return bool(before) and not _untracked(before) and _untracked(after)
        case _:
            assert_never(claim)


@dataclass(frozen=True, slots=True)
class Scene:
    """A witness to be played under both rule sets; `packets` end with it.

    `known` are connections in the table when the packets come: told by the packets that opened them, for the rule set
    before and for the one after. `expected`: a helper expects the connection that the packet opens.
    """

    words: str
    claim: Claim
    packets: tuple[Packet, ...]
    known: tuple[Packet | None, Packet | None] = (None, None)
    expected: bool = False

    @property
    def witness(self) -> Packet:
        """The packet that it is about."""
        return self.packets[-1]


OBLIGATIONS: dict[str, Claim] = {
    "two-sided": Claim.TRACKED, "delivered": Claim.DROPPED, "no-exposure": Claim.ADMITTED, "no-loss": Claim.DROPPED,
    "nat-kept": Claim.UNTRACKED, "helper-kept": Claim.UNTRACKED, "errors-return": Claim.DROPPED,
    "answers-leave": Claim.DROPPED,
}  # fmt: skip
"""What a broken obligation's witness claims."""

WITHOUT_ENTRY = ("errors-return", "answers-leave")
"""Obligations that compare a packet with an entry, before, with the same packet without one, after."""


def scenes_of(found: Comparison | Proof) -> Iterator[Scene]:
    """The witnesses of a comparison or of a proof, but for those that depend on what nobody can set up here."""
    if isinstance(found, Proof):
        yield from (scene_of(broken) for broken in found.broken if not broken.conditions)
        return
    for difference in found.differences:
        claim = Claim.ADMITTED if difference.admitted else Claim.DROPPED
        if difference.population is Population.TRANSLATED:
            continue  # nobody stands where they are sent
        for region in difference.regions:
            if region.conditions:
                continue
            if difference.population is Population.WHOLE:
                yield Scene(region.words, claim, (*region.earlier, region.witness))
            else:
                yield _scene(region.words, claim, region.witness, difference.population)


def scene_of(broken: Broken) -> Scene:
    """The scene of one broken obligation."""
    claim, words = OBLIGATIONS[broken.name], f"{broken.name}: {broken.why}"
    if broken.earlier:
        return Scene(words, claim, (*broken.earlier, broken.witness))
    if broken.name in WITHOUT_ENTRY:
        packet = about_nobody(broken.witness)
        return Scene(words, claim, (packet,), (opener(packet), None))
    return _scene(words, claim, broken.witness, broken.population)


def _scene(words: str, claim: Claim, witness: Packet, population: Population) -> Scene:
    packet = about_nobody(witness)
    if population is Population.EXPECTED:
        return Scene(words, claim, (packet,), expected=True)
    known = None if population is Population.UNSOLICITED else opener(packet)
    return Scene(words, claim, (packet,), (known, known))


def about_nobody(packet: Packet) -> Packet:
    """An ICMP error needs a packet that it is about: a datagram that its receiver sent. Others stay as they are."""
    if not is_error(packet) or packet.inner:
        return packet
    back = replace(reply_to(packet), icmp=None, iif="", oif="", mark=0)
    return replace(packet, inner=replace(back, protocol=int(Protocol.UDP), sport=40_000, dport=53))


def opener(packet: Packet) -> Packet:
    """A first packet of the connection that this one answers, or that this error is about; of a query, one more."""
    asks = packet.icmp is not None and packet.icmp >> 8 in ICMP[packet.family].queries
    return packet.inner or (packet if asks else reply_to(packet))


UNMADE = WITH_PORTS - {Protocol.TCP, Protocol.UDP, Protocol.SCTP} | {LAST_ORDERS}
"""Protocols whose packets are not built, or mean something else to the oracle."""
EXTENSIONS = (0, 43, 44, 50, 51, 59, 60, 135, 139, 140)
"""IPv6 extension headers: what follows tells the protocol (RFC 7045)."""
LONGEST = 1500
"""The MTU of the devices."""


def unplayable(packet: Packet) -> str:
    """Why this packet cannot be sent on its way here; empty where it can."""
    return next((why for holds, why in _obstacles(packet) if holds), "")


def _obstacles(packet: Packet) -> Iterator[tuple[bool, str]]:
    names, number = (packet.iif, packet.oif), packet.protocol
    yield packet.src == packet.dst and "lo" not in names, "it comes from the address that it goes to"
    groups = MULTICAST | BROADCAST
    yield packet.dst in groups or packet.src in MULTICAST, "it goes to a group"
    yield packet.src == MAPPED and packet.iif in ("", "lo"), "this host gives it an address of its own"
    unmade = number in UNMADE or (packet.family is Family.IPV6 and number in EXTENSIONS)
    yield unmade, f"packets of protocol {number} are not made here"
    yield packet.ttl not in (None, TTL), f"packets with another TTL than {TTL} are not made here"
    length = size_of(packet) if packet.length is None else packet.length
    yield not size_of(packet) <= length <= LONGEST, "packets of that length are not made here"
    yield bool(packet.mark and packet.iif), "it comes with a mark"
    yield from ((len(name) > 15, f"no interface can be called {name}") for name in names)
