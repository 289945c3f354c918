"""Kills apply, confirm and rollback at every step, in every dialect: is anybody locked out, is a connection lost?

`python -m tests.lab.torture` does all of it and prints what was struck how often; `make torture` calls it.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice

from conntrim.app.rollout import apply, confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import Plan
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.states import SETTLING, State
from conntrim.host.signals import orderly_end
from conntrim.lab.netns import sweep
from tests.lab.besieged import KINDS, Besieged, besieged, lost, planned_beside
from tests.lab.connections import Connection
from tests.lab.fault_injection import Fault, When, steps_of, struck

TRIAL, SHORT, LONG = 5.0, 1.5, 60.0
"""Seconds of a trial that a verb under torture confirms or undoes, of one whose apply is struck, of one left alone."""
LENGTH = 8
"""Faults that one host and the session on it live through."""
GROWN = 1 << 19
"""Bytes each way after which a window of before is stale."""
LIMIT = 30.0
"""Seconds after which a state that does not come is a failure."""
KEPT = SETTLING | {State.CONFIRMED}

VERBS: dict[str, Callable[[Ports], object]] = {"confirm": confirm, "rollback": rollback}


@dataclass(frozen=True, slots=True)
class Siege:
    """A verb to strike, and the verbs that come before it."""

    name: str
    verb: str
    earlier: tuple[str, ...] = ()

    @property
    def beside(self) -> bool:
        """Whether it is about a plan that takes the place of another."""
        return "replace" in (self.verb, *self.earlier)

    @property
    def some(self) -> bool:
        """Whether only some clients took part in what was tried."""
        return "some" in (self.verb, *self.earlier) and "apply" not in (self.verb, *self.earlier)


SIEGES = (
    Siege("apply", "apply"),
    Siege("confirm", "confirm", ("apply",)),
    Siege("rollback of a trial", "rollback", ("apply",)),
    Siege("rollback", "rollback", ("apply", "confirm")),
    Siege("apply of the next", "replace", ("apply", "confirm")),
    Siege("confirm of the next", "confirm", ("apply", "confirm", "replace")),
    Siege("rollback of the next", "rollback", ("apply", "confirm", "replace", "confirm")),
    Siege("apply for some", "some"),
    Siege("confirm for some", "confirm", ("some",)),
    Siege("rollback for some", "rollback", ("some",)),
    Siege("apply after some", "apply", ("some",)),
)
KILL, HUP = signal.SIGKILL, signal.SIGHUP
OTHERS: tuple[tuple[signal.Signals, ...], ...] = ((HUP,), (signal.SIGINT,), (signal.SIGTERM,), (HUP, KILL))
"""What a session that ends sends, and a kill amid the orderly end that a hang-up began; every step gets each of them
under one of four seeds that follow each other."""
APART = 6
"""Calls after a hang-up of which any is the one that is killed."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: its dialect, siege, the step's name, and a number that seeds what is random about it."""

    kind: str
    siege: Siege
    step: str
    fault: Fault
    number: int

    def __str__(self) -> str:
        signals = f" and {self.fault.apart} calls later ".join(number.name[3:] for number in self.fault.signals)
        return f"{self.kind}, {self.siege.name}, {signals} {self.fault.when} step {self.fault.call} ({self.step})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fault: the state that `status` told right after it; what went wrong, "" where nothing did.

    `tried` connections were tried after falling back; `lost` are those that did not go on and that no plan had listed.
    """

    case: Case
    state: str
    wrong: str = ""
    tried: int = 0
    lost: tuple[str, ...] = ()


def act(host: Besieged, verb: str, seconds: float, made: Ports) -> object:
    """Do a verb."""
    if verb in VERBS:
        return VERBS[verb](made)
    plan = {"replace": host.following, "some": host.some}.get(verb, host.plan)
    assert plan is not None
    return apply(made, plan, seconds, clients=("some",) if verb == "some" else ())


def prepared(host: Besieged, siege: Siege, name: str, seconds: float) -> Ports:
    """The ports of a case, with the verbs done that come before the one to strike."""
    made = host.ports(name)
    for at, verb in enumerate(siege.earlier):
        kept = "confirm" in siege.earlier[at + 1 : at + 2] and siege.beside and verb == "apply"
        act(host, verb, LONG if kept else seconds, made)  # of the first plan only that it is confirmed matters
    return made


@dataclass(frozen=True, slots=True)
class Ground:
    """What is known of one dialect before any fault: the plan, and the steps of every siege."""

    kind: str
    plan: Plan
    following: Plan
    some: Plan
    steps: dict[str, tuple[str, ...]]


def explored(kind: str) -> Ground:
    """Make the plan and do every siege's verb once, undisturbed."""
    steps = {}
    with besieged(kind) as host:
        host.following = planned_beside(host)
        for siege in SIEGES:
            made = prepared(host, siege, f"steps of {siege.name}", LONG)
            steps[siege.name] = steps_of(made, partial(act, host, siege.verb, LONG))
            while rollback(made).state is State.CONFIRMED:
                pass
        assert host.some is not None
        return Ground(kind, host.plan, host.following, host.some, steps)


