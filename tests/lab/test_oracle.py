"""What the kernel says to injected packets: the table of states, and what NOTRACK does (kernel-facts K5-K20)."""

from collections.abc import Iterator
from textwrap import dedent

import pytest

from conntrim.core.model.plan import Batch
from conntrim.lab.dialogue import parse_packets, shots
from conntrim.lab.limits import global_limits
from conntrim.lab.oracle import Oracle, Trace, consulting, delivered, story


@pytest.fixture(scope="module")
def bench() -> Iterator[Oracle]:
    """One oracle for all tests of this file."""
    with consulting() as oracle:
        yield oracle


@pytest.fixture
def oracle(bench: Oracle) -> Iterator[Oracle]:
    """The oracle, without rules and entries."""
    yield bench
    bench.unload()
    bench.forget()


def fire(oracle: Oracle, *lines: str) -> list[Trace]:
    """One dialogue, a packet a line."""
    return oracle.fire(shots([parse_packets("\n".join(lines))]))


def stories(oracle: Oracle, *lines: str) -> list[str]:
    """The traces of one dialogue, as text."""
    return [story(trace) for trace in fire(oracle, *lines)]


def load(oracle: Oracle, program: str, text: str) -> None:
    """Load one rule text."""
    oracle.load([Batch(program, dedent(text))])


def entries(oracle: Oracle) -> list[str]:
    """What `conntrack -L` lists."""
    return oracle.host.run("conntrack", "-L").splitlines()


IN, OUT = "eth0> {} 192.0.2.9 4000 > 192.0.2.1 80{}", ">eth0 {} 192.0.2.1 80 > 192.0.2.9 4000{}"
SYN, ACK, FIN, RST = (IN.format("tcp", f" {flags}") for flags in ("S", "A", "FA", "R"))
SYN_ACK, DATA_BACK = OUT.format("tcp", " SA"), OUT.format("tcp", " PA")
QUERY, ANSWER = IN.format("udp", ""), OUT.format("udp", "")
HANDSHAKE = (SYN, SYN_ACK, ACK)

FRESH = {
    "tcp 192.0.2.9 4000 > 192.0.2.1 80 S": "new",
    "tcp 192.0.2.9 4001 > 192.0.2.1 80 SA": "invalid",
    "tcp 192.0.2.9 4002 > 192.0.2.1 80 A": "new",
    "tcp 192.0.2.9 4003 > 192.0.2.1 80 PA": "new",
    "tcp 192.0.2.9 4004 > 192.0.2.1 80 FA": "invalid",
    "tcp 192.0.2.9 4005 > 192.0.2.1 80 R": "invalid",
    "tcp 192.0.2.9 4006 > 192.0.2.1 80 .": "invalid",
    "tcp 192.0.2.9 4007 > 192.0.2.1 80 FPU": "invalid",
    "udp 192.0.2.9 4000 > 192.0.2.1 53": "new",
    "udp 192.0.2.9 53 > 192.0.2.1 4001": "new",
    "icmp 192.0.2.9 > 192.0.2.1 8/0 id 7": "new",
    "icmp 192.0.2.10 > 192.0.2.1 0/0 id 8": "invalid",
    "icmp 192.0.2.9 > 192.0.2.1 42/0": "invalid",
    "icmp 192.0.2.9 > 192.0.2.1 3/3 (> udp 192.0.2.1 53 > 192.0.2.9 4999)": "invalid",
    "udp 2001:db8::9 4000 > 2001:db8::1 53": "new",
    "icmpv6 2001:db8::9 > 2001:db8::1 128/0 id 7": "new",
    "icmpv6 2001:db8::10 > 2001:db8::1 129/0 id 7": "invalid",
    "icmpv6 2001:db8::9 > 2001:db8::1 135/0": "untracked",
    "icmpv6 2001:db8::9 > 2001:db8::1 1/4 (> udp 2001:db8::1 53 > 2001:db8::9 4999)": "invalid",
    "sctp 192.0.2.9 4000 > 192.0.2.1 80": "new",
    "proto-99 192.0.2.9 > 192.0.2.1": "new",
}
"""The table "State of a packet that has no entry": packet to state."""


@pytest.mark.parametrize(("line", "state"), FRESH.items(), ids=FRESH)
def test_state_of_a_packet_without_an_entry(oracle: Oracle, line: str, state: str) -> None:
    """Each row of the table, at PREROUTING and at INPUT."""
    assert [f"prerouting {state}, input {state}"] == stories(oracle, f"eth0> {line}")


