"""K8 to K20: what NOTRACK does and does not do, and a full table."""

from __future__ import annotations

import socket
from contextlib import closing, suppress
from dataclasses import replace
from signal import SIGSEGV

import pytest

from conntrim.core.model.errors import HostError
from conntrim.core.model.finding import Place
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    Notrack,
    Rule,
    Ruleset,
    SetZone,
    Statement,
    Table,
    TableFamily,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.dialogue import run
from conntrim.core.parse.ruleset import read
from conntrim.host.netns import entered
from conntrim.host.programs import attempt
from conntrim.lab.dialogue import parse_packets, shots
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost
from conntrim.lab.oracle import story
from tests.lab.oracles import KernelCheck, seen

IN, OUT = "eth0> {} 192.0.2.9 4000 > 192.0.2.1 80{}", ">eth0 {} 192.0.2.1 80 > 192.0.2.9 4000{}"
SYN, ACK, RST = (IN.format("tcp", f" {flags}") for flags in ("S", "A", "R"))
SYN_ACK, DATA_BACK = OUT.format("tcp", " SA"), OUT.format("tcp", " PA")
QUERY, ANSWER = IN.format("udp", ""), OUT.format("udp", "")
BOTH = "*raw\n-A PREROUTING -p {0} --dport 80 -j CT --notrack\n-A OUTPUT -p {0} --sport 80 -j NOTRACK\nCOMMIT\n"
FILTER = """\
*filter
-A INPUT -m state --state ESTABLISHED,RELATED,UNTRACKED -j ACCEPT
-A INPUT -p udp --dport 53 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
COMMIT
"""
UNTRACKED_IN = "prerouting untracked, input untracked"
UNTRACKED_OUT = "output untracked, postrouting untracked"


def nft(hook: Hook, priority: int, *statements: Statement) -> tuple[str, str, Ruleset]:
    """An nft chain with one statement a rule: text, program, model."""
    words = {Notrack: "notrack", SetZone: "ct zone set 5"}
    body = "\n".join(words[type(s)] for s in statements)
    text = f"table inet t {{\nchain c {{ type filter hook {hook} priority {priority};\n{body}\n}}\n}}\n"
    rules = tuple(Rule((), (s,), Place("nft"), words[type(s)]) for s in statements)
    chain = Chain("c", rules, Base("filter", hook, priority))
    return text, "nft", Ruleset((Table(Dialect.NFTABLES, TableFamily.INET, "t", (chain,)),))


HANDSHAKES = [
    f"eth0> tcp 192.0.2.9 {port} > 192.0.2.1 80 S\n>eth0 tcp 192.0.2.1 80 > 192.0.2.9 {port} SA\n"
    f"eth0> tcp 192.0.2.9 {port} > 192.0.2.1 80 A"
    for port in range(5000, 5011)
]
FULL: dict[str, str] = {
    "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S": "",
    "eth0> udp 192.0.2.9 4000 > 192.0.2.1 53": "",
    "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 SA": "",
    "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 R": "",
    "eth0> icmp 192.0.2.9 > 192.0.2.1 0/0 id 9": "",
    "eth0> icmp 192.0.2.9 > 192.0.2.1 42/0": "prerouting invalid, input invalid",
    "eth0> icmp 192.0.2.9 > 192.0.2.1 3/3 (> udp 192.0.2.1 53 > 192.0.2.9 4999)": "prerouting invalid, input invalid",
    "eth0> tcp 192.0.2.9 5000 > 192.0.2.1 80 PA": "prerouting established, input established",
    "eth0> udp 192.0.2.9 4000 > 192.0.2.1 443": UNTRACKED_IN,
}
"""With a full table: packet to what is seen of it. Whatever needs an entry is dropped, INVALID or not."""


