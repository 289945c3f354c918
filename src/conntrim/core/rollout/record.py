"""What the journal keeps of a rollout: enough for any later run to go on, whatever died in between."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from conntrim.core.model.plan import FileChange, Plan
from conntrim.core.model.policy import Untrack
from conntrim.core.rollout.states import State

STAGGER = 0.5
"""Seconds between the ends of two batches on the boot clock: more than loading one batch takes."""

SPARE = 1
"""Whole seconds that the second guard outlives the first: it must not end a trial whose wall clock was left alone."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment on both clocks: seconds since 1970 (UTC) and, as jiffies, since boot without sleep; which boot."""

    wall: float
    since_boot: float
    boot: str


@dataclass(frozen=True, slots=True)
class Guard:
    """When a trial's rules become inert: the first second (UTC) in which they are, and the same on the boot clock.

    iptables compares the wall clock in whole seconds, and the second of `--datestop` itself still matches (K39);
    an nft set counts time as it passes. `recent`, where the host offers it, is a second guard of iptables' rules, in
    seconds from arming on and by the kernel's own clock: it ends them where the wall clock was set back.
    """

    wall: int
    since_boot: float
    boot: str
    recent: int = 0

    @classmethod
    def starting(cls, now: Moment, seconds: float, recent: bool = False) -> Guard:
        """The guard of a trial that starts now."""
        spare = math.ceil(seconds) + SPARE if recent else 0
        return cls(math.ceil(now.wall + seconds), now.since_boot + seconds, now.boot, spare)

    def staggered(self, batch: int) -> Guard:
        """The guard of a trial's n-th batch: on the boot clock later batches expire first.

        Accepts are loaded before the untracking that needs them, so untracking must end before them. On the wall
        clock all end in the same second.
        """
        return replace(self, since_boot=self.since_boot - STAGGER * batch)

    def left(self, programs: Collection[str], now: Moment) -> float:
        """Seconds until rules that these programs loaded are inert; zero or less: they are."""
        clocks = [self.since_boot - now.since_boot] if "nft" in programs else []
        clocks += [self.wall - now.wall] if set(programs) - {"nft"} else []
        clocks += [self.since_boot + 2 * SPARE - now.since_boot] if set(programs) - {"nft"} and self.recent else []
        return min(clocks, default=self.since_boot - now.since_boot) if now.boot == self.boot else 0.0

    def datestop(self) -> str:
        """The last second in which the rules match, as `-m time --datestop` wants it."""
        return datetime.fromtimestamp(self.wall - 1, UTC).strftime("%Y-%m-%dT%H:%M:%S")

    def timeout(self, now: Moment) -> str:
        """How long an nft element has still to live, less its last unit: `59s250m` for `59s250ms`."""
        seconds, thousandths = divmod(max(1, math.floor((self.since_boot - now.since_boot) * 1000)), 1000)
        return f"{seconds}s{thousandths}m"


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file before `confirm` wrote it: its content, None where there was none, and where the dated copy is."""

    path: str
    content: bytes | None
    mode: int = 0o644
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Lasting:
    """What makes the confirmed rules last: files to write, who loads which of them, what is left to the operator."""

    files: tuple[FileChange, ...] = ()
    told: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the rollout's history: when (UTC, ISO 8601) and what."""

    at: str
    what: str


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a plan at one moment (UTC, ISO 8601): its name and services, who did it, and which confirmed plan
    it was to replace or had."""

    at: str
    what: str
    plan: str = ""
    services: tuple[str, ...] = ()
    by: str = ""
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class Swap:
    """How far a confirm has come: how many steps are done for certain, and our rules as listed before the next."""

    steps: int
    own: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of one network namespace.

    `own` are our rules as the kernel listed them when the trial (later the confirm) was complete, `around` a digest of
    each chain that holds some of them. `tables` are the
    tables that were there before. `accepted` names the obligations that the operator took upon themselves.
    `settings` and `files` hold what was there before the confirm; `root` is the directory that the files are below,
    `lasting` what was decided about the rules' own files. `clients` are those that the trial is narrowed to, as
    prefixes; none: all. `replaced` is the journal of the confirmed plan that this one
    takes the place of: what a trial that ends, or a rollback, goes back to. `history` notes each state as it was
    recorded, `steps` what became of the plans.
    """

    state: State = State.NOTHING
    plan: Plan | None = None
    guard: Guard | None = None
    accepted: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    around: dict[str, str] = field(default_factory=dict)
    swap: Swap | None = None
    purged: int | None = None
    settings: dict[str, int] = field(default_factory=dict)
    files: tuple[SavedFile, ...] = ()
    root: str = ""
    lasting: Lasting | None = None
    remarks: tuple[str, ...] = ()
    history: tuple[Note, ...] = ()
    steps: tuple[Step, ...] = ()
    replaced: Journal | None = None

    @property
    def name(self) -> str:
        """The plan's; "" where there is none."""
        return self.plan.name if self.plan else ""

    @property
    def replaced_name(self) -> str:
        """The name of the plan that this one takes the place of; "" where it takes none's."""
        return self.replaced.name if self.replaced else ""

    def services(self) -> tuple[Untrack, ...]:
        """Those of the plan that go untracked."""
        return self.plan.services() if self.plan else ()

    def taken_up(self) -> Journal:
        """What a new run begins with: a check that never ended has changed nothing of what it would have replaced."""
        if self.state is State.CHECKING and self.replaced:
            return replace(self.replaced, history=self.history, steps=self.steps)
        return self
