"""The verbs of the rollout on a host in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from conntrim.app.ports.journal import HeldError
from conntrim.app.rollout import apply, clean, confirm, rollback, rollback_without_journal, status, would_apply
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import Obligation, ObligationStatus
from conntrim.core.rollout.probe import Probe
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.render.rollout import to_text
from tests.fakes.loader import KilledError
from tests.fakes.plans import fake_plan
from tests.fakes.rollout import FakeHost

PLAN = fake_plan()


def on_trial(seconds: float = 60) -> FakeHost:
    """A host with the plan on trial."""
    host = FakeHost()
    assert apply(host.ports(), PLAN, seconds).exit_code == 0
    return host


def test_a_trial_adds_guarded_rules_and_nothing_else() -> None:
    """Apply loads the plan's guarded rules; sysctls and files stay, and no entry is deleted."""
    host = on_trial()
    assert list(host.loader.rules) == ["web accept (trial)", "web raw (trial)"]
    assert (host.sysctls.values, host.files.texts, host.purge.stale) == ({"a": 1, "b": 2}, {"/etc/rules": "old"}, 7)
    report = status(host.ports())
    assert (report.state, report.seconds_left, report.deadline) == (State.TRIAL, 60.0, "1970-01-12T13:47:40Z")


def test_the_deadline_needs_nobody() -> None:
    """When the time is over the rules no longer act, and status calls them expired."""
    host = on_trial()
    host.clock.sleep(60)
    assert (host.acting(), status(host.ports()).state) == (frozenset(), State.EXPIRED)


def test_apply_twice_changes_nothing() -> None:
    """The second apply of the same plan only says that it is on trial."""
    host = on_trial()
    calls = host.faults.calls
    report = apply(host.ports(), PLAN, 300)
    assert (report.answer, report.exit_code, host.faults.calls) == ("already on trial", 0, calls)


def test_another_plan_is_refused_while_one_is_on_trial() -> None:
    """Two plans are never on trial at once."""
    host = on_trial()
    report = apply(host.ports(), fake_plan("cache"), 60)
    assert (report.answer, report.exit_code) == ("another plan is on trial", 1)
    assert "cache accept (trial)" not in host.loader.rules


def test_apply_after_expiry_starts_anew() -> None:
    """An expired trial's rules go out, another plan goes on trial."""
    host = on_trial()
    host.clock.sleep(61)
    assert apply(host.ports(), fake_plan("cache"), 60).answer == "armed"
    assert host.acting() == {"cache accept (trial)", "cache raw (trial)"}


def test_the_same_plan_after_expiry_starts_anew() -> None:
    """The same plan's inert rules go out first: they would be there twice."""
    host = on_trial()
    host.clock.sleep(61)
    assert apply(host.ports(), PLAN, 60).answer == "armed"
    assert host.acting() == {"web accept (trial)", "web raw (trial)"}


def test_confirm_keeps_everything() -> None:
    """Confirm swaps the rules, deletes the stale entries, sets sysctls, writes files with a dated copy."""
    host = on_trial()
    report = confirm(host.ports())
    assert (report.answer, report.exit_code, report.purged) == ("confirmed", 0, 7)
    assert host.loader.rules == {"web accept": None, "web raw": None}
    assert host.sysctls.values == {"a": 10, "b": 20}
    assert host.files.texts == {"/etc/rules": "new", "/etc/rules.19700112T134640Z": "old", "/etc/more": "more"}
    assert status(host.ports()).state is State.CONFIRMED


def test_rollback_of_a_confirm_restores_everything() -> None:
    """Rules, sysctls and files are as before the plan."""
    host = on_trial()
    confirm(host.ports())
    report = rollback(host.ports())
    assert (report.answer, report.exit_code, report.plan) == ("rolled back", 0, "web")
    assert (host.loader.rules, host.sysctls.values) == ({}, {"a": 1, "b": 2})
    assert host.files.texts == {"/etc/rules": "old"}


def test_a_late_confirm_is_refused() -> None:
    """After the deadline confirm says so, exits with 1, and takes out the leftovers."""
    host = on_trial()
    host.clock.sleep(60)
    report = confirm(host.ports())
    assert (report.answer, report.exit_code, report.why) == ("not kept", 1, "the deadline has passed")
    assert (host.loader.rules, host.purge.stale) == ({}, 7)


