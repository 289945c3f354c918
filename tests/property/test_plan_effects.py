"""A rule that counts, asked of the packet evaluator: where a plan is proved it counts the same packets as before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import OpaqueMatch, Rule, Ruleset
from conntrim.core.netfilter.dialogue import Talk, dialogue
from conntrim.core.netfilter.memory import EMPTY
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from tests.property.test_plan import KERNEL, OPENERS, line, made, out_rule, port, rule, source, state, statuses
from tests.unit.core.plan.planning import filtered

LIMIT = "-m limit --limit 7/sec"
ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
counting = st.builds(
    lambda said, to: f"{said.rsplit(' -j ', 1)[0]} {LIMIT} -j {to}" if " -j " in said else f"{LIMIT} -j {to}",
    st.builds(line, source, port, state, st.just("ACCEPT")),
    st.sampled_from(["ACCEPT", "DROP"]),
)


@st.composite
def filters(draw: st.DrawFn) -> str:
    """A filter with one rule that counts, somewhere before or behind the accept of what is ESTABLISHED."""
    lines = [*draw(st.lists(rule.filter(lambda r: "USER" not in r), max_size=3)), ESTABLISHED]
    lines.insert(draw(st.integers(0, len(lines))), draw(counting))
    lines += ["-p tcp -m tcp --dport 80 -j ACCEPT"] * draw(st.integers(0, 1))
    out = tuple(draw(st.lists(out_rule, max_size=1)))
    return filtered(*lines, policy=draw(st.sampled_from(["ACCEPT", "DROP"])), output=out)


def answering(ruleset: Ruleset, yes: bool) -> Ruleset:
    """The rule set where the limit always holds, or never does."""

    def rules(each: tuple[Rule, ...]) -> Iterator[Rule]:
        for one in each:
            kept = tuple(m for m in one.matches if not (isinstance(m, OpaqueMatch) and m.kind == "limit"))
            if yes or kept == one.matches:
                yield replace(one, matches=kept)

    return replace(ruleset, tables=tuple(
        replace(t, chains=tuple(replace(c, rules=tuple(rules(c.rules))) for c in t.chains)) for t in ruleset.tables
    ))  # fmt: skip


def counted(ruleset: Ruleset, opener: Packet, yes: bool) -> tuple[list[bool], bool]:
    """Which packets of a connection come to the limit, and whether the connection goes through."""
    simple, memory, found, through = answering(ruleset, yes), EMPTY, [], True
    for packet in dialogue(Talk.TCP, opener):
        found.append(any("limit" in text for text in simulate(ruleset, packet, memory, KERNEL).asked))
        outcome = simulate(simple, packet, memory, KERNEL)
        memory, through = outcome.memory, through and outcome.verdict is Fate.ACCEPT
    return found, through


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(filters())
def test_proved_means_that_the_same_packets_are_counted(text: str) -> None:
    """Where `no-ct-dependence` is proved, each packet of a connection that went through is counted as before."""
    plan = made(text)
    assume(statuses(plan)["no-ct-dependence"] is ObligationStatus.PROVED)
    for opener in OPENERS:
        for yes in (True, False):
            before, through = counted(plan.before, opener, yes)
            if through:
                assert before == counted(plan.after, opener, yes)[0]


def test_both_happen() -> None:
    """The property is not empty: a limit in front of the accept is proved to count alike, one that asks the state not;
    behind the accept a plan keeps all but opening packets from it."""
    limit = f"-p tcp -m tcp --dport 80 {LIMIT} -j ACCEPT"
    by_state = limit.replace(LIMIT, f"-m conntrack --ctstate NEW {LIMIT}")
    plans = [made(filtered(*lines)) for lines in ((limit, ESTABLISHED), (ESTABLISHED, limit), (ESTABLISHED, by_state))]
    assert [ObligationStatus.PROVED, ObligationStatus.PROVED, ObligationStatus.NOT_DECIDED] == [
        statuses(p)["no-ct-dependence"] for p in plans
    ]
    expected = [[True, False, True, True, False, True, False, True], [True] + [False] * 7]
    assert expected == [counted(p.before, OPENERS[0], True)[0] for p in plans[:2]]
    assert expected == [counted(p.after, OPENERS[0], True)[0] for p in plans[:2]]
