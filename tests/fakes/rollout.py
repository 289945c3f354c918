"""The other ports of a rollout in memory: clock, journal, sysctls, files, entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from conntrim.app.ports.journal import HeldError
from conntrim.app.rollout_run import Ports
from conntrim.core.model.address import parse_address
from conntrim.core.model.errors import HostError
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import FileChange, Obligation, Plan
from conntrim.core.model.policy import Untrack
from conntrim.core.rollout.probe import Fate, Probe, Session
from conntrim.core.rollout.record import Guard, Journal, Moment, SavedFile
from conntrim.core.rollout.stores import Store
from tests.fakes.loader import FakeLoader, Faults


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    wall: float = 1_000_000.0
    since_boot: float = 500.0
    boot: str = "first boot"

    def now(self) -> Moment:
        """This moment."""
        return Moment(self.wall, self.since_boot, self.boot)

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.since_boot += seconds


@dataclass
class FakeJournal:
    """A journal in memory; `holder` is another run that holds it."""

    faults: Faults = field(default_factory=Faults)
    journal: Journal = field(default_factory=Journal)
    holder: str = ""

    def read(self) -> Journal:
        """What was written last."""
        return self.journal

    def write(self, journal: Journal) -> None:
        """The old or the new."""
        self.faults.before("journal")
        self.journal = journal
        self.faults.after()

    @contextmanager
    def lock(self, verb: str) -> Iterator[None]:
        """Refused where there is a holder."""
        if self.holder:
            raise HeldError(self.holder)
        yield

    def set_aside(self) -> str:
        """Starts anew."""
        self.journal = Journal()
        return "aside"


@dataclass
class FakeSysctls:
    """Sysctls in memory, with the order in which they were set; those in `read_only` are refused."""

    faults: Faults = field(default_factory=Faults)
    values: dict[str, int] = field(default_factory=dict)
    read_only: frozenset[str] = frozenset()
    order: list[tuple[str, int]] = field(default_factory=list)

    def read(self, key: str) -> int | None:
        """The value, None where there is none."""
        return self.values.get(key)

    def set_by(self, key: str) -> tuple[str, ...]:
        """A file of another program's."""
        return (f"/etc/sysctl.d/99.conf:3 = {self.values[key]}",)

    def write(self, key: str, value: int) -> None:
        """Set it."""
        self.faults.before(key)
        if key in self.read_only:
            raise HostError(key, "Permission denied", advice="read-only here")
        self.values[key] = value
        self.order.append((key, value))
        self.faults.after()


@dataclass
class FakeFiles:
    """Files in memory."""

    faults: Faults = field(default_factory=Faults)
    texts: dict[str, str] = field(default_factory=dict)

    def below(self, root: str) -> FakeFiles:
        """There is one directory only."""
        return self

    def look(self, path: str, stamp: str) -> SavedFile:
        """As it is now."""
        text = self.texts.get(path)
        return SavedFile(
            path, None if text is None else text.encode(), copy=f"{path}.{stamp}" if path in self.texts else ""
        )

    def write(self, change: FileChange, saved: SavedFile) -> None:
        """The dated copy, then the file."""
        self.faults.before(change.path)
        if saved.content is not None:
            self.texts[saved.copy] = saved.content.decode()
        self.texts[change.path] = change.text
        self.faults.after()

    def restore(self, change: FileChange, saved: SavedFile) -> str:
        """Back to what was saved, unless it was changed since."""
        self.faults.before(change.path)
        if self.look(change.path, "").content not in (change.text.encode(), saved.content):
            return f"{change.path} was changed since"
        self.texts.pop(change.path, None)
        self.texts.pop(saved.copy, None)
        if saved.content is not None:
            self.texts[change.path] = saved.content.decode()
        self.faults.after()
        return ""


@dataclass
class FakePurge:
    """A table with so many stale entries."""

    faults: Faults = field(default_factory=Faults)
    stale: int = 0

    def purge(self, services: Sequence[Untrack]) -> int:
        """All of them go."""
        self.faults.before("purge")
        gone, self.stale = self.stale, 0
        self.faults.after()
        return gone


@dataclass
class FakeEntries:
    """Entries of open connections: what was asked of them, in its order; `left` stay liberal."""

    faults: Faults = field(default_factory=Faults)
    order: list[str] = field(default_factory=list)
    left: int = 0
    broken: str = ""

    def keep_alive(self, services: Sequence[Untrack], seconds: float) -> int:
        """All are kept."""
        return self._done(f"keep alive {seconds:g} s")

    def renew(self, services: Sequence[Untrack]) -> int:
        """But for those that the test says."""
        self._done("renew")
        return self.left

    def adopt(self, services: Sequence[Untrack]) -> int:
        """All are adopted."""
        return self._done("adopt")

    def _done(self, what: str) -> int:
        self.faults.before("entries")
        if self.broken:
            raise HostError("netlink", self.broken)
        self.order.append(what)
        self.faults.after()
        return 1