def test_a_confirm_without_a_trial_is_refused() -> None:
    """There is nothing to keep."""
    assert ("no trial", 1) == ((r := confirm(FakeHost().ports())).answer, r.exit_code)


def test_a_trial_that_lost_a_rule_is_not_kept() -> None:
    """A confirm does not put in force what was not on trial as a whole."""
    host = on_trial()
    del host.loader.rules["web accept (trial)"]
    report = confirm(host.ports())
    assert (report.answer, report.why) == ("not kept", "1 of the trial's 2 rules are gone from the kernel")
    assert host.loader.rules == {}


def test_a_broken_obligation_must_be_accepted_by_name() -> None:
    """A plan with an open obligation is refused; accepting it by name is written down."""
    host, why = FakeHost(), "source port 11211 reaches port 3306"
    plan = fake_plan(obligations=(Obligation("no-exposure", ObligationStatus.BROKEN, why),))
    report = apply(host.ports(), plan, 60)
    assert (report.answer, report.why) == ("refused", f"no-exposure is broken ({why})")
    assert host.loader.rules == {}
    assert apply(host.ports(), plan, 60, ("no-exposure",)).accepted == ("no-exposure",)
    assert status(host.ports()).accepted == ("no-exposure",)


def test_a_stale_plan_is_refused_with_the_difference() -> None:
    """The rules changed since the plan was made: nothing is loaded, the difference is told."""
    host = FakeHost()
    host.freshness.changed = ("INPUT has a rule more",)
    report = apply(host.ports(), PLAN, 60)
    expected = "the plan is stale: INPUT has a rule more; make it again with conntrim plan -o DIR"
    assert (report.exit_code, report.why, host.loader.rules) == (1, expected, {})


def test_a_rejected_batch_is_found_before_anything_is_loaded() -> None:
    """All batches are checked before the first is loaded."""
    host = FakeHost()
    host.loader.refuses = "raw"
    report = apply(host.ports(), PLAN, 60)
    assert (report.answer, report.why, host.loader.rules) == ("refused", "fake: refused: raw", {})


def test_two_runs_at_once_are_refused() -> None:
    """The second run hears who holds the journal."""
    host = FakeHost()
    host.journal.holder = "conntrim apply (process 7)"
    with pytest.raises(HeldError, match="process 7"):
        apply(host.ports(), PLAN, 60)


def test_a_read_only_sysctl_is_told_and_not_fatal() -> None:
    """A container cannot set global sysctls: the rules are kept and the report says what is not set."""
    host = on_trial()
    host.sysctls.read_only = frozenset({"a"})
    report = confirm(host.ports())
    assert report.answer == "confirmed"
    assert report.remarks == ("a stays 1, not 10: Permission denied (read-only here)",)


def test_buckets_are_set_before_max_and_put_back_after_it() -> None:
    """The hash is never short for the table's size."""
    buckets, top = "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max"
    host = FakeHost()
    host.sysctls.values = {top: 100, buckets: 100}
    apply(host.ports(), replace(PLAN, settings={top: 400, buckets: 400}), 60)
    confirm(host.ports())
    rollback(host.ports())
    assert host.sysctls.order == [(buckets, 400), (top, 400), (top, 100), (buckets, 100)]


def test_a_file_changed_since_is_left_alone() -> None:
    """Rollback does not overwrite what somebody wrote after the confirm."""
    host = on_trial()
    confirm(host.ports())
    host.files.texts["/etc/more"] = "by hand"
    assert rollback(host.ports()).remarks == ("/etc/more was changed since",)
    assert host.files.texts["/etc/more"] == "by hand"


def test_status_tells_drift() -> None:
    """A confirmed rule that is gone, a sysctl and a file that were changed: all named, exit code 1."""
    host = on_trial()
    confirm(host.ports())
    del host.loader.rules["web raw"]
    host.sysctls.values["a"] = 5
    host.files.texts["/etc/rules"] = "by hand"
    report = status(host.ports())
    assert (report.exit_code, report.state, report.missing) == (1, State.DRIFTED, ("web raw",))
    assert report.changed == ("a is 5, not 10; set by /etc/sysctl.d/99.conf:3 = 5", "/etc/rules was changed")


