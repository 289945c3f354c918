"""Edits are shown only where, carried out, they cure their finding and harm nothing."""

from __future__ import annotations

import pytest

from conntrim.core.change.apply import apply
from conntrim.core.change.edits import change_of
from conntrim.core.diagnose.rulesets.registry import check_ruleset
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
