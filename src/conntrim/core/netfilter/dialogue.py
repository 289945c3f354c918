"""Dialogues of packets as one host sees them, and their walk through a rule set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.hooks import Arranged, arrange
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.netfilter.kernel import DEFAULTS, Kernel
from conntrim.core.netfilter.memory import EMPTY, Memory
from conntrim.core.netfilter.nat import answered
from conntrim.core.netfilter.outcome import Fate, Outcome
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
