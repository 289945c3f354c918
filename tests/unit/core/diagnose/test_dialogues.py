"""What untracking changes, told whatever its pattern: hosts whose dialogues were played by hand on a kernel."""

from __future__ import annotations

import pytest

from conntrim.core.diagnose.rulesets.case import case_of
from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.address import parse_address, parse_prefix
from conntrim.core.model.finding import Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction
from conntrim.core.parse.ruleset import read, read_all
from conntrim.core.prove.scripts import Harm

HERE = parse_address("192.0.2.77")
ANSWERS = "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
SSH = "-A INPUT -p tcp -m tcp --dport 2022 -j ACCEPT"
PING = "-A INPUT -p icmp -j ACCEPT"


def checked(raw: tuple[str, ...], rules: tuple[str, ...], policy: str = "DROP", *, loose: bool = True) -> Checked:
    """A host with the address 192.0.2.77, closed inward, open outward."""
    lines = (
        "*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT",
        "*filter", f":INPUT {policy} [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]", *rules, "COMMIT", "",
    )  # fmt: skip
    return check_ruleset(read("\n".join(lines), "rules"), Intervals.of((HERE, HERE)), loose=loose)


CUT: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "everything that comes in": (("-A PREROUTING -j NOTRACK",), (ANSWERS, SSH, PING), "outbound: tcp"),
    "client ports in a range": (
        ("-A PREROUTING -p tcp -m tcp --dport 41000:41400 -j NOTRACK",
         "-A OUTPUT -p tcp -m tcp --sport 41000:41400 -j NOTRACK"),
        (ANSWERS, PING), "source port 41000-41400",
    ),
    "echoes that go out": (
        ("-A OUTPUT -p icmp -j CT --notrack",), (ANSWERS, "-A INPUT -m conntrack --ctstate INVALID -j DROP"), "icmp",
    ),
    "what is passed on": (
        ("-A PREROUTING -i eth1 -p udp -m udp --dport 5353 -j NOTRACK",),
        ("-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", "-A FORWARD -i eth1 -o eth0 -j ACCEPT"),
        "forwarded: udp",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CUT)
def test_a_dialogue_that_dies_is_critical_whatever_its_pattern(name: str) -> None:
    """Without the rule it completes, with it a packet is refused: said of the rule, with what refuses the packet."""
    raw, rules, words = CUT[name]
    worst = [f for f in checked(raw, rules).findings if f.severity is Severity.CRITICAL]
    assert worst
    told = "\n".join(line for f in worst for line in f.evidence)
    assert words in told
    assert "refused" in told


def test_a_death_names_the_rule_that_took_the_packet() -> None:
    """On lo the query is refused that the second rule took: the first one would have taken the answer."""
    raw = ("-A OUTPUT -p udp -m udp --sport 53 -j NOTRACK", "-A OUTPUT -o lo -j CT --notrack")
    found = checked(raw, (ANSWERS, "-A INPUT -p udp -m udp --dport 53 -m conntrack --ctstate NEW -j ACCEPT")).findings
    cut = next(f for f in found if f.code == "CT117")
    assert cut.place is not None
    assert (cut.place.line, cut.evidence[-1]) == (4, "untracked by rules:5")


def test_a_translation_that_stops_is_not_all_that_is_told_of_loopback() -> None:
    """CT109 stands at the rule that takes SYNs from port 53 and answers on lo, where a proxy opens nothing."""
    text = """*raw
-A PREROUTING -p tcp -m tcp --sport 53 -j NOTRACK
-A OUTPUT -p tcp -m tcp --dport 53 -j NOTRACK
COMMIT
*nat
-A PREROUTING -i eth0 -p tcp -m tcp --dport 53 -j DNAT --to-destination 198.51.100.9
COMMIT
*filter
:INPUT DROP [0:0]
-A INPUT -p tcp -m tcp --dport 53 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460
-A INPUT -i lo -j ACCEPT
COMMIT
"""
    found = check_ruleset(read(text, "rules"), Intervals.of((HERE, HERE)), loose=False).findings
    told = {f.code: f for f in found}
    assert "CT109" in told
    assert "loopback" in told["CT121"].evidence[0]