def test_k8_a_full_table_drops_whatever_would_need_an_entry(checked: KernelCheck) -> None:
    """The drop comes at -200, before mangle and filter; known flows and untracked packets are unaffected."""
    checked.load("*raw\n-A PREROUTING -p udp --dport 443 -j NOTRACK\nCOMMIT\n")
    known = parse_packets("\n".join(HANDSHAKES))
    packets = parse_packets("\n".join(FULL))
    checked.oracle.forget()
    checked.oracle.fire(shots([known]))
    with global_limits(nf_conntrack_max=len(HANDSHAKES)):
        measured = [story(trace) for trace in checked.oracle.fire(shots([packets]))]
    memory = run(checked.ruleset, known, kernel=checked.kernel)[-1].memory
    full = replace(checked.kernel, full=True)
    thought = [seen(outcome) for outcome in run(checked.ruleset, packets, memory, full)]
    assert list(FULL.values()) == measured
    assert list(FULL.values()) == thought


def test_k9_accept_before_notrack_prevents_it(checked: KernelCheck) -> None:
    """A raw ACCEPT in front; NOTRACK itself ends nothing: a later raw rule still drops."""
    checked.load("""\
        *raw
        -A PREROUTING -p udp --dport 80 -j ACCEPT
        -A PREROUTING -p udp -j CT --notrack
        -A PREROUTING -p udp --dport 81 -j DROP
        COMMIT
        """)
    assert ["prerouting new, input new", UNTRACKED_IN, ""] == checked.play(
        QUERY, QUERY.replace(" 80", " 82"), QUERY.replace(" 80", " 81")
    )


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        ("--zone 5", "--notrack", "new"), ("--notrack", "--zone 5", "untracked"), ("", "--notrack", "new"),
        ("--zone-orig 5", "--notrack", "new"), ("--ctevents new", "--notrack", "new"),
    ],
)  # fmt: skip
def test_k10_a_template_first_makes_notrack_void(checked: KernelCheck, first: str, second: str, state: str) -> None:
    """iptables: what is attached first stays, whatever kind of template it is."""
    checked.load(f"*raw\n-A PREROUTING -j CT {first}\n-A PREROUTING -j CT {second}\nCOMMIT\n")
    assert [f"prerouting {state}, input {state}"] == checked.play(QUERY)


@pytest.mark.parametrize("statements", [(SetZone(5), Notrack()), (Notrack(), SetZone(5))], ids=["zone", "notrack"])
def test_k10_in_nft_the_zone_wins_in_either_order(checked: KernelCheck, statements: tuple[Statement, ...]) -> None:
    """nft: a zone set after notrack tracks the packet again."""
    checked.load(*nft(Hook.PREROUTING, -300, *statements))
    assert ["prerouting new, input new"] == checked.play(QUERY)


def test_k10_zones_are_tables_of_their_own(checked: KernelCheck) -> None:
    """The query is tracked in zone 5, the answer looked up outside of it: it is a flow of its own."""
    checked.load("*raw\n-A PREROUTING -j CT --zone 5\nCOMMIT\n")
    assert [
        "prerouting new, input new", "output new, postrouting new", "prerouting new, input new",
    ] == checked.play(QUERY, ANSWER, QUERY)  # fmt: skip


def test_k10_a_zone_for_the_original_direction_only(checked: KernelCheck) -> None:
    """With --zone-orig the answer is found in the default zone."""
    checked.load("*raw\n-A PREROUTING -j CT --zone-orig 5\nCOMMIT\n")
    assert [
        "prerouting new, input new", "output established, postrouting established",
        "prerouting established, input established",
    ] == checked.play(QUERY, ANSWER, QUERY)  # fmt: skip


@pytest.mark.parametrize("hook", [Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING])
@pytest.mark.parametrize("priority", [-300, -150, 0])
def test_k11_notrack_works_before_conntrack_only(checked: KernelCheck, hook: Hook, priority: int) -> None:
    """nft loads it anywhere; late it leaves NEW alone and only turns INVALID into UNTRACKED."""
    checked.load(*nft(hook, priority, Notrack()))
    ends = ("4000 > 198.51.100.9 80 S", "4001 > 198.51.100.9 80 R")
    forwarded, reset = (f"eth0>eth1 tcp 192.0.2.9 {end}" for end in ends)
    heard = checked.play(QUERY, RST, DATA_BACK.replace("4000", "4009"), forwarded, reset)
    early = priority == -300 and hook in (Hook.PREROUTING, Hook.OUTPUT)
    assert early is any(part.startswith(("prerouting untracked", "output untracked")) for part in heard)


