"""What the model says the observer will see: the same observer's chains, walked by the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from conntrim.core.model.address import Family, parse_address, parse_prefix
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import FIELDS, TcpFlag
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import Base, Chain, Dialect, Rule, Ruleset, Table, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.ct_expressions import UNKNOWN_MARK
from conntrim.core.netfilter.dialogue import from_peer, opened
from conntrim.core.netfilter.hooks import CONFIRMING, Arranged, arrange
from conntrim.core.netfilter.kernel import Kernel, Route
from conntrim.core.netfilter.memory import Memory, Tuple, tuple_of
from conntrim.core.netfilter.nat import source_of
from conntrim.core.netfilter.outcome import Fate, Gathered, Outcome, StepKind
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.netfilter.statements import EARNED
from conntrim.core.netfilter.states import FRESH, Need
from conntrim.core.netfilter.trace_text import endless
from conntrim.core.parse.ipset import with_ipsets
from conntrim.core.parse.ruleset import read
from conntrim.lab.entries import Kept, remembered
from conntrim.lab.oracle import FIRST, OWN_TTL, PLACES, TABLE, Sighting, Trace
from conntrim.lab.wire import TRAFFIC_CLASS, TTL, End, size_of

LOCAL = Intervals.of(*(parse_address(a) for a in ("192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1")))
"""The oracle's own addresses."""

ROUTES = tuple(
    Route(parse_prefix(to), device, parse_address(source))
    for to, device, source in (
        ("127.0.0.0/8", "lo", "127.0.0.1"), ("::1/128", "lo", "::1"),
        ("198.51.100.0/24", "eth1", "198.51.100.1"), ("2001:db8:1::/64", "eth1", "2001:db8:1::1"),
        ("0.0.0.0/0", "eth0", "192.0.2.1"), ("::/0", "eth0", "2001:db8::1"),
    )
)  # fmt: skip
"""The oracle's routes."""

KERNEL = Kernel(LOCAL, tcp_loose=True, active=True, routes=ROUTES, ttl=OWN_TTL)
"""The oracle's namespace: its observer switches conntrack on (K5)."""

_SEEN = Rule((), (SetMark(0, 0),), Place("observer"), "seen")
"""Changes nothing, but leaves a step in the path: the packet was here, in this state."""

OBSERVER = Table(
    Dialect.NFTABLES,
    TableFamily.INET,
    TABLE,
    tuple(
        Chain(f"at{i}", (_SEEN,), Base("filter", hook, priority))
        for i, (hook, priority, _) in enumerate(PLACES)
        if priority != FIRST
    ),
)
"""The oracle's observer in the model."""

FAMILIES = {"iptables-restore": TableFamily.IP, "ip6tables-restore": TableFamily.IP6}


def ruleset_of(batches: Sequence[Batch], listing: str = "") -> Ruleset:
    """The model of loaded texts: iptables' as they are, nft's from the kernel's `listing` of it."""
    parts = [read(b.text, b.program, FAMILIES[b.program]) for b in batches if b.program in FAMILIES]
    if listing:
        parts.append(read(listing, "nft"))
    tables = chain.from_iterable(part.tables for part in parts)
    ipsets = chain.from_iterable(read(b.text, b.program).ipsets for b in batches if b.program == "ipset")
    return with_ipsets(Ruleset(tuple(t for t in tables if t.name != TABLE), ipsets=tuple(ipsets)))


def observed(ruleset: Ruleset) -> Arranged:
    """The rule set with the observer, in the oracle's own order: what was registered last runs first (K2)."""
    return replace(arrange(Ruleset((*ruleset.tables, OBSERVER))), latest_first=True)


Source = tuple[int, int, int, int]
"""Protocol, address, port and zone."""


@dataclass(frozen=True, slots=True)
class Believed:
    """What the model says of one dialogue: the trace of each packet up to the first that it does not decide.

    `packets` are the dialogue as it is sent. `entries` are what the table holds of it at the end, None where a packet
    was not decided: `doubt` says why. `tuples` are all that its packets and entries had, `sources` those that were
    translated, with what they became.
    """

    packets: tuple[Packet, ...]
    traces: tuple[Trace, ...]
    entries: tuple[Kept, ...] | None
    doubt: str = ""
    tuples: frozenset[Tuple] = frozenset()
    sources: frozenset[tuple[Source, End]] = frozenset()


