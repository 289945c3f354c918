"""What the journal tells of the plans that were applied, on a host in memory."""

from __future__ import annotations

from dataclasses import replace

from conntrim.app.rollout import apply, clean, confirm, history, rollback
from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Obligation, ObligationStatus
from conntrim.core.model.policy import ClientLimit, Policy, ServiceTimeout
from conntrim.core.model.service import Direction
from conntrim.core.rollout.history import STEPS, stepped
from conntrim.core.rollout.record import Journal, Note
from conntrim.core.rollout.states import State
from conntrim.render.history import to_text
from conntrim.render.rollout import to_text as report_text
from tests.fakes.plans import fake_plan
from tests.fakes.rollout import FakeHost

PLAN = fake_plan()
BROKEN = fake_plan("wrong", (Obligation("no-loss", ObligationStatus.BROKEN, "it is"),))


def said(host: FakeHost) -> list[tuple[str, str, str]]:
    """What, which plan, by whom."""
    return [(step.what, step.plan, step.by) for step in history(host.ports()).steps]


def test_each_step_stands_there_with_its_plan_and_who_took_it() -> None:
    """Refused, tried, confirmed, undone: nothing in between, nothing twice."""
    host = FakeHost()
    host.operator = "alice"
    for plan in (BROKEN, PLAN, PLAN):
        apply(host.ports(), plan, 60)
    host.operator = "bob"
    confirm(host.ports())
    rollback(host.ports())
    assert said(host) == [
        ("refused", "wrong", "alice"), ("tried", "web", "alice"), ("confirmed", "web", "bob"), ("undone", "web", "bob"),
    ]  # fmt: skip


def test_a_trial_expires_by_nobody_at_its_own_time() -> None:
    """Shown as soon as the clock says so, and written down once, when somebody cleans up."""
    host = FakeHost()
    host.operator = "alice"
    apply(host.ports(), PLAN, 60)
    host.clock.sleep(90)
    seen = history(host.ports())
    assert (seen.state, seen.steps[-1].what, seen.steps[-1].at) == (State.EXPIRED, "expired", "1970-01-12T13:47:40Z")
    assert len(host.journal.journal.steps) == 1
    clean(host.ports())
    assert said(host) == [("tried", "web", "alice"), ("expired", "web", ""), ("undone", "web", "alice")]
    assert history(host.ports()).steps[1].at == "1970-01-12T13:47:40Z"


def test_the_text_names_plan_services_and_who() -> None:
    """The last step first; what a plan was about in the line below its trial."""
    host = FakeHost()
    assert to_text(history(host.ports())) == "No plan was ever applied here.\n"
    host.operator = "alice"
    apply(host.ports(), PLAN, 60)
    assert to_text(history(host.ports())).splitlines() == [
        "1 step; the last: web tried 1970-01-12T13:46:40Z by alice",
        "1970-01-12T13:46:40Z  tried  web  alice",
        "  inbound tcp/80",
    ]


def test_a_journal_of_the_release_before_still_tells_its_steps() -> None:
    """Its notes have neither plan nor name, and that is said."""
    host = FakeHost()
    notes = (Note("2026-01-01T00:00:00Z", "loading"), Note("2026-01-01T00:00:01Z", "trial"))
    host.journal.journal = Journal(history=notes)
    seen = history(host.ports())
    assert ([(s.at, s.what) for s in seen.steps], len(seen.remarks)) == ([("2026-01-01T00:00:01Z", "tried")], 1)


def test_the_journal_keeps_the_newest_steps() -> None:
    """More than it keeps: the oldest go."""
    journal = Journal(State.LOADING, PLAN)
    for number in range(STEPS + 3):
        journal = replace(journal, steps=stepped(journal, State.TRIAL, f"{number}", "alice"))
    assert [step.at for step in journal.steps] == [str(number) for number in range(3, STEPS + 3)]


def test_limits_and_time_outs_are_told_as_untracked_services_are() -> None:
    """A plan that untracks nothing is no plan of settings alone, in the history and in the reports."""
    limit = ClientLimit(Direction.FORWARDED, 6, connections=100, family=Family.IPV4)
    timed = ServiceTimeout(Direction.FORWARDED, 17, Intervals.of(53), {"unreplied": 15})
    plan = replace(PLAN, policy=Policy(limits=(limit,), service_timeouts=(timed,)))
    host = FakeHost()
    tried = apply(host.ports(), plan, 60)
    assert f"Limited: {limit}" in report_text(tried)
    assert f"Time-outs of their own: {timed}" in report_text(tried)
    assert (f"time-outs of {timed}", f"limit of {limit}") == history(host.ports()).steps[-1].services
    undone = report_text(rollback(host.ports()))
    assert f"No longer limited: {limit}" in undone
    assert f"Time-outs of the host again: {timed}" in undone


def test_only_what_goes_untracked_is_deleted_from_the_table() -> None:
    """Where the rules let nobody ask, a plan untracks nothing: its policy's services keep their entries then, too."""
    assert () == replace(PLAN, untracked=()).services()
    assert PLAN.policy.untrack == PLAN.services()
