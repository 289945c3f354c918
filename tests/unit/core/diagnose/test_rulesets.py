"""The checks of rule sets: what each finds, and what it leaves alone."""

from pathlib import Path

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.finding import Severity
from conntrim.core.model.normal import normal
from conntrim.core.model.packet import Packet
from conntrim.core.model.service import Direction
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import compare
from conntrim.core.prove.populations import Population
from conntrim.render.check import check_text
from tests.unit.core.diagnose.written import (
    ACCEPT_80,
    ACCEPT_ALL,
    IN_80,
    OUT_80,
    TIGHT,
    checked,
    codes,
    edited,
    ruleset,
    text,
)

HOSTS = Path(__file__).parents[3] / "golden" / "hosts"

WEB_IN, WEB_OUT = (
    rule.replace("tcp --", "multiport --").replace("port 80", "ports 80,443") for rule in (IN_80, OUT_80)
)
WEB = tuple(rule.replace("tcp --dport 80", "multiport --dports 80,443") for rule in TIGHT)
RESETTING = "-A INPUT -s 203.0.113.0/24 -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset"
OUT_ERRORS = tuple(rule.replace("INPUT", "OUTPUT") for rule in TIGHT[:3])
OUT_11211 = "-A OUTPUT -p tcp -m tcp --dport 11211 -j CT --notrack"
OUT_443 = "-A OUTPUT -p udp -m udp --dport 443 -j NOTRACK"
UDP_443 = ("-A PREROUTING -p udp -m udp --sport 443 -j NOTRACK", OUT_443)
CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, int]]]] = {
    "tight": ((IN_80, OUT_80), TIGHT, []),
    "hole": (
        (IN_80, OUT_80, "-A PREROUTING -p tcp -m tcp --sport 11211 -j CT --notrack",
         "-A OUTPUT -p tcp -m tcp --dport 11211 -j CT --notrack"),
        (ACCEPT_ALL, ACCEPT_80, *TIGHT[:3]), [("CT101", 6)],
    ),
    "open range": (
        ("-A PREROUTING -p tcp -m tcp --dport 10240:65000 -j CT --notrack",
         "-A OUTPUT -p tcp -m tcp --sport 10240:65000 -j CT --notrack"),
        (ACCEPT_ALL, *TIGHT[:3]), [("CT102", 4)],
    ),
    "hole for one peer": (
        (IN_80, OUT_80, "-A PREROUTING -s 192.0.2.7/32 -p tcp -m tcp --sport 11211 -j CT --notrack",
         "-A OUTPUT -d 192.0.2.7/32 -p tcp -m tcp --dport 11211 -j CT --notrack"),
        (ACCEPT_ALL, ACCEPT_80, *TIGHT[:3]), [("CT101", 6)],
    ),
    "no hole for one peer": (
        (IN_80, OUT_80, "-A PREROUTING -s 192.0.2.7/32 -p tcp -m tcp --sport 11211 ! --syn -j CT --notrack",
         "-A OUTPUT -d 192.0.2.7/32 -p tcp -m tcp --dport 11211 -j CT --notrack"),
        (ACCEPT_ALL, ACCEPT_80, *TIGHT[:3]), [],
    ),
    "one way": ((IN_80,), TIGHT, [("CT103", 4)]),
    "one way, and a state that raw never sees": (
        (IN_80, "-A OUTPUT -p tcp -m tcp --sport 80 -m conntrack --ctstate NEW -j CT --notrack"), TIGHT,
        [("CT103", 4), ("CT104", 5)],
    ),
    "shadowed": (("-A PREROUTING -p tcp -j ACCEPT", IN_80, "-A OUTPUT -p tcp -j ACCEPT", OUT_80), TIGHT,
                 [("CT104", 5), ("CT104", 7)]),
    "refused": ((IN_80, OUT_80), (*TIGHT[:3], ACCEPT_80, TIGHT[4]), [("CT105", 4)]),
    "errors refused": ((IN_80, OUT_80), TIGHT[3:], [("CT106", 8)]),
    "errors do not leave": (
        (IN_80, OUT_80), (*TIGHT, "-A OUTPUT -m conntrack --ctstate INVALID -j DROP"),
        [("CT116", 5), ("CT106", 16)],
    ),
    "on lo": (("-A PREROUTING -i lo -p tcp -m tcp --dport 8080 -j CT --notrack", IN_80, OUT_80), TIGHT, [("CT104", 4)]),
    "behind a zone": (("-A PREROUTING -p tcp -m tcp --dport 80 -j CT --zone 1", IN_80), TIGHT, [("CT104", 5)]),
    "fragments in raw": (("-A PREROUTING -f -j CT --notrack",), TIGHT, [("CT104", 4)]),
    "no address of this hook": (("-A OUTPUT -s 192.0.2.1/32 -d 192.0.2.1/32 -i eth0 -j CT --notrack",), TIGHT,
                                [("CT104", 4)]),
    "translated": (
        (IN_80, OUT_80), (*TIGHT, "-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.9"),
        [("CT109", 4)],
    ),
    "translated in part": (
        (WEB_IN, WEB_OUT), (*WEB, "-A PREROUTING -p tcp -m tcp --dport 443 -j DNAT --to-destination 192.0.2.9"),
        [("CT109", 4)],
    ),
    "translated twice": (
        (WEB_IN, WEB_OUT),
        (*WEB, *(f"-A PREROUTING -i {i} -p tcp -m tcp --dport 443 -j DNAT --to-destination 192.0.2.9" for i in "ab")),
        [("CT109", 4)],
    ),
    "masqueraded after all": ((IN_80, OUT_80), (*TIGHT, "-A POSTROUTING -o eth0 -j MASQUERADE"), []),
    "helper": (
        (IN_80, OUT_80, "-A PREROUTING -p tcp -m tcp --dport 80 -j CT --helper ftp"), TIGHT, [("CT110", 6)],
    ),
    "helper for one port": (
        (WEB_IN, WEB_OUT, "-A PREROUTING -p tcp -m tcp --dport 443 -j CT --helper ftp"), WEB, [("CT110", 6)],
    ),
    "connlimit of one port": (
        (WEB_IN, WEB_OUT), ("-A INPUT -p tcp -m tcp --dport 443 -m connlimit --connlimit-above 20 -j REJECT", *WEB),
        [("CT111", 11)],
    ),
    "connlimit of one of two rules": (
        (IN_80, IN_80.replace("80", "443"), OUT_80, OUT_80.replace("80", "443")),
        ("-A INPUT -p tcp -m tcp --dport 443 -m connlimit --connlimit-above 20 -j REJECT", *WEB), [("CT111", 13)],
    ),
    "marks restored": ((IN_80, OUT_80), ("-A INPUT -j CONNMARK --restore-mark", *TIGHT), [("CT111", 11)]),
    "connlimit": (
        (IN_80, OUT_80), ("-A INPUT -p tcp -m tcp --dport 80 -m connlimit --connlimit-above 20 -j REJECT", *TIGHT),
        [("CT111", 11)],
    ),
    "connlimit of another port": (
        (IN_80, OUT_80), ("-A INPUT -p tcp -m tcp --dport 25 -m connlimit --connlimit-above 20 -j REJECT", *TIGHT), [],
    ),
    "wider than it reads": (
        (IN_80, OUT_80), ("-A INPUT -m conntrack --ctstate UNTRACKED --ctorigdst 192.0.2.9 -j ACCEPT", *TIGHT),
        [("CT111", 11)],
    ),
    "accept never met": (
        (IN_80, OUT_80), (*TIGHT, "-A INPUT -p tcp -m tcp --dport 8080 -m conntrack --ctstate UNTRACKED -j ACCEPT"),
        [("CT113", 16)],
    ),
    "wide source port": ((), (*TIGHT, "-A INPUT -p udp -m udp --sport 53 -j ACCEPT"), [("CT114", 14)]),
    "source port of a known connection": (
        (), (*TIGHT, "-A INPUT -p udp -m udp --sport 53 -m conntrack --ctstate ESTABLISHED -j ACCEPT"), [],
    ),
    "source port of one server": ((), (*TIGHT, "-A INPUT -s 192.0.2.53/32 -p udp -m udp --sport 53 -j ACCEPT"), []),
    "resets that do not leave": (
        (IN_80, OUT_80), (RESETTING, *TIGHT, *OUT_ERRORS, "-A OUTPUT -m conntrack --ctstate INVALID -j DROP"),
        [("CT116", 5), ("CT115", 11)],
    ),
    "resets that leave": ((IN_80, OUT_80), (RESETTING, *TIGHT), []),
    "cut on lo": (
        (IN_80, OUT_80), (*TIGHT, "-A INPUT -i lo -m conntrack --ctstate UNTRACKED -j DROP"), [("CT116", 5)],
    ),
    "no notrack": ((), (ACCEPT_ALL,), []),
}  # fmt: skip
"""Raw rules, filter rules, and the findings by code and line."""


