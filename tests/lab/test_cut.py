"""What a plan says that shorter time-outs would cut, against what they do cut: two gateways carry the same connections,
one watched with the host's time-outs, one with the new ones. CONNTRIM_CUTS=100 makes so many runs.
"""

from __future__ import annotations

import heapq
import os
import random
import select
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from conntrim import wiring
from conntrim.app.panel import watch_silences
from conntrim.app.ports.frames import Frames
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.panel import Frame
from conntrim.core.model.policy import ServiceTimeout
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.model.silences import Silences
from conntrim.core.plan.harm import harm
from conntrim.lab.gateway import LAN, SERVER, Gateway, gateway
from tests.lab.test_client_limits import planned, run

RUNS = int(os.environ.get("CONNTRIM_CUTS", "10"))
TOGETHER, EACH = 10, 10
"""Runs that go on at the same time, each with its time-out, and connections of a run, each to a port of its own."""
WATCHED, EVERY = 24, 1.0
"""Seconds of readings, and between two of them."""
ANSWER = 2.0
"""Seconds within which an echo is there: less than any gap between two words."""
FIRST = 9_000


@dataclass
class Line:
    """One client's connection through both gateways: `ends` are the watched and the shortened one's; `cuts` are the
    moments at which a word on the latter was not answered, by a monotonic clock."""

    port: int
    gaps: random.Random
    widest: float
    ends: dict[str, socket.socket] = field(default_factory=dict)
    cuts: list[float] = field(default_factory=list)


def seconds_of(number: int) -> int:
    """The time-out of a run."""
    return 3 + number % 4


def test_no_connection_is_cut_that_was_foretold_safe(tmp_path: Path) -> None:
    """Keep-alive clients with random gaps: each connection that is cut was counted by the prediction, and the bound of
    an hour is never exceeded."""
    told, cut, most = 0, 0, 0.0
    for start in range(0, RUNS, TOGETHER):
        numbers = range(start, min(start + TOGETHER, RUNS))
        lines, silences = observed(numbers, tmp_path / str(start))
        assert silences is not None
        gaps = {each.service.port: each.gaps for each in silences.services}
        for number in numbers:
            mine, timeout = lines[number], policy_of(number)
            (said,) = harm([timeout], silences)
            really = sum(len(line.cuts) for line in mine)
            foretold = {line.port: int((gaps[line.port] > seconds_of(number)).sum()) for line in mine}
            assert [] == [(line.port, foretold[line.port]) for line in mine if len(line.cuts) > foretold[line.port]]
            assert said.cut is not None
            assert said.most_per_hour is not None
            assert really <= said.most_per_hour * silences.watched / 3_600
            told, cut, most = told + said.cut, cut + really, most + said.most_per_hour * silences.watched / 3_600
    print(f"{RUNS} runs: {cut} cut, {told} foretold, at most {most:.0f}")
    assert cut > 0


def policy_of(number: int) -> ServiceTimeout:
    """The time-outs of a run's services."""
    ports = Intervals.of((FIRST + number % TOGETHER * EACH, FIRST + number % TOGETHER * EACH + EACH - 1))
    return ServiceTimeout(Direction.FORWARDED, Protocol.TCP, ports, {"established": seconds_of(number)})


POLICY = """\
[[timeout]]
direction = "forwarded"
protocol = "tcp"
ports = ["{low}-{high}"]
seconds = {{ established = {seconds} }}
accept_below_rfc = true
"""


def observed(numbers: range, place: Path) -> tuple[dict[int, list[Line]], Silences | None]:
    """The connections of these runs by their numbers, and what readings of the watched gateway showed of all."""
    place.mkdir()
    ports = range(FIRST, FIRST + TOGETHER * EACH)
    with ExitStack() as stack:
        watched, short = (stack.enter_context(gateway(2, ports, name)) for name in ("watched", "short"))
        for each in (watched, short):
            each.load("nftables")
            # Without it the kernel picks a connection up whose entry is gone, and it goes on.
            each.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 0)
        text = "".join(
            POLICY.format(low=low, high=high, seconds=seconds_of(n))
            for n in numbers
            for low, high in policy_of(n).ports.ranges
        )
        planned(short, place, text)
        run(short, place, "apply", str(place / "plan"), "--trial", "60s")
        run(short, place, "confirm")
        lines = {
            n: [Line(p, random.Random(f"{n} {p}"), seconds_of(n) * 1.5) for p in policy_of(n).ports] for n in numbers
        }
        gates, found, done = {"watched": watched, "short": short}, list[Silences | None](), list[float]()
        thread = Thread(target=talk, args=(gates, [each for mine in lines.values() for each in mine], done))
        thread.start()
        viewpoint = wiring.viewpoint(None, watched.host.name, ())
        assert viewpoint is not None
        frames = Noted(wiring.frames(watched.host.name))
        found.append(watch_silences(frames, viewpoint, again=round(WATCHED / EVERY), every=EVERY))
        done.append(time.monotonic())
        thread.join()
    return {n: [between(line, frames.begun) for line in mine] for n, mine in lines.items()}, found[0]


@dataclass
class Noted:
    """Readings, and the moments at which each began."""

    frames: Frames
    begun: list[float] = field(default_factory=list)

    @property
    def source(self) -> str:
        """What is read."""
        return self.frames.source

    def population(self) -> int:
        """How many entries there are."""
        return self.frames.population()

    def read(self, rows: int | None, not_before: float, *, settle: bool = False) -> Frame | None:
        """One reading."""
        found = self.frames.read(rows, not_before, settle=settle)
        self.begun += [] if found is None else [found.seconds]
        return found


def between(line: Line, begun: list[float]) -> Line:
    """With the cuts of words alone that were said between the first reading and the last."""
    line.cuts = [said for said in line.cuts if begun[0] < said < begun[-1] - EDGE]
    return line


EDGE = 0.1
"""Seconds that a reading may be told too late."""


def talk(gates: dict[str, Gateway], lines: list[Line], done: list[float]) -> None:
    """Each line says a word on both ways after random gaps; one that is cut is opened anew."""
    for line in lines:
        for name, gate in gates.items():
            line.ends[name] = opened(gate, line.port)
    due = [(time.monotonic() + line.gaps.uniform(0, 2), n) for n, line in enumerate(lines)]
    heapq.heapify(due)
    waiting: list[tuple[float, float, int]] = []
    while not done or waiting:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, said, n = heapq.heappop(waiting)
            heard(gates, lines[n], said)
        while due and due[0][0] <= now and not done:
            _, n = heapq.heappop(due)
            line = lines[n]
            for end in line.ends.values():
                end.send(b"word")
            heapq.heappush(waiting, (now + ANSWER, now, n))
            heapq.heappush(due, (now + ANSWER + 0.2 + line.gaps.uniform(0, line.widest), n))
        time.sleep(0.01)
    for line in lines:
        for end in line.ends.values():
            end.close()


def heard(gates: dict[str, Gateway], line: Line, said: float) -> None:
    """The echoes of a word: the watched way has one, and where the other has not it was cut."""
    assert answered(line.ends["watched"])
    if not answered(line.ends["short"]):
        line.cuts.append(said)
        line.ends["short"].close()
        line.ends["short"] = opened(gates["short"], line.port)


def answered(end: socket.socket) -> bool:
    """Whether an echo is there."""
    return bool(select.select([end], [], [], 0)[0]) and bool(end.recv(100))


def opened(gate: Gateway, port: int) -> socket.socket:
    """A client's connection; it ends with a reset."""
    assert gate.connects(f"{LAN}.2", 1, port, SERVER, resets=True) == 1
    return gate.opened.pop()
