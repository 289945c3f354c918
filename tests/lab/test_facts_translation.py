"""K50 to K62: sets and ports, UDP-Lite, where redirects go, rules that end at a look-up, NAT and loopback, ranges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import parse_address
from conntrim.core.parse.ruleset import read
from conntrim.lab import wire
from conntrim.lab.dialogue import parse_packet
from conntrim.lab.entries import dumped
from conntrim.lab.expect import KERNEL
from conntrim.lab.oracle import Oracle, consulting, story
from conntrim.lab.wire import Numbers, build
from tests.lab.oracles import KernelCheck

UDP = "eth0> udp 192.0.2.9 {} > {} 80"
PING = "eth0> icmp 192.0.2.9 > 192.0.2.1 8/0 id 7"
THROUGH = "prerouting new, input new"


@pytest.fixture
def checked(bench: Oracle) -> KernelCheck:
    """A check that knows the oracle's routes."""
    bench.unload()
    bench.forget()
    return KernelCheck(bench, KERNEL)


def test_k50_no_port_is_in_no_set(checked: KernelCheck) -> None:
    """Behind `! --match-set` a ping is dropped like a datagram to a port that is not in the set."""
    checked.oracle.host.run("ipset", "create", "k50", "hash:ip,port")
    checked.oracle.host.run("ipset", "add", "k50", "192.0.2.1,udp:80")
    try:
        save = checked.oracle.host.run("ipset", "save")
        checked.load("*filter\n-A INPUT -m set ! --match-set k50 dst,dst -j DROP\nCOMMIT\n")
        checked.add_ipsets(save)
        assert [THROUGH, "prerouting new", "prerouting new"] == checked.play(
            UDP.format(4000, "192.0.2.1"), UDP.format(4001, "198.51.100.1"), PING
        )
    finally:
        checked.flush()
        checked.oracle.host.run("ipset", "destroy", "k50")


def test_k51_udplite_is_verified_as_udp(bench: Oracle) -> None:
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
def test_k52_where_a_redirect_goes(checked: KernelCheck, packet: str, goes: str) -> None:
    """Not to the address that was asked: the answers come from that of the interface, or of the loopback."""
    checked.load("*nat\n-A PREROUTING -j REDIRECT\n-A OUTPUT -j REDIRECT\nCOMMIT\n")
    checked.play(packet)
    assert [parse_address(goes)] == [entry.reply.src for entry in dumped(checked.oracle.host.name)]


def test_k52_a_translation_for_the_other_family(checked: KernelCheck) -> None:
    """Behind `dnat ip6 to` an IPv4 packet meets the next rule."""
    checked.load_nft("""\
        table inet t { chain c { type nat hook prerouting priority -100;
          dnat ip6 to 2001:db8::1
          drop
        }
        }
        """)  # fmt: skip
    assert ["prerouting new", "prerouting new, input new"] == checked.play(
        UDP.format(4000, "192.0.2.1"), "eth0> udp 2001:db8::9 4000 > 2001:db8::1 80"
    )


def test_k53_a_look_up_that_finds_nothing_ends_the_rule(checked: KernelCheck) -> None:
    """An accept behind a mark that is read from an entry: an INVALID packet has none, and meets the drop behind."""
    checked.load_nft("""\
        table inet t { chain c { type filter hook input priority 0;
          meta mark set ct mark accept
          drop
        }
        }
        """)  # fmt: skip
    assert [THROUGH, "prerouting invalid"] == checked.play(
        UDP.format(4000, "192.0.2.1"), "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 SA"
    )


def test_k54_nothing_leaves_the_loopback(checked: KernelCheck) -> None:
    """Sent elsewhere by OUTPUT a packet of 127.0.0.1 is dropped there; one of the host's own address or ::1 leaves."""
    checked.load("*nat\n-A OUTPUT -j DNAT --to-destination 192.0.2.77\nCOMMIT\n")
    checked.load("*nat\n-A OUTPUT -j DNAT --to-destination 2001:db8::77\nCOMMIT\n", "ip6tables-restore")
    assert ["output new", "output new, postrouting new", "output new, postrouting new"] == checked.play(
        ">lo udp 127.0.0.1 4000 > 127.0.0.1 80", ">eth0 udp 192.0.2.1 4000 > 192.0.2.9 80", ">lo udp ::1 4000 > ::1 80"
    )