@pytest.mark.parametrize("name", CASES)
def test_each_check_finds_its_own_and_nothing_else(name: str) -> None:
    """Code and line of every finding, in a rule set with one mistake."""
    raw, accepts, expected = CASES[name]
    assert expected == codes(checked(raw, accepts))


@pytest.mark.parametrize(("target", "said"), [
    ("CT --notrack", "are untracked already"), ("CT --zone 1", "have a zone already"),
    ("CT --ctevents new", "have a template already"), ("ACCEPT", "are accepted before"), ("DROP", "are dropped before"),
    ("NFQUEUE --queue-num 0", "go to a program before"),
])  # fmt: skip
def test_what_an_earlier_rule_did_is_said(target: str, said: str) -> None:
    """K9, K10: why NOTRACK comes too late, by what stands in front of it."""
    found = checked((f"-A PREROUTING -p tcp -m tcp --dport 80 -j {target}", IN_80), TIGHT).findings
    (title,) = (f.title for f in found if f.code == "CT104")
    assert f"its packets {said}" in title


def test_a_rule_s_comment_leaves_a_finding_out() -> None:
    """The comment names the code; the finding goes, and is counted."""
    marked = IN_80.replace("-j CT", '-m comment --comment "conntrim: ignore CT103 answers go another way" -j CT')
    found = checked((marked,), TIGHT)
    assert ([], ["answers go another way"]) == (codes(found), [i.reason for i in found.ignored])