def test_k12_an_entry_does_not_protect_its_flow(checked: KernelCheck) -> None:
    """NOTRACK loaded over a live connection: its next packet is UNTRACKED, the entry waits for its time-out."""
    checked.play(SYN, SYN_ACK, ACK)
    checked.load(BOTH.format("tcp"))
    measured = [story(trace) for trace in checked.oracle.fire(shots([parse_packets(ACK)]))]
    assert [UNTRACKED_IN] == measured
    (entry,) = checked.oracle.host.run("conntrack", "-L").splitlines()
    assert "ESTABLISHED" in entry
    assert int(entry.split()[2]) > 400_000


@pytest.mark.parametrize(
    ("loose", "heard"),
    [
        (1, ["output new, postrouting new", "prerouting established, input established"]),
        (0, ["output invalid, postrouting invalid", "prerouting invalid, input invalid"]),
    ],
)
def test_k13_notrack_taken_away(checked: KernelCheck, loose: int, heard: list[str]) -> None:
    """Live flows are picked up in the direction that speaks first, or refused with nf_conntrack_tcp_loose=0."""
    checked.oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
    checked.kernel = replace(checked.kernel, tcp_loose=bool(loose))
    try:
        assert heard == checked.play(DATA_BACK, ACK)
    finally:
        checked.oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 1)


@pytest.mark.parametrize(("protocol", "packets"), [("tcp", (SYN, SYN_ACK, ACK)), ("udp", (QUERY, ANSWER, QUERY))])
def test_k14_both_sides_leave_no_entry(checked: KernelCheck, protocol: str, packets: tuple[str, ...]) -> None:
    """NOTRACK on both hooks: every packet is UNTRACKED, the table stays empty."""
    checked.load(BOTH.format(protocol))
    assert [UNTRACKED_IN, UNTRACKED_OUT, UNTRACKED_IN] == checked.play(*packets)
    assert [] == checked.oracle.host.run("conntrack", "-L").splitlines()


ONE_SIDED: dict[str, tuple[str, tuple[str, ...], str]] = {
    "PREROUTING, TCP": ("PREROUTING -p tcp --dport 80", (SYN, SYN_ACK, ACK, DATA_BACK, DATA_BACK), "uiunn"),
    "OUTPUT, TCP": ("OUTPUT -p tcp --sport 80", (SYN, SYN_ACK, ACK, DATA_BACK), "nuiu"),
    "PREROUTING, UDP": ("PREROUTING -p udp --dport 80", (QUERY, ANSWER, QUERY, ANSWER), "unun"),
    "OUTPUT, UDP": ("OUTPUT -p udp --sport 80", (QUERY, ANSWER, QUERY, ANSWER), "nunu"),
}
"""The rule, a dialogue, and the first letters of the states."""


@pytest.mark.parametrize("name", ONE_SIDED)
def test_k14_one_sided_notrack_spares_nothing(checked: KernelCheck, name: str) -> None:
    """The other direction is picked up as a flow of its own: there is an entry all the same."""
    rule, packets, letters = ONE_SIDED[name]
    checked.load(f"*raw\n-A {rule} -j CT --notrack\nCOMMIT\n")
    heard = checked.play(*packets)
    assert letters == "".join(part.split()[1][0] for part in heard)
    assert 1 == len(checked.oracle.host.run("conntrack", "-L").splitlines())


