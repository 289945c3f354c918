"""Edits are shown only where, carried out, they cure their finding and harm nothing."""

from __future__ import annotations

import json

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.case import case_of
from conntrim.core.diagnose.rulesets.cut_by_edits import cuts
from conntrim.core.diagnose.rulesets.registry import check_ruleset, found_in
from conntrim.core.parse.nft.commands import without_handles
from conntrim.core.parse.ruleset import read

RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
FILTER = (
    "*filter\n:INPUT DROP [0:0]\n:FORWARD {} [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A INPUT -p tcp -m tcp --dport 11211 -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\nCOMMIT\n"
)
MASQUERADE = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 198.51.100.0/24 -o eth0 -j MASQUERADE\nCOMMIT\n"
ANSWERS = "-A OUTPUT -p tcp -m tcp --sport 11211 -j CT --notrack\n"
REQUESTS = "-A PREROUTING -p tcp -m tcp --dport 11211 -j CT --notrack\n"

NOT_SHOWN = {
    "it brings another finding": RAW.format(ANSWERS) + MASQUERADE + FILTER.format("ACCEPT"),
    "it takes their translation from answers": RAW.format("-A OUTPUT -p tcp -m tcp --dport 22 -j CT --notrack\n")
    + "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n",
    "it cuts connections": RAW.format("-A OUTPUT -o eth0 -p udp -j CT --notrack\n") + FILTER.format("DROP"),
}


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_an_edit_that_is_not_proved_is_not_shown(name: str) -> None:
    """The rule for the answers is no cure there: the finding stands without it."""
    (finding,) = (f for f in check_ruleset(read(NOT_SHOWN[name], "rules"), None).findings if f.code == "CT103")
    assert not finding.edits


def test_edits_are_proved_one_after_the_other() -> None:
    """Of three equal rules two go, and all that is shown done at once leaves nothing to find."""
    before = read(RAW.format(REQUESTS * 3 + ANSWERS) + FILTER.format("DROP"), "rules")
    found = check_ruleset(before, None).findings
    edits = [edit for finding in found for edit in finding.edits]
    after = apply(change_of(edits), before)
    raw = next(table for table in after.tables if table.name == "raw")
    assert len(next(chain for chain in raw.chains if chain.name == "PREROUTING").rules) == 1
    assert not check_ruleset(after, None).findings


ERRORS = RAW.format("-A PREROUTING -p tcp -m tcp --sport 80 -j CT --notrack\n") + (
    "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
)
"""Answers are untracked, the entry that the requests leave knows errors about them."""


def test_what_untracks_the_other_half_lets_errors_in() -> None:
    """With the entry gone INVALID would be dropped, errors among it: the cure accepts them, alone it kills nothing."""
    (finding,) = check_ruleset(read(ERRORS, "rules"), None).findings
    assert "CT103" == finding.code
    assert ["-A OUTPUT -p tcp -m tcp --dport 80 -j CT --notrack"] == [
        e.text for e in finding.edits if "OUTPUT" in e.text
    ]
    assert 3 == sum("--icmp-type" in edit.text for edit in finding.edits)


def nft(*rules: str, policy: str = "drop") -> str:
    """A listing: what comes by eth0 to port 443 is untracked; these rules are those of INPUT."""
    table = {"family": "ip6", "name": "t", "handle": 1}
    untrack = [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 443}},
        {"notrack": None},
    ]
    objects: list[dict[str, object]] = [{"metainfo": {"json_schema_version": 1}}, {"table": table}]
    for name, hook, prio, how in (("raw", "prerouting", -300, "accept"), ("in", "input", 0, policy)):
        objects.append({"chain": {"family": "ip6", "table": "t", "name": name, "handle": 2, "type": "filter",
                                  "hook": hook, "prio": prio, "policy": how}})  # fmt: skip
    objects.append({"rule": {"family": "ip6", "table": "t", "chain": "raw", "handle": 3, "expr": untrack}})
    for number, rule in enumerate(rules, 4):
        expr = json.loads(rule)
        objects.append({"rule": {"family": "ip6", "table": "t", "chain": "in", "handle": number, "expr": expr}})
    return json.dumps({"nftables": objects})


STATES = json.dumps([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [
    [state, {"accept": None}] for state in ("established", "related", "untracked")]}}}])  # fmt: skip


@pytest.mark.parametrize("handles", [True, False])
def test_no_edit_takes_the_rule_of_connections_away(handles: bool) -> None:
    """A verdict map lets connections in beside what is untracked: to narrow it would be to delete it. So in a text,
    which tells no handles.
    """
    listing = json.loads(nft(STATES))
    found = check_ruleset(read(json.dumps(listing if handles else without_handles(listing)), "nft"), None).findings
    (hole,) = (finding for finding in found if finding.code == "CT102")
    assert not hole.edits


def test_an_edit_that_needs_another_comes_with_it() -> None:
    """Done alone from the rules as they are, each finding's edits leave nothing of it."""
    before = read(RAW.format(REQUESTS * 3 + ANSWERS) + FILTER.format("DROP"), "rules")
    for finding in check_ruleset(before, None).findings:
        left = check_ruleset(apply(change_of(finding.edits), before), None).findings
        assert finding.name not in {each.name for each in left}


HIDDEN = RAW.format("-A PREROUTING -s 198.51.100.0/24 -p udp -m udp --sport 443 -j CT --notrack\n") + (
    "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
    "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT\nCOMMIT\n"
)


def test_no_edit_opens_more_by_a_rule_that_opens_too_much_already() -> None:
    """What is forwarded gets in by its source port, a finding that stands: whoever sends from that port would reach
    this host's ports as well, and nothing new would be found."""
    found = {f.code: f for f in check_ruleset(read(HIDDEN, "rules"), None).findings}
    assert "CT101" in found
    assert not found["CT105"].edits