def test_errors_about_datagrams_that_would_be_translated_are_told() -> None:
    """Masqueraded and tracked, a query's *port unreachable* comes back as RELATED; untracked it is INVALID."""
    text = """*raw
-A PREROUTING -i eth0 -p udp -m udp --sport 80 -j NOTRACK
-A OUTPUT -o eth0 -p udp -m udp --dport 80 -j NOTRACK
COMMIT
*nat
-A POSTROUTING -o eth0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
COMMIT
"""
    found = check_ruleset(read(text, "rules"), Intervals.of((HERE, HERE))).findings
    told = {f.code: f for f in found}
    assert "CT105" in told
    assert told["CT106"].evidence[-1] == "untracked by rules:3"


COMPLETE: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "VXLAN, which is answered to its own port": (
        ("-A PREROUTING -p udp -m udp --dport 4789 -j NOTRACK", "-A OUTPUT -p udp -m udp --dport 4789 -j NOTRACK"),
        (ANSWERS, PING, "-A INPUT -p udp -m udp --dport 4789 -j ACCEPT"), "DROP",
    ),
    "a SYN that SYNPROXY answers": (
        ("-A PREROUTING -p tcp -m tcp --dport 8088 --syn -j CT --notrack",),
        ("-A INPUT -p tcp -m tcp --dport 8088 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460",
         "-A INPUT -m conntrack --ctstate INVALID -j DROP"), "ACCEPT",
    ),
    "nothing begins without it either": (
        ("-A PREROUTING -p tcp -m tcp --dport 9999 -j NOTRACK",), (ANSWERS, SSH, PING), "DROP",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLETE)
def test_what_nobody_loses_is_not_critical(name: str) -> None:
    """Every dialogue ends as it would without the rules: no finding says that one dies."""
    raw, rules, policy = COMPLETE[name]
    found = checked(raw, rules, policy, loose="SYNPROXY" not in rules[0]).findings
    assert [] == [f.code for f in found if f.severity is Severity.CRITICAL or f.code == "CT107"]


def test_a_proxy_that_never_sees_the_ack_is_critical() -> None:
    """With tcp_loose the ACK is NEW and passes by (K115): said of the rule that untracks the SYN."""
    raw, rules, policy = COMPLETE["a SYN that SYNPROXY answers"]
    found = checked(raw, rules, policy).findings
    assert [("CT121", 4, Severity.CRITICAL)] == [(f.code, f.place and f.place.line, f.severity) for f in found]
    assert "picked up as NEW" in "".join(found[0].evidence)


def test_entries_that_lo_leaves_are_a_note() -> None:
    """A service's rules take its answers on lo and not the requests (K16): no harm, and said."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 2022 -j NOTRACK", "-A OUTPUT -p tcp -m tcp --sport 2022 -j NOTRACK")
    found = checked(raw, ("-A INPUT -i lo -j ACCEPT", ANSWERS, PING, SSH))
    assert [] == list(found.findings)
    assert [note for note in found.remarks if "of this host to itself leave entries" in note and "rules:5" in note]


def test_a_state_that_raw_refuses_is_everybody_s() -> None:
    """In front of conntrack every packet is INVALID, those of connections too: a drop there takes them all."""
    rule = "-A PREROUTING -i wan0 -m conntrack --ctstate INVALID -j DROP"
    found = checked((rule,), (), "ACCEPT").findings
    assert [("CT120", 4, Severity.CRITICAL)] == [(f.code, f.place and f.place.line, f.severity) for f in found]
    moved = check_ruleset(read(f"*mangle\n:PREROUTING ACCEPT [0:0]\n{rule}\nCOMMIT\n", "rules"), None)
    assert [] == list(moved.findings)


def test_a_rule_by_a_mark_that_no_rule_sets_may_have_an_effect() -> None:
    """Ingress and BPF mark packets before any rule sees them: nobody here says that such a rule does nothing."""
    raw = ("-A PREROUTING -m mark --mark 0x700/0xf00 -j CT --notrack",)
    assert "CT104" not in [f.code for f in checked(raw, (ANSWERS,)).findings]


def test_a_zone_on_one_way_alone_kills_by_itself() -> None:
    """Answers in a zone of their own find no entry, whatever OUTPUT untracks (K10): the rule cuts nothing."""
    raw = ("-A PREROUTING -j CT --zone 9", "-A OUTPUT -p udp -m udp --dport 5300 -j CT --notrack")
    assert [] == [f.code for f in checked(raw, (ANSWERS,)).findings if f.severity is Severity.CRITICAL]


def test_a_large_set_is_asked_in_full_where_something_may_differ() -> None:
    """Whom a blocklist of 2,000 networks holds loses DNS, and nobody else: told with an address of the list; where the
    filter lets them through, nothing is found."""
    nets = "".join(f"add listed 10.{n >> 8}.{n & 255}.0/25\n" for n in range(2000))
    sets = f"create listed hash:net family inet\n{nets}"
    rules = """*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 53 -j CT --notrack