def test_clean_spares_an_armed_trial() -> None:
    """Cleaning takes out inert rules only."""
    host = on_trial()
    assert clean(host.ports()).answer == "still armed"
    host.clock.sleep(61)
    assert (clean(host.ports()).exit_code, host.loader.rules) == (0, {})


def test_a_restart_ends_a_trial() -> None:
    """After a reboot the journal still names a trial: status knows better, and apply works."""
    host = on_trial()
    host.restart()
    assert status(host.ports()).why == "the host was restarted since the trial began"
    assert apply(host.ports(), PLAN, 60).answer == "armed"


def test_a_rollback_tells_of_what_else_bears_our_marks() -> None:
    """Rules of another plan, or copies, are left alone; that nothing of ours is loaded is then not said."""
    host = on_trial()
    host.loader.strays = ("a copy",)
    report = rollback(host.ports())
    assert (report.answer, report.exit_code, report.strays) == ("rolled back", 0, ("a copy",))
    assert "Rolled back. Nothing of this plan is loaded, but 1 rules or chains bear marks" in to_text(report)
    host.loader.strays = ()
    assert to_text(rollback(host.ports())).startswith("Nothing to undo. Nothing of ours is loaded.")


def test_rules_without_a_journal_are_taken_out_by_mark() -> None:
    """With the journal lost only a rollback touches the rules."""
    host = on_trial()
    host.journal.set_aside()
    assert apply(host.ports(), PLAN, 60).answer == "unknown rules of ours"
    assert rollback_without_journal(host.ports()).exit_code == 0
    assert host.loader.rules == {}


@pytest.mark.parametrize("call", range(1, 6))
def test_a_failure_while_applying_leaves_nothing(call: int) -> None:
    """Whichever change fails, no rule of ours is left and the exit code is 1."""
    host = FakeHost()
    host.faults.fail_at = call
    assert (apply(host.ports(), PLAN, 60).exit_code, host.loader.rules) == (1, {})


def test_a_kernel_without_the_second_guard_goes_without() -> None:
    """Where the rules load only without it, the trial has the first guard alone."""
    host = FakeHost()
    host.loader.lacks_recent = True
    assert apply(host.ports(), PLAN, 60).answer == "armed"
    assert (host.journal.journal.guard or Guard(0, 0, "", 9)).recent == 0
    assert len(host.acting()) == 2


def test_an_unwritten_journal_after_loading_is_told() -> None:
    """The guarded rules are in but the journal could not say so: exit code 1, the guard does the rest."""
    host = FakeHost()
    host.faults.fail_at = 8
    report = apply(host.ports(), PLAN, 60)
    assert (report.answer, report.exit_code) == ("done, but the journal could not be written", 1)
    host.clock.sleep(60)
    assert host.acting() == frozenset()


@pytest.mark.parametrize("call", range(1, 6))
def test_a_hangup_while_applying_leaves_nothing(call: int) -> None:
    """SIGHUP, SIGINT or SIGTERM during apply: what was loaded goes out again."""
    host = FakeHost()
    host.faults.hang_up_at = call
    assert (apply(host.ports(), PLAN, 60).exit_code, host.loader.rules) == (1, {})


@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("when", ["die_before", "die_after"])
def test_a_confirm_killed_anywhere_can_be_finished(call: int, when: str) -> None:
    """kill -9 before or after any change of a confirm: a second confirm ends where the first would have."""
    host = on_trial()
    host.faults.calls = 0
    setattr(host.faults, when, call)
    with pytest.raises(KilledError):
        confirm(host.ports())
    assert confirm(host.ports()).answer == "confirmed"
    assert host.loader.rules == {"web accept": None, "web raw": None}
    assert host.sysctls.values == {"a": 10, "b": 20}
    assert host.files.texts["/etc/more"] == "more"


def test_a_plan_of_sizes_alone_is_tried_and_kept() -> None:
    """Without rules there is nothing to guard: confirm sets the sysctls, rollback puts them back."""
    host = FakeHost()
    plan = replace(PLAN, trial=(), confirm=(), rollback_trial=(), rollback_confirmed=())
    assert apply(host.ports(), plan, 60).answer == "armed"
    assert confirm(host.ports()).answer == "confirmed"
    assert host.sysctls.values == {"a": 10, "b": 20}
    assert rollback(host.ports()).answer == "rolled back"
    assert host.sysctls.values == {"a": 1, "b": 2}


