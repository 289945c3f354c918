"""The verbs apply, confirm, rollback and status: drive the rollout's table, and say where it stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import assert_never

from conntrim.app.ports.journal import HeldError
from conntrim.app.rollout_run import Ports, RefusedError, Request
from conntrim.app.rollout_work import Work
from conntrim.core.model.errors import ConntrimError
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.commands import Answer, Command, Do, Record, Reply
from conntrim.core.rollout.events import (
    Apply,
    ApplyAnother,
    Asked,
    Clean,
    Confirm,
    Done,
    Event,
    Failed,
    Hangup,
    NothingToTry,
    Rollback,
)
from conntrim.core.rollout.history import History
from conntrim.core.rollout.history import history as _history
from conntrim.core.rollout.machine import Rollout, step
from conntrim.core.rollout.probe import Probe
from conntrim.core.rollout.record import Journal, Lasting
from conntrim.core.rollout.report import Report, Tuned
from conntrim.core.rollout.states import SETTLING, State
from conntrim.core.rollout.status import Drift, drift, resumed, seconds_left


def apply(
    ports: Ports, plan: Plan, seconds: float, accepted: tuple[str, ...] = (), probes: tuple[Probe, ...] = (),
    *, unattended: bool = False,
) -> Report:  # fmt: skip
    """Load a plan on trial for so many seconds, if all probes answer through it."""
    with ports.journal.lock("apply"):
        journal = ports.journal.read()
        work = Work(ports, journal, Request(plan, seconds, accepted, probes, unattended))
        return _drive(work, _applying(journal, plan))


def apply_reviewed(
    ports: Ports,
    compiled: Callable[[], Plan],
    seconds: float,
    accepted: tuple[str, ...] = (),
    probes: tuple[Probe, ...] = (),
    *,
    unattended: bool = False,
    dry: bool = False,
) -> Report:
    """As `apply`, or as `would_apply`, of the plan that comes out of a review (`reviewed.py`), if one does."""
    try:
        plan = compiled()
    except RefusedError as error:
        return _refused(ports, str(error))
    act = would_apply if dry else apply
    return act(ports, plan, seconds, accepted, probes, unattended=unattended)


@dataclass
class _Unwritten:
    """A journal that is written to memory."""

    journal: Journal

    def read(self) -> Journal:
        return self.journal

    def write(self, journal: Journal) -> None:
        self.journal = journal

    def lock(self, verb: str) -> AbstractContextManager[None]:
        return nullcontext()

    def set_aside(self) -> str:
        return ""


LEFT = (
    "rules of an earlier trial are left, which an apply takes out before it checks anything; "
    "conntrim status --clean takes them out by itself"
)


def would_apply(
    ports: Ports, plan: Plan, seconds: float, accepted: tuple[str, ...] = (), probes: tuple[Probe, ...] = (),
    *, unattended: bool = False,
) -> Report:  # fmt: skip
    """What `apply` would answer, by the same table and the same checks: nothing is loaded, set or written."""
    journal = ports.journal.read()
    memory = replace(ports, journal=_Unwritten(journal))
    work = Work(memory, journal, Request(plan, seconds, accepted, probes, unattended))
    rollout = resumed(work.run.journal, ports.clock.now(), work.run.own())
    heard: Event = _applying(journal, plan)
    while True:
        rollout, commands = step(rollout, heard)
        if Do.REMOVE_RULES in commands:
            return _refused(ports, LEFT)
        if Do.LOAD_TRIAL in commands:
            break
        ended = _obey(work, commands)
        if isinstance(ended, Reply):
            if ended.answer is Answer.PENDING:
                break
            return _answered(ports, ended)
        heard = ended
    report = _answered(ports, Reply(Answer.WOULD_APPLY))
    remarks = tuple(dict.fromkeys((*report.remarks, *work.run.remarks)))
    return replace(report, plan=plan.name, costs=plan.costs, remarks=remarks)


def _applying(journal: Journal, plan: Plan) -> Asked:
    known = journal.plan is None or same_change(journal.plan, plan) or not changes_anything(plan)
    return Apply() if known else ApplyAnother()


def confirm(ports: Ports) -> Report:
    """Keep the plan that is on trial."""
    with ports.journal.lock("confirm"):
        return _drive(Work(ports, ports.journal.read()), Confirm())


def rollback(ports: Ports) -> Report:
    """Undo the trial or the confirmed plan."""
    with ports.journal.lock("rollback"):
        return _with_leftovers(_drive(Work(ports, ports.journal.read()), Rollback()), ports)


def _with_leftovers(report: Report, ports: Ports) -> Report:
    """What bears marks of ours when a rollback is over: rules of another plan, or copies, which it leaves alone."""
    if report.state is not State.NOTHING:
        return report
    try:
        return replace(report, strays=ports.loader.own(ports.loader.installed(), Claim()))
    except ConntrimError as error:
        return replace(report, remarks=(*report.remarks, f"whether anything else bears marks of ours: {error}"))


def clean(ports: Ports) -> Report:
    """Take out rules that are inert, and nothing else."""
    with ports.journal.lock("status --clean"):
        return _drive(Work(ports, ports.journal.read()), Clean())


def rollback_without_journal(ports: Ports) -> Report:
    """Take out every rule of ours by its mark and set the journal aside; sysctls and files stay as they are."""
    with ports.journal.lock("rollback --without-journal"):
        aside = ports.journal.set_aside()
        report = _drive(Work(ports, Journal()), Rollback())
    kept = (f"the journal is kept as {aside}; sysctls and files were not touched",) if aside else ()
    return replace(report, remarks=(*report.remarks, *kept))


def status(ports: Ports) -> Report:
    """Where the rollout stands; changes nothing."""
    work = Work(ports, ports.journal.read())
    rollout = resumed(work.run.journal, ports.clock.now(), work.run.own())
    report = _report(work, rollout, Reply(Answer.STANDS))
    strays = _strays(work)
    return replace(report, strays=strays, exit_code=report.exit_code or int(bool(strays)))


def wait(ports: Ports) -> Report:
    """Stay until the trial's deadline, and where it then ends by itself, keep its connections through that."""
    seen = ports.journal.read()
    for early in ADOPTING:
        ports.clock.sleep(max(0.0, seconds_left(seen, ports.clock.now()) - early))
        _adopt(ports, seen)
    ports.clock.sleep(max(0.0, seconds_left(seen, ports.clock.now())) + AFTERWARDS)
    _adopt(ports, seen)
    return status(ports)