def test_k54_a_mark_asks_the_routes_again(checked: KernelCheck) -> None:
    """A packet from 127.0.0.1 to elsewhere is dropped where OUTPUT marks it; unmarked, or from eth0, it leaves."""
    checked.load("*mangle\n-A OUTPUT -p udp --dport 80 -j MARK --set-mark 1\nCOMMIT\n")
    left = "output new, postrouting new"
    for line, way in (("127.0.0.1 4000 > 192.0.2.9 80", "output new"), ("127.0.0.1 4000 > 192.0.2.9 81", left),
                      ("192.0.2.1 4000 > 192.0.2.9 80", left)):  # fmt: skip
        assert [way] == checked.play(f">eth0 udp {line}")


def test_k54_what_comes_from_the_loopback_is_not_forwarded(checked: KernelCheck) -> None:
    """Sent elsewhere by PREROUTING, a packet from ::1 is lost."""
    checked.load(
        "*raw\n-A PREROUTING -j CT --zone-orig 6\nCOMMIT\n"
        "*nat\n-A PREROUTING -j DNAT --to-destination 2001:db8::77\nCOMMIT\n",
        "ip6tables-restore",
    )
    # The SYN has an entry in zone 0, with which the ACK does not fit; in PREROUTING it begins a flow of zone 6.
    heard = checked.play(">lo tcp ::1 4000 > ::1 80 S", ">lo tcp ::1 4000 > ::1 80 A")
    assert "output invalid, postrouting invalid, prerouting new" == heard[1]


def test_k54_what_comes_from_the_loopback_leaves_by_the_device_it_was_for(checked: KernelCheck) -> None:
    """Sent elsewhere by PREROUTING, a packet from ::1 to eth0's address leaves by eth0; one to eth1's is lost."""
    checked.load(
        "*raw\n-A PREROUTING -j CT --zone-orig 6\nCOMMIT\n"
        "*nat\n-A PREROUTING -j DNAT --to-destination 2001:db8::77\nCOMMIT\n",
        "ip6tables-restore",
    )
    lost = "output invalid, postrouting invalid, prerouting new"
    for address, way in (("2001:db8::1", f"{lost}, forward new, postrouting new"), ("2001:db8:1::1", lost)):
        heard = checked.play(f">lo tcp ::1 4000 > {address} 80 S", f">lo tcp ::1 4000 > {address} 80 A")
        assert way == heard[1]


def test_k54_what_comes_from_the_host_itself_is_not_delivered_elsewhere(checked: KernelCheck) -> None:
    """Sent to another address of the host by PREROUTING, a packet that came by lo from one of the host's is lost."""
    checked.load(
        "*raw\n-A PREROUTING -j CT --zone-orig 6\nCOMMIT\n"
        "*nat\n-A PREROUTING -j DNAT --to-destination 198.51.100.1\nCOMMIT\n"
    )
    heard = checked.play(">lo tcp 192.0.2.1 2527 > 192.0.2.1 53 S", ">lo tcp 192.0.2.1 2527 > 192.0.2.1 53 A")
    assert "output invalid, postrouting invalid, prerouting new" == heard[1]


def test_k54_what_comes_from_outside_does_not_reach_the_ipv6_loopback(checked: KernelCheck) -> None:
    """The answer to a translated packet of ::1 is translated back, and forwarded."""
    checked.load(
        "*nat\n-A OUTPUT -j DNAT --to-destination 2001:db8:2::7\n"
        "-A POSTROUTING -j SNAT --to-source 2001:db8:2::200\nCOMMIT\n",
        "ip6tables-restore",
    )
    heard = checked.play(">lo tcp ::1 2610 > ::1 53 S", "eth0>eth0 tcp 2001:db8:2::7 53 > 2001:db8:2::200 2610 SA")
    assert "prerouting established, forward established, postrouting established" == heard[1]