def expected(
    arranged: Arranged, packets: Sequence[Packet], kernel: Kernel = KERNEL, peers: bool = False, *, earned: bool = False
) -> Believed:
    """What the model says of one dialogue that begins with an empty table.

    `peers`: answers to translated packets are made as the peers make them, who saw other addresses. `earned`: an ACK
    has the number that SYNPROXY's SYN/ACK asked for.
    """
    assumed = ASSUMED | {text: earned for text in ASSUMED if text.endswith(EARNED)}
    memory, sent, traces, before = Memory(), list(packets), list[Trace](), list[Outcome]()
    waiting: Outcome | None = None
    tuples: set[Tuple] = set()
    sources: set[tuple[Source, End]] = set()
    for i in range(len(packets)):
        if peers:
            sent[i] = _as_peer(sent[i], before, kernel)
        outcome = simulate(arranged, as_built(sent[i]), memory, kernel, assumed)
        if earned and before and not opened(before[0], outcome):
            outcome = simulate(arranged, as_built(sent[i]), memory, kernel, ASSUMED)
        before.append(outcome)
        tuples |= _tuples(outcome)
        if doubt := _doubt(outcome) or _misfit(sent, traces) or _unlike(waiting, outcome):
            return Believed(tuple(sent), tuple(traces), None, doubt, frozenset(tuples), frozenset(sources))
        trace, whole = _put_together(waiting, outcome)
        traces.append(tuple(trace))
        memory = whole.memory if whole is not None else memory
        sources |= {(source_of(e), (e.reply.dst, e.reply.dport)) for e in memory.entries if e.snat}
        waiting = outcome if outcome.packet.first else None
    entries = tuple(sorted(map(remembered, memory.entries)))
    return Believed(tuple(sent), tuple(traces), entries, "", frozenset(tuples), frozenset(sources))


def _put_together(waiting: Outcome | None, outcome: Outcome) -> tuple[list[Sighting], Outcome | None]:
    """What is seen of a packet or fragment, and whose outcome goes on from there: a fragment that reassembly takes in
    is seen no more, but with the second one goes on what the first one had, if both were taken in alike."""
    if outcome.gathered is None:
        return _sightings(outcome, answer=False), outcome
    at = next(i for i, step in enumerate(outcome.path) if step.kind is StepKind.DEFRAG)
    alone = _sightings(replace(outcome, path=outcome.path[:at], verdict=Fate.ACCEPT, answer=None), answer=False)
    if waiting is None or waiting.gathered is None or _key(waiting.gathered) != _key(outcome.gathered):
        return alone, None
    at = next(i for i, step in enumerate(waiting.path) if step.kind is StepKind.DEFRAG)
    return alone + _sightings(replace(waiting, path=waiting.path[at:]), answer=False), waiting


def _key(taken: Gathered) -> tuple[object, ...]:
    return taken.hook, taken.zone, taken.packet.src, taken.packet.dst


def _unlike(waiting: Outcome | None, outcome: Outcome) -> str:
    """Fragments of unlike ECN: RFC 3168 section 5.3 says which of them make a datagram, the model does not."""
    both = waiting is not None and waiting.gathered, outcome.gathered
    unlike = both[0] and both[1] and both[0].packet.ecn != both[1].packet.ecn
    return "fragments of unlike ECN" if unlike else ""


def _misfit(sent: Sequence[Packet], traces: Sequence[Trace]) -> str:
    """A reset whose sender's FIN conntrack refused, and the peer went on: whether its number fits is not followed."""
    last = sent[len(traces)]
    if not (last.tcp_flags or 0) & TcpFlag.RST:
        return ""
    own = [p.src == last.src and p.sport == last.sport for p in sent[: len(traces)]]
    refused = (
        i
        for i, trace in enumerate(traces)
        if own[i] and (sent[i].tcp_flags or 0) & TcpFlag.FIN and any(s.state is CtState.INVALID for s in trace)
    )
    return "the number of a reset" if any(not all(own[i:]) for i in refused) else ""