def test_an_edit_opens_for_answers_where_the_rule_opens_nothing_yet() -> None:
    """The same without the hole on the other way: the finding that the edit would bring is new."""
    found = {f.code: f for f in check_ruleset(read(HIDDEN.replace(",UNTRACKED", ""), "rules"), None).findings}
    assert "CT101" not in found
    assert not found["CT105"].edits


ZONED = (
    "*raw\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -p tcp -m tcp --sport 3306 -j ACCEPT\nCOMMIT\n"
)


@pytest.mark.parametrize("zone", [True, False])
def test_no_edit_closes_by_state_where_connections_have_two_zones(zone: bool) -> None:
    """Answers that come in into another zone find no entry: to ask for ESTABLISHED would refuse them."""
    rules = ZONED.format("-A PREROUTING -j CT --zone 5\n" if zone else "")
    (finding,) = check_ruleset(read(rules, "rules"), None).findings
    assert "CT114" == finding.code
    assert bool(finding.edits) is not zone


def test_an_edit_is_shown_once() -> None:
    """Round lo a rule that names the interface alone is its own mirror: done twice the second would do nothing."""
    rules = RAW.format("-A PREROUTING -i lo -j CT --notrack\n" + REQUESTS * 2) + (
        "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n"
        "-A INPUT -p tcp -m tcp --dport 11211 -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n"
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT\nCOMMIT\n"
    )
    findings = [f for f in check_ruleset(read(rules, "rules"), None).findings if f.code == "CT104"]
    assert [["-A OUTPUT -o lo -j CT --notrack", ""], [""]] == [[edit.text for edit in f.edits] for f in findings]


GATEWAY = (
    "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A PREROUTING -p tcp -m tcp --sport 80 -j CT --notrack\n-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack\n"
    "-A OUTPUT -p tcp -m tcp --sport 80 -j CT --notrack\n-A OUTPUT -p tcp -m tcp --dport 80 -j CT --notrack\n"
    "-A OUTPUT -p udp -j CT --notrack\nCOMMIT\n"
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A FORWARD -m conntrack --ctstate INVALID -j DROP\n-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT\nCOMMIT\n"
)
"""Errors about forwarded connections to port 80 are lost already, those about forwarded datagrams are not."""


def test_errors_that_are_lost_already_may_be_lost_of_more() -> None:
    """What untracks the answers to this host's datagrams takes forwarded ones, and nothing new would be found: the
    accepts come along."""
    found = {f.code: f for f in check_ruleset(read(GATEWAY, "rules"), None).findings}
    assert {"CT103", "CT106"} == set(found)
    twin = found["CT103"].edits
    assert "-A PREROUTING -p udp -j CT --notrack" in [edit.text for edit in twin]
    assert {edit.text for edit in found["CT106"].edits} < {edit.text for edit in twin}


ONE_WAY = RAW.format("-A OUTPUT -p tcp -m tcp --dport 22 -j CT --notrack\n") + (
    "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT\n"
    "-A INPUT -p tcp -m tcp --sport 22 -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\nCOMMIT\n"
)
"""Answers from port 22 find no entry, and come in by their port alone."""


def test_no_edit_closes_by_state_what_half_untracked_connections_need() -> None:
    """The rule opens all ports to whoever sends from port 22; to ask it for ESTABLISHED would cut what works."""
    found = {f.code: f for f in check_ruleset(read(ONE_WAY, "rules"), None).findings}
    edits = {edit.text for edit in found["CT114"].edits}
    assert "-A INPUT -s SERVER -p tcp -m tcp --sport 22 ! --syn -j ACCEPT" in edits


@pytest.mark.parametrize("half", [True, False])
def test_half_untracked_connections_are_followed_where_no_edit_untracks_anything(half: bool) -> None:
    """Answers without an entry are INVALID: what asks for ESTABLISHED cuts them, and nobody's where all are tracked."""
    before = ONE_WAY if half else ONE_WAY.replace("-A OUTPUT -p tcp -m tcp --dport 22 -j CT --notrack\n", "")
    after = before.replace("--sport 22 -j", "--sport 22 -m conntrack --ctstate ESTABLISHED -j")
    assert half is cuts(read(before, "rules"), read(after, "rules"), None, lambda: None)


def test_a_recheck_walks_no_dialogue_again_that_the_edit_leaves_as_it_was() -> None:
    """An edit of untracking rules alone changes nothing without untracking: a packet of a dialogue is walked there once
    for all checks, and once for all dialogues that begin alike (128 packets of 21 dialogues are played)."""
    nat = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o eth0 -j MASQUERADE\nCOMMIT\n"
    before = read(RAW.format(REQUESTS * 2 + ANSWERS) + nat + FILTER.format("ACCEPT"), "rules")
    known = case_of(before, None).known
    found = list(found_in(before, None, lambda: None, known=known))
    assert known.inert is not None
    walked = len(known.inert.walked)
    after = apply(change_of(edit for f in found if f.code == "CT104" for edit in f.edits), before)
    assert after != before
    assert [f.code for f in found_in(after, None, lambda: None, known=known)] == ["CT116"]
    assert (len(known.inert.walked), walked) == (48, 48)


def test_what_was_to_be_cured_is_looked_for_first() -> None:
    """What stands after its edit is refuted by the first finding of the recheck, whatever else is found."""
    before = read(RAW.format(REQUESTS * 2 + ANSWERS) + MASQUERADE + FILTER.format("DROP"), "rules")
    codes = [f.code for f in found_in(before, None, lambda: None)]
    for code in codes:
        assert next(found_in(before, None, lambda: None, first={code})).code == code
    assert len(set(codes)) > 1