-A OUTPUT -p udp -m udp --sport 53 -j CT --notrack
COMMIT
*filter
:INPUT DROP [0:0]
-A INPUT -m set --match-set listed src -m conntrack --ctstate UNTRACKED -j DROP
-A INPUT -p udp -m udp --dport 53 -j ACCEPT
COMMIT
"""
    local, listed = (
        Intervals.of(parse_address("192.0.2.1")),
        Intervals.of(*(parse_prefix(f"10.{n >> 8}.{n & 255}.0/25") for n in range(2000))),
    )

    def critical(rules: str) -> list[bool]:
        found = check_ruleset(read_all([("host", rules + sets)]), local).findings
        return [f.witness is not None and f.witness.src in listed for f in found if f.severity is Severity.CRITICAL]

    assert critical(rules) == [True]
    assert not critical(rules.replace("-m conntrack --ctstate UNTRACKED -j DROP", "-j DROP"))


INVALID = "-A {} -m conntrack --ctstate INVALID -j DROP"


def test_errors_round_lo_are_told_of_the_rule() -> None:
    """CT106 is about the wire; an error about a host's own datagram to itself is lost as well, and CT119 says so."""
    found = checked(
        ("-A OUTPUT -o lo -p udp -m udp --dport 53 -j CT --notrack",),
        ("-A INPUT -i lo -j ACCEPT", INVALID.format("OUTPUT")),
    ).findings
    (lost,) = (f for f in found if f.code == "CT119")
    assert "errors lost, loopback: udp" in lost.evidence[0]


def test_errors_that_find_an_entry_are_not_refused() -> None:
    """Of a connection that is untracked one way alone an entry is left, and errors about it are RELATED."""
    one_way = ("-A PREROUTING -p tcp -m tcp --sport 80 -j NOTRACK",)
    both = (*one_way, "-A OUTPUT -p tcp -m tcp --dport 80 -j NOTRACK")
    told = [
        [
            line
            for f in checked(raw, (INVALID.format("INPUT"),), "ACCEPT").findings
            if f.code == "CT106"
            for line in f.evidence
        ]
        for raw in (one_way, both)
    ]
    assert [] == told[0]
    assert {"rules:4", "rules:5"} == set(told[1][-1].removeprefix("untracked by ").split(", "))


def test_packets_that_open_nothing_are_noted() -> None:
    """Without SYNs nobody gets in: a note says by which rule other packets do."""
    raw = ("-A PREROUTING -p tcp -m tcp --sport 443 ! --syn -j CT --notrack",
           "-A OUTPUT -p tcp -m tcp --dport 443 -j CT --notrack")  # fmt: skip
    found = checked(raw, ("-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED,UNTRACKED -j ACCEPT", PING))
    assert [] == list(found.findings)
    assert any("open nothing" in remark and "rules:4" in remark for remark in found.remarks)


def test_the_witness_is_of_a_dialogue_that_shows_it() -> None:
    """Nothing leaves this host, so no connection to it leaves an entry: those that it passes on do."""
    found = checked(
        ("-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack",),
        ("-A OUTPUT -j DROP", "-A FORWARD -j ACCEPT", "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"),
    ).findings
    (half,) = (f for f in found if f.code == "CT103")
    assert half.witness is not None
    assert half.witness.iif
    assert half.witness.oif
    assert any("from eth0 to" in line for line in half.evidence)