ASSUMED = {
    **{row.fact: True for row in FRESH if row.need is Need.CHUNK},
    "synproxy: synproxy mss 1460 wscale 7 timestamp sack-perm: the ACK is for its own SYN/ACK": False,
    "synproxy: synproxy mss 1460 wscale 7 timestamp sack-perm: the device has verified the packet's checksum": False,
    "SYNPROXY: --sack-perm --timestamp --wscale 7 --mss 1460: the ACK is for its own SYN/ACK": False,
    "tproxy: tproxy to :5000: nothing is found": True,
    "TPROXY: --on-port 5000 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1: a program listens there": False,
    "TPROXY: --on-port 5000 --on-ip :: --tproxy-mark 0x1/0x1: a program listens there": False,
}
"""The chunk in our SCTP packets opens an association. No ACK answers SYNPROXY, and no program listens there."""


def as_built(packet: Packet) -> Packet:
    """The packet with what the wire adds to it."""
    attributes = [FIELDS[field].attribute for field in TRAFFIC_CLASS]
    classes: dict[str, Any] = {name: getattr(packet, name) or 0 for name in attributes}
    return replace(packet, length=size_of(packet), ttl=TTL, **classes)


def _as_peer(packet: Packet, before: list[Outcome], kernel: Kernel) -> Packet:
    """An answer as the peer makes it, with the interface by which it would leave if it were not translated back."""
    made = from_peer(packet, before)
    inside = made.iif in ("", "lo")
    if made == packet or (not inside and (made.src in LOOPBACK or made.dst in LOOPBACK)):
        return packet  # no such packet ever comes from outside
    route = kernel.route(made.dst)
    device = "" if made.dst in kernel.local or made.dst in LOOPBACK or route is None else route.device
    return replace(made, iif="", oif=device or "lo") if inside else replace(made, oif=device)


def _tuples(outcome: Outcome) -> set[Tuple]:
    """All that is looked up or put in the table: of an ICMP error what it is about."""
    return {
        tuple_of(outcome.packet.inner or outcome.packet),
        *(t for e in outcome.memory.entries for t in (e.original, e.reply)),
    }


def _doubt(outcome: Outcome) -> str:
    """Why the model does not know what the kernel does with a packet; empty where it knows."""
    if outcome.asked:
        return "; ".join(outcome.asked)
    if any(entry.guessed for entry in outcome.memory.entries):
        return "the address that the kernel picks"
    if any(entry.mark == UNKNOWN_MARK for entry in outcome.memory.entries):
        return "the mark of an entry"
    if endless(outcome):
        return "how long a SYNPROXY answers itself"
    if _parted_again(outcome):
        return "the parts of what was put together before"
    if _unsummed(outcome):
        return "a checksum that translation did not correct"
    return "the way of an answer's answer to a stranger" if _lost(outcome) else ""


def _parted_again(outcome: Outcome) -> bool:
    """Round lo a datagram comes in parts again (K106). Whose they are is told where IPv4 puts them together anew."""
    again = [step for step in outcome.path if step.kind is StepKind.DEFRAG][1:]
    v4 = outcome.packet.family is Family.IPV4
    return bool(again) and not (v4 and outcome.gathered is not None and outcome.gathered.hook is Hook.PREROUTING)


def _unsummed(outcome: Outcome) -> bool:
    """REJECT verifies what it takes for a checksum of an unknown IPv6 protocol; it covers the addresses."""
    packet = outcome.packet
    unknown = packet.family is Family.IPV6 and packet.protocol not in {*WITH_PORTS, Protocol.ICMPV6}
    return unknown and outcome.answer is not None and (packet.src, packet.dst) != (outcome.left.src, outcome.left.dst)


def _lost(outcome: Outcome) -> bool:
    """An answer that is itself rejected, and not from the host's own address: only the routes know where that goes."""
    answer = outcome.answer
    if answer is None:
        return False
    unsolicited = answer.packet.src not in LOCAL and answer.packet.src not in LOOPBACK
    return (answer.answer is not None and unsolicited) or _lost(answer)


def _sightings(outcome: Outcome, answer: bool) -> list[Sighting]:
    ours = [
        Sighting(step.hook, step.state, answer)
        for step in outcome.path
        if step.kind is StepKind.RULE and step.table == TABLE and step.state is not None
    ]
    last = outcome.path[-1] if outcome.path else None
    if outcome.verdict is Fate.DROP and last and last.kind is StepKind.CONNTRACK and last.hook in CONFIRMING:
        ours.pop()  # dropped when its entry was confirmed, which is before the observer looks
    return ours + (_sightings(outcome.answer, answer=True) if outcome.answer else [])
