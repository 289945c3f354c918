"""Packets as rules: how many it takes."""

from __future__ import annotations

import pytest

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import IPV4, IPV6
from conntrim.core.model.ruleset import Dialect, End, In, TableFamily, Verdict
from conntrim.core.plan.described import Described
from conntrim.core.plan.spelling import spell

TWO = Intervals.of(parse_prefix("10.7.0.0/16"), parse_prefix("10.9.0.0/16"))
SOURCES = {
    "all but one prefix, IPv6": (IPV6 - Intervals.of(parse_prefix("2001:db8:7::/48")), TableFamily.IP6, 1),
    "all but one prefix": (IPV4 - Intervals.of(parse_prefix("10.7.0.0/16")), TableFamily.IP, 1),
    "two prefixes": (TWO, TableFamily.IP, 2),
    "one prefix": (Intervals.of(parse_prefix("10.7.0.0/16")), TableFamily.IP, 1),
}


@pytest.mark.parametrize("name", SOURCES)
def test_all_but_one_prefix_is_one_rule(name: str) -> None:
    """iptables takes one prefix a rule, and negates it: the rest of a family is no list of all its other prefixes."""
    sources, family, count = SOURCES[name]
    box = Described({Field.SRC: sources}, CtState.UNTRACKED, {})
    rules = spell(box, End(Verdict.ACCEPT), "words", Dialect.IPTABLES_NFT, family)
    assert count == len(rules)
    assert sources == Intervals.union_of(
        r for rule in rules for m in rule.matches if isinstance(m, In) for r in m.values.ranges
    )