def test_who_answers_a_closed_hosts_echoes_is_a_hole() -> None:
    """Untracked echo requests pass an accept of UNTRACKED: whoever asks learns that the host is there."""
    accept = "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED,UNTRACKED -j ACCEPT"
    found = checked(("-A PREROUTING -p icmp -j CT --notrack",), (accept,)).findings
    (hole,) = (f for f in found if f.code == "CT101")
    assert hole.severity is Severity.CRITICAL
    assert "icmp" in "".join(hole.evidence)


SOURCE_PORT = "-A PREROUTING -p tcp -m tcp --sport 2022 -j NOTRACK"
ENTRY: dict[str, str] = {
    "its direction": "--ctdir ORIGINAL", "where it goes": "--ctorigdst 192.0.2.77",
    "what it has not seen": "! --ctstatus SEEN_REPLY",
}  # fmt: skip


@pytest.mark.parametrize("name", ENTRY)
def test_what_an_entry_says_of_a_first_packet_is_known(name: str) -> None:
    """A rule drops first packets by what their entry says: untracked they get in, without a condition (K107)."""
    found = checked((SOURCE_PORT,), (f"-A INPUT -m conntrack {ENTRY[name]} -j DROP",), "ACCEPT").findings
    assert [Severity.CRITICAL] == [f.severity for f in found if f.code == "CT101"]


@pytest.mark.parametrize("asked", ["--ctdir REPLY", "--ctorigsrc 192.0.2.77", "--ctreplsrcport 2022"])
def test_what_an_entry_says_of_answers_is_known_where_a_dialogue_is_followed(asked: str) -> None:
    """Answers pass by what their entry says, and have none where the requests are untracked: the connection dies,
    without a condition."""
    raw, accepts = "-A OUTPUT -p tcp -m tcp --dport 2022 -j NOTRACK", f"-A INPUT -m conntrack {asked} -j ACCEPT"
    lines = ("*raw", ":OUTPUT ACCEPT [0:0]", raw, "COMMIT", "*filter", ":INPUT DROP [0:0]", accepts, "COMMIT", "")
    case = case_of(read("\n".join(lines), "rules"), Intervals.of((HERE, HERE)))
    cut = [d for side in case.sides for d in side.differences() if d.harm is Harm.CUT]
    assert (Direction.OUTBOUND, {False}) == (cut[0].direction, {d.conditional for d in cut})


PROXY = "-A INPUT -p tcp -m tcp --dport 8088 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460"
OPEN = "-A INPUT -p tcp -m tcp --dport 8088 -j ACCEPT"
SYNS = "-A PREROUTING -p tcp -m tcp --dport 8088 --syn -j CT --notrack"


@pytest.mark.parametrize(
    ("dropped", "told"), [((), []), (("-A OUTPUT -m conntrack --ctstate INVALID -j DROP",), ["CT117"])]
)
def test_a_proxys_answer_has_to_leave(dropped: tuple[str, ...], told: list[str]) -> None:
    """SYNPROXY's SYN/ACK to an untracked SYN has no entry (K138): where OUTPUT drops INVALID nobody gets in."""
    found = checked((SYNS,), (PROXY, OPEN, *dropped), loose=False).findings
    assert told == [f.code for f in found if f.severity is Severity.CRITICAL]
    assert bool(told) == any("refused is tcp SYN/ACK" in line for f in found for line in f.evidence)


