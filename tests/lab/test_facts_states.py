"""The state of a packet without an entry, and of one with: the kernel and the evaluator's tables say the same."""

from __future__ import annotations

import pytest

from conntrim.core.netfilter.kernel import Kernel
from tests.lab.oracles import LOCAL, KernelCheck

FLAGS = {
    "S": "new", "SU": "new", "SPEC": "new", "SA": "invalid", "SF": "invalid", "SR": "invalid", "A": "new",
    "PA": "new", "AU": "new", "F": "invalid", "FA": "invalid", "FPU": "invalid", "R": "invalid", "RA": "invalid",
    ".": "invalid", "P": "invalid", "FSRPAU": "invalid",
}  # fmt: skip
"""Flags of a TCP packet without an entry, to its state."""

ICMP = {0: "invalid", 3: "invalid", 4: "invalid", 5: "invalid", 8: "new", 9: "invalid", 10: "invalid", 11: "invalid",
        12: "invalid", 13: "new", 14: "invalid", 15: "new", 16: "invalid", 17: "new", 18: "invalid", 19: "invalid",
        42: "invalid"}  # fmt: skip
"""ICMP types of a packet without an entry, to its state."""

ICMPV6 = {1: "invalid", 2: "invalid", 3: "invalid", 4: "invalid", 100: "invalid", 127: "invalid", 128: "new",
          129: "invalid", 130: "untracked", 131: "untracked", 132: "untracked", 133: "untracked", 134: "untracked",
          135: "untracked", 136: "untracked", 138: "invalid", 139: "new", 140: "invalid", 143: "untracked",
          144: "invalid"}  # fmt: skip
"""ICMPv6 types of a packet without an entry, to its state."""

IN, OUT = "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 {}", ">eth0 tcp 192.0.2.1 80 > 192.0.2.9 4000 {}"


@pytest.mark.parametrize(("flags", "state"), FLAGS.items(), ids=FLAGS)
def test_tcp_packet_without_an_entry(checked: KernelCheck, flags: str, state: str) -> None:
    """SYN is NEW, what may be the middle of a connection is NEW, everything else INVALID."""
    assert [f"prerouting {state}, input {state}"] == checked.play(IN.format(flags))


@pytest.mark.parametrize(("kind", "state"), ICMP.items(), ids=str)
def test_icmp_packet_without_an_entry(checked: KernelCheck, kind: int, state: str) -> None:
    """Queries are NEW; answers, errors about nothing and unknown types INVALID."""
    assert [f"prerouting {state}, input {state}"] == checked.play(f"eth0> icmp 192.0.2.9 > 192.0.2.1 {kind}/0 id 7")


@pytest.mark.parametrize(("kind", "state"), ICMPV6.items(), ids=str)
def test_icmpv6_packet_without_an_entry(checked: KernelCheck, kind: int, state: str) -> None:
    """As for ICMP, and neighbour discovery and MLD are UNTRACKED by the kernel itself."""
    line = f"eth0> icmpv6 2001:db8::9 > 2001:db8::1 {kind}/0 id 7"
    assert [f"prerouting {state}, input {state}"] == checked.play(line)


@pytest.mark.parametrize("protocol", ["udp", "igmp", "esp", "ah", "proto-99"])
def test_other_protocols_open_a_flow(checked: KernelCheck, protocol: str) -> None:
    """The first packet of any other protocol is NEW, the answer ESTABLISHED, then the first direction too."""
    ports = (" 4000", " 53") if protocol == "udp" else ("", "")
    query = f"eth0> {protocol} 192.0.2.9{ports[0]} > 192.0.2.1{ports[1]}"
    answer = f">eth0 {protocol} 192.0.2.1{ports[1]} > 192.0.2.9{ports[0]}"
    assert [
        "prerouting new, input new",
        "prerouting new, input new",
        "output established, postrouting established",
        "prerouting established, input established",
    ] == checked.play(query, query, answer, query)


def test_loose_decides_mid_stream_pick_up(checked: KernelCheck) -> None:
    """With nf_conntrack_tcp_loose=0 an ACK or data without an entry is INVALID."""
    checked.oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 0)
    checked.kernel = Kernel(LOCAL, tcp_loose=False, active=True)
    try:
        for flags in ("A", "PA"):
            assert ["prerouting invalid, input invalid"] == checked.play(IN.format(flags))
    finally:
        checked.oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 1)