ADOPTING = (2.0, 0.3)
"""Seconds before a deadline at which connections without an entry get one: the first time takes longest, the second is
for those that came meanwhile."""
AFTERWARDS = 0.2
"""Seconds after it for the kernel's clocks to agree; more than a second is lost by nobody, TCP sends again."""


def _adopt(ports: Ports, seen: Journal) -> None:
    """Entries for the connections of a trial that is about to end; nothing where it was decided about, or is."""
    with suppress(HeldError), ports.journal.lock("apply --wait"):
        journal = ports.journal.read()
        if journal.state is State.TRIAL and journal.guard == seen.guard:
            Work(ports, journal).surroundings.carry_on(journal.services())
            if journal.replaced and seconds_left(journal, ports.clock.now()) <= 0:
                ports.purge.purge(journal.replaced.services())


def history(ports: Ports) -> History:
    """What became of plans here; changes nothing, and asks the kernel for our rules only where a trial may be over."""
    journal = ports.journal.read().taken_up()
    run = Work(ports, journal).run
    state = resumed(journal, ports.clock.now(), run.own()).state if journal.state is State.TRIAL else journal.state
    return _history(journal, state, ports.clock.now(), ports.netns)


def _strays(work: Work) -> tuple[str, ...]:
    """What looks like ours, in any dialect, and is not what the journal holds."""
    loader, run = work.run.ports.loader, work.run
    earlier = run.journal.replaced.own if run.journal.replaced else ()
    known = {*run.own(), *run.journal.own, *earlier}
    found = (*loader.altered(run.programs(), run.claim), *loader.own(loader.installed(), Claim()))
    return tuple(dict.fromkeys(rule for rule in found if rule not in known))


def _refused(ports: Ports, why: str) -> Report:
    """Nothing was begun; where the rollout stands."""
    return _answered(ports, Reply(Answer.REFUSED, why))