@pytest.mark.parametrize(
    ("hook", "packet", "speaker"),
    [
        ("prerouting", "eth0> udp 192.0.2.9 4000 > 198.51.100.1 80", "192.0.2.1"),
        ("input", "eth0> udp 192.0.2.9 4000 > 198.51.100.1 80", "198.51.100.1"),
        ("prerouting", "eth0> udp 2001:db8::9 4000 > 2001:db8:1::1 80", "2001:db8:1::1"),
    ],
)
def test_k61_who_sends_a_reject_of_prerouting(checked: KernelCheck, hook: str, packet: str, speaker: str) -> None:
    """Asked for eth1's address by eth0, REJECT answers from that one; over IPv4 in PREROUTING from eth0's."""
    family = "ip" if "." in speaker else "ip6"
    checked.load_nft(
        f"table inet k61 {{ chain a {{ type filter hook {hook} priority 0; reject with icmpx port-unreachable; }}\n"
        f"chain b {{ type filter hook output priority 0; {family} saddr != {speaker} drop; }}\n}}\n"
    )
    heard = checked.play(packet)[0]
    assert heard.endswith("^output related, ^postrouting related")


def test_k62_a_zone_goes_along_with_the_answer(checked: KernelCheck) -> None:
    """Before conntrack sees it, REJECT's answer to a packet with a zone is related; without one it is invalid."""
    checked.load_nft(
        "table ip k62 { chain a { type filter hook output priority -201; udp sport 80 ct zone set 5\n"
        "udp sport { 80, 81 } reject\nip protocol icmp ct state related drop\n}\n}\n"
    )
    zoned, plain = ">eth0 udp 192.0.2.1 80 > 192.0.2.9 4000", ">eth0 udp 192.0.2.1 81 > 192.0.2.9 4000"
    assert "" == checked.play(zoned)[0]
    assert checked.play(plain)[0].startswith("^output invalid, ^postrouting invalid")


SECURITY = "*security\n-A INPUT -s 192.0.2.9 -j DROP\nCOMMIT\n*nat\n-A INPUT -j SNAT --to-source 192.0.2.201\nCOMMIT\n"
"""Drops whom the other table makes somebody else, or not: by the order of the two."""


@pytest.mark.parametrize(("program", "said"), [("iptables", THROUGH), ("iptables-legacy", "prerouting new")])
def test_k1_security_comes_behind_source_nat_with_iptables_nft(program: str, said: str) -> None:
    """iptables-nft's security table sees the translated source, iptables-legacy's the one that came."""
    header = "# Generated by iptables-save v1.8.9\n" if program == "iptables-legacy" else ""
    with consulting("k1") as oracle:  # legacy's tables stay for good
        checked = KernelCheck(oracle, KERNEL)
        checked.load(SECURITY, f"{program}-restore", model=read(header + SECURITY, "save"))
        assert [said] == checked.play(UDP.format(4000, "192.0.2.1"))


RANGES = {
    "-A PREROUTING -p udp -j DNAT --to-destination 192.0.2.1:5000-5002": "iptables",
    "-A PREROUTING -p udp -j REDIRECT --to-ports 5000-5002": "iptables",
    "udp dport 1-65535 dnat to 192.0.2.1:5000-5002": "nft",
    "udp dport 1-65535 redirect to :5000-5002": "nft",
}
"""Rules that give a destination one of three ports."""


@pytest.mark.parametrize("rule", RANGES)
def test_k55_a_destination_gets_the_first_free_port_of_a_range(checked: KernelCheck, rule: str) -> None:
    """From outside the range the first two flows of a client get 5000 and 5001; a port within the range stays."""
    if RANGES[rule] == "nft":
        checked.load_nft(f"table ip t {{ chain c {{ type nat hook prerouting priority -100;\n {rule}\n }}\n }}\n")
    else:
        checked.load(f"*nat\n{rule}\nCOMMIT\n")
    assert [THROUGH] * 3 == checked.play(*(UDP.format(4000, "192.0.2.1")[:-2] + port for port in ("80", "443", "5002")))
    found = {entry.original.dport: entry.reply.sport for entry in dumped(checked.oracle.host.name)}
    assert {80: 5000, 443: 5001, 5002: 5002} == found