def test_a_plan_made_under_the_confirmed_one_changes_nothing() -> None:
    """The same policy planned again has no trial: applying it says that it is confirmed already."""
    host = on_trial()
    confirm(host.ports())
    assert apply(host.ports(), replace(PLAN, trial=(), confirm=(), rollback_trial=()), 60).answer == "already confirmed"


def test_whether_it_loads_is_asked_here() -> None:
    """A plan made elsewhere leaves `loads` open: apply asks the kernel, nobody has to accept it."""
    host = FakeHost()
    plan = fake_plan(obligations=(Obligation("loads", ObligationStatus.NOT_DECIDED, "not asked"),))
    assert apply(host.ports(), plan, 60).answer == "armed"


@pytest.mark.parametrize(("port", "answer"), [(80, "armed"), (81, "fell back")])
def test_a_trial_stands_only_if_the_probes_answer(port: int, answer: str) -> None:
    """A probe that fails takes out the rules at once and says which it was."""
    host = FakeHost()
    report = apply(host.ports(), PLAN, 60, probes=(Probe("192.0.2.1", port),))
    assert report.answer == answer
    assert (report.why, host.acting()) == (
        ("", {"web accept (trial)", "web raw (trial)"})
        if answer == "armed"
        else ("the probe of 192.0.2.1:81 failed: Connection refused", frozenset())
    )


def test_where_nobody_looks_a_probe_over_lo_is_refused_before_anything_is_loaded() -> None:
    """The host's own address answers without meeting a client's rules; somebody who looks is told so."""
    host = FakeHost()
    probes = (Probe("192.0.2.1", 80),)
    refused = apply(host.ports(), PLAN, 60, probes=probes, unattended=True)
    assert (refused.answer, "over lo" in refused.why, host.loader.rules) == ("refused", True, {})
    armed = apply(host.ports(), PLAN, 60, probes=probes)
    assert (armed.answer, any("over lo" in remark for remark in armed.remarks)) == ("armed", True)


@pytest.mark.parametrize(("counts", "unattended", "answer"), [(True, True, "armed"), (False, True, "fell back"),
                                                              (False, False, "armed")])  # fmt: skip
def test_a_command_whose_packets_no_rule_counted_proves_nothing(counts: bool, unattended: bool, answer: str) -> None:
    """It ended well, but met no rule of the plan's: taken back where nobody looks, told where somebody does."""
    host = FakeHost()
    host.loader.counts, host.prober.answering = counts, frozenset({0})
    report = apply(host.ports(), PLAN, 60, probes=(Probe(argv=("true",)),), unattended=unattended)
    assert report.answer == answer
    missed = "no packet of the command true was counted by the rules that untrack a service"
    assert (missed in (report.why, *report.remarks)) is not counts


def test_a_session_that_the_model_cannot_follow_refuses_yes() -> None:
    """Not decided is no promise: taken back where nobody looks, told where somebody does."""
    for unattended, answer in ((True, "fell back"), (False, "armed")):
        host = FakeHost()
        host.prober.doubt = "whether the SSH session stays is not decided"
        report = apply(host.ports(), PLAN, 60, unattended=unattended)
        assert report.answer == answer
        assert host.prober.doubt in (report.why, *report.remarks)


def test_a_trial_that_cuts_off_the_operator_falls_back_at_once() -> None:
    """The session that apply was called from must get through the new rules."""
    host = FakeHost()
    host.prober.why = "the SSH session is no longer let through"
    assert apply(host.ports(), PLAN, 60).why == "the SSH session is no longer let through"
    assert host.loader.rules == {}


def test_entries_are_kept_before_the_rules_and_once_more_after_them() -> None:
    """A crash in between leaves flags alone, which are harmless; what was opened in between is seen to."""
    host = FakeHost()
    apply(host.ports(), PLAN, 60)
    assert ["keep alive 60 s", "keep alive 60 s"] == host.entries.order


def test_a_trial_that_cannot_keep_entries_is_refused_unless_accepted() -> None:
    """What falls-back promises depends on it; an operator who accepts the loss is told instead."""
    for accepted, answer in (((), "fell back"), (("falls-back",), "armed")):
        host = FakeHost()
        host.entries.broken = "no ctnetlink"
        report = apply(host.ports(), PLAN, 60, accepted)
        assert (answer, 1 if answer == "fell back" else 0) == (report.answer, report.exit_code)
        assert "no ctnetlink" in (report.why or " ".join(report.remarks))
        assert bool(host.acting()) == (answer == "armed")