def _answered(ports: Ports, reply: Reply) -> Report:
    """Where the rollout stands, with an answer."""
    work = Work(ports, ports.journal.read())
    rollout = resumed(work.run.journal, ports.clock.now(), work.run.own())
    return _report(work, rollout, reply)


def changes_anything(plan: Plan) -> bool:
    """A plan made where all of it is in force already loads, sets and writes nothing that is new."""
    return bool(plan.trial) or not plan.rollback_confirmed


def same_change(one: Plan, other: Plan) -> bool:
    """Do both plans load the same rules, settings and files?"""

    def change(plan: Plan) -> object:
        return plan.dialect, plan.trial, plan.confirm, plan.settings, plan.files

    return change(one) == change(other)


def _drive(work: Work, asked: Asked) -> Report:
    """Feed the table until it tells the operator."""
    rollout = resumed(work.run.journal, work.run.ports.clock.now(), work.run.own())
    heard: Event = asked
    while True:
        rollout, commands = step(rollout, heard)
        ended = _obey(work, commands)
        if isinstance(ended, Reply):
            return _report(work, _back(work, rollout), ended)
        heard = ended


def _back(work: Work, rollout: Rollout) -> Rollout:
    """Where a replacement has come to nothing, what it would have replaced, or had, is what there is."""
    if rollout.state is not State.NOTHING or work.run.journal.plan is None:
        return rollout
    work.run.forget()
    return replace(rollout, state=resumed(work.run.journal, work.run.ports.clock.now(), work.run.own()).state)


def _obey(work: Work, commands: tuple[Command, ...]) -> Reply | Done | NothingToTry | Failed | Hangup:
    """Record, then work or tell; what came of it."""
    unwritten = ""
    for command in commands:
        match command:
            case Record(state, must):
                unwritten = _try_record(work, state)
                if unwritten and not must:  # a hang-up comes once; without the record a later kill looks like drift
                    unwritten = _try_record(work, state)
                if unwritten and must and isinstance(commands[-1], Do):
                    return Failed(unwritten)
            case Reply(answer, why):
                return (
                    Reply(Answer.NOT_RECORDED, unwritten) if unwritten and not answer.exit_code else Reply(answer, why)
                )
            case Do():
                return _attempt(work, command)
            case _:
                assert_never(command)
    raise AssertionError("the table gave neither work nor an answer")


def _try_record(work: Work, state: State) -> str:
    """Why the journal could not be written, "" where it was."""
    try:
        work.record(state)
    except ConntrimError as error:
        return str(error)
    except KeyboardInterrupt:
        return Hangup().why
    return ""


def _attempt(work: Work, command: Do) -> Done | NothingToTry | Failed | Hangup:
    try:
        work.do(command)
    except ConntrimError as error:
        return Failed(str(error))
    except KeyboardInterrupt:
        return Hangup()
    return NothingToTry() if command is Do.CHECK_TRIAL and work.run.plan.only_settings else Done()


def _report(work: Work, rollout: Rollout, reply: Reply) -> Report:
    journal, now = work.run.journal, work.run.ports.clock.now()
    own = _own(work)
    rollout = replace(rollout, state=_settled(work, rollout.state, own))
    kept, seen = rollout.state in _KEPT, drift(journal, own) if journal.state in _LISTED else Drift()
    changed = work.surroundings.changed() if kept else ()
    asked = rollout.state is State.TRIAL and reply.answer is Answer.STANDS
    moved, broken, undecided = _moved(work) if kept and own else (work.rules.moved() if asked else (), (), ())
    plan = journal.plan or work.subject
    lasting = journal.lasting or Lasting()
    wrong = reply.answer is Answer.STANDS and bool(seen.missing or changed or broken or undecided)
    return Report(
        answer=reply.answer.words,
        exit_code=reply.answer.exit_code or int(wrong),
        state=rollout.state,
        why=reply.why if reply.answer.exit_code else rollout.why if reply.answer is Answer.STANDS else "",
        plan=plan.name if plan else "",
        services=tuple(map(str, plan.policy.untrack)) if plan else (),
        timeouts=tuple(map(str, plan.policy.service_timeouts)) if plan else (),
        limits=tuple(map(str, plan.policy.limits)) if plan else (),
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
