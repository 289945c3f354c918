"""The verbs apply, confirm, rollback and status: drive the rollout's table, and say where it stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.app.ports.journal import HeldError
from conntrim.app.rollout_report import cures_of, report_of
from conntrim.app.rollout_run import Ports, RefusedError, Request
from conntrim.app.rollout_work import Work
from conntrim.core.model.errors import ConntrimError, HostError
from conntrim.core.model.plan import POLICIES, Plan
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
from conntrim.core.rollout.record import Journal
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.core.rollout.status import resumed, seconds_left


def apply(
    ports: Ports, plan: Plan, seconds: float, accepted: tuple[str, ...] = (), probes: tuple[Probe, ...] = (),
    *, unattended: bool = False, clients: tuple[str, ...] = (),
) -> Report:  # fmt: skip
    """Load a plan on trial for so many seconds, if all probes answer through it. It takes the place of a trial of some
    clients."""
    with ports.journal.lock("apply"):
        if (
            _in_place_of_some(ports, plan)
            and (ended := _drive(Work(ports, ports.journal.read()), Rollback())).exit_code
        ):
            return ended
        journal = ports.journal.read()
        work = Work(ports, journal, Request(plan, seconds, accepted, probes, unattended, clients))
        return _drive(work, _applying(journal, plan))


def _in_place_of_some(ports: Ports, plan: Plan) -> bool:
    """Whether a trial of some clients is on, and another plan than theirs is wanted."""
    journal = ports.journal.read()
    return bool(journal.clients) and journal.state is State.TRIAL and isinstance(_applying(journal, plan), ApplyAnother)


def apply_reviewed(
    ports: Ports,
    compiled: Callable[[], Plan],
    seconds: float,
    accepted: tuple[str, ...] = (),
    probes: tuple[Probe, ...] = (),
    *,
    unattended: bool = False,
    clients: tuple[str, ...] = (),
    dry: bool = False,
) -> Report:
    """As `apply`, or as `would_apply`, of the plan that comes out of a review (`reviewed.py`), if one does."""
    try:
        plan = compiled()
    except RefusedError as error:
        return _refused(ports, str(error))
    act = would_apply if dry else apply
    return act(ports, plan, seconds, accepted, probes, unattended=unattended, clients=clients)


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
SOME = "a trial of some clients is on, which an apply takes out first; conntrim rollback takes it out by itself"


def would_apply(
    ports: Ports, plan: Plan, seconds: float, accepted: tuple[str, ...] = (), probes: tuple[Probe, ...] = (),
    *, unattended: bool = False, clients: tuple[str, ...] = (),
) -> Report:  # fmt: skip
    """What `apply` would answer, by the same table and the same checks: nothing is loaded, set or written."""
    if _in_place_of_some(ports, plan):
        return _refused(ports, SOME)
    journal = ports.journal.read()
    memory = replace(ports, journal=_Unwritten(journal))
    work = Work(memory, journal, Request(plan, seconds, accepted, probes, unattended, clients))
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
    services, timeouts, limits = cures_of(plan)
    return replace(
        report, plan=plan.name, services=services, timeouts=timeouts, limits=limits, clients=clients,
        costs=plan.costs, remarks=remarks,
    )  # fmt: skip


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
        policies = () if report.exit_code else _policies_out(ports)
    kept = (f"the journal is kept as {aside}; sysctls and files were not touched",) if aside else ()
    return replace(report, remarks=(*report.remarks, *policies, *kept))


def _policies_out(ports: Ports) -> tuple[str, ...]:
    """Take out the time-out policies that bear our names; the kernel keeps those that a rule names (K152)."""
    try:
        found = ports.loader.own((POLICIES,), Claim())
    except HostError:  # this kernel has none at all
        return ()
    try:
        ports.loader.sweep((POLICIES,) if found else (), (), Claim())
    except HostError as error:
        return (f"a time-out policy with a name like ours stays: {error}",)
    return (f"taken out by their names: {len(found)} time-out policies",) if found else ()


def status(ports: Ports) -> Report:
    """Where the rollout stands; changes nothing."""
    work = Work(ports, ports.journal.read())
    rollout = resumed(work.run.journal, ports.clock.now(), work.run.own())
    report = report_of(work, rollout, Reply(Answer.STANDS))
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
    return report_of(work, rollout, reply)


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
            return report_of(work, _back(work, rollout), ended)
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