def test_what_a_proxy_answers_is_not_refused() -> None:
    """All packets of a service untracked, whose SYNs come to SYNPROXY: it answers, and never opens the connection."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 8088 -j CT --notrack",)
    found = checked(raw, (PROXY, OPEN), loose=False).findings
    assert {"CT121"} == {f.code for f in found if f.code in ("CT105", "CT121")}


@pytest.mark.parametrize(
    ("written", "severity"),
    [((), Severity.CRITICAL), (("-A INPUT -j CONNMARK --set-xmark 0x1/0xffffffff",), Severity.WARNING)],
)
def test_no_entry_has_a_mark_where_no_rule_writes_one(written: tuple[str, ...], severity: Severity) -> None:
    """A rule drops entries with mark 0: all of them, where nobody marks any. Untracked packets have no entry."""
    found = checked((SOURCE_PORT,), (*written, "-A INPUT -m connmark --mark 0x0 -j DROP"), "ACCEPT").findings
    assert [severity] == [f.severity for f in found if f.code == "CT101"]


def test_one_query_and_its_answer_are_a_dialogue() -> None:
    """A second query, ESTABLISHED by then, would not come in: the first one's answer is lost all the same."""
    lines = (
        "*raw", ":OUTPUT ACCEPT [0:0]", "-A OUTPUT -p udp -m udp --sport 5353 -j NOTRACK", "COMMIT",
        "*filter", ":INPUT DROP [0:0]", ":OUTPUT DROP [0:0]",
        "-A INPUT -p udp -m udp --dport 5353 -m conntrack --ctstate NEW -j ACCEPT",
        "-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", "COMMIT", "",
    )  # fmt: skip
    found = check_ruleset(read("\n".join(lines), "rules"), Intervals.of((HERE, HERE))).findings
    assert ["CT105"] == [f.code for f in found if f.severity is Severity.CRITICAL]


def test_a_reset_that_has_no_entry_is_untracked_where_it_comes_back_in() -> None:
    """On lo a PREROUTING rule takes what answers untracked packets (K108): it is not said to do nothing."""
    raw = (
        "-A OUTPUT -o lo -p tcp -m tcp --dport 2022 -j NOTRACK",
        "-A PREROUTING -i lo -p tcp -m tcp --sport 2022 -j NOTRACK",
    )
    assert [] == [f.code for f in checked(raw, (ANSWERS,)).findings if f.code == "CT104"]
    assert ["CT104"] == [f.code for f in checked(raw[1:], (ANSWERS,)).findings if f.code == "CT104"]


def test_errors_about_what_lo_leaves_untracked_have_no_entry_either() -> None:
    """They are untracked where they come back in (K108): a rule for them is not said to do nothing."""
    raw = (
        "-A OUTPUT -o lo -p udp -m udp --dport 443 -j NOTRACK",
        "-A PREROUTING -p udp -m udp --sport 443 -j NOTRACK",
        "-A PREROUTING -i lo -p icmp -j NOTRACK",
    )
    assert [] == [f.code for f in checked(raw, (ANSWERS,)).findings if f.code == "CT104"]
    assert ["CT104"] == [f.code for f in checked(raw[1:], (ANSWERS,)).findings if f.code == "CT104"]


def test_a_proxy_drops_an_ack_that_it_did_not_earn() -> None:
    """Answers alone untracked: the client's ACK is INVALID and comes to SYNPROXY, which answered no SYN (K138)."""
    found = checked(("-A OUTPUT -p tcp -m tcp --sport 8088 -j NOTRACK",), (PROXY, OPEN), loose=False).findings
    assert [Severity.CRITICAL] == [f.severity for f in found if f.code == "CT117"]


@pytest.mark.parametrize(
    ("states", "severity"), [("ESTABLISHED", Severity.WARNING), ("ESTABLISHED,RELATED", Severity.CRITICAL)]
)
def test_a_lost_helper_is_critical_where_connections_pass_as_related_alone(states: str, severity: Severity) -> None:
    """Whoever lets in all that is NEW, or nothing RELATED, misses nothing that a helper announces."""
    raw = (
        "-A OUTPUT -p tcp -m tcp --sport 30000:60000 -j NOTRACK",
        "-A OUTPUT -p tcp -m tcp --dport 21 -j CT --helper ftp",
    )
    found = checked(raw, (f"-A INPUT -m conntrack --ctstate {states} -j ACCEPT",)).findings
    assert [severity] == [f.severity for f in found if f.code == "CT110"]