def all_cases(grounds: Iterable[Ground], seed: int) -> list[Case]:
    """Every step of every siege in every dialect: killed before, amid and after, and struck by one other signal.

    In an order drawn from the seed: any part of them is a fair sample.
    """
    chance, others, cases = random.Random(seed), islice(cycle(OTHERS), seed % len(OTHERS), None), list[Case]()
    for ground in grounds:
        for siege in SIEGES:
            for call, step in enumerate(ground.steps[siege.name], 1):
                other = Fault(call, chance.choice(list(When)), next(others), chance.randint(1, APART))
                faults = (*(Fault(call, when) for when in When), other)
                cases += [Case(ground.kind, siege, step, fault, len(cases) + at) for at, fault in enumerate(faults)]
    chance.shuffle(cases)
    return cases


def until(reached: Callable[[], bool]) -> bool:
    """Poll for a state; False where it does not come."""
    end = time.monotonic() + LIMIT
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@dataclass
class Watched:
    """The connections of one case: some were open before it, some were opened while its rules acted."""

    host: Besieged
    plan: Plan | None
    talking: list[Connection]
    silent: list[Connection]
    during: list[Connection] = field(default_factory=list)
    tried: int = 0
    lost: list[str] = field(default_factory=list)

    @property
    def everyone(self) -> list[Connection]:
        """All that are still tried."""
        return self.talking + self.silent + self.during

    def open_during(self, name: str) -> None:
        """More of them, whatever acts now; those that talk do so until their windows are others."""
        for one in self.talking:
            one.grows(GROWN)
        self.during += self.host.opened(name)

    def purged(self) -> None:
        """A confirm deletes the entries of datagrams too, and only those of sockets over TCP are made again."""
        self.talking, self.silent = (self.host.unlisted(some, "udp") for some in (self.talking, self.silent))

    def fell_back(self) -> None:
        """Try all but those that the plan has listed."""
        self.during = self.host.unlisted(self.during, plan=self.plan)
        self.undone()

    def undone(self) -> None:
        """Try all that are left; those that are lost are told once."""
        self.tried += len(self.everyone)
        if found := lost(self.everyone):
            self.lost += found
            self.close()

    def close(self) -> None:
        """All of them."""
        for one in self.everyone:
            one.close()
        self.talking, self.silent, self.during = [], [], []


def strike(host: Besieged, case: Case) -> Outcome:
    """One case from start to end; AssertionError or OSError where somebody was locked out or something is wrong."""
    plan = host.some if case.siege.some else host.plan
    watched = Watched(host, plan, host.opened("open before, talking"), host.opened("open before, silent"))
    try:
        if "confirm" in (case.siege.verb, *case.siege.earlier) and not case.siege.some:
            watched.purged()
        state = _struck_beside(host, case, watched) if case.siege.beside else _struck(host, case, watched)
    finally:
        watched.close()
    return Outcome(case, state.value, "\n".join(watched.lost), watched.tried, tuple(watched.lost))


