"""The checks of rule sets: what each finds, and what it leaves alone."""

import json

import pytest

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.walk import walk
from conntrim.core.parse.ruleset import read
from conntrim.render.sarif import sarif

FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
{}
COMMIT
"""
ACCEPT_ALL = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT"
ACCEPT_80 = "-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
IN_80 = "-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack"
OUT_80 = "-A OUTPUT -p tcp -m tcp --sport 80 -j CT --notrack"
ERRORS = "-A INPUT -p icmp -m icmp --icmp-type {} -j ACCEPT"
TIGHT = (*(ERRORS.format(kind) for kind in (3, 11, 12)), ACCEPT_80.replace("NEW", "NEW,UNTRACKED"),
         "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")  # fmt: skip


def checked(raw: tuple[str, ...], accepts: tuple[str, ...]) -> Checked:
    """The findings of a raw table with these rules and a filter with those."""
    return check_ruleset(_ruleset(raw, accepts), None)


def _ruleset(raw: tuple[str, ...], accepts: tuple[str, ...]) -> Ruleset:
    table = "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", ""])
    return read(table + FILTER.format("\n".join(accepts)), "rules")


def codes(found: Checked) -> list[tuple[str, int]]:
    """Code and line of each finding."""
    return [(f.code, f.place.line if f.place else 0) for f in found.findings]


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
    "one way": ((IN_80,), TIGHT, [("CT103", 4)]),
    "shadowed": (("-A PREROUTING -p tcp -j ACCEPT", IN_80, "-A OUTPUT -p tcp -j ACCEPT", OUT_80), TIGHT,
                 [("CT104", 5), ("CT104", 7)]),
    "refused": ((IN_80, OUT_80), (*TIGHT[:3], ACCEPT_80, TIGHT[4]), [("CT105", 4)]),
    "errors refused": ((IN_80, OUT_80), TIGHT[3:], [("CT106", 0)]),
    "no notrack": ((), (ACCEPT_ALL,), []),
}  # fmt: skip
"""Raw rules, filter rules, and the findings by code and line."""


@pytest.mark.parametrize("name", CASES)
def test_each_check_finds_its_own_and_nothing_else(name: str) -> None:
    """Code and line of every finding, in a rule set with one mistake."""
    raw, accepts, expected = CASES[name]
    assert expected == codes(checked(raw, accepts))


def test_a_rule_s_comment_leaves_a_finding_out() -> None:
    """The comment names the code; the finding goes, and is counted."""
    marked = IN_80.replace("-j CT", '-m comment --comment "conntrim: ignore CT103 answers go another way" -j CT')
    found = checked((marked,), TIGHT)
    assert ([], 1) == (codes(found), found.ignored)


def test_the_hole_is_shown_by_a_packet_that_replays() -> None:
    """The packet of CT101 is accepted, and refused once the NOTRACK rule is gone."""
    raw, accepts, _ = CASES["hole"]
    (finding,) = checked(raw, accepts).findings
    assert "source port 11211" in finding.evidence[0]
    assert "SYN 198.51.100.7:11211 > 192.0.2.1:3306" in finding.evidence[1]
    source, target = parse_address("198.51.100.7"), parse_address("192.0.2.1")
    packet = Packet(Family.IPV4, 6, source, target, 11211, 3306, 2, iif="eth0")
    with_rule, without = (_ruleset(rules, accepts) for rules in (raw, raw[:2]))
    assert (Fate.ACCEPT, Fate.DROP) == (walk(with_rule, packet).verdict, walk(without, packet).verdict)


def test_sarif_names_rule_file_and_line() -> None:
    """One result with its code, level and place, and a rule for each code."""
    run = json.loads(sarif(checked((IN_80,), TIGHT)))["runs"][0]
    (result,) = run["results"]
    assert ("CT103", "warning") == (result["ruleId"], result["level"])
    place = result["locations"][0]["physicalLocation"]
    assert ("rules", 4) == (place["artifactLocation"]["uri"], place["region"]["startLine"])
    assert {"CT101", "CT106"} <= {rule["id"] for rule in run["tool"]["driver"]["rules"]}