def test_a_helper_behind_a_zone_is_none_that_untracking_takes_away() -> None:
    """The first template stays (K10): with NOTRACK or without it, these connections have no helper."""
    raw = (
        "-A OUTPUT -p tcp -m tcp --sport 30000:60000 -j NOTRACK",
        "-A OUTPUT -p tcp -m tcp -j CT --zone 5",
        "-A OUTPUT -p tcp -m tcp --dport 21 -j CT --helper ftp",
    )
    assert [] == [f for f in checked(raw, (ANSWERS,)).findings if f.code == "CT110"]


@pytest.mark.parametrize(("zone", "told"), [("-i eth0", []), ("-i eth1", ["CT117"])])
def test_a_proxy_that_answers_no_syn_takes_every_ack(zone: str, told: list[str]) -> None:
    """One way has a zone: the client's ACK is INVALID and dropped by SYNPROXY, whatever is untracked."""
    raw = (f"-A PREROUTING {zone} -j CT --zone 5", "-A OUTPUT -o eth0 -p tcp -m tcp --sport 8088 -j NOTRACK")
    proxy = "-A INPUT -p tcp -m tcp --dport 8088 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460"
    rules = (proxy, "-A INPUT -m conntrack --ctstate INVALID -j DROP", ANSWERS, "-A INPUT -p tcp -j ACCEPT")
    found = checked(raw, rules).findings
    assert told == [f.code for f in found if f.severity is Severity.CRITICAL]


@pytest.mark.parametrize(
    ("states", "rules", "severity"),
    [
        ("INVALID,UNTRACKED", (OPEN,), Severity.CRITICAL),
        ("INVALID,UNTRACKED", (), Severity.WARNING),  # tracked, the filter refuses them
        ("INVALID,NEW,UNTRACKED", (OPEN,), Severity.WARNING),  # tracked, the proxy answers them all the same (K115)
    ],
)
def test_a_proxy_passed_by_is_critical_where_the_connection_would_be(
    states: str, rules: tuple[str, ...], severity: Severity
) -> None:
    """What dies with untracking and without it is a warning."""
    proxy = PROXY.replace("INVALID,UNTRACKED", states)
    raw = ("-A PREROUTING -p tcp -m tcp --dport 8088 -j CT --notrack",)
    found = checked(raw, (proxy, ANSWERS, *rules), loose=False).findings
    assert [severity] == [f.severity for f in found if f.code == "CT121"]


def test_a_rule_for_answers_alone_takes_none_before_the_first() -> None:
    """An error about a query is lost to the rule that takes errors; the finding at the rule for answers tells nothing
    of it."""
    raw = ("-A PREROUTING -p udp -m udp --sport 5353 -j NOTRACK", "-A PREROUTING -p icmp -j NOTRACK")
    passing = ("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
               "-A FORWARD -p udp -m udp --dport 5353 -j ACCEPT")  # fmt: skip
    told = {(f.code, f.place.line) for f in checked(raw, passing).findings if f.place}
    assert {("CT117", 4), ("CT119", 5)} <= told


def test_rules_that_ask_for_the_length_take_a_part_of_each_connection() -> None:
    """A SYN and its answer are tracked, data is not: refused where the filter knows no untracked packets."""
    raw = ("-A PREROUTING -m length ! --length 40:60 -j NOTRACK", "-A OUTPUT -m length ! --length 40:60 -j NOTRACK")
    cut = [f for f in checked(raw, (ANSWERS, SSH)).findings if f.severity is Severity.CRITICAL]
    assert any("refused is tcp ACK 192.0.2.1:3306" in line for f in cut for line in f.evidence)


def test_plain_connections_have_no_extension_headers() -> None:
    """A rule against routing headers in front of all others makes no death a mere possibility."""
    text = "\n".join((
        "*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]",
        "-A OUTPUT -p tcp -m tcp --sport 2022 -j NOTRACK", "COMMIT",
        "*filter", ":INPUT DROP [0:0]", ":OUTPUT ACCEPT [0:0]", "-A INPUT -m rt --rt-type 0 -j DROP",
        "-A INPUT -m conntrack --ctstate INVALID -j DROP", "-A INPUT -p tcp -m tcp --dport 2022 -j ACCEPT",
        "COMMIT", "",
    ))  # fmt: skip
    found = check_ruleset(read(text, "rules.v6"), None).findings
    assert Severity.CRITICAL in {f.severity for f in found}
