"""The work of a rollout: which hand does each of the table's commands, and what the journal says before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.app.rollout_host import MAX, Surroundings
from conntrim.app.rollout_rules import Rules
from conntrim.app.rollout_run import Ports, RefusedError, Request, Run
from conntrim.core.plan.obligations.room import NAME as ROOM
from conntrim.core.rollout.commands import Do
from conntrim.core.rollout.history import TIME, stepped
from conntrim.core.rollout.record import Journal, Note, Swap
from conntrim.core.rollout.states import State
from conntrim.core.rollout.swap import steps as steps_of_swap

HISTORY = 50
"""Notes that the journal keeps; older ones go."""


def _bare(earlier: Journal | None) -> Journal | None:
    """What is kept of a journal that is replaced: its notes go on in the new one."""
    return replace(earlier, history=(), steps=()) if earlier else None


class Work:
    """Does the table's commands one at a time, and records its states."""

    def __init__(self, ports: Ports, journal: Journal, request: Request | None = None) -> None:
        self.run, self.subject = Run(ports, journal, request), journal.plan
        self.undone = ""
        self.rules, self.surroundings = Rules(self.run), Surroundings(self.run)
        self._works: dict[Do, Callable[[], None]] = {
            Do.CHECK_TRIAL: self._check_trial,
            Do.LOAD_TRIAL: self._load_trial,
            Do.PROBE: self.rules.probes.run_all,
            Do.CHECK_MEND: self.rules.check_mend,
            Do.CHECK_CONFIRM: self.rules.check_confirm,
            Do.LOAD_KEPT: self.rules.load_kept,
            Do.KEEP: self._keep,
            Do.PURGE: self.surroundings.purge,
            Do.TUNE: self.surroundings.tune,
            Do.WRITE_FILES: self.surroundings.write_files,
            Do.REPAIR: self.rules.repair,
            Do.REMOVE_RULES: self._remove,
            Do.RESTORE: self.surroundings.restore,
        }

    def _check_trial(self) -> None:
        """The rules, and where entries will not go untracked meanwhile, that the new max has room for them."""
        self.rules.check_trial()
        plan, asked = self.run.plan, self.run.request
        if not plan.only_settings:
            return
        if why := self.surroundings.too_narrow():
            raise RefusedError(f"{MAX}: {why}; or --accept {ROOM}")
        if asked and asked.probes:
            self.run.remark("nothing was probed: settings are not tried, the plan has no rules")

    def do(self, work: Do) -> None:
        """Do one piece of work; any ConntrimError means that it failed."""
        try:
            self._works[work]()
        except BaseException:
            self.run.forget()
            raise

    def _load_trial(self) -> None:
        """Entries first: flags and time-outs alone are harmless. Again for those that came before the rules did."""
        self.surroundings.keep_alive()
        self.rules.load_trial()
        self.surroundings.keep_alive()

    def _keep(self) -> None:
        """The new rules first, whole; only then go those that they replace, as in a rollback of that plan."""
        self.rules.keep()
        if earlier := self.run.journal.replaced:
            self.surroundings.carry_on(earlier.services())
            self.rules.retire(earlier)
            self.surroundings.adopt(earlier.services())

    def _remove(self) -> None:
        """While the rules stand nothing looks at the entries; what came in between is seen to afterwards.

        What was replaced comes back before they go; of its services no entry is wanted.
        """
        services, earlier = self.run.journal.services(), self.run.journal.replaced
        self.surroundings.carry_on(services)
        if earlier:
            self.rules.reinstate(earlier)
        self.rules.remove()
        self.surroundings.adopt(services)
        if earlier:
            self.run.ports.purge.purge(earlier.services())

    def record(self, state: State) -> None:
        """Write the state to the journal, with what a later run needs to know in it."""
        run = self.run
        history = (*run.journal.history, Note(run.stamp(TIME), state.value))[-HISTORY:]
        steps = stepped(run.journal, state, history[-1].at, run.ports.operator)
        match state:
            case State.NOTHING if run.journal.replaced:
                self.undone = run.journal.name if run.journal.state is not State.CHECKING else ""
                journal, state = run.journal.replaced, run.journal.replaced.state
            case State.NOTHING:
                journal = Journal(history=history)
            case State.CHECKING if run.request:
                earlier = run.journal if run.journal.state is State.CONFIRMED else run.journal.replaced
                asked = run.request
                journal = Journal(
                    plan=asked.plan, accepted=asked.accepted, clients=asked.clients, replaced=_bare(earlier)
                )
                # Where this cannot be written the check ends, and what was confirmed is what there is.
                run.journal = replace(journal, state=state, history=history, steps=steps)
            case State.LOADING if run.request:
                journal = replace(run.journal, guard=run.starting())
            case State.SWAPPING if run.journal.swap is None:
                journal = replace(run.journal, swap=Swap(0, run.own()))
            case State.PURGING if run.journal.state is State.KEEPING:
                own = run.own()
                journal = replace(run.journal, own=own, swap=Swap(len(steps_of_swap(run.journal)), own))
            case _:  # the rest: nothing but the state changes
                journal = run.journal
        run.keep(replace(journal, state=state, history=history, steps=steps))
