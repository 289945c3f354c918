"""Ends a rollout by a signal at any of its steps: before, amid or after the n-th thing that it asks of the outside."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from conntrim.app.rollout_work import Ports
from conntrim.core.rollout.record import Journal
from conntrim.host.signals import orderly_end

UNWATCHED = frozenset({"lock", "now", "sleep"})
"""Methods that neither change nor look at anything that a rollout could leave half-done."""
AMID = 0.012
"""Seconds: a blow amid a call falls at a random moment within them, which is what feeding one batch takes."""
AGAIN = 0.03
"""Seconds within which the second signal of a pair follows: amid the orderly end that the first one began."""

Act = Callable[[], object]


class When(StrEnum):
    """On which side of the call."""

    BEFORE = "before"
    AMID = "amid"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Blow:
    """Which call is hit (the first is 1), when, and by which signals, one after the other."""

    call: int
    when: When
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)


class _Watched:
    """A port whose calls go through `on_call`, with a name for the step."""

    def __init__(self, port: object, on_call: Callable[[str, Act], object]) -> None:
        self._port, self._on_call = port, on_call

    def __getattr__(self, name: str) -> object:
        method = getattr(self._port, name)
        if name in UNWATCHED:
            return method
        return lambda *given: self._on_call(_step(name, given), lambda: method(*given))


def _step(name: str, given: tuple[object, ...]) -> str:
    """A write of the journal is named after its state."""
    return f"journal: {given[0].state}" if given and isinstance(given[0], Journal) else name.replace("_", " ")


def watched(made: Ports, on_call: Callable[[str, Act], object]) -> Ports:
    """The same ports, with every call going through `on_call`, which is given a name and the call."""
    values = {field.name: getattr(made, field.name) for field in fields(made)}
    ports: dict[str, Any] = {
        name: _Watched(port, on_call) for name, port in values.items() if not isinstance(port, str | None)
    }
    return replace(made, **ports)


def steps_of(made: Ports, verb: Callable[[Ports], object]) -> tuple[str, ...]:
    """Run a verb to its end; the names of its calls."""
    names: list[str] = []

    def noted(name: str, act: Act) -> object:
        names.append(name)
        return act()

    verb(watched(made, noted))
    return tuple(names)


def struck(made: Ports, verb: Callable[[Ports], object], blow: Blow, seed: int, limit: float = 60) -> bool:
    """Run a verb in a process of its own and strike it; False where it ended before the call to be hit."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        sys.unraisablehook = lambda _: None  # a signal that falls into a fork's own hooks is lost, with a message
        with suppress(BaseException), orderly_end():
            verb(watched(made, _Striking(blow, random.Random(seed), writing)))
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + limit
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            raise AssertionError(f"still running after {limit:g} s: {blow}")
        time.sleep(0.005)
    with open(reading, "rb") as told:
        return told.read() != b""


class _Striking:
    """Counts calls, and strikes this process at one of them."""

    def __init__(self, blow: Blow, chance: random.Random, told: int) -> None:
        self.blow, self.chance, self.told, self.calls = blow, chance, told, 0

    def __call__(self, name: str, act: Act) -> object:
        self.calls += 1
        if self.calls != self.blow.call:
            return act()
        os.write(self.told, b"!")
        if self.blow.when is When.AFTER:
            result = act()
            self._strike(0)
            return result
        self._strike(AMID if self.blow.when is When.AMID else 0)
        return act()

    def _strike(self, within: float) -> None:
        """The first signal at once or soon, the others soon after it, from a process that outlives this one."""
        first, *others = self.blow.signals
        delays = [self.chance.uniform(0, within), *(self.chance.uniform(0, AGAIN) for _ in others)]
        if others or within:
            victim = os.pidfd_open(os.getpid())
            if os.fork() == 0:
                _send(victim, self.blow.signals, delays)
        else:
            os.kill(os.getpid(), first)


def _send(victim: int, signals: tuple[signal.Signals, ...], delays: list[float]) -> None:
    with suppress(BaseException):
        for number, delay in zip(signals, delays, strict=True):
            time.sleep(delay)
            signal.pidfd_send_signal(victim, number)
    os._exit(0)
