"""One run of a rollout's verb: the outside world that it has, what was asked, and what the journal knows by now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from conntrim.app.ports.clock import Clock
from conntrim.app.ports.entries import Entries
from conntrim.app.ports.files import Files
from conntrim.app.ports.freshness import Freshness
from conntrim.app.ports.journal import JournalStore
from conntrim.app.ports.loader import Loader
from conntrim.app.ports.persistence import Persistence
from conntrim.app.ports.prober import Prober
from conntrim.app.ports.purge import Purge
from conntrim.app.ports.sysctls import Sysctls
from conntrim.core.model.errors import ConntrimError
from conntrim.core.model.plan import Plan
from conntrim.core.rollout.claim import Claim, claim_of
from conntrim.core.rollout.probe import Probe
from conntrim.core.rollout.record import Guard, Journal


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of a rollout, all of one network namespace.

    `root` is the directory that the operator named for the files, None where none was named; `default_root` stands
    for it then, "" in a namespace that is not the host's own: its rules have no place in the host's files. `netns` and
    `state` are the options that were given, for the commands that answers advise; `operator` is who gave them.
    """

    loader: Loader
    purge: Purge
    entries: Entries
    sysctls: Sysctls
    files: Files
    clock: Clock
    journal: JournalStore
    freshness: Freshness
    persistence: Persistence
    prober: Prober
    root: str | None = None
    default_root: str = "/"
    netns: str = ""
    state: str = ""
    operator: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What an apply was asked for: the plan, the trial's seconds, the obligations that the operator accepts, and what
    must answer through the new rules. `unattended`: nobody looks, so only what proves something counts. `clients` are
    the prefixes whose clients the plan is narrowed to; none: it is whole."""

    plan: Plan
    seconds: float
    accepted: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    unattended: bool = False
    clients: tuple[str, ...] = ()


class RefusedError(ConntrimError):
    """A plan that must not be loaded; the message says why."""


def programs_of(plan: Plan) -> tuple[str, ...]:
    """The programs that a plan feeds, each once, in order."""
    batches = (*plan.trial, *plan.confirm, *plan.rollback_trial, *plan.rollback_confirmed)
    return tuple(dict.fromkeys(batch.program for batch in batches))


class Run:
    """`journal` is what is known; the store follows with each `keep`. `recent`: the host takes the second guard."""

    def __init__(self, ports: Ports, journal: Journal, request: Request | None = None) -> None:
        self.ports, self.journal, self.request = ports, journal.taken_up(), request
        self.remarks: list[str] = []
        self.recent = False
        self._own: tuple[str, ...] | None = None

    def keep(self, journal: Journal) -> None:
        """Write the journal down; this is what is known then."""
        self.ports.journal.write(journal)
        self.journal = journal

    def remark(self, text: str) -> None:
        """Something that the operator is told, now and by a later status."""
        if text not in self.remarks:
            self.remarks.append(text)
            self.journal = replace(self.journal, remarks=(*self.journal.remarks, text))

    @property
    def plan(self) -> Plan:
        """The plan under way."""
        if self.journal.plan is None:
            raise RefusedError("the journal names no plan")
        return self.journal.plan

    @property
    def guard(self) -> Guard:
        """The guard of the trial, or of one that would start now."""
        return self.journal.guard or self.starting()

    def starting(self) -> Guard:
        """The guard of a trial that starts now."""
        seconds = self.request.seconds if self.request else 1.0
        return Guard.starting(self.ports.clock.now(), seconds, self.recent)

    def stamp(self, form: str) -> str:
        """The time now, UTC."""
        return datetime.fromtimestamp(self.ports.clock.now().wall, UTC).strftime(form)

    def programs(self) -> tuple[str, ...]:
        """The programs whose listings the rollout looks at: the plan's, or all where there is no plan."""
        return programs_of(self.journal.plan) if self.journal.plan else self.ports.loader.installed()

    @property
    def claim(self) -> Claim:
        """What in chains of others is ours, by the journal."""
        return claim_of(self.journal)

    def own(self) -> tuple[str, ...]:
        """Our rules in the kernel, as last looked at: listing a large rule set takes longer than loading a plan."""
        return self.look() if self._own is None else self._own

    def look(self) -> tuple[str, ...]:
        """Our rules in the kernel now."""
        self._own = self.ports.loader.own(self.programs(), self.claim)
        return self._own

    def forget(self) -> None:
        """Work that was broken off: what was looked at may not be so any more."""
        self._own = None