def test_loose_decides_mid_stream_pick_up(oracle: Oracle) -> None:
    """With nf_conntrack_tcp_loose=0 an ACK without an entry is INVALID, with 1 it is NEW."""
    oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 0)
    try:
        assert ["prerouting invalid, input invalid"] == stories(oracle, ACK)
    finally:
        oracle.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 1)
    assert ["prerouting new, input new"] == stories(oracle, ACK)


def test_k7_established_after_a_reply(oracle: Oracle) -> None:
    """The original direction is NEW until a reply was seen; the reply is ESTABLISHED at once."""
    assert [
        "prerouting new, input new",
        "prerouting new, input new",
        "output established, postrouting established",
        "prerouting established, input established",
    ] == stories(oracle, QUERY, QUERY, ANSWER, QUERY)


def test_error_about_a_known_flow_is_related(oracle: Oracle) -> None:
    """An ICMP error about a tracked flow is RELATED in both directions of it."""
    error = "eth0> icmp 192.0.2.77 > 192.0.2.1 3/1 (> udp 192.0.2.1 80 > 192.0.2.9 4000)"
    assert "prerouting related, input related" == stories(oracle, QUERY, ANSWER, error)[-1]


def test_all_ways_through_the_host(oracle: Oracle) -> None:
    """Forwarded packets pass three hooks, looped ones four, with one state each."""
    forward = "eth0>eth1 udp 192.0.2.9 4000 > 198.51.100.9 53"
    back = "eth1>eth0 udp 198.51.100.9 53 > 192.0.2.9 4000"
    loop = ">lo udp ::1 4000 > ::1 53"
    assert [
        "prerouting new, forward new, postrouting new",
        "prerouting established, forward established, postrouting established",
        "output new, postrouting new, prerouting new, input new",
    ] == stories(oracle, forward, back, loop)


def test_k3_drop_is_final_accept_is_not(oracle: Oracle) -> None:
    """A packet that one base chain accepts is dropped by a later one; one dropped in raw is never seen by conntrack."""
    load(oracle, "nft", """\
        table inet t {
          chain early { type filter hook input priority -10; accept; }
          chain late { type filter hook input priority 10; udp dport 80 drop; }
          chain raw { type filter hook prerouting priority -300; tcp dport 80 drop; }
        }
        """)  # fmt: skip
    assert ["prerouting new", ""] == stories(oracle, QUERY, SYN)


def test_k2_registered_last_runs_first(oracle: Oracle) -> None:
    """Of two base chains at one hook and priority the later one runs first: its mark is there for the other."""
    load(oracle, "nft", """\
        table inet t {
          chain one { type filter hook input priority 0; meta mark 1 drop; }
          chain two { type filter hook input priority 0; meta mark set 1; }
        }
        """)  # fmt: skip
    assert ["prerouting new"] == stories(oracle, QUERY)


def test_k4_nat_chains_see_the_first_packet_only(oracle: Oracle) -> None:
    """A nat chain that drops everything never sees UNTRACKED and INVALID packets, nor a flow that it has passed."""
    load(oracle, "nft", """\
        table inet t {
          chain raw { type filter hook prerouting priority -300; udp sport 4001 notrack; }
          chain nat { type nat hook prerouting priority -100; }
        }
        """)  # fmt: skip
    assert ["prerouting new, input new"] == stories(oracle, QUERY)
    oracle.host.run("nft", "add rule inet t nat drop")
    untracked, invalid = "prerouting untracked, input untracked", "prerouting invalid, input invalid"
    assert ["prerouting new, input new", untracked, invalid, "prerouting new"] == stories(
        oracle, QUERY, QUERY.replace("4000", "4001"), RST, QUERY.replace("4000", "4002")
    )


RAW_BOTH = """\
*raw
-A PREROUTING -p {0} --dport 80 -j CT --notrack
-A OUTPUT -p {0} --sport 80 -j NOTRACK
COMMIT
"""


@pytest.mark.parametrize(("protocol", "packets"), [("tcp", HANDSHAKE), ("udp", (QUERY, ANSWER))])
def test_k14_both_sides_leave_no_entry(oracle: Oracle, protocol: str, packets: tuple[str, ...]) -> None:
    """NOTRACK on both hooks: every packet of the dialogue is UNTRACKED, the table stays empty."""
    load(oracle, "iptables-restore", RAW_BOTH.format(protocol))
    inbound, outbound = "prerouting untracked, input untracked", "output untracked, postrouting untracked"
    assert [inbound, outbound, inbound][: len(packets)] == stories(oracle, *packets)
    assert [] == entries(oracle)


