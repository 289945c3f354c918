"""A plan is for one rule set; what has changed since is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.freshness import difference
from conntrim.core.plan.own import fingerprint, parts
from tests.fakes.plans import fake_plan

BEFORE = """\
*filter
:INPUT ACCEPT [0:0]
:MINE - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A MINE -j DROP
COMMIT
"""


def ruleset(text: str) -> Ruleset:
    """A saved rule set."""
    return read(text.encode(), "rules")


PLAN = replace(
    fake_plan(), ruleset_digest=fingerprint(ruleset(BEFORE)), ruleset_parts=parts(ruleset(BEFORE))
)  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[0:0]", "[7:99]", ""),
        ("-A MINE", '-A INPUT -p tcp -m comment --comment "conntrim: inbound tcp/80" -j ACCEPT\n-A MINE', ""),
        ("--dport 22", "--dport 23", "chain INPUT of iptables-nft ip filter has changed"),
        (":MINE - [0:0]\n", ":MINE - [0:0]\n:OURS - [0:0]\n", "chain OURS of iptables-nft ip filter is new"),
        (":MINE - [0:0]\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A MINE -j DROP\n", "-A INPUT -j DROP\n",
         "chain MINE of iptables-nft ip filter is gone, chain INPUT of iptables-nft ip filter has changed"),
    ],
)  # fmt: skip
def test_the_chains_that_differ_are_named(old: str, new: str, expected: str) -> None:
    """Counters and our own rules are no difference; a changed, new or missing chain is one."""
    assert old in BEFORE
    assert difference(PLAN, ruleset(BEFORE.replace(old, new, 1))) == expected


def test_a_plan_that_says_nothing_is_never_stale() -> None:
    """A plan made by hand has no digest."""
    assert difference(fake_plan(), ruleset(BEFORE)) == ""