def test_the_hole_is_shown_by_a_packet_that_replays() -> None:
    """The packet of CT101 is accepted, and refused once the NOTRACK rule is gone."""
    raw, accepts, _ = CASES["hole"]
    (finding,) = checked(raw, accepts).findings
    assert "source port 11211" in finding.evidence[0]
    assert "SYN 198.51.100.7:11211 > 192.0.2.1:3306" in finding.evidence[1]
    source, target = parse_address("198.51.100.7"), parse_address("192.0.2.1")
    packet = Packet(Family.IPV4, 6, source, target, 11211, 3306, 2, iif="eth0")
    with_rule, without = (ruleset(rules, accepts) for rules in (raw, raw[:2]))
    assert (Fate.ACCEPT, Fate.DROP) == (simulate(with_rule, packet).verdict, simulate(without, packet).verdict)


@pytest.mark.parametrize("host", ["cache", "web-final", "web-one-sided", "web-refused"])
def test_following_the_advice_leaves_nothing_to_find(host: str) -> None:
    """Every edit of every finding carried out, addresses filled in: the rule set is clean, and stays readable."""
    before = (HOSTS / f"{host}.save").read_text()
    first = check_ruleset(read(before, "rules"), None)
    assert first.findings
    after = check_ruleset(read(edited(before, first.findings), "rules"), None)
    assert [] == [f"{f.code} {f.evidence}" for f in after.findings if f.severity > 1]


NAMED = frozenset({"CT104", "CT105", "CT106", "CT115", "CT116"})
"""Findings whose advice says what it newly lets in."""

UNCURED = ("marks restored", "behind a zone", "open range", "translated twice")
"""No edit is right by itself: what to do with marks or a zone only the operator knows; a range that is narrowed cuts
what the host opens from its ports; an exemption of two devices leaves the others one-sided."""
CURED = [name for name, (_, _, found) in CASES.items() if found and name not in UNCURED]


@pytest.mark.parametrize("name", CURED)
def test_an_edit_cures_its_finding_and_opens_nothing(name: str) -> None:
    """Carried out, the edits leave nothing to find; no unsolicited packet gets in that the advice does not name."""
    raw, accepts, expected = CASES[name]
    before = text(raw, accepts)
    after = edited(before, check_ruleset(read(before, "rules"), None).findings)
    assert [] == codes(check_ruleset(read(after, "rules"), None))
    found = compare(read(before, "rules"), read(after, "rules")).differences
    meant = [d for d in found if d.population is not Population.TRANSLATED]  # what is translated again comes through
    opened = [d.regions for d in meant if d.admitted and d.direction is not Direction.LOOPBACK]
    assert not opened or {code for code, _ in expected} <= NAMED


@pytest.mark.parametrize("name", [name for name, (_, _, found) in CASES.items() if found])
def test_an_edit_is_what_its_operation_does(name: str) -> None:
    """The lines as they are shown, and the operations done to the rule set in memory: one and the same rules."""
    raw, accepts, _ = CASES[name]
    before = text(raw, accepts)
    findings = check_ruleset(read(before, "rules"), None).findings
    shown = edited(before, findings).replace("203.0.113.7", "192.0.2.254").replace("203.0.113.9", "192.0.2.253")
    done = apply(change_of(e for f in findings for e in f.edits), read(before, "rules"))
    assert normal(read(shown, "rules")) == normal(done)