def _strike(host: Besieged, case: Case, watched: Watched, undo: Callable[[Ports], object]) -> tuple[Ports, str]:
    """The host's ports and the attempt's name, once the fault has struck the verb. On a machine so slow that the trial
    was over first: again, with a longer one."""
    seconds = SHORT if case.siege.verb in ("apply", "replace", "some") else TRIAL
    for attempt in range(4):
        name = f"{case.number} {attempt}"
        made = prepared(host, case.siege, name, TRIAL * 2**attempt)
        watched.open_during("opened before the fault")
        if struck(made, partial(act, host, case.siege.verb, seconds), case.fault, case.number):
            host.not_locked_out()
            return made, name
        undo(made)
    raise AssertionError("the verb never came to that step")


def _struck(host: Besieged, case: Case, watched: Watched) -> State:
    made, name = _strike(host, case, watched, rollback)
    state = status(made).state
    watched.open_during("opened after the fault")
    if case.siege.some:
        assert state not in KEPT, state
        assert host.tracked(host.outside)
    _aftermath(host, made, state)
    watched.fell_back()
    host.not_locked_out()
    armed = apply(made, host.plan, LONG)
    assert armed.answer == "armed", armed
    assert not host.tracked()
    watched.open_during("opened on trial")
    watched.during = host.unlisted(watched.during, "udp")
    assert rollback(made).answer == "rolled back"
    watched.undone()
    host.as_before(name)
    host.not_locked_out()
    return state


def _struck_beside(host: Besieged, case: Case, watched: Watched) -> State:
    """From the first plan's confirm on the service that both untrack is never tracked; each way leads back to it."""
    made, name = _strike(host, case, watched, lambda made: _undone(made, host))
    assert not host.tracked()
    seen = status(made)
    watched.open_during("opened after the fault")
    if seen.plan != host.plan.name:
        _wait_out(made, made.journal.read().guard)
    assert not host.tracked(flipping=True)
    if seen.state in KEPT and seen.plan != host.plan.name:
        assert confirm(made).exit_code == 0
        assert (status(made).state, status(made).plan) == (State.CONFIRMED, host.following and host.following.name)
        assert not host.tracked()
    watched.during = host.unlisted(watched.during, "udp")
    _undone(made, host)
    watched.undone()
    host.as_before(name)
    host.not_locked_out()
    return seen.state


def _undone(made: Ports, host: Besieged) -> None:
    """Back to the first plan, untracked throughout, and to none."""
    if status(made).plan != host.plan.name or status(made).state is not State.CONFIRMED:
        assert rollback(made).exit_code == 0
    assert (status(made).plan, status(made).state) == (host.plan.name, State.CONFIRMED)
    assert not host.tracked()
    assert (rollback(made).answer, status(made).state) == ("rolled back", State.NOTHING)


def _aftermath(host: Besieged, made: Ports, state: State) -> None:
    """After whatever deadline there is: kept and completed, or a rule set that means what it meant before."""
    journal = made.journal.read()
    if state in KEPT:
        _wait_out(made, journal.guard)
        assert not host.tracked(flipping=True)
        assert confirm(made).exit_code == 0
        assert (status(made).state, status(made).exit_code) == (State.CONFIRMED, 0)
        assert not host.tracked()
        assert rollback(made).answer == "rolled back"
        return
    if not (journal.state in (State.UNDOING, State.RESTORING) and journal.swap):
        _wait_out(made, journal.guard)
        host.means_the_same()
        assert host.tracked()
    told = status(made)
    assert told.state not in KEPT | {State.TRIAL}, told
    assert told.seconds_left == 0, told
    if told.state in (State.UNDOING, State.RESTORING):
        assert rollback(made).exit_code == 0
        host.means_the_same()
        assert host.tracked()


def _wait_out(made: Ports, guard: Guard | None) -> None:
    """Until the deadline has passed on both clocks."""

    def over() -> bool:
        now = made.clock.now()
        return guard is None or (now.wall >= guard.wall and now.since_boot >= guard.since_boot)

    assert until(over)