def test_k55_a_source_gets_any_port_of_a_range(checked: KernelCheck) -> None:
    """From outside the range it is one of the range, from within it stays; a single port is taken, free or not."""
    checked.load("*nat\n-A INPUT -p udp -j SNAT --to-source 192.0.2.201:5000-6000\nCOMMIT\n")
    checked.play(UDP.format(4000, "192.0.2.1"), UDP.format(5500, "192.0.2.1"))
    found = {entry.original.sport: entry.reply.dport for entry in dumped(checked.oracle.host.name)}
    assert found[4000] in range(5000, 6001)
    assert 5500 == found[5500]
    checked.flush()
    checked.load("*nat\n-A INPUT -p tcp -j SNAT --to-source 192.0.2.201:5000\nCOMMIT\n")
    syn = "eth0> tcp 192.0.2.9 {} > 192.0.2.1 80 S"
    assert [THROUGH, "prerouting new"] == checked.play(syn.format(4000), syn.format(4001))


def test_k56_a_bitmap_of_ports_knows_tcp_and_udp(checked: KernelCheck) -> None:
    """A datagram of UDP-Lite to a port of the set passes the rule that drops UDP's; a negated rule matches it."""
    checked.oracle.host.run("ipset", "create", "k56", "bitmap:port", "range", "0-1023")
    checked.oracle.host.run("ipset", "add", "k56", "80")
    try:
        checked.load("*filter\n-A INPUT -m set --match-set k56 dst -j DROP\nCOMMIT\n")
        checked.add_ipsets(checked.oracle.host.run("ipset", "save"))
        lite = UDP.replace("udp", "udplite")
        heard = checked.play(UDP.format(4000, "192.0.2.1"), lite.format(4000, "192.0.2.1"))
        assert ["prerouting new", THROUGH] == heard
    finally:
        checked.flush()
        checked.oracle.host.run("ipset", "destroy", "k56")


def test_k57_a_source_keeps_the_port_that_it_was_given(checked: KernelCheck) -> None:
    """The second flow of a source, translated by a rule without ports, has the first one's port behind that address."""
    checked.load(
        "*nat\n-A INPUT -p udp --dport 80 -j SNAT --to-source 192.0.2.201:5000\n"
        "-A INPUT -p udp -j SNAT --to-source 192.0.2.201\nCOMMIT\n"
    )
    checked.play(UDP.format(4000, "192.0.2.1"), "eth0> udp 192.0.2.9 4000 > 192.0.2.1 53")
    assert [5000, 5000] == [entry.reply.dport for entry in dumped(checked.oracle.host.name)]


def test_k23_nft_passes_a_template_by(checked: KernelCheck) -> None:
    """Behind a zone's template `ct direction` ends the rule, where iptables' `--ctdir` matches."""
    checked.load_nft("""\
        table inet t { chain c { type filter hook prerouting priority -300;
          ct zone set 5
          ct direction original drop
          ct mark != 5 drop
          meta mark set ct mark drop
        }
        }
        """)  # fmt: skip
    assert [THROUGH] == checked.play(UDP.format(4000, "192.0.2.1"))


@pytest.mark.parametrize(("unequal", "after"), [("", ""), ("!= ", ""), ("== ", ", input established")])
def test_k58_a_status_is_compared_as_a_whole(checked: KernelCheck, unequal: str, after: str) -> None:
    """The answer is seen, and yet `seen-reply` and `!= seen-reply` match its entry, and `== seen-reply` does not."""
    checked.load_nft(f"""\
        table inet t {{ chain c {{ type filter hook prerouting priority -150;
          ct status {unequal}seen-reply drop
        }}
        }}
        """)  # fmt: skip
    query, answer = ">eth0 udp 192.0.2.1 4000 > 192.0.2.9 53", "eth0> udp 192.0.2.9 53 > 192.0.2.1 4000"
    assert ["output new, postrouting new", f"prerouting established{after}"] == checked.play(query, answer)
