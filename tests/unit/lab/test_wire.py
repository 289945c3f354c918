"""The bytes that are injected are packets with right lengths, numbers and checksums."""

import struct

import pytest

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.packet import Packet
from conntrim.lab.wire import Numbers, TcpSides, build, ones_complement

V4 = (parse_address("192.0.2.1"), parse_address("198.51.100.2"))
V6 = (parse_address("2001:db8::1"), parse_address("2001:db8::2"))


def folded(data: bytes) -> int:
    """The one's complement sum of 16-bit words, added up word by word as RFC 1071 section 4.1 does it."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(word for (word,) in struct.iter_unpack(">H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(raw: bytes, protocol: int) -> bytes:
    """The pseudo header that the transport's checksum also covers."""
    if raw[0] >> 4 == 4:
        return raw[12:20] + struct.pack(">HH", protocol, len(raw) - 20)
    return raw[8:40] + struct.pack(">II", len(raw) - 40, protocol)


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
@pytest.mark.parametrize("family", [Family.IPV4, Family.IPV6])
@pytest.mark.parametrize("protocol", [6, 17])
def test_transport_checksum(protocol: int, family: Family, payload: bytes) -> None:
    """A receiver's sum over pseudo header and segment is all ones (RFC 1071)."""
    src, dst = V4 if family is Family.IPV4 else V6
    raw = build(Packet(family, protocol, src, dst, 40000, 80, 2), Numbers(number=7, seq=5, payload=payload))
    head = 20 if family is Family.IPV4 else 40
    assert folded(pseudo(raw, protocol) + raw[head:]) == 0xFFFF


def test_v4_header_and_icmp_checksums() -> None:
    """IPv4's header and ICMP's message each sum to all ones; ICMPv4 has no pseudo header."""
    raw = build(Packet(Family.IPV4, 1, *V4, icmp=8 << 8, icmp_id=77), Numbers(number=9, payload=b"x"))
    assert (folded(raw[:20]), folded(raw[20:]), struct.unpack(">H", raw[24:26])[0]) == (0xFFFF, 0xFFFF, 77)


def test_number_survives_in_both_families() -> None:
    """The packet's number is IPv4's identification and IPv6's flow label."""
    v4 = build(Packet(Family.IPV4, 17, *V4, 1, 2), Numbers(number=0xBEEF))
    v6 = build(Packet(Family.IPV6, 17, *V6, 1, 2), Numbers(number=0xBEEF))
    assert (struct.unpack(">H", v4[4:6])[0], struct.unpack(">I", v6[:4])[0] & 0xFFFFF) == (0xBEEF, 0xBEEF)


def test_error_carries_the_packet_it_is_about() -> None:
    """An ICMP error's payload is the inner packet with its own header."""
    inner = Packet(Family.IPV6, 17, V6[1], V6[0], 53, 4000)
    raw = build(Packet(Family.IPV6, 58, *V6, icmp=1 << 8 | 4, inner=inner), Numbers(number=3))
    assert build(inner, Numbers(number=3)) == raw[48:]
    assert folded(pseudo(raw, 58) + raw[40:]) == 0xFFFF


def test_sctp_checksum_is_crc32c() -> None:
    """SCTP's checksum is CRC32c: the packet's own bytes with it blanked give it back, as a bitwise division does."""
    raw = build(Packet(Family.IPV4, 132, *V4, 5000, 6000), Numbers())[20:]
    crc = 0xFFFFFFFF
    for byte in raw[:8] + bytes(4) + raw[12:]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 * (crc & 1))
    assert (crc ^ 0xFFFFFFFF).to_bytes(4, "little") == raw[8:12]


def test_tcp_sides_count_syn_and_fin_once() -> None:
    """The answer acknowledges what was sent: SYN and FIN count one, and a repeated one has the number of the first."""
    there, back = (
        [Packet(Family.IPV4, 6, *ends, *ports, flags) for flags in (2, 18, 16, 17)]
        for ends, ports in ((V4, (40000, 80)), (V4[::-1], (80, 40000)))
    )
    sides = TcpSides()
    order = [there[0], back[1], back[1], there[2], there[3], there[3], back[2], back[3], there[2]]
    assert [
        (1000, 0), (1000, 1001), (1000, 1001), (1001, 1001), (1001, 1001), (1001, 1001), (1001, 1002), (1001, 1002),
        (1002, 1002),
    ] == [sides.take(p) for p in order]  # fmt: skip


def test_a_server_that_the_host_sent_the_connection_on_to_counts_as_the_host_that_was_called() -> None:
    """A SYN to the host is sent on and masqueraded: the server answers the router, with the host's numbers."""
    host, server, router = 0x0A000002, 0x0A010007, 0x0A010001
    called = [Packet(Family.IPV4, 6, V4[0], host, 40000, 80, flags, iif="eth0") for flags in (2, 16)]
    back = [Packet(Family.IPV4, 6, server, router, 80, 40000, flags, iif="eth1") for flags in (18, 4)]
    sides = TcpSides()
    order = [called[0], back[0], called[1], back[1]]
    assert [(1000, 0), (1000, 1001), (1001, 1001), (1001, 0)] == [sides.take(p) for p in order]


def test_ones_complement_of_known_words() -> None:
    """The example of RFC 1071 section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2."""
    assert ones_complement(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2