def test_k14_prerouting_alone_spares_nothing(oracle: Oracle) -> None:
    """SYN untracked, SYN/ACK INVALID in OUTPUT, then data in OUTPUT is picked up as NEW: an entry after all."""
    load(oracle, "iptables-restore", "*raw\n-A PREROUTING -p tcp --dport 80 -j CT --notrack\nCOMMIT\n")
    assert [
        "prerouting untracked, input untracked",
        "output invalid, postrouting invalid",
        "prerouting untracked, input untracked",
        "output new, postrouting new",
    ] == stories(oracle, *HANDSHAKE, DATA_BACK)
    assert 1 == len(entries(oracle))


def test_k14_output_alone_makes_the_client_invalid(oracle: Oracle) -> None:
    """The SYN is tracked, its answer is not: everything that the client sends then is INVALID."""
    load(oracle, "iptables-restore", "*raw\n-A OUTPUT -p tcp --sport 80 -j CT --notrack\nCOMMIT\n")
    assert [
        "prerouting new, input new",
        "output untracked, postrouting untracked",
        "prerouting invalid, input invalid",
        "output untracked, postrouting untracked",
    ] == stories(oracle, *HANDSHAKE, DATA_BACK)


def test_k9_accept_before_notrack_prevents_it(oracle: Oracle) -> None:
    """A raw ACCEPT in front; and NOTRACK itself ends nothing: a later raw rule still drops."""
    load(oracle, "iptables-restore", """\
        *raw
        -A PREROUTING -p udp --dport 80 -j ACCEPT
        -A PREROUTING -p udp -j CT --notrack
        -A PREROUTING -p udp --dport 81 -j DROP
        COMMIT
        """)  # fmt: skip
    assert ["prerouting new, input new", "prerouting untracked, input untracked", ""] == stories(
        oracle, QUERY, QUERY.replace(" 80", " 82"), QUERY.replace(" 80", " 81")
    )


ORDERS = [
    ("iptables", "zone", "new"),
    ("iptables", "notrack", "untracked"),
    ("nft", "zone", "new"),
    ("nft", "notrack", "new"),
]
"""Program, what comes first, the state then."""


@pytest.mark.parametrize(("program", "first", "state"), ORDERS)
def test_k10_zone_and_notrack(oracle: Oracle, program: str, first: str, state: str) -> None:
    """A zone first makes NOTRACK void; NOTRACK first holds in iptables and is undone by the zone in nft."""
    targets = {"iptables": {"zone": "-j CT --zone 5", "notrack": "-j CT --notrack"},
               "nft": {"zone": "ct zone set 5", "notrack": "notrack"}}[program]  # fmt: skip
    order = [targets[first], *(text for name, text in targets.items() if name != first)]
    if program == "nft":
        body = "\n".join(order)
        text = f"table inet t {{\nchain c {{ type filter hook prerouting priority -300;\n{body}\n}}\n}}\n"
        load(oracle, "nft", text)
    else:
        rules = "".join(f"-A PREROUTING {target}\n" for target in order)
        load(oracle, "iptables-restore", f"*raw\n{rules}COMMIT\n")
    assert [f"prerouting {state}, input {state}"] == stories(oracle, QUERY)


def test_k11_late_notrack_only_turns_invalid_into_untracked(oracle: Oracle) -> None:
    """`notrack` behind conntrack loads, leaves a NEW packet as it is and makes an INVALID one UNTRACKED."""
    load(oracle, "nft", "table inet t {\nchain c { type filter hook input priority 0;\nnotrack\n}\n}\n")
    assert ["prerouting new, input new", "prerouting invalid, input untracked"] == stories(
        oracle, QUERY, RST.replace("4000", "4001")
    )


def test_k12_an_entry_does_not_protect_its_flow(oracle: Oracle) -> None:
    """NOTRACK loaded over a live connection: its next packet is UNTRACKED, the entry stays."""
    assert "prerouting established, input established" == stories(oracle, *HANDSHAKE)[-1]
    load(oracle, "iptables-restore", RAW_BOTH.format("tcp"))
    assert ["prerouting untracked, input untracked"] == stories(oracle, ACK)
    assert 1 == len(entries(oracle))