@dataclass
class FakeFreshness:
    """The host that a plan was made for, or `changed` since; another one where the test says so."""

    changed: tuple[str, ...] = ()
    other: str = ""
    found: tuple[Obligation, ...] = ()

    def obligations(self, plan: Plan) -> tuple[Obligation, ...]:
        """What the test says."""
        return self.found

    def elsewhere(self, plan: Plan) -> str:
        """Why it is another host."""
        return self.other

    def differences(self, plan: Plan) -> tuple[str, ...]:
        """What differs."""
        return self.changed

    def around(self, plan: Plan) -> tuple[str, ...]:
        """The same."""
        return self.changed


@dataclass
class FakePersistence:
    """A host of which no file is known, but for those that a test names; what is loaded is what is listed."""

    loader: FakeLoader = field(default_factory=FakeLoader)
    found: tuple[Store, ...] = ()
    live: str = ""

    def stores(self, root: str) -> tuple[Store, ...]:
        """Those that the test names."""
        return self.found

    def takes_units(self, root: str) -> bool:
        """It has no systemd."""
        return False

    def paths(self) -> dict[str, str]:
        """No programs."""
        return {}

    def loaded_by(self, family: str) -> str:
        """The fake's only program."""
        return "fake"

    def listing(self, program: str) -> str:
        """What the test says, or what is loaded."""
        return self.live or self.loader.listing()

    @contextmanager
    def rehearsal(self) -> Iterator[FakeRehearsal]:
        """Lists what it was fed."""
        yield FakeRehearsal()


@dataclass
class FakeRehearsal:
    """A namespace that lists what it was fed."""

    text: str = ""

    def load(self, program: str, text: str, *, onto: bool) -> None:
        """Takes everything."""
        self.text = text

    def listing(self, program: str) -> str:
        """As it came."""
        return self.text


@dataclass
class FakeProber:
    """Services that answer, and an operator's session that is lost for a reason, or is none."""

    answering: frozenset[int] = frozenset()
    why: str = ""
    doubt: str = ""

    def address(self, probe: Probe) -> str:
        """No names here."""
        return probe.host

    def own(self) -> Intervals:
        """One address."""
        return Intervals.of((parse_address("192.0.2.1"),) * 2)

    def ask(self, probe: Probe, address: str) -> str:
        """Refused but for those that answer."""
        return "" if probe.port in self.answering else "Connection refused"

    def session(self) -> Session | None:
        """One where it may be lost."""
        return Session("192.0.2.9", 50000, "192.0.2.1", 22) if self.why or self.doubt else None

    def fate(self, session: Session) -> Fate:
        """As the test says."""
        return Fate(self.why, self.doubt)


class FakeHost:
    """One host in memory; all its parts share their faults."""

    def __init__(self) -> None:
        self.faults = Faults()
        self.loader = FakeLoader(self.faults)
        self.clock = FakeClock()
        self.journal = FakeJournal(self.faults)
        self.sysctls = FakeSysctls(self.faults, {"a": 1, "b": 2})
        self.files = FakeFiles(self.faults, {"/etc/rules": "old"})
        self.purge = FakePurge(self.faults, 7)
        self.entries = FakeEntries(self.faults)
        self.freshness = FakeFreshness()
        self.persistence = FakePersistence(self.loader)
        self.prober = FakeProber(frozenset({80}))
        self.operator = ""

    def ports(self) -> Ports:
        """As the verbs take them."""
        return Ports(
            self.loader, self.purge, self.entries, self.sysctls, self.files, self.clock, self.journal, self.freshness,
            self.persistence, self.prober, operator=self.operator,
        )  # fmt: skip

    def acting(self) -> frozenset[str]:
        """The rules that act on packets now: unguarded, or their guard has not expired."""
        now, armed = self.clock.now(), self.loader.armed

        def acts(guard: Guard | None) -> bool:
            return guard is None or (guard.wall > now.wall and (armed or not guard.recent))

        return frozenset(rule for rule, guard in self.loader.rules.items() if acts(guard))

    def restart(self) -> None:
        """A reboot: the rules are gone, the files and the journal are not."""
        self.loader.rules.clear()
        self.loader.armed = False
        self.clock.boot += "'"
        self.clock.since_boot = 10.0
