"""What a verb of the rollout answers: the journal's word, corrected by the clock, the kernel and the files."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from conntrim.app.rollout_work import Work
from conntrim.core.model.errors import ConntrimError
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.policy import Policy
from conntrim.core.rollout.commands import Answer, Reply
from conntrim.core.rollout.machine import Rollout
from conntrim.core.rollout.record import Journal, Lasting
from conntrim.core.rollout.report import Report, Tuned
from conntrim.core.rollout.states import SETTLING, State
from conntrim.core.rollout.status import Drift, drift, resumed, seconds_left


def report_of(work: Work, rollout: Rollout, reply: Reply) -> Report:
    """Where a rollout stands by its journal, the clock and the kernel, with a verb's answer."""
    journal, now = work.run.journal, work.run.ports.clock.now()
    own = _own(work)
    rollout = replace(rollout, state=_settled(work, rollout.state, own))
    kept, seen = rollout.state in _KEPT, drift(journal, own) if journal.state in _LISTED else Drift()
    changed = work.surroundings.changed() if kept else ()
    asked = rollout.state is State.TRIAL and reply.answer is Answer.STANDS
    moved, broken, undecided = _moved(work) if kept and own else (work.rules.moved() if asked else (), (), ())
    plan = journal.plan or work.subject
    services, timeouts, limits = cures_of(plan)
    lasting = journal.lasting or Lasting()
    wrong = reply.answer is Answer.STANDS and bool(seen.missing or changed or broken or undecided)
    return Report(
        answer=reply.answer.words,
        exit_code=reply.answer.exit_code or int(wrong),
        state=rollout.state,
        why=reply.why if reply.answer.exit_code else rollout.why if reply.answer is Answer.STANDS else "",
        plan=plan.name if plan else "",
        services=services,
        timeouts=timeouts,
        limits=limits,
        clients=journal.clients,
        seconds_left=round(seconds_left(journal, now), 1) if rollout.state in _GUARDED else 0.0,
        deadline="" if kept else _deadline(journal),
        rules=len(own),
        missing=seen.missing,
        added=seen.added,
        unmendable=work.rules.unmendable() if rollout.state is State.DRIFTED else "",
        changed=changed,
        moved=moved,
        broken=broken,
        undecided=undecided,
        managers=plan.managers if plan else (),
        accepted=journal.accepted,
        purged=journal.purged,
        lasting=lasting.told,
        by_hand=lasting.by_hand,
        remarks=tuple(dict.fromkeys((*journal.remarks, *work.run.remarks))),
        settings=_settings(work, rollout.state),
        netns=work.run.ports.netns,
        state_dir=work.run.ports.state,
        root=work.run.ports.root or "",
        costs=plan.costs if plan and rollout.state in _GUARDED | {State.TRIAL} else (),
        replaced=journal.replaced_name,
        undone=work.undone,
    )


def cures_of(plan: Plan | None) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What a plan untracks, gives time-outs to, and limits, in words."""
    policy = plan.policy if plan else Policy()
    untracked, timed, limited = policy.untrack, policy.service_timeouts, policy.limits
    return tuple(map(str, untracked)), tuple(map(str, timed)), tuple(map(str, limited))


def _settled(work: Work, state: State, own: tuple[str, ...]) -> State:
    """What broke a confirm off may have come before the flip: that is still a trial."""
    if state is not State.KEEPING:
        return state
    return resumed(work.run.journal, work.run.ports.clock.now(), own).state


def _deadline(journal: Journal) -> str:
    """The first second (UTC) in which a trial's rules are inert, "" where there is no trial."""
    guard = journal.guard
    return datetime.fromtimestamp(guard.wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if guard else ""


_LISTED = SETTLING - {State.KEEPING} | {State.TRIAL, State.CONFIRMED}
"""Recorded states in which the journal holds our rules as they were listed."""
_KEPT = SETTLING | {State.CONFIRMED, State.DRIFTED}
_TO_COME = frozenset({State.PENDING, State.TRIAL})
_GUARDED = frozenset({State.TRIAL, State.LOADING, State.SWAPPING, State.LOST})


def _settings(work: Work, state: State) -> tuple[Tuned, ...]:
    """Those that a confirm will set, or has set; once nothing is left of the plan, those that were put back."""
    if state in _TO_COME:
        return work.surroundings.to_set()
    return work.surroundings.were_set() if work.run.journal.plan else tuple(work.surroundings.put_back)


def _own(work: Work) -> tuple[str, ...]:
    """Our rules in the kernel; that they cannot be read must not take the place of the answer."""
    try:
        return work.run.own()
    except ConntrimError as error:
        work.run.remarks.append(f"our rules could not be read back: {error}")
        return ()


def _moved(work: Work) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """What has changed around our rules; which obligations are broken now, and which are not decided any more."""
    moved: tuple[str, ...] = ()
    try:
        fresh, plan = work.run.ports.freshness, work.run.plan
        moved = fresh.differences(plan) or work.rules.moved()
        found = fresh.obligations(plan) if moved else ()
    except ConntrimError as error:
        return moved, (), (f"whether the rules still do what was proved: {error}",)
    wrong = [o for o in found if o.name not in work.run.journal.accepted]
    broken = tuple(f"{o.name} is {o.standing}: {o.why}" for o in wrong if o.standing is ObligationStatus.BROKEN)
    undecided = tuple(f"{o.name}: {o.why}" for o in wrong if o.standing is ObligationStatus.NOT_DECIDED)
    return moved, broken, undecided
