"""K21 to K24: what matches say of packets without an entry, and what is lost with NOTRACK."""

from __future__ import annotations

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    End,
    In,
    Match,
    Notrack,
    OpaqueMatch,
    Rule,
    Ruleset,
    Table,
    TableFamily,
    Verdict,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.dialogue import run
from conntrim.lab.dialogue import parse_packets, shots
from conntrim.lab.held.play import LOST, play
from conntrim.lab.held.stand import stand
from conntrim.lab.held.talks import made
from conntrim.lab.oracle import delivered
from tests.lab.oracles import KernelCheck

MANY = 40
"""Connections of which some lose the ACK that ends them."""

QUERY = "eth0> udp 192.0.2.9 4000 > 192.0.2.1 80"
TRACKED, UNTRACKED, INVALID = QUERY.replace("80", "81"), QUERY, "eth0> tcp 192.0.2.9 4000 > 192.0.2.1 82 R"

XT: dict[str, tuple[bool, bool, bool]] = {
    "-m conntrack --ctstate UNTRACKED --ctorigdst 9.9.9.9": (False, True, False),
    "-m conntrack --ctstate INVALID --ctorigdst 9.9.9.9": (False, False, True),
    "-m conntrack --ctstate UNTRACKED --ctdir REPLY": (False, True, False),
    "-m conntrack --ctstate NEW,UNTRACKED ! --ctproto udp": (False, True, False),
    "-m conntrack --ctorigdst 192.0.2.1": (True, False, False),
    "-m conntrack ! --ctorigdst 9.9.9.9": (True, False, False),
    "-m conntrack --ctdir ORIGINAL": (True, False, False),
    "-m conntrack --ctorigdstport 80:82": (True, False, False),
    "-m conntrack --ctstate INVALID": (False, False, True),
    "-m conntrack ! --ctstate INVALID": (True, True, False),
    "-m conntrack --ctstate UNTRACKED": (False, True, False),
    "-m conntrack ! --ctstate UNTRACKED": (True, False, True),
    "-m conntrack --ctstate SNAT,DNAT": (False, False, False),
    "-m conntrack ! --ctstate SNAT": (True, True, True),
    "-m conntrack ! --ctstate DNAT,NEW": (False, True, True),
    "-m state --state NEW": (True, False, False),
    "-m state --state INVALID,UNTRACKED": (False, True, True),
    "-m connmark --mark 0": (True, False, False),
    "-m connmark ! --mark 5": (True, False, False),
    "-m connbytes --connbytes 0: --connbytes-dir both --connbytes-mode packets": (True, False, False),
    "-m helper --helper ftp": (False, False, False),
    "-m helper ! --helper ftp": (True, True, True),
}
"""A match, and whether it holds for a NEW, an UNTRACKED and an INVALID packet."""

UNKNOWN_WITH_ENTRY = ("-m connbytes", "-m helper")
"""Their answer for a packet with an entry is not in the model: not decided."""

NFT: dict[str, tuple[bool, bool, bool]] = {
    "ct mark 0": (True, False, False),
    "ct mark != 5": (True, False, False),
    "ct direction original": (True, False, False),
    "ct direction != reply": (True, False, False),
    "ct status snat": (False, False, False),
    "meta l4proto udp ct original proto-dst 81": (True, False, False),
    "ct zone 0": (True, False, False),
    "ct protocol 17": (True, False, False),
}
"""The same for nft's ct keys."""

NFT_STATES: dict[str, tuple[int, ...]] = {
    "ct state new": (CtState.NEW,),
    "ct state untracked": (CtState.UNTRACKED,),
    "ct state invalid": (CtState.INVALID,),
    "ct state != invalid": (CtState.ESTABLISHED, CtState.RELATED, CtState.NEW, CtState.UNTRACKED),
    "ct state { new, untracked }": (CtState.NEW, CtState.UNTRACKED),
}
"""nft's `ct state`, and the states that it means."""