@pytest.mark.parametrize("kept", [False, True])
def test_entries_are_put_right_before_the_rules_go(kept: bool) -> None:
    """Made anew and adopted while nothing looks at them, and adopted again for what came in between."""
    host = FakeHost()
    apply(host.ports(), PLAN, 60)
    if kept:
        confirm(host.ports())
    host.entries.order.clear()
    host.entries.left = 3
    report = rollback(host.ports())
    assert (["renew", "adopt", "adopt"], "rolled back") == (host.entries.order, report.answer)
    assert any("3 entries keep the flag" in remark for remark in report.remarks)


def test_entries_that_cannot_be_put_right_do_not_keep_the_rules_in() -> None:
    """The rules go, and the operator is told."""
    host = FakeHost()
    apply(host.ports(), PLAN, 60)
    host.entries.broken = "no sock_diag"
    report = rollback(host.ports())
    assert ("rolled back", frozenset()) == (report.answer, host.acting())
    assert any("no sock_diag" in remark for remark in report.remarks)


def test_an_armed_trial_says_what_falling_back_costs() -> None:
    """The plan's list, with the answer of apply; no longer once it is kept."""
    host = FakeHost()
    assert ("web: some are cut",) == apply(host.ports(), replace(PLAN, costs=("web: some are cut",)), 60).costs
    assert () == confirm(host.ports()).costs


def test_a_hang_up_at_the_record_of_a_rollback_is_not_the_last_word() -> None:
    """The rules go even so, and the journal says that they do: killed then, the next run goes on with the rollback."""
    host = on_trial()
    confirm(host.ports())
    host.faults.calls, host.faults.hang_up_at, host.faults.die_after = 0, 1, 5
    with pytest.raises(KilledError):
        rollback(host.ports())
    assert State.UNDOING is host.journal.journal.state
    host.faults.calls, host.faults.hang_up_at, host.faults.die_after = 0, 0, 0
    assert "rolled back" == rollback(host.ports()).answer


BOTH = fake_plan("both", replaces="web")
WEB_RULES = {"web accept": None, "web raw": None}


def beside() -> FakeHost:
    """A host with a plan confirmed and the next on trial beside it."""
    host = on_trial()
    assert confirm(host.ports()).exit_code == 0
    assert apply(host.ports(), BOTH, 60).answer == "armed"
    return host


def test_a_replacement_stands_beside_and_goes_back() -> None:
    """On trial both act; expired or undone the first one is what it was, and the report says so."""
    host = beside()
    report = status(host.ports())
    assert (report.plan, report.replaced, report.state) == ("both", "web", State.TRIAL)
    assert host.acting() == {"web accept", "web raw", "both accept (trial)", "both raw (trial)"}
    host.clock.sleep(61)
    assert host.acting() == set(WEB_RULES)
    report = clean(host.ports())
    assert (report.answer, report.plan, report.undone, report.state) == ("rolled back", "web", "both", State.CONFIRMED)
    assert host.loader.rules == WEB_RULES


def test_a_replacement_is_kept_alone_and_undone_by_the_first() -> None:
    """Confirmed: only the second's rules. A rollback brings the first back, another one nothing; settings follow."""
    host = beside()
    report = confirm(host.ports())
    assert (report.answer, report.plan, report.replaced) == ("confirmed", "both", "web")
    assert set(host.loader.rules) == {"both accept", "both raw"}
    report = rollback(host.ports())
    assert (report.plan, report.undone, host.loader.rules) == ("web", "both", WEB_RULES)
    assert host.sysctls.values == {"a": 10, "b": 20}
    assert (rollback(host.ports()).state, host.loader.rules) == (State.NOTHING, {})
    assert (host.sysctls.values, host.files.texts) == ({"a": 1, "b": 2}, {"/etc/rules": "old"})