def test_k13_notrack_taken_away(oracle: Oracle) -> None:
    """Live flows are picked up mid-stream, in the direction that speaks first."""
    load(oracle, "iptables-restore", RAW_BOTH.format("tcp"))
    fire(oracle, *HANDSHAKE)
    oracle.unload()
    assert ["output new, postrouting new", "prerouting established, input established"] == stories(
        oracle, DATA_BACK, ACK
    )


def test_k15_answer_to_an_untracked_syn_is_invalid(oracle: Oracle) -> None:
    """Client side: the SYN leaves untracked, its SYN/ACK is INVALID and a filter without INVALID drops it."""
    load(oracle, "iptables-restore", """\
        *raw
        -A OUTPUT -p tcp --dport 80 -j CT --notrack
        COMMIT
        *filter
        -A INPUT -m state --state ESTABLISHED,RELATED,UNTRACKED -j ACCEPT
        -A INPUT -j DROP
        COMMIT
        """)  # fmt: skip
    assert ["output untracked, postrouting untracked", "prerouting invalid"] == stories(
        oracle,
        ">eth0 tcp 192.0.2.1 4000 > 192.0.2.9 80 S",
        "eth0> tcp 192.0.2.9 80 > 192.0.2.1 4000 SA",
    )


def test_k16_loopback_keeps_the_mark_of_output(oracle: Oracle) -> None:
    """What OUTPUT tracked is tracked in PREROUTING whatever its rules say; what OUTPUT untracked stays so."""
    packet = ">lo udp 127.0.0.1 4000 > 127.0.0.1 80"
    load(oracle, "iptables-restore", "*raw\n-A PREROUTING -p udp -j CT --notrack\nCOMMIT\n")
    assert ["output new, postrouting new, prerouting new, input new"] == stories(oracle, packet)
    oracle.unload()
    oracle.forget()
    load(oracle, "iptables-restore", "*raw\n-A OUTPUT -p udp -j CT --notrack\nCOMMIT\n")
    assert [", ".join(f"{hook} untracked" for hook in ("output", "postrouting", "prerouting", "input"))] == stories(
        oracle, packet
    )


def test_k19_answers_to_untracked_packets_are_invalid(oracle: Oracle) -> None:
    """REJECT's RST to an untracked SYN is INVALID in OUTPUT, raw OUTPUT or not; to a tracked one RELATED."""
    load(oracle, "iptables-restore", """\
        *raw
        -A PREROUTING -p tcp --dport 80 -j CT --notrack
        -A OUTPUT -p tcp --sport 80 -j CT --notrack
        COMMIT
        *filter
        -A INPUT -p tcp -j REJECT --reject-with tcp-reset
        COMMIT
        """)  # fmt: skip
    assert [
        "prerouting untracked, ^output invalid, ^postrouting invalid",
        "prerouting new, ^output related, ^postrouting related",
    ] == stories(oracle, SYN, SYN.replace(" 80 ", " 81 "))


def test_k20_the_hole(oracle: Oracle) -> None:
    """A stranger from source port 11211 reaches port 3306, one from any other port does not."""
    load(oracle, "iptables-restore", """\
        *raw
        -A PREROUTING -p tcp --sport 11211 -j NOTRACK
        COMMIT
        *filter
        -A INPUT -m state --state ESTABLISHED,RELATED,UNTRACKED -j ACCEPT
        -A INPUT -j REJECT
        COMMIT
        """)  # fmt: skip
    knock = "eth0> tcp 192.0.2.9 {} > 192.0.2.1 3306 S"
    assert [True, False] == [delivered(t) for t in fire(oracle, knock.format(11211), knock.format(11212))]


def test_sixty_thousand_packets_in_one_batch(oracle: Oracle) -> None:
    """A prime number of packets goes in and exactly that many come out, each with its own trace."""
    line = "eth0> udp 192.0.2.9 {} > 192.0.2.1 {}"
    packets = [line.format(1024 + i % 60000, 80 + i % 2) for i in range(59999)]
    load(oracle, "iptables-restore", "*filter\n-A INPUT -p udp --dport 81 -j DROP\nCOMMIT\n")
    # Another lab run may hold the table small meanwhile: then we wait.
    with global_limits(nf_conntrack_max=262_144, nf_conntrack_buckets=262_144):
        traces = fire(oracle, *packets)
    assert [i % 2 == 0 for i in range(59999)] == [delivered(t) for t in traces]
