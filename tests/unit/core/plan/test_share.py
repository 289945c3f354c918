"""A trial of a share of all clients: who is in it, how rules say it, and that it is proved like the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import Family, parse_address, parse_prefix
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Dialect, End, In, Match, Rule, TableFamily, Verdict
from conntrim.core.model.share import Share, told_by
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.canary import Some, for_clients, share_of
from conntrim.core.plan.compile import Request, compile_plan, compiled
from conntrim.core.plan.described import Described
from conntrim.core.plan.obligations.decide import proved
from conntrim.core.plan.spelling import spell
from tests.unit.core.plan.planning import CACHE, WEB, facts, rules, with_rules

POLICY = f"""{WEB}{CACHE}
[[timeout]]
direction = "forwarded"
protocol = "udp"
ports = [53]
seconds = {{ unreplied = 15 }}
[[limit]]
direction = "forwarded"
connections = 20
"""
FILTER = """\
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT {}-p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -j ACCEPT
COMMIT
"""


@pytest.mark.parametrize(
    ("percent", "bits"),
    [(99.9, 1), (50, 1), (49.9, 2), (25, 2), (10, 4), (6.25, 4), (1, 7), (0.4, 8), (0.39, None), (0, None)],
)
def test_the_share_is_the_power_of_two_nearest_below(percent: float, bits: int | None) -> None:
    """Never more clients than were asked for."""
    assert share_of(percent) == (None if bits is None else Share(bits))


def request(dialect: Dialect, source: str = "", share: Share = Share(4)) -> Request:  # noqa: B008 - frozen
    """The policy for some on a web server that both families reach."""
    base = rules(FILTER.format(source)) + rules(FILTER.format(""), TableFamily.IP6)
    policy = for_clients(parse_policy(POLICY.encode(), "policy"), Some(share=share))
    return Request(policy, base, facts("192.168.0.18", "2001:db8::18"), dialect=dialect)


@pytest.mark.parametrize("source", ["", "-s 192.168.0.0/24 "])
@pytest.mark.parametrize("dialect", Dialect)
def test_a_share_is_proved_in_each_dialect(dialect: Dialect, source: str) -> None:
    """Both families, all cures, whoever the filter lets ask: only the kernel's word is left."""
    plan = compile_plan(request(dialect, source))
    assert {"loads"} == {o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED}
    assert [str(cure) for cure in plan.policy.untrack] == [f"inbound tcp/80 from {Share(4)}"]
    assert all(service.keep_lo_tracked for service in plan.services())


@pytest.mark.parametrize("dialect", Dialect)
def test_an_answer_of_another_share_is_broken(dialect: Dialect) -> None:
    """Where the rules for answers look at three bits, and those for requests at four, more goes untracked one way."""
    done = compiled(request(dialect))

    def three(rule: Rule) -> Rule:
        return replace(rule, matches=tuple(map(fewer, rule.matches)))

    def fewer(match: Match) -> Match:
        if not isinstance(match, In) or match.field is not Field.DST or match.mask is None:
            return match
        ((value, _),) = match.values.ranges
        return replace(match, mask=match.mask - 8, values=Intervals.of(value - 8))

    assert proved(done).undecided() == frozenset()
    names = {c.name for t in done.after.tables for c in t.chains}
    (output,) = [name for name in names if name.lower().replace("-", "_") in ("conntrim_output", "untrack_output")]
    wrong = with_rules(done.untracked, output, three)
    assert proved(replace(done, untracked=wrong)).undecided() == {"no-loss"}


@pytest.mark.parametrize(
    ("clients", "said"),
    [
        ("10.0.0.0/8", [In(Field.SRC, Intervals.of(parse_address("10.0.0.15")), 0)]),
        ("10.0.0.16/29", []),
        ("10.0.0.16/28", [In(Field.SRC, Intervals.of(parse_address("10.0.0.31")))]),
        ("10.0.0.24/29", [In(Field.SRC, Intervals.of(parse_address("10.0.0.31")))]),
    ],
)
def test_iptables_asks_an_address_once(clients: str, said: list[In]) -> None:
    """A prefix and a share are one match, one address where that is all, and no rule where nobody is in both."""
    fields = {Field.SRC: Intervals.of(parse_prefix(clients)), **told_by(Share(4), Family.IPV4)}
    told = Described(fields, CtState.NEW, {})
    drop = End(Verdict.DROP)
    found = spell(told, drop, "", Dialect.IPTABLES_LEGACY, TableFamily.IP, tracked=False)
    masked = [replace(m, mask=0 if m.mask else None) for rule in found for m in rule.matches if isinstance(m, In)]
    assert masked == said