@pytest.mark.parametrize("fault", ["die_before", "die_after", "fail_at", "hang_up_at"])
@pytest.mark.parametrize("verb", [confirm, rollback])
def test_a_replacement_broken_off_anywhere_never_leaves_a_moment_without_effect(
    fault: str, verb: Callable[[Ports], Report]
) -> None:
    """At each change: one of the two untracks, with its accept; a rollback then leaves the first alone."""
    for call in range(1, 40):
        host = beside()
        host.faults.__init__()  # type: ignore[misc]  # the parts of the host share this one object
        setattr(host.faults, fault, call)
        with suppress(KilledError):
            verb(host.ports())
        reached = host.faults.calls >= call
        host.faults.__init__()  # type: ignore[misc]
        host.clock.sleep(61)
        acting = host.acting()
        assert {"web accept", "web raw"} <= acting or {"both accept", "both raw"} <= acting, (call, acting)
        if status(host.ports()).plan == "both":
            assert rollback(host.ports()).exit_code == 0
        assert (status(host.ports()).plan, host.loader.rules) == ("web", WEB_RULES), call
        if not reached:
            return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("fault", ["die_before", "die_after", "fail_at", "hang_up_at"])
def test_an_apply_broken_off_anywhere_leaves_the_confirmed_plan_and_its_journal(fault: str) -> None:
    """At each change, the first record of the new plan among them: its rules act, the journal has it, as it was, for
    its rollback."""
    for call in range(1, 40):
        host = on_trial()
        confirm(host.ports())
        kept = host.ports().journal.read()
        host.faults.__init__()  # type: ignore[misc]  # the parts of the host share this one object
        setattr(host.faults, fault, call)
        with suppress(KilledError):
            apply(host.ports(), BOTH, 60)
        reached = host.faults.calls >= call
        host.faults.__init__()  # type: ignore[misc]
        assert {"web accept", "web raw"} <= host.acting(), call
        if status(host.ports()).plan == "both":
            assert rollback(host.ports()).exit_code == 0
        journal = host.ports().journal.read().taken_up()
        assert (status(host.ports()).state, host.loader.rules) == (State.CONFIRMED, WEB_RULES), call
        assert replace(journal, history=(), steps=()) == replace(kept, history=(), steps=()), call
        if not reached:
            return
    raise AssertionError("it never ends")


def test_what_was_made_beside_nothing_does_not_stand_beside_a_plan() -> None:
    """Its places are others': refused, and the confirmed plan is what it was."""
    host = on_trial()
    confirm(host.ports())
    report = apply(host.ports(), fake_plan("cache"), 60)
    assert (report.answer, report.plan, report.state) == ("refused", "web", State.CONFIRMED)
    assert host.loader.rules == WEB_RULES


def test_a_dry_run_answers_as_an_apply_and_changes_nothing() -> None:
    """The checks are those of an apply, and so are refusals; rules, journal, sysctls and files stay."""
    host = FakeHost()
    report = would_apply(host.ports(), PLAN, 60)
    assert (report.exit_code, report.plan, report.state) == (0, PLAN.name, State.NOTHING)
    assert to_text(report).startswith("Nothing loaded: an apply would pass all checks. Nothing of ours is loaded.")
    assert (host.faults.calls, list(host.loader.rules), host.ports().journal.read().plan) == (0, [], None)
    assert apply(host.ports(), PLAN, 60).answer == "armed"
    assert would_apply(host.ports(), PLAN, 60).answer == "already on trial"
    assert would_apply(host.ports(), fake_plan("cache"), 60).exit_code == 1
    calls = host.faults.calls
    host.clock.sleep(61)
    left = would_apply(host.ports(), PLAN, 60)
    assert (left.exit_code, left.state, host.faults.calls) == (1, State.EXPIRED, calls)
    assert "status --clean" in left.why


def test_a_dry_run_refuses_what_an_apply_refuses() -> None:
    """In the same words, with the same exit code; what is accepted by name passes."""
    broken = replace(PLAN, obligations=(Obligation("no-loss", ObligationStatus.BROKEN, "ssh is dropped"),))
    host = FakeHost()
    dry, real = would_apply(host.ports(), broken, 60), apply(FakeHost().ports(), broken, 60)
    assert (dry.answer, dry.exit_code, dry.why) == (real.answer, real.exit_code, real.why)
    assert (dry.answer, host.faults.calls) == ("refused", 0)
    assert would_apply(host.ports(), broken, 60, ("no-loss",)).exit_code == 0
