"""Packets as lines of text."""

import pytest

from conntrim.core.model.errors import InputError
from conntrim.lab.dialogue import format_packet, parse_packet, parse_packets, shots
from conntrim.lab.oracle import HOST
from conntrim.lab.wire import size_of, summed

LINES = (
    "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S",
    ">eth0 tcp 192.0.2.1 80 > 192.0.2.9 4000 SA",
    "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 .",
    "eth0>eth1 udp 2001:db8::9 53 > 2001:db8:1::9 4000",
    ">lo icmp 127.0.0.1 > 127.0.0.1 8/0 id 7",
    "eth0> icmp 192.0.2.9 > 192.0.2.1 3/3 (> udp 192.0.2.1 53 > 192.0.2.9 4000)",
    "eth0> proto-99 192.0.2.9 > 192.0.2.1",
)


@pytest.mark.parametrize("line", LINES)
def test_a_line_comes_back(line: str) -> None:
    """A packet's line parses to the packet that prints as that line."""
    assert line == format_packet(parse_packet(line))


@pytest.mark.parametrize(
    "line", ["eth0> udp 192.0.2.9 4000 > 192.0.2.1 53", "eth0> udp 2001:db8::9 4000 > 2001:db8::1 53"]
)
def test_two_fragments_make_the_datagram(line: str) -> None:
    """What both carry is one UDP datagram of 36 bytes; each is as long as the rules are told, and they are of one
    number (RFC 791 section 3.2, RFC 8200 section 4.5)."""
    parts = parse_packets(f"{line} first\n{line} later")
    (_, first), (_, later) = shots([parts], start=40)
    assert [len(first), len(later)] == [size_of(part) for part in parts]
    if first[0] >> 4 == 4:
        assert (first[4:8], later[4:8]) == (bytes((0, 41, 0x20, 0)), bytes((0, 41, 0, 3)))
        datagram = first[20:] + later[20:]
    else:
        assert (first[40:48], later[40:48]) == (bytes((17, 0, 0, 1, 0, 0, 0, 41)), bytes((17, 0, 0, 24, 0, 0, 0, 41)))
        datagram = first[48:] + later[48:]
    assert (len(datagram), datagram[4:6]) == (36, bytes((0, 36)))
    assert summed(parts[0], datagram, 6)[6:8] == b"\xff\xff"  # what is right sums up to nothing


def test_what_is_no_packet_is_named_with_its_line() -> None:
    """The error says file, line and what a packet looks like."""
    with pytest.raises(InputError, match=r"case:3: no packet: 'nonsense'"):
        parse_packets(f"# a comment\n{LINES[0]}\nnonsense\n", "case")


def test_shots_go_where_the_packet_comes_from() -> None:
    """A packet with an incoming device is injected there, all others are sent by the host; numbers count from 1."""
    made = shots([[parse_packet(LINES[0]), parse_packet(LINES[1])], [parse_packet(LINES[4])]])
    assert [("eth0", 1), (HOST, 2), (HOST, 3)] == [(w, int.from_bytes(d[4:6], "big")) for w, d in made]