def lane(ground: Ground, cases: Sequence[Case]) -> list[Outcome]:
    """Cases of one dialect on one host, one after the other; after a failure on a fresh one."""
    left, outcomes = list(cases), list[Outcome]()
    while left:
        with besieged(ground.kind, ground.plan, ground.following, ground.some) as host:
            while left:
                case = left.pop(0)
                try:
                    outcomes.append(strike(host, case))
                except Exception:  # whatever went wrong is this case's outcome
                    outcomes.append(Outcome(case, "", traceback.format_exc(limit=-3)))
                    break
    return outcomes


def run(
    chosen: Callable[[list[Case]], list[Case]], seed: int, lanes: int, seconds: float = math.inf
) -> Iterator[Outcome]:
    """The cases chosen of all, on so many hosts at a time; a host and its session live through `LENGTH` of them.

    After so many seconds no further host is made.
    """
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(lanes, multiprocessing.get_context("spawn"))
        stack.callback(pool.shutdown, cancel_futures=True)
        grounds = {ground.kind: ground for ground in pool.map(explored, KINDS)}
        cases = chosen(all_cases(grounds.values(), seed))
        by_kind = {kind: [case for case in cases if case.kind == kind] for kind in grounds}
        waiting = [
            pool.submit(lane, grounds[kind], part)
            for at in range(0, len(cases), LENGTH)
            for kind, mine in by_kind.items()
            if (part := mine[at : at + LENGTH])
        ]
        for done in as_completed(waiting):
            yield from () if done.cancelled() else done.result()
            if time.monotonic() > end:
                list(map(Future.cancel, waiting))


def table(outcomes: Sequence[Outcome]) -> str:
    """How often each step was struck by what."""
    columns = ["KILL", "HUP", "INT", "TERM", "HUP+KILL"]
    counts = Counter((o.case.siege.name, o.case.step, _signals(o.case)) for o in outcomes)
    rows = list(dict.fromkeys((o.case.siege.name, o.case.step) for o in outcomes))
    rows.sort(key=lambda row: [siege.name for siege in SIEGES].index(row[0]))
    lines = [f"{'verb':20} {'step':24}" + "".join(f"{name:>9}" for name in columns)]
    for row in rows:
        lines.append(f"{row[0]:20} {row[1]:24}" + "".join(f"{counts[*row, name] or '-':>9}" for name in columns))
    sums = (sum(n for (*_, signals), n in counts.items() if signals == name) for name in columns)
    lines.append(f"{'all':45}" + "".join(f"{n:>9}" for n in sums))
    return "\n".join(lines)


def _signals(case: Case) -> str:
    return "+".join(number.name[3:] for number in case.fault.signals)


def main() -> int:
    """Strike, print, and answer with 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument(
        "--faults", "--blows", dest="faults", type=int, default=0, help="so many of all cases, drawn at random; 0: all"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slice", default="1/1", help="2/3: the second third of them")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no further host after these")
    parser.add_argument("--only", default="", help="only cases whose description holds this text")
    parser.add_argument("--lanes", type=int, default=12, help="hosts at a time")
    given = parser.parse_args()
    start = time.monotonic()
    nth, parts = map(int, given.slice.split("/"))

    def chosen(cases: list[Case]) -> list[Case]:
        wanted = [case for case in cases if given.only in str(case)]
        return wanted[: given.faults or len(wanted)][nth - 1 :: parts]

    outcomes = []
    for outcome in run(chosen, given.seed, given.lanes, given.seconds):
        outcomes.append(outcome)
        if outcome.wrong:
            print(f"\n{outcome.case}\n{outcome.wrong}", file=sys.stderr)
    wrong = sum(bool(o.wrong) for o in outcomes)
    seconds = time.monotonic() - start
    lost_ones = sum(len(o.lost) for o in outcomes)
    print(f"{len(outcomes)} faults injected, {wrong} lock-outs or other failures, {seconds:.0f} s")
    tried = sum(o.tried for o in outcomes)
    print(f"{tried} connections tried after falling back, {lost_ones} lost beyond what the plan had listed\n")
    print(table(outcomes))
    print(
        "\nstate right after the fault: " + ", ".join(f"{s} {n}" for s, n in Counter(o.state for o in outcomes).items())
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sweep()
    with orderly_end():
        sys.exit(main())