def verdicts(checked: KernelCheck) -> list[bool]:
    """Whether each of the three packets gets through, as the kernel says."""
    packets = [parse_packets(line)[0] for line in (TRACKED, UNTRACKED, INVALID)]
    checked.oracle.forget()
    return [delivered(trace) for trace in checked.oracle.fire(shots([[p] for p in packets]))]


def thought(checked: KernelCheck) -> list[str]:
    """The evaluator's verdicts."""
    packets = [parse_packets(line)[0] for line in (TRACKED, UNTRACKED, INVALID)]
    return [str(run(checked.ruleset, [p], kernel=checked.kernel)[0].verdict) for p in packets]


@pytest.mark.parametrize("match", XT)
def test_k21_k22_iptables_matches(checked: KernelCheck, match: str) -> None:
    """Without an entry only the state counts, and without `--ctstate` nothing matches, negated or not."""
    checked.load(
        f"*raw\n-A PREROUTING -p udp --dport 80 -j NOTRACK\nCOMMIT\n*filter\n-A INPUT {match} -j DROP\nCOMMIT\n"
    )
    measured = [not through for through in verdicts(checked)]
    assert list(XT[match]) == measured
    model = ["drop" if hit else "accept" for hit in XT[match]]
    if match.startswith(UNKNOWN_WITH_ENTRY):
        model[0] = "not decided"
    assert model == thought(checked)


def nft(match: Match) -> Ruleset:
    """An nft table that untracks UDP port 80 and drops in INPUT what matches."""
    port = (In(Field.PROTOCOL, Intervals.of(17)), In(Field.DPORT, Intervals.of(80)))
    raw = Chain("raw", (Rule(port, (Notrack(),), Place("nft"), ""),), Base("filter", Hook.PREROUTING, -300))
    drop = Rule((match,), (End(Verdict.DROP),), Place("nft"), "")
    return Ruleset(
        (Table(Dialect.NFTABLES, TableFamily.INET, "t", (raw, Chain("in", (drop,), Base("filter", Hook.INPUT, 0)))),)
    )


NFT_TEXT = """\
table inet t {{
chain raw {{ type filter hook prerouting priority -300; udp dport 80 notrack; }}
chain in {{ type filter hook input priority 0; {} drop; }}
}}
"""


@pytest.mark.parametrize("match", NFT)
def test_k23_nft_ct_keys_never_match_without_an_entry(checked: KernelCheck, match: str) -> None:
    """Negated or not; with an entry the evaluator does not decide them."""
    checked.load(NFT_TEXT.format(match), "nft", nft(OpaqueMatch("ct", match)))
    assert list(NFT[match]) == [not through for through in verdicts(checked)]
    assert ["not decided", "accept", "accept"] == thought(checked)


@pytest.mark.parametrize("match", NFT_STATES)
def test_k23_nft_ct_state_always_has_a_value(checked: KernelCheck, match: str) -> None:
    """INVALID and UNTRACKED are values like the others, and exclude each other."""
    states = NFT_STATES[match]
    checked.load(NFT_TEXT.format(match), "nft", nft(In(Field.CT_STATE, Intervals.of(*states))))
    expected = [state in states for state in (CtState.NEW, CtState.UNTRACKED, CtState.INVALID)]
    assert expected == [not through for through in verdicts(checked)]
    assert ["drop" if hit else "accept" for hit in expected] == thought(checked)


def test_k24_no_translation_without_tracking(checked: KernelCheck) -> None:
    """A redirect moves the tracked packet to another port and leaves the untracked one where it is."""
    checked.load("""\
        *raw
        -A PREROUTING -p udp --dport 80 -j NOTRACK
        COMMIT
        *nat
        -A PREROUTING -p udp -j REDIRECT --to-ports 99
        COMMIT
        *filter
        -A INPUT -p udp --dport 99 -j DROP
        COMMIT
        """)
    assert [False, True] == verdicts(checked)[:2]
    assert ["drop", "accept"] == thought(checked)[:2]


