"""The work of a rollout: what each of the table's commands does to the kernel, the files and the journal."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from conntrim.app.persist import lasting
from conntrim.app.ports.clock import Clock
from conntrim.app.ports.files import Files
from conntrim.app.ports.freshness import Freshness
from conntrim.app.ports.journal import JournalStore
from conntrim.app.ports.loader import Loader
from conntrim.app.ports.persistence import Persistence
from conntrim.app.ports.prober import Prober
from conntrim.app.ports.purge import Purge
from conntrim.app.ports.sysctls import Sysctls
from conntrim.core.model.errors import ConntrimError, HostError
from conntrim.core.model.plan import Batch, FileChange, Plan, Standing
from conntrim.core.rollout.commands import Do
from conntrim.core.rollout.ours import belongs
from conntrim.core.rollout.placing import Chains, around, chains, misplaced
from conntrim.core.rollout.probe import Probe
from conntrim.core.rollout.record import Guard, Journal, Lasting, Note, SavedFile, Swap
from conntrim.core.rollout.standing import swapped
from conntrim.core.rollout.states import State
from conntrim.core.rollout.swap import FLIP, FLIPPED, KEPT_LIST, TRIAL_LIST, Flip, Step, steps

MENDING = 60.0
"""Seconds for which rules that are loaded again carry their guard, until they are swapped a moment later."""
HISTORY = 50
"""Notes that the journal keeps; older ones go."""
BUCKETS, MAX = "net.netfilter.nf_conntrack_buckets", "net.netfilter.nf_conntrack_max"


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of a rollout, all of one network namespace.

    `root` is the directory that the operator named for the files, None where none was named; `default_root` stands
    for it then, "" in a namespace that is not the host's own: its rules have no place in the host's files.
    """

    loader: Loader
    purge: Purge
    sysctls: Sysctls
    files: Files
    clock: Clock
    journal: JournalStore
    freshness: Freshness
    persistence: Persistence
    prober: Prober
    root: str | None = None
    default_root: str = "/"


@dataclass(frozen=True, slots=True)
class Request:
    """What an apply was asked for: the plan, the trial's seconds, the obligations that the operator accepts, and what
    must answer through the new rules."""

    plan: Plan
    seconds: float
    accepted: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()


class RefusedError(ConntrimError):
    """A plan that must not be loaded; the message says why."""


def programs_of(plan: Plan) -> tuple[str, ...]:
    """The programs that a plan feeds, each once, in order."""
    batches = (*plan.trial, *plan.confirm, *plan.rollback_trial, *plan.rollback_confirmed)
    return tuple(dict.fromkeys(batch.program for batch in batches))


def in_order(settings: dict[str, int]) -> list[tuple[str, int]]:
    """The settings in the order to set them: buckets before max, so that chains stay short throughout (K28)."""
    rank = {BUCKETS: 0, MAX: 1}
    return sorted(settings.items(), key=lambda item: rank.get(item[0], 2))


def _around(seen: Mapping[str, Chains]) -> dict[str, str]:
    return {name: digest for program, found in seen.items() for name, digest in around(program, found).items()}


