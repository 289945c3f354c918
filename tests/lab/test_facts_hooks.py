"""K1 to K6: what runs when, what sees what, and when conntrack works at all."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import closing
from dataclasses import replace

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.errors import HostError
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import SetMark
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    End,
    In,
    Rule,
    Ruleset,
    Statement,
    Table,
    TableFamily,
    Verdict,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.nft.document import read_nft
from conntrim.core.parse.ruleset import read
from conntrim.host.netns import entered
from conntrim.lab.dialogue import parse_packet, parse_packets, shots
from conntrim.lab.expect import expected, observed
from conntrim.lab.netns import LabHost
from conntrim.lab.oracle import open_tun, story
from conntrim.lab.wire import Numbers, build, ones_complement
from tests.lab.oracles import LOCAL, KernelCheck

QUERY, ANSWER = "eth0> udp 192.0.2.9 4000 > 192.0.2.1 80", ">eth0 udp 192.0.2.1 80 > 192.0.2.9 4000"
DROP = End(Verdict.DROP)


def nft(*chains: Chain) -> Ruleset:
    """An nft table `inet t`."""
    return Ruleset((Table(Dialect.NFTABLES, TableFamily.INET, "t", chains),))


def rule(*parts: In | Statement) -> Rule:
    """A rule without text."""
    matches = tuple(p for p in parts if isinstance(p, In))
    return Rule(matches, tuple(p for p in parts if not isinstance(p, In)), Place("nft"), "")


def invalid() -> In:
    """`ct state invalid`."""
    return In(Field.CT_STATE, Intervals.of(0))


@pytest.mark.parametrize(
    ("priority", "heard"),
    [(-300, ""), (-201, ""), (-199, "prerouting new, input new"), (-150, "prerouting new, input new")],
)
def test_k1_conntrack_stands_at_minus_200(checked: KernelCheck, priority: int, heard: str) -> None:
    """Before -200 every packet is INVALID to `ct state`, behind it the same packet is NEW."""
    checked.load(
        f"table inet t {{\nchain c {{ type filter hook prerouting priority {priority}; ct state invalid drop; }}\n}}\n",
        "nft",
        nft(Chain("c", (rule(invalid(), DROP),), Base("filter", Hook.PREROUTING, priority))),
    )
    assert [heard] == checked.play(QUERY)


def test_k1_iptables_tables_in_order(checked: KernelCheck) -> None:
    """raw sets a mark, mangle changes it, filter sees the last of them."""
    checked.load("""\
        *raw
        -A PREROUTING -j MARK --set-mark 1
        COMMIT
        *mangle
        -A PREROUTING -m mark --mark 1 -j MARK --set-mark 2
        COMMIT
        *filter
        -A INPUT -m mark --mark 2 -j DROP
        COMMIT
        """)
    assert ["prerouting new"] == checked.play(QUERY)


def test_k2_equal_priorities_are_order_dependent(checked: KernelCheck) -> None:
    """The kernel runs the chain registered last first; no listing says which, so the evaluator does not decide."""
    base = Base("filter", Hook.INPUT, 0)
    model = nft(
        Chain("one", (rule(In(Field.MARK, Intervals.of(1)), DROP),), base), Chain("two", (rule(SetMark(1)),), base)
    )
    checked.load(
        """\
        table inet t {
          chain one { type filter hook input priority 0; meta mark 1 drop; }
          chain two { type filter hook input priority 0; meta mark set 1; }
        }
        """,
        "nft",
        Ruleset(),
    )
    outcome = simulate(model, parse_packet(QUERY), kernel=Kernel(LOCAL, active=True))
    assert Fate.NOT_DECIDED is outcome.verdict
    assert Fate.DROP is simulate(model, parse_packet(QUERY), assume={outcome.undecided[0]: True}).verdict
    traces = [str(s.hook) for s in checked.oracle.fire(shots([[parse_packet(QUERY)]]))[0]]
    assert ["prerouting"] == traces


def test_k3_accept_ends_one_base_chain(checked: KernelCheck) -> None:
    """mangle's accept does not keep filter from dropping; filter's drop is final."""
    checked.load("""\
        *mangle
        -A INPUT -j ACCEPT
        COMMIT
        *filter
        -A INPUT -p udp -j DROP
        COMMIT
        *security
        -A INPUT -j ACCEPT
        COMMIT
        """)
    assert ["prerouting new"] == checked.play(QUERY)


def test_k4_nat_chains_see_the_first_packet_of_a_tracked_flow(checked: KernelCheck) -> None:
    """A nat chain that drops what it sees sees neither UNTRACKED nor INVALID packets."""
    checked.load("""\
        *raw
        -A PREROUTING -p udp --sport 4001 -j NOTRACK
        COMMIT
        *nat
        -A PREROUTING -p udp --sport 4003 -j ACCEPT
        -A PREROUTING -p udp -j DNAT --to-destination 192.0.2.1:81
        COMMIT
        *filter
        -A INPUT -p udp --dport 81 -j DROP
        COMMIT
        """)
    untracked = "prerouting untracked, input untracked"
    assert ["prerouting new", untracked, "prerouting new, input new"] == checked.play(
        QUERY, QUERY.replace("4000", "4001"), QUERY.replace("4000", "4003")
    )


FORWARDED = "eth0> udp 192.0.2.9 4000 > 192.0.2.1 80"


def test_k4_translation_changes_the_way(checked: KernelCheck) -> None:
    """DNAT to another host makes an incoming packet a forwarded one, and its answer comes back."""
    checked.load("*nat\n-A PREROUTING -p udp --dport 80 -j DNAT --to-destination 198.51.100.9:53\nCOMMIT\n")
    assert [
        "prerouting new, forward new, postrouting new",
        "prerouting established, forward established, postrouting established",
    ] == checked.play(FORWARDED, "eth1>eth0 udp 198.51.100.9 53 > 192.0.2.9 4000")


USERS: dict[str, bool] = {
    "-t raw -A PREROUTING -p udp -j CT --notrack": False,
    "-t raw -A PREROUTING -p tcp -j CT --zone 5": True,
    "-t raw -A PREROUTING -p tcp -j CT": True,
    "-t filter -A INPUT -p tcp -j ACCEPT": False,
    "-t filter -A INPUT -p tcp -m state --state NEW": True,
    "-t filter -A INPUT -p tcp -m conntrack --ctstate NEW": True,
    "-t filter -A INPUT -p tcp -m connmark --mark 1": True,
    "-t filter -A INPUT -p tcp -m connbytes --connbytes 10: --connbytes-dir both --connbytes-mode packets": True,
    "-t filter -A INPUT -p tcp -m connlimit --connlimit-above 10": True,
    "-t filter -A INPUT -p tcp -m helper --helper ftp": True,
    "-t mangle -A INPUT -p tcp -j CONNMARK --set-mark 1": True,
    "-t nat -A POSTROUTING -p tcp -j MASQUERADE": True,
    "-t nat -A PREROUTING -p tcp -j REDIRECT --to-ports 81": True,
    "-t nat -A POSTROUTING -p tcp -j ACCEPT": False,
    "-t filter -A INPUT -p tcp -m limit --limit 1/s": False,
    "-t filter -A INPUT -p tcp -m recent --set": False,
    "-t filter -A INPUT -p tcp -m socket --transparent": False,
    "-t mangle -A PREROUTING -p tcp -j TPROXY --on-port 81": False,
    "-t mangle -A PREROUTING -p tcp -j MARK --set-mark 1": False,
}
"""One rule, and whether it switches conntrack on."""


@pytest.mark.parametrize("line", USERS)
def test_k5_conntrack_is_on_where_something_uses_it(host: LabHost, line: str) -> None:
    """A UDP packet round the loopback leaves an entry, or none; the evaluator says the same."""
    try:
        host.run("iptables", *line.split())
    except HostError as error:
        pytest.skip(f"this kernel does not know that rule: {error}")
    _send(host, b"x")
    entries = int(host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
    model = arrange(read(host.run("iptables-save"), "iptables-save"))
    assert (USERS[line], USERS[line]) == (entries > 0, model.active[Family.IPV4])


NFT_USERS: dict[str, bool] = {
    "meta mark set 1": False, "meta mark set ct mark": True, "ct mark set 1": True, "ct mark 1": True,
    "ct direction original": True, "ct zone set 5": True, "notrack": False,
}  # fmt: skip
"""The same for nft: what reads or writes an entry is a user."""


@pytest.mark.parametrize("words", NFT_USERS)
def test_k5_nft_rules_about_entries_switch_conntrack_on(host: LabHost, words: str) -> None:
    """A UDP packet round the loopback leaves an entry, or none; the evaluator says the same."""
    chain = "chain c { type filter hook output priority -300\n meta l4proto tcp " + words + "\n }"
    host.run("nft", "-f", "-", text=f"table ip t {{\n {chain}\n}}\n")
    _send(host, b"x")
    entries = int(host.run("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
    model = arrange(read_nft(host.run("nft", "-j", "list", "ruleset"), "nft"))
    assert (NFT_USERS[words], NFT_USERS[words]) == (entries > 0, model.active[Family.IPV4])


def _send(host: LabHost, payload: bytes) -> None:
    """One UDP packet from the host to its own port 5000, where nobody listens."""
    with entered(host.name), closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as channel:
        channel.sendto(payload, ("127.0.0.1", 5000))


@pytest.mark.parametrize(("active", "fragments", "by_port"), [(False, 3, 1), (True, 1, 1)])
def test_k6_raw_sees_fragments_only_without_conntrack(
    host: LabHost, active: bool, fragments: int, by_port: int
) -> None:
    """Three fragments, of which only the first has a port; with conntrack active one whole packet. INPUT sees it so."""
    host.run("ip", "link", "set", "lo", "mtu", "1500")
    host.run("iptables", "-t", "raw", "-A", "PREROUTING", "-p", "udp")
    host.run("iptables", "-t", "raw", "-A", "PREROUTING", "-p", "udp", "--dport", "5000")
    if active:
        host.run("iptables", "-A", "INPUT", "-m", "state", "--state", "NEW")
    host.run("iptables", "-A", "INPUT", "-p", "udp", "--dport", "5000")
    _send(host, b"x" * 4000)
    assert 1 == int(host.run("iptables", "-nvxL", "INPUT").splitlines()[-1].split()[0])
    listed = host.run("iptables", "-t", "raw", "-nvxL", "PREROUTING").splitlines()[2:]
    assert [fragments, by_port] == [int(line.split()[0]) for line in listed]
    later = replace(parse_packet("eth0> udp 192.0.2.9 4000 > 192.0.2.1 5000"), fragment=True)
    drops = read("*raw\n-A PREROUTING -p udp --dport 5000 -j DROP\nCOMMIT\n", "rules", TableFamily.IP)
    fate = simulate(drops, later, kernel=Kernel(LOCAL, active=active)).verdict
    assert (Fate.DROP if active else Fate.ACCEPT) is fate


SEEING = "table inet watch {\n chain c {\n type filter hook forward priority 0\n ip frag-off & 0x1fff != 0 counter\n\
 frag frag-off != 0 counter\n }\n}\n"
"""Counts the fragments other than the first that are forwarded: of IPv4, then of IPv6."""
FRONT = "table {} u {{\n chain c {{\n type filter hook prerouting priority -150\n {}\n }}\n}}\n"
MANGLE = "*mangle\n-A PREROUTING -p tcp {}\nCOMMIT\n"
PARTS = ("first", "later")
PROXY = "-m tcp --dport 99 -j TPROXY --on-port 1"


@pytest.mark.parametrize(
    ("program", "text", "together"),
    [("nft", FRONT.format("inet", "meta mark 1"), ()),
     ("nft", FRONT.format("inet", "socket transparent 1"), ()),
     ("nft", FRONT.format("inet", "tcp dport 99 tproxy to :1"), (Family.IPV4, Family.IPV6)),
     ("nft", FRONT.format("ip", "ct state new"), (Family.IPV4,)),
     ("iptables", MANGLE.format(PROXY), (Family.IPV4,)),
     ("ip6tables", MANGLE.format(PROXY), (Family.IPV6,)),
     ("iptables", MANGLE.format("-m socket"), (Family.IPV4,))],
    ids=["nothing", "nft's socket", "nft's tproxy", "conntrack", "TPROXY", "TPROXY of IPv6", "iptables' socket"],
)  # fmt: skip
def test_k158_what_puts_forwarded_fragments_together(
    host: LabHost, program: str, text: str, together: tuple[Family, ...]
) -> None:
    """Of a datagram in two fragments FORWARD sees a later one, unless conntrack, a transparent proxy or iptables'
    `socket` puts them together, each in its family; the model says the same."""
    with entered(host.name):
        tuns = {name: open_tun(name) for name in ("eth0", "eth1")}
    try:
        for name in tuns:
            host.run("ip", "link", "set", name, "up")
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv6.conf.all.forwarding", 1)
        for kind in ("all", "eth0"):
            host.sysctl(f"net.ipv4.conf.{kind}.rp_filter", 0)
        host.run("ip", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
        host.run("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
        host.run("ip", "route", "add", "198.51.100.0/24", "dev", "eth1")
        host.run("ip", "route", "add", "2001:db8:2::/64", "dev", "eth1")
        host.run("nft", "-f", "-", text=SEEING)
        host.run(program if program == "nft" else f"{program}-restore", *["-f", "-"] * (program == "nft"), text=text)
        ways = {Family.IPV4: "192.0.2.9 4000 > 198.51.100.7 53", Family.IPV6: "2001:db8::9 4000 > 2001:db8:2::7 53"}
        packets = {f: [parse_packet(f"eth0>eth1 udp {ends} {part}") for part in PARTS] for f, ends in ways.items()}
        for pair in packets.values():
            for number, packet in enumerate(pair, 7):
                os.write(tuns["eth0"], build(packet, Numbers(number=number)))
        listed = host.run("nft", "list", "table", "inet", "watch").splitlines()
    finally:
        for descriptor in tuns.values():
            os.close(descriptor)
    counted = [int(line.split("packets ")[1].split()[0]) for line in listed if "packets" in line]
    assert [int(family not in together) for family in Family] == counted
    if program == "nft":
        ruleset = read_nft(host.run("nft", "-j", "list", "table", text.split()[1], "u"), "nft")
    else:
        of = TableFamily.IP if program == "iptables" else TableFamily.IP6
        ruleset = read(host.run(f"{program}-save"), "rules", of)
    assert {family: family in together for family in Family} == arrange(ruleset).gathers
    for family, (_, later) in packets.items():
        assert simulate(ruleset, later).left.fragment is (family not in together)


ENDS = {Family.IPV4: "192.0.2.9 4000 > 192.0.2.1 53", Family.IPV6: "2001:db8::9 4000 > 2001:db8::1 53"}
"""A datagram to the host."""


def _halves(checked: KernelCheck, family: Family, priority: int, *statements: str) -> list[str]:
    """What becomes of its two fragments behind a chain with these statements; kernel and model agree."""
    front = f"chain front {{ type filter hook prerouting priority {priority};"
    checked.load_nft("\n".join(("table inet s {", front, *statements, "}", "}", "")))
    packets = parse_packets("\n".join(f"eth0> udp {ENDS[family]} {part}" for part in ("first", "later")))
    checked.oracle.forget()
    measured = tuple(checked.oracle.fire(shots([packets])))
    assert expected(observed(checked.ruleset), packets).traces == measured
    return [story(trace) for trace in measured]


@pytest.mark.parametrize(("family", "met"), [(Family.IPV4, ""), (Family.IPV6, ", input untracked")])
def test_k119_ipv6_is_put_together_behind_input(checked: KernelCheck, family: Family, met: str) -> None:
    """Untracked, the first fragment comes to INPUT over IPv6 only; tracked, it is not seen by itself at all."""
    assert _halves(checked, family, -401, "notrack") == [
        f"prerouting untracked{met}",
        "prerouting untracked, input untracked",
    ]
    checked.flush()
    assert _halves(checked, family, -399, "notrack") == ["", "prerouting untracked, input untracked"]


@pytest.mark.parametrize("family", Family)
def test_k122_nft_reads_a_later_fragment_as_a_header(checked: KernelCheck, family: Family) -> None:
    """The datagram comes from port 4000, but it never arrives: a rule for all other ports drops its later fragment."""
    front = "chain front { type filter hook prerouting priority -401;"
    checked.load_nft("\n".join(("table inet s {", front, "udp sport != 4000 drop", "}", "}", "")))
    packets = parse_packets("\n".join(f"eth0> udp {ENDS[family]} {part}" for part in ("first", "later")))
    assert ["", ""] == [story(trace) for trace in checked.oracle.fire(shots([packets]))]
    believed = expected(observed(checked.ruleset), packets)
    assert (bool(believed.doubt), len(believed.traces)) == (True, 1)


NEW, FREE = "{} new, {} new", "{} untracked, {} untracked"
OUT, IN = ("output", "postrouting"), ("prerouting", "input")


@pytest.mark.parametrize(
    ("family", "rule", "seen", "parted"),
    [(Family.IPV4, "accept", ["", f"{NEW.format(*OUT)}, {NEW.format(*IN)}"], False),
     (Family.IPV4, "notrack", ["prerouting untracked", f"{FREE.format(*OUT)}, {FREE.format(*IN)}"], False),
     (Family.IPV6, "accept", [f"{NEW.format(*IN)}, {NEW.format(*IN)}", NEW.format(*OUT)], True),
     (Family.IPV6, "notrack", [f"{FREE.format(*IN)}, {FREE.format(*IN)}", FREE.format(*OUT)], True)],
)  # fmt: skip
def test_k106_what_goes_round_lo_is_parted_again(
    checked: KernelCheck, family: Family, rule: str, seen: list[str], parted: bool
) -> None:
    """Put together in OUTPUT, a datagram comes to PREROUTING in two parts, where IPv4 puts together what is tracked;
    over IPv6 both parts come to INPUT. A later part is counted for the first one over IPv6, which has its number."""
    checked.load_nft(f"table inet s {{\n chain f {{\n type filter hook output priority -300;\n {rule}\n }}\n}}\n")
    ends = "192.0.2.1 4000 > 192.0.2.1 53" if family is Family.IPV4 else "2001:db8::1 4000 > 2001:db8::1 53"
    packets = parse_packets("\n".join(f">lo udp {ends} {part}" for part in ("first", "later")))
    assert seen == [story(trace) for trace in checked.oracle.fire(shots([packets]))]
    outcome = simulate(checked.ruleset, packets[1], kernel=checked.kernel)
    state = CtState.NEW if rule == "accept" else CtState.UNTRACKED
    assert (parted, state) == (outcome.left.fragment, outcome.state)


@pytest.mark.parametrize("family", Family)
def test_k120_conntrack_takes_no_fragment(checked: KernelCheck, family: Family) -> None:
    """Where a zone takes the mark of NOTRACK away again behind reassembly, both fragments are INVALID."""
    behind = "}", "chain behind { type filter hook prerouting priority -310;", "ct zone set 5"
    seen = _halves(checked, family, -401, "notrack", *behind)
    assert [each.split(",")[0] for each in seen] == ["prerouting invalid"] * 2


def _fragments(size: int) -> list[bytes]:
    """A UDP datagram for port 5000 in two fragments, the first of that many bytes."""
    whole = build(parse_packet("eth0> udp 192.0.2.9 4000 > 192.0.2.1 5000"), Numbers(number=7, payload=bytes(32)))
    made = []
    for at, part, more in ((0, whole[20 : 20 + size], 0x2000), (size, whole[20 + size :], 0)):
        head = whole[:2] + struct.pack(">HHH", 20 + len(part), 7, more | at // 8) + whole[8:10]
        made.append(head + ones_complement(head + b"\0\0" + whole[12:20]).to_bytes(2, "big") + whole[12:20] + part)
    return made


@pytest.mark.parametrize(("taken", "behind", "arrives"), [("0x3fff", 2, 1), ("0x1fff", 1, 0), ("0x8000", 0, None)])
def test_k117_untracked_fragments_are_not_put_together(
    checked: KernelCheck, taken: str, behind: int, arrives: int | None
) -> None:
    """Behind reassembly they are fragments still; all of them untracked arrive whole and untracked, some never."""
    checked.load_nft(
        "table inet s {\n chain front {\n type filter hook prerouting priority -420;\n"
        f" ip frag-off & {taken} != 0 notrack\n }}\n chain back {{\n type filter hook prerouting priority -310;\n"
        " ip frag-off & 0x3fff != 0 counter\n }\n chain in {\n type filter hook input priority 0;\n"
        " udp dport 5000 ct state untracked counter\n udp dport 5000 ct state new counter\n }\n}\n"
    )
    for data in _fragments(16):
        os.write(checked.oracle.tuns["eth0"], data)
    listed = checked.oracle.host.run("nft", "list", "table", "inet", "s").splitlines()
    counted = [int(line.split("packets ")[1].split()[0]) for line in listed if "packets" in line]
    assert [behind, *((0, 1) if arrives is None else (arrives, 0))] == counted
    later = replace(parse_packet("eth0> udp 192.0.2.9 4000 > 192.0.2.1 5000"), fragment=True)
    open_ = simulate(checked.ruleset, later, kernel=checked.kernel).asked
    outcome = simulate(checked.ruleset, later, kernel=checked.kernel, assume=dict.fromkeys(open_, behind > 0))
    assert (outcome.left.fragment, outcome.state) == (False, CtState.NEW if arrives is None else CtState.UNTRACKED)