DIALOGUES: dict[str, tuple[tuple[str, ...], str]] = {
    "a whole connection": (("> S", "< SA", "> A", "> PA", "< PA", "> FA", "< FA", "> A"), "neeeeeee"),
    "SYN again": (("> S", "> S", "< SA", "> S", "< SA", "> A"), "nneeee"),
    "refused": (("> S", "< RA", "> S"), "nen"),
    "refused, then the client speaks": (("> S", "< RA", "> A"), "nen"),
    "aborted by the client": (("> S", "< SA", "> A", "> R", "< PA"), "neeee"),
    "an ACK too early": (("> S", "> A"), "ni"),
    "a RST at once": (("> S", "> R", "> A"), "nnn"),
    "SYN after the close": (("> S", "< SA", "> A", "> FA", "< FA", "> A", "> S", "< SA"), "neeeeene"),
    "reopened from the other side": (("> S", "< SA", "> A", "> FA", "< FA", "> A", "< S", "> SA"), "neeeeene"),
    "both open at once": (("> S", "< S", "> SA", "< SA", "> A"), "neeee"),
    "no flags in the middle": (("> S", "< SA", "> A", "> .", "> PA"), "neeie"),
    "FIN without ACK": (("> S", "< SA", "> A", "> F", "> FA"), "neeie"),
    "picked up": (("> A", "< A", "> PA", "> FA"), "neee"),
    "picked up from the server": (("< PA", "> A", "< PA"), "nee"),
    "SYN into a picked up flow": (("> A", "> S", "< SA", "> A"), "nnee"),
    "SYN/ACK twice": (("> S", "< SA", "< SA", "> A"), "neee"),
    "data before the handshake ends": (("> S", "< SA", "< PA", "> A"), "neee"),
    "half closed": (("> S", "< SA", "> A", "< FA", "> PA", "> PA", "> FA", "< A"), "neeeeeee"),
    "both close at once": (("> S", "< SA", "> A", "> FA", "< FA", "< A", "> A"), "neeeeee"),
    "SYN/ACK in the wrong direction": (("> S", "> SA"), "ni"),
}  # fmt: skip
"""TCP packets to (`>`) and from us with their flags, and the first letter of each one's state."""


@pytest.mark.parametrize("name", DIALOGUES)
def test_tcp_dialogue(checked: KernelCheck, name: str) -> None:
    """K7: the entry moves on as the transition table says, and the packets' states with it."""
    turns, letters = DIALOGUES[name]
    heard = checked.play(*((IN if turn[0] == ">" else OUT).format(turn[2:]) for turn in turns))
    assert letters == "".join(story.split()[1][0] for story in heard)


def test_icmp_error_is_related_to_its_flow(checked: KernelCheck) -> None:
    """An error about a known flow is RELATED in both directions, if it goes to that flow's own sender."""
    query, answer = "eth0> udp 192.0.2.9 4000 > 192.0.2.1 80", ">eth0 udp 192.0.2.1 80 > 192.0.2.9 4000"
    about_answer = "eth0> icmp 192.0.2.77 > 192.0.2.1 3/1 (> udp 192.0.2.1 80 > 192.0.2.9 4000)"
    about_query = ">eth0 icmp 192.0.2.1 > 192.0.2.9 3/3 (> udp 192.0.2.9 4000 > 192.0.2.1 80)"
    to_another = ">eth0 icmp 192.0.2.1 > 192.0.2.8 3/3 (> udp 192.0.2.9 4000 > 192.0.2.1 80)"
    assert [
        "prerouting new, input new",
        "output established, postrouting established",
        "prerouting related, input related",
        "output related, postrouting related",
        "output invalid, postrouting invalid",
    ] == checked.play(query, answer, about_answer, about_query, to_another)


def test_icmp_error_about_an_untracked_flow_is_invalid(checked: KernelCheck) -> None:
    """It is neither RELATED nor UNTRACKED, in either direction."""
    checked.load("*raw\n-A PREROUTING -p udp --dport 80 -j NOTRACK\n-A OUTPUT -p udp --sport 80 -j NOTRACK\nCOMMIT\n")
    assert [
        "prerouting untracked, input untracked",
        "prerouting invalid, input invalid",
        "output invalid, postrouting invalid",
    ] == checked.play(
        "eth0> udp 192.0.2.9 4000 > 192.0.2.1 80",
        "eth0> icmp 192.0.2.77 > 192.0.2.1 3/1 (> udp 192.0.2.1 80 > 192.0.2.9 4000)",
        ">eth0 icmp 192.0.2.1 > 192.0.2.9 3/3 (> udp 192.0.2.9 4000 > 192.0.2.1 80)",
    )