class Work:
    """Does the table's commands one at a time; `journal` is what is known, the store follows with each `record`."""

    def __init__(self, ports: Ports, journal: Journal, request: Request | None = None) -> None:
        self.ports, self.journal, self.request = ports, journal, request
        self.remarks: list[str] = []
        self.subject = journal.plan
        self._recent = False
        self._own: tuple[str, ...] | None = None
        self._seen: dict[str, dict[str, tuple[str, ...]]] = {}
        self._works: dict[Do, Callable[[], None]] = {
            Do.CHECK_TRIAL: self._check_trial,
            Do.LOAD_TRIAL: self._load_trial,
            Do.PROBE: self._probe,
            Do.CHECK_CONFIRM: self._check_confirm,
            Do.LOAD_CONFIRM: self._load_confirm,
            Do.PURGE: self._purge,
            Do.TUNE: self._tune,
            Do.WRITE_FILES: self._write_files,
            Do.MEND: self._mend,
            Do.REMOVE_RULES: self._remove_rules,
            Do.RESTORE: self._restore,
        }

    def do(self, work: Do) -> None:
        """Do one piece of work; any ConntrimError means that it failed."""
        try:
            self._works[work]()
        except BaseException:
            self._own = None
            raise

    def record(self, state: State) -> None:
        """Write the state to the journal, with what a later run needs to know in it."""
        now = datetime.fromtimestamp(self.ports.clock.now().wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        history = (*self.journal.history, Note(now, state.value))[-HISTORY:]
        match state:
            case State.NOTHING:
                journal = Journal(history=history)
            case State.CHECKING if self.request:
                journal = Journal(plan=self.request.plan, accepted=self.request.accepted)
            case State.LOADING if self.request:
                journal = replace(self.journal, guard=self._starting(self.request.seconds))
            case State.SWAPPING if self.journal.swap is None:
                journal = replace(self.journal, swap=Swap(0, self.own()))
            case State.PURGING if self.journal.state is State.SWAPPING:
                own = self.own()
                journal = replace(self.journal, own=own, swap=Swap(len(steps(self.journal)), own))
            case _:
                journal = self.journal
        self._keep(replace(journal, state=state, history=history))

    def _keep(self, journal: Journal) -> None:
        self.ports.journal.write(journal)
        self.journal = journal

    @property
    def plan(self) -> Plan:
        """The plan under way."""
        if self.journal.plan is None:
            raise RefusedError("the journal names no plan")
        return self.journal.plan

    @property
    def guard(self) -> Guard:
        """The guard of the trial, or of one that would start now."""
        return self.journal.guard or self._starting(self.request.seconds if self.request else 1.0)

    def _starting(self, seconds: float) -> Guard:
        return Guard.starting(self.ports.clock.now(), seconds, self._recent)

    def programs(self) -> tuple[str, ...]:
        """The programs whose listings the rollout looks at: the plan's, or all where there is no plan."""
        return programs_of(self.journal.plan) if self.journal.plan else self.ports.loader.installed()

    def own(self) -> tuple[str, ...]:
        """Our rules in the kernel, as last looked at: listing a large rule set takes longer than loading a plan."""
        return self.look() if self._own is None else self._own

    def look(self) -> tuple[str, ...]:
        """Our rules in the kernel now."""
        self._own = self.ports.loader.own(self.programs())
        return self._own

    def _check_trial(self) -> None:
        self._check_obligations()
        if not (self.plan.trial or self.plan.settings or self.plan.files):
            raise RefusedError("the plan changes nothing: there is nothing to try")
        # Read before the rules are compared with the plan's: a change in between shows after the load.
        self._seen = self._chains()
        if difference := self.ports.freshness.difference(self.plan):
            raise RefusedError(f"the plan is stale: {difference}; make it again with conntrim plan")
        self._check_batches()
        self.journal = replace(self.journal, tables=self.ports.loader.tables(self.programs()))

    def _check_batches(self) -> None:
        """With the second guard where the host takes it, else without: some kernels lack xt_recent."""
        self._recent = self.ports.loader.offers_recent()
        try:
            self._check_each()
        except HostError:
            if not self._recent:
                raise
            self._recent = False
            self._check_each()

    def _check_each(self) -> None:
        for batch in self.plan.trial:
            self.ports.loader.check(batch, self.guard)

    def _check_obligations(self) -> None:
        undecided = [o for o in self.plan.obligations if o.standing is not Standing.PROVED]
        # Whether the kernel takes the batches is asked right after this, of the kernel itself.
        open_ones = [o for o in undecided if not (o.name == "loads" and o.standing is Standing.NOT_DECIDED)]
        refused = [f"{o.name} is {o.standing} ({o.why})" for o in open_ones if o.name not in self.journal.accepted]
        if refused:
            raise RefusedError("; ".join(refused))

    def _load_trial(self) -> None:
        for at, batch in enumerate(self.plan.trial):
            self.ports.loader.load(batch, self.guard.staggered(at))
        if self.guard.recent and set(self.programs()) - {"nft"}:
            self.ports.loader.fill(TRIAL_LIST)
        after = self._chains()
        for program, seen in after.items():
            if why := misplaced(self.plan.trial, program, self._seen[program], seen):
                raise RefusedError(why)
        self.journal = replace(self.journal, own=self.look(), around=_around(after))

    def _probe(self) -> None:
        """While the guard runs: what must answer answers, counters move, the operator's own session gets through."""
        prober, probes = self.ports.prober, self.request.probes if self.request else ()
        session = prober.session()
        if session and (why := prober.lost(session)):
            raise RefusedError(why)
        before = self.ports.loader.counted(self.programs()) if probes else None
        for probe in probes:
            if why := prober.connect(probe.host, probe.port):
                raise RefusedError(f"the probe of {probe} failed: {why}")
        after = self.ports.loader.counted(self.programs()) if probes else None
        if before is not None and after is not None:
            self._remark(f"{after - before} packets of the probes were counted by the new rules")

    def _chains(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The chains that each of the plan's programs lists now."""
        return {program: chains(program, self.ports.persistence.listing(program)) for program in self.programs()}

    def moved(self) -> tuple[str, ...]:
        """The chains in which our rules no longer stand as they stood, or that others have changed around them."""
        now, before = _around(self._chains()), self.journal.around
        return tuple(name for name in before if now.get(name, before[name]) != before[name])

    def _refuse_moved(self) -> None:
        if moved := self.moved():
            why = f"{', '.join(moved)} was changed since the trial began"
            raise RefusedError(f"{why}; conntrim rollback, then plan again")

    def _check_confirm(self) -> None:
        self._refuse_moved()
        pending = itertools.takewhile(lambda step: step is not FLIP, steps(self.journal))
        for batch in (*self.plan.confirm, *(step for step in pending if isinstance(step, Batch))):
            self.ports.loader.check(batch, self.guard)

    def _load_confirm(self) -> None:
        own, to_do = self.own(), steps(self.journal)
        for at in range(swapped(self.journal, own), len(to_do)):
            self._keep(replace(self.journal, swap=Swap(at, own)))
            self._swap(to_do[at], first=at == 0)
            own = self.look()
        self._refuse_moved()

    def _swap(self, step: Step, first: bool) -> None:
        if isinstance(step, Flip):
            self.ports.loader.fill(KEPT_LIST)
            return
        if first:
            self.ports.loader.empty(KEPT_LIST)
        self.ports.loader.load(step, self.guard)

    def _mend(self) -> None:
        """Each table that was made anew without ours gets them again, guarded first: a crash amid it expires."""
        if difference := self.ports.freshness.difference(self.plan):
            raise RefusedError(f"the rules are not those of the plan: {difference}; conntrim rollback, then plan again")
        for at, batch in enumerate(self.plan.trial):
            wanted = {own for own in self.journal.own if belongs(batch, own)}
            left = wanted.intersection(self.own())
            if left and left != wanted:
                why = f"{len(left)} of {len(wanted)} rules are left in one table, the first: {min(left)}"
                raise RefusedError(f"{why}; conntrim rollback, then apply")
            if not left:
                guard = Guard.starting(self.ports.clock.now(), MENDING)
                self.ports.loader.load(batch, guard)
                self.ports.loader.load(self.plan.confirm[at], guard)
        self.journal = replace(self.journal, own=self.look())

    def _purge(self) -> None:
        purged = self.ports.purge.purge(self.plan.policy.untrack)
        self.journal = replace(self.journal, purged=(self.journal.purged or 0) + purged)

    def _tune(self) -> None:
        for key, value in in_order(self.plan.settings):
            before = self.ports.sysctls.read(key)
            if before is None:
                self._remark(f"{key} was not set: this kernel has no such key")
            elif before != value:
                self._set(key, before, value)

    def _set(self, key: str, before: int, value: int) -> None:
        """A refused sysctl is told, not fatal: the rules are in, and a container can never set the global ones."""
        earlier = self.journal.settings
        self._keep(replace(self.journal, settings={key: before} | earlier))
        try:
            self.ports.sysctls.write(key, value)
        except HostError as error:
            self.journal = replace(self.journal, settings=earlier)
            self._remark(f"{key} stays {before}, not {value}: {error.detail} ({error.advice})")

    @property
    def root(self) -> str:
        """The directory that files are written below, "" where none may be written."""
        return self.ports.root or self.journal.root or self.ports.default_root

    @property
    def files(self) -> Files:
        """The files below it."""
        return self.ports.files.below(self.root)

    def changes(self) -> tuple[FileChange, ...]:
        """The files that this confirm writes: the plan's, and those that make its rules last."""
        return (*self.plan.files, *(self.journal.lasting.files if self.journal.lasting else ()))

    def _decide_lasting(self) -> None:
        """Once, and written down: a confirm that is taken up again must not see its own files as the host's."""
        if self.root:
            made = lasting(self.ports.persistence, self.plan, self.root)
            decided = Lasting(tuple(made.files), tuple(made.told), tuple(made.by_hand))
        else:
            decided = Lasting((), (), ("no file was written: the host's own are not this namespace's (--root DIR)",))
        self._keep(replace(self.journal, root=self.root, lasting=decided))

    def _write_files(self) -> None:
        if self.journal.lasting is None:
            self._decide_lasting()
        if not self.root:
            return
        stamp = datetime.fromtimestamp(self.ports.clock.now().wall, UTC).strftime("%Y%m%dT%H%M%SZ")
        for change in self.changes():
            saved = self._saved(change.path)
            if saved is None:
                saved = self.files.look(change.path, stamp)
                self._keep(replace(self.journal, files=(*self.journal.files, saved)))
            self.files.write(change, saved)

    def _saved(self, path: str) -> SavedFile | None:
        return next((saved for saved in self.journal.files if saved.path == path), None)

    def _remove_rules(self) -> None:
        """The plan's own way out, as it was reviewed; then by mark whatever is left, and see that nothing is.

        A confirm that is broken off amid its swap falls back whole: emptying the list takes back what filling it kept.
        """
        if FLIPPED in self.own():
            self.ports.loader.empty(KEPT_LIST)
            self.look()
        for batch in self._way_out():
            try:
                self.ports.loader.load(batch, self.guard)
            except HostError as error:
                self._remark(f"taken out by mark: {error}")
        self.ports.loader.sweep(self.programs(), self.journal.tables)
        if left := self.look():
            raise RefusedError(f"{len(left)} rules of ours are still in the kernel, the first: {left[0]}")

    def _way_out(self) -> tuple[Batch, ...]:
        """The plan's batches where they are known to fit; none after a crash in between, or where rules are gone."""
        if self.journal.plan is None or not self.journal.own or set(self.journal.own) != set(self.own()):
            return ()
        done = 0 if self.journal.swap is None else self.journal.swap.steps
        if done == 0:
            return self.plan.rollback_trial
        return self.plan.rollback_confirmed if done == len(steps(self.journal)) else ()

    def _restore(self) -> None:
        if self.journal.plan is None:
            return
        for key, before in reversed(in_order(self.journal.settings)):
            now = self.ports.sysctls.read(key)
            if now == self.plan.settings.get(key):
                self.ports.sysctls.write(key, before)
            elif now != before:
                self._remark(f"{key} was changed to {now} since; left as it is (before: {before})")
        for change in self.changes():
            saved = self._saved(change.path)
            if saved and (said := self.files.restore(change, saved)):
                self._remark(said)

    def _remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)
            self.journal = replace(self.journal, remarks=(*self.journal.remarks, text))