def test_k15_the_answer_to_an_untracked_syn_is_refused(checked: KernelCheck) -> None:
    """The SYN leaves untracked, its SYN/ACK is INVALID and the filter rejects it; the counterpart mends it."""
    asks = ">eth0 tcp 192.0.2.1 4000 > 192.0.2.9 11211 S"
    answers = "eth0> tcp 192.0.2.9 11211 > 192.0.2.1 4000 SA"
    one, two = "-A OUTPUT -p tcp --dport 11211 -j NOTRACK\n", "-A PREROUTING -p tcp --sport 11211 -j NOTRACK\n"
    checked.load(f"*raw\n{one}COMMIT\n{FILTER}")
    assert [UNTRACKED_OUT, "prerouting invalid, ^output invalid, ^postrouting invalid"] == checked.play(asks, answers)
    checked.flush()
    checked.load(f"*raw\n{one}{two}COMMIT\n{FILTER}")
    assert [UNTRACKED_OUT, UNTRACKED_IN] == checked.play(asks, answers)


LOOP, LOOP_BACK = ">lo udp 127.0.0.1 4000 > 127.0.0.1 80", ">lo udp 127.0.0.1 80 > 127.0.0.1 4000"
LOOPED = "output {0}, postrouting {0}, prerouting {0}, input {0}"


@pytest.mark.parametrize(
    ("rules", "states"),
    [
        (["PREROUTING -p udp"], ["new", "established"]),
        (["OUTPUT -p udp --dport 80"], ["untracked", "new"]),
        (["OUTPUT -p udp --dport 80", "OUTPUT -p udp --sport 80"], ["untracked", "untracked"]),
    ],
)
def test_k16_loopback_keeps_the_mark_of_output(checked: KernelCheck, rules: list[str], states: list[str]) -> None:
    """PREROUTING rules do nothing on lo; OUTPUT needs both port directions."""
    checked.load("*raw\n" + "".join(f"-A {rule} -j NOTRACK\n" for rule in rules) + "COMMIT\n")
    assert [LOOPED.format(state) for state in states] == checked.play(LOOP, LOOP_BACK)


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_k17_notrack_has_two_spellings_and_one_table(host: LabHost, kind: str) -> None:
    """Both load, are listed as they were given and mean the same; the filter table refuses them."""
    text = "*raw\n-A PREROUTING -j NOTRACK\n-A PREROUTING -j CT --notrack\nCOMMIT\n"
    try:
        host.run(f"iptables-{kind}-restore", text=text)
    except HostError as error:
        pytest.skip(f"no iptables-{kind} here: {error}")
    saved = host.run(f"iptables-{kind}-save", "-t", "raw")
    assert text.splitlines()[1:3] == [line for line in saved.splitlines() if line.startswith("-A")]
    prerouting = read(saved, "saved").tables[0].chain("PREROUTING")
    assert prerouting is not None
    assert [(Notrack(),), (Notrack(),)] == [rule.statements for rule in prerouting.rules]
    with pytest.raises(HostError):
        host.run(f"iptables-{kind}", "-A", "INPUT", "-j", "NOTRACK")


@pytest.mark.parametrize("statement", ["notrack", "accept"])
def test_k18_nft_wants_every_rule_to_be_ended(host: LabHost, statement: str) -> None:
    """A brace right behind a rule is refused by nft 1.0.6, whatever the statement; a semicolon or line end is not."""
    chain = "table inet t {{\nchain c {{ type filter hook prerouting priority -300; udp dport 53 {}{} }}\n}}\n"
    host.run("nft", "-c", "-f", "-", text=chain.format(statement, ";"))
    host.run("nft", "-c", "-f", "-", text=chain.format(statement, "\n"))
    if "v1.0.6" in host.run("nft", "--version"):
        with pytest.raises(HostError, match="syntax error"):
            host.run("nft", "-c", "-f", "-", text=chain.format(statement, ""))


BESIDE = "table inet t {{\n chain d {{ {} accept; }}\n chain c {{ accept; accept; }}\n}}\n"


