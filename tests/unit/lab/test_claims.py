"""What witnesses claim, and when a kernel's two answers confirm it."""

from dataclasses import replace

import pytest

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.service import Hook
from conntrim.core.prove.inputs import Broken
from conntrim.core.prove.populations import Population
from conntrim.lab.claims import Claim, arrived, holds, scene_of, unplayable
from conntrim.lab.dialogue import format_packet, parse_packet, shots
from conntrim.lab.oracle import Sighting, Trace

PASSED: Trace = (Sighting(Hook.PREROUTING, CtState.NEW), Sighting(Hook.INPUT, CtState.NEW))
STOPPED: Trace = PASSED[:1]
FREE: Trace = (Sighting(Hook.PREROUTING, CtState.UNTRACKED), Sighting(Hook.INPUT, CtState.UNTRACKED))
PACKET = parse_packet("eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S")
TRACES = (PASSED, STOPPED, FREE, ())

CONFIRMED: dict[Claim, set[tuple[int, int]]] = {
    Claim.ADMITTED: {(1, 0), (1, 2), (3, 0), (3, 2)},
    Claim.DROPPED: {(0, 1), (2, 1), (0, 3), (2, 3)},
    Claim.TRACKED: {(b, a) for b in range(4) for a in (0, 1, 3)},
    Claim.UNTRACKED: {(0, 2), (1, 2)},
}
"""Which pairs of `TRACES`, before and after, confirm a claim."""


@pytest.mark.parametrize("claim", Claim)
def test_a_claim_holds_of_just_its_pairs(claim: Claim) -> None:
    """Every pair of a packet let through, stopped, untracked and never seen is judged."""
    pairs = {(b, a) for b in range(4) for a in range(4) if holds(claim, PACKET, TRACES[b], TRACES[a])}
    assert CONFIRMED[claim] == pairs


def test_a_looped_packet_has_to_come_back_in() -> None:
    """On `lo` a packet leaves the host before it arrives: one dropped in PREROUTING was let through only by half."""
    looped = parse_packet(">lo tcp 192.0.2.1 4000 > 192.0.2.1 80 S")
    gone = (Sighting(Hook.OUTPUT, CtState.NEW), Sighting(Hook.POSTROUTING, CtState.NEW))
    assert (False, True) == (arrived(looped, gone), arrived(looped, (*gone, *PASSED)))


def test_an_error_is_about_a_datagram_of_its_receiver() -> None:
    """A witness that is an ICMP error gets an inner packet, and knows its flow only where an entry was there before."""
    error = parse_packet("eth0> icmp 192.0.2.9 > 192.0.2.1 3/4")
    scene = scene_of(Broken("errors-return", "why", error, {}))
    assert "eth0> icmp 192.0.2.9 > 192.0.2.1 3/4 (> udp 192.0.2.1 40000 > 192.0.2.9 53)" == format_packet(scene.witness)
    assert (scene.witness.inner, None) == scene.known


def test_a_packet_of_a_connection_answers_its_opener() -> None:
    """The table knows the connection that the witness is the answer of, under both rule sets."""
    packet = parse_packet("eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 A")
    scene = scene_of(Broken("no-loss", "why", packet, {}, Population.CONNECTIONS))
    first = parse_packet(">eth0 tcp 192.0.2.1 80 > 192.0.2.9 4000 A")
    assert (first, first) == scene.known


def test_a_query_of_a_connection_comes_from_who_asked_before() -> None:
    """No reply opens an entry: what the table knows of an established echo request is another request."""
    packet = parse_packet("eth0> icmp 192.0.2.9 > 192.0.2.1 8/0")
    scene = scene_of(Broken("no-loss", "why", packet, {}, Population.CONNECTIONS))
    assert (packet, packet) == scene.known


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("eth0> tcp 192.0.2.9 1 > 192.0.2.1 2 S", ""),
        ("eth0> tcp 192.0.2.9 1 > 192.0.2.9 2 S", "the address that it goes to"),
        (">lo tcp 127.0.0.1 1 > 127.0.0.1 2 S", ""),
        ("eth0> udp 192.0.2.9 1 > 224.0.0.1 2", "a group"),
        ("lo>lo udp 0.0.0.0 1 > 192.0.2.1 2", "an address of its own"),
        ("eth0> udplite 192.0.2.9 1 > 192.0.2.1 2", "protocol 136"),
        ("eth0> proto-47 2001:db8::9 > 2001:db8::1", ""),
        ("eth0> proto-43 2001:db8::9 > 2001:db8::1", "protocol 43"),
        ("an.interface.with.a.name> udp 192.0.2.9 1 > 192.0.2.1 2", "no interface"),
    ],
)
def test_what_cannot_be_played_is_said(line: str, why: str) -> None:
    """Packets that no wire carries here are named instead of sent."""
    assert why in unplayable(parse_packet(line))
    assert bool(why) == bool(unplayable(parse_packet(line)))


@pytest.mark.parametrize(
    ("size", "ttl", "why"), [(40, 64, ""), (39, 64, "length"), (1501, 64, "length"), (40, 9, "TTL")]
)
def test_the_length_and_ttl_that_a_witness_needs(size: int, ttl: int, why: str) -> None:
    """A TCP header over IPv4 has 40 bytes and a device takes 1,500; all that is sent has one TTL."""
    asked = replace(PACKET, length=size, ttl=ttl)
    assert (why in unplayable(asked), bool(why)) == (True, bool(unplayable(asked)))


def test_only_the_hosts_own_packets_carry_a_mark() -> None:
    """A socket can be told to mark what it sends; nothing on the wire is marked."""
    going = parse_packet(">eth0 udp 192.0.2.1 1 > 192.0.2.9 2")
    assert ("", "it comes with a mark") == (unplayable(replace(going, mark=1)), unplayable(replace(PACKET, mark=1)))


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp", "icmp", "proto-99"])
def test_a_packet_is_filled_up_to_its_length(protocol: str) -> None:
    """What is sent is as long as the witness says, and an INIT chunk says so itself."""
    ports, kind = (" 1", " 2") if protocol in ("tcp", "udp", "sctp") else ("", ""), " 8/0" if protocol == "icmp" else ""
    packet = parse_packet(f"eth0> {protocol} 192.0.2.9{ports[0]} > 192.0.2.1{ports[1]}{kind}")
    ((_, data),) = shots([[replace(packet, length=100)]])
    assert (100, 100) == (len(data), int.from_bytes(data[2:4], "big"))
    if protocol == "sctp":
        assert 100 - 32 == int.from_bytes(data[34:36], "big")
