"""Made traffic: a table whose entries come, live, speak and go as they are told, and what really happened in it.

Entries are made and refreshed by ctnetlink (K35); the kernel ends them when their time-out is up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from conntrim.core.model.conntrack import TCP_TIMEOUTS, TcpState
from conntrim.host.flows import NETLINK_NETFILTER
from conntrim.host.netlink import Netlink
from conntrim.lab.bulk import fill_columns, send_columns
from conntrim.lab.fill import Entry, track

Floats = npt.NDArray[np.float64]
TICK = 0.02
"""Seconds between two batches."""
LONGEST = TCP_TIMEOUTS[TcpState.ESTABLISHED].default
STATIC = 86_400
"""Seconds that entries live which shall outlive everything."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Connections to one port: `rate` of them come a second, each lives for one of `lives` (whole seconds)."""

    template: Entry
    rate: float
    lives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Beats:
    """So many connections to one port that stay, each with a packet every one of `periods` (seconds)."""

    template: Entry
    number: int
    periods: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a table is made of; entries that do nothing fill it up."""

    streams: tuple[Stream, ...] = ()
    beats: tuple[Beats, ...] = ()


@dataclass(slots=True)
class Truth:
    """What happened, by port: when entries were born and for how long they were to live, and when a silence ended
    that had lasted how long.
    """

    born: dict[int, list[Floats]] = field(default_factory=dict)
    lives: dict[int, list[Floats]] = field(default_factory=dict)
    spoke: dict[int, list[Floats]] = field(default_factory=dict)
    silent: dict[int, list[Floats]] = field(default_factory=dict)

    @staticmethod
    def column(of: dict[int, list[Floats]], port: int | None) -> Floats:
        """One port's numbers, or all."""
        parts = [part for key, parts in of.items() if port in (None, key) for part in parts]
        return np.concatenate(parts) if parts else np.empty(0)


class Churn:
    """Makes the traffic of a shape in one namespace, in a thread, until `stop`."""

    def __init__(self, netns: str, shape: Shape, entries: int, seed: int) -> None:
        self._netns, self._shape, self._chance, self._made = netns, shape, np.random.default_rng(seed), 0
        self.truth = Truth()
        self._stopped, self._error = threading.Event(), list[BaseException]()
        track(netns)
        self._beaten: list[tuple[Beats, dict[str, npt.NDArray[Any]], Floats, Floats, Floats]] = []
        for beats in shape.beats:
            self._prepare(beats)
        for stream in shape.streams:
            self._prepare_stream(stream)
        if entries > self._made:
            still = Entry(6, "11.0.0.1", "192.0.2.18", 1, 9, timeout=STATIC)
            fill_columns(netns, still, self._addresses(entries - self._made))
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _addresses(self, number: int) -> dict[str, npt.NDArray[Any]]:
        """Clients that were not there before."""
        every = self._made + np.arange(number, dtype=np.uint64)
        self._made += number
        return {"src": np.uint64(0x0B00_0000) + every // np.uint64(60_000), "sport": 1_024 + every % np.uint64(60_000)}

    def _prepare(self, beats: Beats) -> None:
        columns = self._addresses(beats.number)
        periods = self._chance.choice(beats.periods, beats.number)
        fill_columns(self._netns, beats.template, columns)
        now = np.full(beats.number, time.monotonic())
        self._beaten.append((beats, columns, periods, now + self._chance.uniform(0, 1, len(now)) * periods, now))

    def _prepare_stream(self, stream: Stream) -> None:
        """Those that would be there if it had gone on for ever."""
        mean = float(np.mean(stream.lives))
        weights = np.array(stream.lives) / (mean * len(stream.lives))
        number = round(stream.rate * mean)
        lives = self._chance.choice(stream.lives, number, p=weights)
        left = np.ceil(self._chance.uniform(0, 1, number) * lives).astype(np.uint64)
        fill_columns(self._netns, stream.template, {**self._addresses(number), "timeout": left})

    def _run(self) -> None:
        try:
            with Netlink(NETLINK_NETFILTER, "making traffic", self._netns) as link:
                last = time.monotonic()
                while not self._stopped.wait(max(0.0, last + TICK - time.monotonic())):
                    now = time.monotonic()
                    for stream in self._shape.streams:
                        self._come(link, stream, now - last)
                    self._beat(link)
                    last = now
        except BaseException as error:
            self._error.append(error)

    def _come(self, link: Netlink, stream: Stream, passed: float) -> None:
        number = int(self._chance.poisson(stream.rate * passed))
        if not number:
            return
        lives, before = self._chance.choice(stream.lives, number), time.monotonic()
        send_columns(link, stream.template, {**self._addresses(number), "timeout": lives})
        born = np.linspace(before, time.monotonic(), number)
        self.truth.born.setdefault(stream.template.dport, []).append(born)
        self.truth.lives.setdefault(stream.template.dport, []).append(lives.astype(np.float64))

    def _beat(self, link: Netlink) -> None:
        """Send the packets that are due: a change that sets the time-out anew."""
        for beats, columns, periods, due, last in self._beaten:
            now = time.monotonic()
            of = np.flatnonzero(due <= now)
            if len(of):
                send_columns(link, beats.template, {name: column[of] for name, column in columns.items()}, flags=0)
                sent = np.linspace(now, time.monotonic(), len(of))
                self.truth.spoke.setdefault(beats.template.dport, []).append(sent)
                self.truth.silent.setdefault(beats.template.dport, []).append(sent - last[of])
                due[of], last[of] = sent + periods[of], sent

    @contextmanager
    def running(self) -> Iterator[None]:
        """Traffic, as long as this lasts. What went wrong in the thread is raised at the end."""
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join()
        if self._error:
            raise self._error[0]


def shapes(scale: float = 1.0) -> dict[str, Shape]:
    """Six kinds of busy tables; `scale` multiplies the rates."""

    def web(port: int, state: int = TcpState.ESTABLISHED, timeout: int = STATIC) -> Entry:
        return Entry(6, "11.0.0.1", "192.0.2.18", 1, port, state, timeout)

    def dns(port: int) -> Entry:
        return Entry(17, "11.0.0.1", "192.0.2.18", 1, port, timeout=STATIC)

    spread = tuple(np.ceil(-np.log(1 - (np.arange(200) + 0.5) / 200) * 20).astype(int).tolist())
    return {
        "short connections": Shape((Stream(web(80, TcpState.TIME_WAIT), 300 * scale, (120,)),)),
        "resolver": Shape((Stream(dns(53), 400 * scale, (30,)), Stream(web(443), 20 * scale, (60,)))),
        "all kinds of lives": Shape((Stream(web(80), 300 * scale, spread),)),
        "very short lives": Shape((Stream(dns(53), 300 * scale, (2, 3)), Stream(web(443), 60 * scale, (300,)))),
        "flood": Shape((Stream(web(80, TcpState.SYN_SENT), 500 * scale, (120,)), Stream(web(22), 2, (600,)))),
        "heartbeats": Shape(
            (Stream(web(443), 50 * scale, (40, 200)),),
            (Beats(web(1883, timeout=LONGEST), round(1_000 * scale), (3.0, 7.0, 13.0, 29.0)),),
        ),
    }
