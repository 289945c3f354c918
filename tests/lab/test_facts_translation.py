"""K50 to K54: sets without ports, UDP-Lite, where redirects go, rules that end at a look-up, the loopback and NAT."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import parse_address
from conntrim.lab import wire
from conntrim.lab.dialogue import parse_packet
from conntrim.lab.entries import dumped
from conntrim.lab.expect import KERNEL
from conntrim.lab.judge import Judge, story
from conntrim.lab.wire import Numbers, build
from tests.lab.court import Court

UDP = "eth0> udp 192.0.2.9 {} > {} 80"
PING = "eth0> icmp 192.0.2.9 > 192.0.2.1 8/0 id 7"
THROUGH = "prerouting new, input new"


@pytest.fixture
def court(bench: Judge) -> Court:
    """A court that knows the judge's routes."""
    bench.unload()
    bench.forget()
    return Court(bench, KERNEL)


def test_k50_no_port_is_in_no_set(court: Court) -> None:
    """Behind `! --match-set` a ping is dropped like a datagram to a port that is not in the set."""
    court.judge.host.run("ipset", "create", "k50", "hash:ip,port")
    court.judge.host.run("ipset", "add", "k50", "192.0.2.1,udp:80")
    try:
        save = court.judge.host.run("ipset", "save")
        court.law("*filter\n-A INPUT -m set ! --match-set k50 dst,dst -j DROP\nCOMMIT\n")
        court.know(save)
        assert [THROUGH, "prerouting new", "prerouting new"] == court.hear(
            UDP.format(4000, "192.0.2.1"), UDP.format(4001, "198.51.100.1"), PING
        )
    finally:
        court.repeal()
        court.judge.host.run("ipset", "destroy", "k50")


def test_k51_udplite_is_verified_as_udp(bench: Judge) -> None:
    """Of two datagrams only the one that is summed as UDP is NEW; without verification both are."""
    packet = parse_packet("eth0> udplite 192.0.2.9 4000 > 192.0.2.1 80")
    body = wire.summed(packet, build(packet, Numbers(1))[wire.V4_HEADER :], 6)
    right = build(packet, Numbers(1))[: wire.V4_HEADER] + body
    shots = [("eth0", right), ("eth0", build(replace(packet, sport=4001), Numbers(2)))]
    assert ["prerouting invalid, input invalid", THROUGH] == [story(t) for t in bench.fire(shots)]
    bench.host.sysctl("net.netfilter.nf_conntrack_checksum", 0)
    try:
        assert [THROUGH, THROUGH] == [story(t) for t in bench.fire(shots)]
    finally:
        bench.host.sysctl("net.netfilter.nf_conntrack_checksum", 1)


REDIRECTS = {"eth0> udp 192.0.2.9 4000 > 198.51.100.1 80": "192.0.2.1", ">eth0 udp 192.0.2.1 4001 > 192.0.2.9 80":
             "127.0.0.1", "eth1> udp 198.51.100.9 4002 > 192.0.2.1 80": "198.51.100.1"}  # fmt: skip


@pytest.mark.parametrize(("packet", "goes"), REDIRECTS.items())
def test_k52_where_a_redirect_goes(court: Court, packet: str, goes: str) -> None:
    """Not to the address that was asked: the answers come from that of the interface, or of the loopback."""
    court.law("*nat\n-A PREROUTING -j REDIRECT\n-A OUTPUT -j REDIRECT\nCOMMIT\n")
    court.hear(packet)
    assert [parse_address(goes)] == [entry.reply.src for entry in dumped(court.judge.host.name)]


def test_k52_a_translation_for_the_other_family(court: Court) -> None:
    """Behind `dnat ip6 to` an IPv4 packet meets the next rule."""
    court.law_nft("""\
        table inet t { chain c { type nat hook prerouting priority -100;
          dnat ip6 to 2001:db8::1
          drop
        }
        }
        """)  # fmt: skip
    assert ["prerouting new", "prerouting new, input new"] == court.hear(
        UDP.format(4000, "192.0.2.1"), "eth0> udp 2001:db8::9 4000 > 2001:db8::1 80"
    )


def test_k53_a_look_up_that_finds_nothing_ends_the_rule(court: Court) -> None:
    """An accept behind a mark that is read from an entry: an INVALID packet has none, and meets the drop behind."""
    court.law_nft("""\
        table inet t { chain c { type filter hook input priority 0;
          meta mark set ct mark accept
          drop
        }
        }
        """)  # fmt: skip
    assert [THROUGH, "prerouting invalid"] == court.hear(
        UDP.format(4000, "192.0.2.1"), "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 SA"
    )


def test_k54_nothing_leaves_the_loopback(court: Court) -> None:
    """Sent elsewhere by OUTPUT a packet of 127.0.0.1 is dropped there; one of the host's own address or ::1 leaves."""
    court.law("*nat\n-A OUTPUT -j DNAT --to-destination 192.0.2.77\nCOMMIT\n")
    court.law("*nat\n-A OUTPUT -j DNAT --to-destination 2001:db8::77\nCOMMIT\n", "ip6tables-restore")
    assert ["output new", "output new, postrouting new", "output new, postrouting new"] == court.hear(
        ">lo udp 127.0.0.1 4000 > 127.0.0.1 80", ">eth0 udp 192.0.2.1 4000 > 192.0.2.9 80", ">lo udp ::1 4000 > ::1 80"
    )
