"""What a confirm adds and takes out, as lines."""

from __future__ import annotations

import pytest

from conntrim.core.model.plan import TRIAL_SUFFIX, mark_of
from conntrim.core.model.ruleset import Dialect
from conntrim.core.plan.compile import compile_plan, compiled
from conntrim.core.plan.compiled import Compiled
from conntrim.core.rollout.difference import difference
from tests.unit.core.plan.planning import CACHE, WEB
from tests.unit.core.plan.test_replacing import BASE, DIALECTS, request

SETTINGS = "[table]\nmax = 500000\n"


def comments(done: Compiled) -> list[str]:
    """The comments of ours in a state."""
    found = [rule.comment for t in done.after.tables for chain in t.chains for rule in chain.rules]
    return sorted(comment for comment in found if mark_of(comment))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_rule_that_is_kept_stands_there_once_without_its_guard(dialect: Dialect) -> None:
    """Each rule of ours of the state after a confirm by its comment, whatever the dialect; nothing goes."""
    asked = request(WEB + CACHE, None, dialect)
    lines = difference(compile_plan(asked), BASE)
    added = [line.text for line in lines if line.sign == "+"]
    kept = comments(compiled(asked))
    assert len(added) == len(kept)
    assert all(any(f'"{comment}"' in text for text in added) for comment in kept)
    assert not any(TRIAL_SUFFIX in text or "--datestop" in text or "armed" in text for text in added)
    assert not [line for line in lines if line.sign == "-"]


def test_context_is_what_a_rule_stands_before_in_the_chains_order() -> None:
    """Two accepts in INPUT: each above the rule that it comes before, and these in the order of the chain."""
    plan = compile_plan(request(WEB + CACHE))
    context = [line.text for line in difference(plan, BASE) if line.sign == " " and line.place == "ip filter INPUT"]
    chain = next(c for t in BASE.tables for c in t.chains if c.name == "INPUT")
    there = [rule.text.removeprefix("-A INPUT ") for rule in chain.rules]
    assert len(context) > 1
    assert context == [text for text in there if text in context]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_a_plan_that_is_replaced_everything_goes(dialect: Dialect) -> None:
    """Each rule of the earlier plan once with a minus, each of the new one once with a plus."""
    first = compiled(request(WEB, None, dialect))
    plan = compile_plan(request(WEB + CACHE, first, dialect))
    lines = difference(plan, first.after)
    gone = [line for line in lines if line.sign == "-"]
    assert len(gone) == len(comments(first))
    assert sum(line.sign == "+" for line in lines) == len(comments(compiled(request(WEB + CACHE, first, dialect))))


def test_what_is_in_force_differs_in_nothing_and_settings_are_lines_too() -> None:
    """The same policy again: no line. A size: its key and its files."""
    first = compiled(request(WEB))
    assert difference(compile_plan(request(WEB, first)), first.after) == ()
    lines = difference(compile_plan(request(SETTINGS)), BASE)
    assert ("sysctl", "+", "net.netfilter.nf_conntrack_max = 500000") in [(x.place, x.sign, x.text) for x in lines]
    assert {line.place for line in lines} == {"sysctl", "files"}