def test_k24_masquerade_comes_back(checked: KernelCheck) -> None:
    """The answer to a masqueraded packet is for our address and goes on to the inner host."""
    checked.load("*nat\n-A POSTROUTING -o eth0 -s 198.51.100.0/24 -j SNAT --to-source 192.0.2.1\nCOMMIT\n")
    heard = checked.play(
        "eth1>eth0 tcp 198.51.100.9 4000 > 192.0.2.9 80 S",
        "eth0> tcp 192.0.2.9 80 > 192.0.2.1 4000 SA",
        "eth0> tcp 192.0.2.9 80 > 192.0.2.1 4001 SA",
    )
    assert [
        "prerouting new, forward new, postrouting new",
        "prerouting established, forward established, postrouting established",
        "prerouting invalid, input invalid",
    ] == heard


@pytest.mark.parametrize(("chain", "seen"), [("PREROUTING", 64), ("FORWARD", 63), ("POSTROUTING", 63)])
def test_the_ttl_goes_down_before_forward(checked: KernelCheck, chain: str, seen: int) -> None:
    """K63: a forwarded packet has one hop less from FORWARD on."""
    packets = parse_packets("eth0>eth1 udp 192.0.2.9 4000 > 198.51.100.9 80")
    passed = []
    for ttl in (63, 64):
        checked.load(f"*mangle\n:{chain} ACCEPT [0:0]\n-A {chain} -m ttl --ttl-eq {ttl} -j DROP\nCOMMIT\n")
        (trace,) = checked.oracle.fire(shots([packets]))
        passed.append(delivered(trace))
        checked.flush()
    assert [seen != 63, seen != 64] == passed


LOW_BITS = {
    "iptables-restore": "*raw\n-A PREROUTING -s 0.0.0.15/0.0.0.15 -j DROP\nCOMMIT\n",
    "ip6tables-restore": "*raw\n-A PREROUTING -s ::f/::f -j DROP\nCOMMIT\n",
    "nft": """\
table inet t {
chain raw {
type filter hook prerouting priority -300
ip saddr & 0.0.0.15 == 0.0.0.15 drop
ip6 saddr & ::f == ::f drop
}
}
""",
}
"""Rules that drop whoever has an address whose last four bits are ones."""


@pytest.mark.parametrize("program", LOW_BITS)
def test_k126_an_address_is_told_by_its_last_bits(checked: KernelCheck, program: str) -> None:
    """Every address that ends so, whatever stands before, and no other, in both families and dialects."""
    if program == "nft":
        checked.load_nft(LOW_BITS[program])
    else:
        checked.load(LOW_BITS[program], program)
    families = {
        "iptables-restore": [("192.0.2.{}", "192.0.2.1")], "ip6tables-restore": [("2001:db8::{:x}", "2001:db8::1")],
    }.get(program, [("192.0.2.{}", "192.0.2.1"), ("2001:db8::{:x}", "2001:db8::1")])  # fmt: skip
    for client, server in families:
        ends = range(9, 64)
        packets = [parse_packets(f"eth0> udp {client.format(n)} 4000 > {server} 80")[0] for n in ends]
        checked.oracle.forget()
        through = [delivered(trace) for trace in checked.oracle.fire(shots([[p] for p in packets]))]
        assert [n for n, passed in zip(ends, through, strict=True) if not passed] == [15, 31, 47, 63]
        thought = [run(checked.ruleset, [p], kernel=checked.kernel)[0].verdict.value for p in packets]
        assert thought == ["accept" if passed else "drop" for passed in through]


def test_k170_connlimit_drops_the_ack_that_ends_a_connection() -> None:
    """However high its limit: of some connections one after the other no packet is lost but, of some, the last ACK."""
    limit = "*mangle\n-A PREROUTING -p tcp --dport 80 -m connlimit --connlimit-above 100 -j DROP\nCOMMIT\n"
    talks = [made("tcp", "to the own address", Family.IPV4, port=80, client=20_000 + n) for n in range(MANY)]
    with stand("k170") as one:
        one.load([Batch("iptables-restore", limit)])
        played = [play(one, [talk])[0] for talk in talks]
    lost = {each.turn for each in played if each.ended == LOST}
    assert {len(talks[0].turns) - 1} == lost
    assert {"last ACK"} == {talk.turns[-1].name for talk in talks}
