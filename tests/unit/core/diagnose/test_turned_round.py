"""NOTRACK rules against a conntrack table: the port on the wrong side, and rules that only seem useless."""

from pathlib import Path

import pytest

from conntrim.core.diagnose.rulesets.met import COLUMNS
from conntrim.core.diagnose.rulesets.registry import Entries, check_ruleset
from conntrim.core.model.address import parse_address
from conntrim.core.model.finding import Finding
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.ruleset import read
from conntrim.host.flow_files import FileFlows
from tests.unit.core.diagnose.written import edited

HOSTS = Path(__file__).parents[3] / "golden" / "hosts"
LOCAL = Intervals.of(parse_address("192.168.0.18"))


def findings(text: str) -> list[Finding]:
    """All findings of a rule set of the document's web server, with its table."""
    flows = FileFlows(str(HOSTS / "web.ip_conntrack"))
    return list(check_ruleset(read(text, "rules"), LOCAL, entries=Entries(LOCAL, flows.blocks(COLUMNS))).findings)


def turned(text: str) -> list[tuple[int, str]]:
    """Line and cause of each rule that stands the wrong way round."""
    return [(f.place.line, f.caused_by) for f in findings(text) if f.code == "CT108" and f.place]


def test_the_documents_useless_variant_is_named() -> None:
    """Both rules name 11211 as if this host were the cache; the second is the same mistake."""
    assert [(4, ""), (5, "CT108 rules:4")] == turned((HOSTS / "web-useless.save").read_text())


def test_what_else_is_wrong_with_it_follows_from_that() -> None:
    """The opened port goes when the rule is turned round."""
    found = findings((HOSTS / "web-useless.save").read_text())
    assert ["CT108 rules:4"] == [f.caused_by for f in found if f.code == "CT102"]


def test_the_edits_pin_the_servers_seen() -> None:
    """Turned round by the advice, with the server's address, the rules meet the entries and open nothing."""
    before = (HOSTS / "web-useless.save").read_text()
    after = edited(before, [f for f in findings(before) if f.code == "CT108"])
    assert "-A PREROUTING -s 192.168.0.17/32 -p tcp -m tcp --sport 11211 ! --syn -j NOTRACK" in after
    assert "-A OUTPUT -d 192.168.0.17/32 -p tcp -m tcp --dport 11211 -j NOTRACK" in after
    assert [] == [f.code for f in findings(after)]


@pytest.mark.parametrize("host", ["web-final", "web-first"])
def test_rules_that_meet_entries_or_nothing_at_all_are_left_alone(host: str) -> None:
    """A rule whose service has no entries may be the reason that there are none."""
    assert [] == turned((HOSTS / f"{host}.save").read_text())


def test_a_single_entry_is_no_evidence() -> None:
    """One client that came from port 443 does not turn a rule for port 443 round."""
    text = (HOSTS / "web-useless.save").read_text().replace("11211", "2676")
    assert [] == turned(text)
