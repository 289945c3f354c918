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

from conntrim.app.rollout_run import Ports
from conntrim.core.rollout.record import Journal
from conntrim.host.signals import orderly_end

UNWATCHED = frozenset({"lock", "now", "sleep"})
"""Methods that neither change nor look at anything that a rollout could leave half-done."""
AMID = 0.012
"""Seconds: a fault amid a call falls at a random moment within them, which is what feeding one batch takes."""

Act = Callable[[], object]


class When(StrEnum):
    """On which side of the call."""

    BEFORE = "before"
    AMID = "amid"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Fault:
    """Which call is hit (the first is 1), when, and by which signals: each so many calls after the one before it."""

    call: int
    when: When
    signals: tuple[signal.Signals, ...] = (signal.SIGKILL,)
    apart: int = 1


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


def struck(made: Ports, verb: Callable[[Ports], object], fault: Fault, seed: int, limit: float = 60) -> int:
    """Run a verb in a process of its own and strike it; how many signals it got before it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        sys.unraisablehook = lambda _: None  # a signal that falls into a fork's own hooks is lost, with a message
        with suppress(BaseException), orderly_end():
            verb(watched(made, _Striking(fault, random.Random(seed), writing)))
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + limit
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            raise AssertionError(f"still running after {limit:g} s: {fault}")
        time.sleep(0.005)
    with open(reading, "rb") as told:
        return len(told.read())


class _Striking:
    """Counts calls, and strikes this process at those that the fault names."""

    def __init__(self, fault: Fault, chance: random.Random, told: int) -> None:
        self.fault, self.chance, self.told, self.calls = fault, chance, told, 0

    def __call__(self, name: str, act: Act) -> object:
        self.calls += 1
        nth, between = divmod(self.calls - self.fault.call, self.fault.apart)
        if between or not 0 <= nth < len(self.fault.signals):
            return act()
        number = self.fault.signals[nth]
        os.write(self.told, b"!")
        if self.fault.when is When.AFTER:
            result = act()
            os.kill(os.getpid(), number)
            return result
        if self.fault.when is When.AMID:
            self._soon(number)
        else:
            os.kill(os.getpid(), number)
        return act()

    def _soon(self, number: signal.Signals) -> None:
        """From another process: this one is busy then."""
        victim, delay = os.pidfd_open(os.getpid()), self.chance.uniform(0, AMID)
        if os.fork() == 0:
            with suppress(BaseException):
                time.sleep(delay)
                signal.pidfd_send_signal(victim, number)
            os._exit(0)