KEPT: dict[str, list[str]] = {
    "translated in part": ["-A PREROUTING -p tcp -m tcp --dport 443 -j ACCEPT",
                           "-A OUTPUT -p tcp -m tcp --sport 443 -j ACCEPT"],
    "helper for one port": ["-A PREROUTING -p tcp -m tcp --dport 443 -j CT --helper ftp", "",
                            "-A OUTPUT -p tcp -m tcp --sport 443 -j ACCEPT"],
    "connlimit of one port": ["-A PREROUTING -p tcp -m tcp --dport 443 -j ACCEPT",
                              "-A OUTPUT -p tcp -m tcp --sport 443 -j ACCEPT"],
    "connlimit": ["", ""],
    "wider than it reads": ["-A INPUT -d 192.0.2.9/32 -m conntrack --ctstate UNTRACKED -j ACCEPT"],
    "marks restored": [],
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_what_needs_its_entry_is_left_tracked(name: str) -> None:
    """Request and answer of that port alone; the whole rule goes where nothing else is left; else nobody guesses."""
    raw, accepts, _ = CASES[name]
    (finding,) = checked(raw, accepts).findings
    assert KEPT[name] == [e.text for e in finding.edits]
    assert finding.edits or "yours to decide" in finding.advice[0]


def test_notrack_where_nothing_is_tracked_is_noted() -> None:
    """K5: a rule set without a question about state has no entries to spare; one with a question has."""
    idle, used = (
        checked((IN_80, OUT_80), rules) for rules in (("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT",), TIGHT)
    )
    told = [
        ["uses conntrack for IPv4" in r for r in found.remarks if "leave entries" not in r and "open nothing" not in r]
        for found in (idle, used)
    ]
    assert [[True], []] == told


def test_what_follows_stands_behind_its_cause() -> None:
    """A missing twin makes INVALID answers: the second finding names the first."""
    loose = (ACCEPT_ALL, ACCEPT_80, *TIGHT[:3])
    found = checked(("-A OUTPUT -p tcp -m tcp --dport 11211 -j CT --notrack",), loose)
    assert [("CT103", ""), ("CT107", "CT103 rules:4")] == [(f.code, f.caused_by) for f in found.findings]


@pytest.mark.parametrize(("states", "twin"), [("INVALID,UNTRACKED", True), ("UNTRACKED", False), ("NEW", False)])
def test_an_idle_twin_would_take_the_answers_in_the_state_that_raw_sees(states: str, twin: bool) -> None:
    """Before conntrack what no rule untracked is INVALID: a rule that asks for that is the twin behind the accept that
    shadows it, one that asks for UNTRACKED or NEW would take no answer in any place, and the twin is still missing."""
    idle = f"-A OUTPUT -p tcp -m tcp --sport 80 -m conntrack --ctstate {states} -j CT --notrack"
    found = {f.code: f for f in checked((IN_80, "-A OUTPUT -p tcp -j ACCEPT", idle), TIGHT).findings}
    assert found["CT103"].caused_by == ("CT104 rules:6" if twin else "")
    assert bool(found["CT103"].edits) is not twin


KNOWN = (*TIGHT[:3], TIGHT[4])
BEGUN: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[tuple[str, int]]]] = {
    "refused answers of what never began": (UDP_443, (*TIGHT, OUT_443.replace("NOTRACK", "DROP")), []),
    "refused answers of what began": (UDP_443, TIGHT, [("CT105", 4)]),
    "answers without entries of what begins round lo alone, untracked": (
        (OUT_11211,), (*KNOWN, "-A OUTPUT -p tcp -m tcp --dport 11211 -m conntrack --ctstate NEW -j DROP"),
        [("CT103", 4)],
    ),
    "answers without entries": ((OUT_11211,), TIGHT, [("CT103", 4), ("CT107", 4)]),
    "acknowledgements alone": (
        (OUT_11211.replace("-j", "--tcp-flags SYN,ACK ACK -j"),), TIGHT, [("CT103", 4)],
    ),
    "questions of which only the answers are untracked": (
        (OUT_80,), (*TIGHT, "-A OUTPUT -p tcp -m tcp --sport 80 -m conntrack --ctstate NEW -j DROP"),
        [("CT103", 4), ("CT107", 4)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BEGUN)
def test_a_connection_is_cut_only_where_one_begins(name: str) -> None:
    """Critical is what ends a connection that the filter would let begin, as the one who opens it or who answers (K15);
    a rule that takes neither the opening packet nor the first answer leaves the answers their entry."""
    raw, accepts, expected = BEGUN[name]
    assert codes(checked(raw, accepts)) == expected


REPLAYS: dict[str, tuple[Fate, ...]] = {
    "CT101": (Fate.ACCEPT,), "CT102": (Fate.ACCEPT,), "CT114": (Fate.ACCEPT,), "CT105": (Fate.DROP, Fate.REJECT),
    "CT106": (Fate.DROP, Fate.REJECT), "CT107": (Fate.DROP, Fate.REJECT), "CT115": (Fate.REJECT,),
}  # fmt: skip
"""What becomes of a finding's witness in the rule set as it stands."""


@pytest.mark.parametrize("name", [name for name, (_, _, found) in CASES.items() if REPLAYS.keys() & dict(found)])
def test_witnesses_replay(name: str) -> None:
    """What a finding calls reachable is accepted, what it calls refused is dropped, by the readable evaluator."""
    raw, accepts, _ = CASES[name]
    rules = ruleset(raw, accepts)
    found = [f for f in check_ruleset(rules, None).findings if f.code in REPLAYS]
    assert found
    for finding in found:
        assert finding.witness is not None
        assert simulate(rules, finding.witness).verdict in REPLAYS[finding.code]


def test_a_packet_that_nat_misses_is_untracked() -> None:
    """CT109's witness goes past the DNAT rule with its destination as it was."""
    raw, accepts, _ = CASES["translated"]
    rules = ruleset(raw, accepts)
    (finding,) = check_ruleset(rules, None).findings
    assert finding.witness is not None
    outcome = simulate(rules, finding.witness)
    assert (CtState.UNTRACKED, finding.witness.dst) == (outcome.state, outcome.left.dst)


def test_a_hole_for_one_peer_is_a_narrower_one() -> None:
    """A rule that names its peer is told as that: a warning, about this peer."""
    raw, accepts, _ = CASES["hole for one peer"]
    (finding,) = checked(raw, accepts).findings
    assert (Severity.WARNING, True) == (finding.severity, finding.title.startswith("the peers it names"))
    assert "from 192.0.2.7" in finding.evidence[0]


def test_the_first_line_tells_how_bad_it_is() -> None:
    """One line, with the worst of what was found: nothing to say, one cause, several causes."""
    hole, several = CASES["hole"], CASES["shadowed"]
    first = [check_text(checked(*case[:2])).splitlines()[0] for case in (CASES["tight"], hole, several)]
    assert ["clean in 8 rules", "1 finding in 10 rules, critical", "2 findings in 10 rules"] == first


OUTWARD = (
    "-A OUTPUT -p tcp -m tcp --dport 443 -j CT --notrack",
    "-A PREROUTING -p tcp -m tcp --sport 443 -j CT --notrack",
)


@pytest.mark.parametrize(("nat", "severity"), [
    ("-A POSTROUTING -p tcp -j SNAT --to-source 192.0.2.50", Severity.WARNING),
    ("-A OUTPUT -p tcp -m tcp --dport 443 -j DNAT --to-destination 192.0.2.9", Severity.CRITICAL),
])  # fmt: skip
def test_what_this_host_opens_outlives_the_translation_of_its_source(nat: str, severity: Severity) -> None:
    """Its connections go on from another address of its own, so that is a warning; where they were to go elsewhere
    they are lost."""
    found = [f.severity for f in checked(OUTWARD, (nat,)).findings if f.code == "CT109"]
    assert found == [severity]


@pytest.mark.parametrize(("port", "severity"), [("53", Severity.WARNING), ("30000:60000", Severity.CRITICAL)])
def test_a_helper_missed_by_chance_is_a_warning(port: str, severity: Severity) -> None:
    """Who asks an FTP server from port 53 is nobody's client; whole ranges of client ports are."""
    raw = (
        f"-A OUTPUT -p tcp -m tcp --sport {port} -j CT --notrack",
        "-A OUTPUT -p tcp -m tcp --dport 21 -j CT --helper ftp",
    )
    passing = "-A OUTPUT -j ACCEPT", "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
    assert [f.severity for f in checked(raw, passing).findings if f.code == "CT110"] == [severity]
    assert not [f for f in checked(raw, ()).findings if f.code == "CT110"]  # such connections never come about
