"""Dialogues of packets as one host sees them, and their walk through a rule set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.hooks import Arranged, arrange
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.kernel import DEFAULTS, Kernel, Route
from conntrim.core.netfilter.memory import ANY_PORT, EMPTY, Memory, tuple_of
from conntrim.core.netfilter.nat import answered
from conntrim.core.netfilter.outcome import Fate, Outcome
from conntrim.core.netfilter.routing import is_ours
from conntrim.core.netfilter.simulate import simulate

_SYN, _ACK, _PSH, _FIN = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.PSH, TcpFlag.FIN


class Talk(StrEnum):
    """The kinds of dialogue."""

    TCP = "tcp"
    UDP = "udp"
    ECHO = "echo"


TURNS: dict[Talk, tuple[tuple[str, bool, int | None], ...]] = {
    Talk.TCP: (
        ("SYN", False, _SYN),
        ("SYN/ACK", True, _SYN | _ACK),
        ("ACK", False, _ACK),
        ("request", False, _PSH | _ACK),
        ("answer", True, _PSH | _ACK),
        ("FIN", False, _FIN | _ACK),
        ("FIN/ACK", True, _FIN | _ACK),
        ("last ACK", False, _ACK),
    ),
    Talk.UDP: (("query", False, None), ("answer", True, None), ("query", False, None), ("answer", True, None)),
    Talk.ECHO: (("echo request", False, None), ("echo reply", True, None)),
}
"""Name, whether it goes in the answering direction, TCP flags."""


def dialogue(kind: Talk, opener: Packet, *, error: bool = False) -> tuple[Packet, ...]:
    """The packets of a dialogue that `opener` (addresses, ports, interfaces) begins, in their order.

    `error`: after the first answer comes an ICMP error (too big) about it, from its receiver's side.
    """
    packets = [
        replace(reply_to(opener) if reply else opener, tcp_flags=None if flags is None else int(flags))
        for _, reply, flags in TURNS[kind]
    ]
    if error:
        packets.insert(2, error_about(packets[1]))
    return tuple(packets)


def error_about(packet: Packet) -> Packet:
    """A router's or receiver's complaint that `packet` is too big."""
    icmp = ICMP[packet.family]
    back = reply_to(replace(packet, icmp=None, sport=None, dport=None, tcp_flags=None))
    return replace(back, protocol=icmp.protocol, icmp=icmp.too_big, inner=packet)


def run(
    ruleset: Ruleset | Arranged,
    packets: Iterable[Packet],
    memory: Memory = EMPTY,
    kernel: Kernel = DEFAULTS,
    *,
    until_lost: bool = False,
) -> tuple[Outcome, ...]:
    """Walk packets one after the other with one table; answers to translated packets are made as the peer makes them.

    `until_lost`: stop at the first packet that is not accepted.
    """
    arranged = ruleset if isinstance(ruleset, Arranged) else arrange(ruleset)
    outcomes: list[Outcome] = []
    for packet in packets:
        outcomes.append(simulate(arranged, from_peer(packet, outcomes), memory, kernel))
        memory = outcomes[-1].memory
        if until_lost and outcomes[-1].verdict is not Fate.ACCEPT:
            break
    return tuple(outcomes)


@dataclass(frozen=True, slots=True)
class Course:
    """A dialogue walked up to the packet that is lost. `complete`: every packet comes to the end that awaits it, with
    the addresses that this end knows; None: nobody told."""

    outcomes: tuple[Outcome, ...]
    complete: bool | None

    @property
    def parting(self) -> str | None:
        """The first question on which ways part that this walk did not take: whatever is answered a packet goes on, in
        one state or another."""
        return next((text for each in self.outcomes if each.verdict is Fate.ACCEPT for text in each.undecided), None)

    @property
    def translated(self) -> bool:
        """Whether a packet is given other addresses than it was sent with, wherever it ends then; what a rule writes
        into its header is none."""
        return any(_translates(each) and tuple_of(each.left) != tuple_of(each.packet) for each in self.outcomes)


def course(
    arranged: Arranged, packets: Sequence[Packet], kernel: Kernel = DEFAULTS, assume: Mapping[str, bool] | None = None
) -> Course:
    """Walk a dialogue between two ends, of which each answers what it saw: an answer that is not translated back is
    as lost as one that is refused. Of an error it counts that it passes. `assume` as for `simulate`."""
    outcomes: list[Outcome] = []
    memory, first, guessed = EMPTY, packets[0], False
    if first.iif and first.iif != "lo":  # who asks is where he asked from
        kernel = replace(kernel, routes=(Route((first.src, first.src), first.iif), *kernel.routes))
    for packet in packets:
        came = from_peer(packet, outcomes)
        if came.iif and came.iif != "lo" and is_ours(kernel, came.dst):  # only an entry sends that on
            came = replace(came, oif="")
        if not came.iif and is_ours(kernel, came.dst):  # INPUT gave who asks an address of the host
            came = replace(came, oif="lo")
        outcome = _outcome(arranged, came, memory, kernel, assume or {})
        memory = outcome.memory
        outcomes.append(outcome)
        if outcome.verdict is not Fate.ACCEPT or _unknown(outcome):
            unsaid = outcome.verdict in (Fate.NOT_DECIDED, Fate.ACCEPT)
            return Course(tuple(outcomes), None if unsaid else False)
        guessed = guessed or _masqueraded(outcome)
        awaited = packet if tuple_of(packet) == tuple_of(first).inverted() else outcomes[0].left
        if came.inner is None and tuple_of(outcome.left) != tuple_of(awaited):
            return Course(tuple(outcomes), complete=False)
    answers = any(tuple_of(packet) == tuple_of(first).inverted() for packet in packets)  # they come to what was guessed
    return Course(tuple(outcomes), None if guessed and answers else True)


def _outcome(arranged: Arranged, packet: Packet, memory: Memory, kernel: Kernel, assume: Mapping[str, bool]) -> Outcome:
    """What becomes of a packet, asked once of these rules."""
    key = packet, memory, kernel, frozenset(assume.items())
    if key not in arranged.walked:
        arranged.walked[key] = simulate(arranged, packet, memory, kernel, assume, explained=False)
    return arranged.walked[key]


def _unknown(outcome: Outcome) -> bool:
    """Whether what comes out of a translation is looked up, or drawn by the kernel."""
    vague = any(nat.elsewhere is not None or nat.kind is NatKind.NETMAP for nat in _nats(outcome))
    return vague or ANY_PORT in (outcome.left.sport, outcome.left.dport)


def _translates(outcome: Outcome) -> bool:
    """Whether a rule that translates took a packet."""
    return any(True for _ in _nats(outcome))


def _nats(outcome: Outcome) -> Iterator[Nat]:
    """What rules that took a packet translate."""
    return (s for step in outcome.path if step.rule for s in step.rule.statements if isinstance(s, Nat))


def _masqueraded(outcome: Outcome) -> bool:
    """Whether the host's own packet is given another of its addresses, and nobody told which; for what it passes on
    that decides nothing."""
    return not outcome.packet.iif and masquerades(outcome)


def masquerades(outcome: Outcome) -> bool:
    """Whether a packet leaves with one of the host's addresses for its source, chosen by where it leaves."""
    moved = outcome.left.src != outcome.packet.src
    return moved and any(nat.kind is NatKind.MASQUERADE for nat in _nats(outcome))


def opened(before: Outcome, outcome: Outcome) -> bool:
    """Whether a proxy's SYN to the server is of the two ends that its SYN/ACK was of: its cookie covers both (K121)."""
    if before.answer is None or outcome.answer is None or outcome.verdict is Fate.REJECT:
        return True
    said, asked = before.answer.packet, reply_to(outcome.answer.packet)
    return (said.src, said.sport, said.dst, said.dport) == (asked.src, asked.sport, asked.dst, asked.dport)


def from_peer(packet: Packet, before: list[Outcome]) -> Packet:
    """The packet as a peer makes it that saw the translated addresses."""
    for outcome in before:
        if outcome.verdict is not Fate.ACCEPT:
            continue
        packet = answered(packet, outcome.packet, outcome.left)
    return packet