@pytest.mark.parametrize("match", ["ip dscp { af11, ef }", "tcp doff { 5, 6 }", "ip dscp af11", "tcp dport { 1, 2 }"])
def test_k169_nft_dies_where_a_part_of_a_byte_is_looked_up(host: LabHost, match: str) -> None:
    """nft 1.0.6 puts no rule beside another there, in whatever chain, and does nothing; at a chain's end it does."""
    host.run("nft", "-f", "-", text=BESIDE.format(match))
    host.run("nft", "add rule inet t c notrack; insert rule inet t c notrack")
    parted = "{" in match and "port" not in match
    if "v1.0.6" in host.run("nft", "--version"):
        for command in ("insert rule inet t c index 2 counter", "add rule inet t c index 2 counter"):
            assert parted == (attempt(["nft", command], netns=host.name).code == -SIGSEGV)
        assert parted == ("counter" not in host.run("nft", "list chain inet t c"))


REFUSING = """\
*filter
-A INPUT -p tcp -j REJECT --reject-with tcp-reset
-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


@pytest.mark.parametrize(("packet", "protocol"), [(SYN, "tcp"), (QUERY, "udp")])
def test_k19_rejects_answer_to_a_tracked_packet_is_related(checked: KernelCheck, packet: str, protocol: str) -> None:
    """RST or ICMP error: it belongs to the entry of what it answers."""
    checked.load(REFUSING)
    assert ["prerouting new, ^output related, ^postrouting related"] == checked.play(packet)


@pytest.mark.parametrize("packet", [SYN, QUERY])
def test_k19_rejects_answer_to_an_untracked_packet_is_invalid(checked: KernelCheck, packet: str) -> None:
    """raw OUTPUT's NOTRACK does not help, and an INVALID drop in OUTPUT turns REJECT into silence."""
    raw = "*raw\n-A PREROUTING -j CT --notrack\n-A OUTPUT -j CT --notrack\nCOMMIT\n"
    checked.load(raw + REFUSING)
    assert ["prerouting untracked, ^output invalid, ^postrouting invalid"] == checked.play(packet)
    checked.flush()
    silent = "-A OUTPUT -m conntrack --ctstate INVALID -j DROP\n"
    checked.load(raw + REFUSING.replace("COMMIT", f"{silent}COMMIT"))
    assert ["prerouting untracked, ^output invalid"] == checked.play(packet)


def test_k19_nft_notrack_does_reach_rejects_answer(checked: KernelCheck) -> None:
    """nft looks for an entry and finds none where iptables sees REJECT's mark: its notrack works."""
    checked.load("*raw\n-A PREROUTING -j CT --notrack\nCOMMIT\n" + REFUSING)
    checked.load(*nft(Hook.OUTPUT, -300, Notrack()))
    assert ["prerouting untracked, ^output untracked, ^postrouting untracked"] == checked.play(SYN)


@pytest.mark.parametrize(("untracked", "counted"), [(False, 1), (True, 0)])
def test_k19_the_kernels_own_reset_is_invalid_unless_untracked(host: LabHost, untracked: bool, counted: int) -> None:
    """A connection to a closed port, its SYN untracked: the RST is INVALID in OUTPUT, unless raw OUTPUT untracks it."""
    both = "-A OUTPUT -p tcp --sport 81 -j NOTRACK\n" if untracked else ""
    host.run("iptables-restore", text=f"*raw\n-A OUTPUT -p tcp --dport 81 -j NOTRACK\n{both}COMMIT\n")
    host.run("iptables", "-A", "OUTPUT", "-p", "tcp", "--sport", "81", "-m", "conntrack", "--ctstate", "INVALID")
    with entered(host.name), closing(socket.socket()) as channel, suppress(ConnectionRefusedError):
        channel.connect(("127.0.0.1", 81))
    listed = host.run("iptables", "-nvxL", "OUTPUT").splitlines()[2]
    assert counted == int(listed.split()[0])


def test_k20_the_hole(checked: KernelCheck) -> None:
    """A stranger from source port 11211 reaches port 3306, one from any other port does not."""
    checked.load(f"*raw\n-A PREROUTING -p tcp --sport 11211 -j NOTRACK\nCOMMIT\n{FILTER}")
    knock = "eth0> tcp 192.0.2.9 {} > 192.0.2.1 3306 S"
    assert [UNTRACKED_IN, "prerouting new, ^output related, ^postrouting related"] == checked.play(
        knock.format(11211), knock.format(11212)
    )
