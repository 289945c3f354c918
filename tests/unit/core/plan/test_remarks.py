"""What a plan says beside its rules: NOTRACK rules that are there already, services that are closed."""

from __future__ import annotations

import pytest

from conntrim.render.plan import answer
from tests.unit.core.plan.planning import CACHE, INBOUND, WEB, filtered, plan

RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
FILTER = ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "-p tcp -m tcp --dport 80 -j ACCEPT")
ALREADY = {
    "-A OUTPUT -p tcp -m tcp --dport 11211 -j NOTRACK": "untracks outbound tcp/11211 request already, and the plan",
    "-A PREROUTING -p tcp -m tcp --sport 11211 -j NOTRACK": "untracks outbound tcp/11211 reply already, and the plan",
    "-A PREROUTING -p tcp -m multiport --dports 80,443 -j NOTRACK": "untracks inbound tcp/80 request already, and",
    "-A OUTPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 11211 -j NOTRACK": "untracks packets already; it stays as it is",
    "-A OUTPUT -p udp -m udp --sport 53 -j NOTRACK": "untracks packets already; it stays as it is",
}


@pytest.mark.parametrize("rule", ALREADY)
def test_rules_that_untrack_already(rule: str) -> None:
    """A one-sided or wide NOTRACK rule for a leg of the plan's can go once the plan is confirmed; another one stays."""
    made = plan(WEB + CACHE, filtered(*FILTER, other=RAW.format(rule + "\n")))
    (said,) = [r for r in made.remarks if "untracks" in r]
    assert ALREADY[rule] in said
    assert said.endswith(rule)


def test_closed_service_is_said_first() -> None:
    """A port that the filter lets nobody reach is told in the first line; one that is open is not."""
    made = plan(INBOUND.format("tcp", 3306) + WEB, filtered(*FILTER))
    assert ("inbound tcp/3306",) == made.closed
    assert "the rules do not let inbound tcp/3306 through" in answer(made)
    assert () == plan(WEB, filtered(*FILTER)).closed
