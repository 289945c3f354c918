"""kill -9 and signals at every step of apply, confirm and rollback, on a real kernel in every dialect.

The short form kills once before and once after each change, and nine times at random; CONNTRIM_TORTURE=N makes that N.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conntrim.app.rollout import apply, confirm, rollback, status
from conntrim.app.rollout_work import Ports
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.lab.netns import LabHost, lab_host
from conntrim.render.json import to_json
from tests.lab.handmade import DIALECTS, handmade, listing, load_before
from tests.lab.test_rollout import connected, entries, new_entries, ports, server, until, without_empty_raw

KILLS = int(os.environ.get("CONNTRIM_TORTURE", "9"))
"""Kills at random moments, over all dialects and verbs."""

CHANGING = {"load", "arm", "sweep", "write", "purge"}
"""The methods of ports that change something: rules, the journal, entries."""

CHANGES = {"apply": 6, "confirm": 10, "rollback": 6}
"""How many such calls a verb makes; an apply of nftables has nothing to arm."""


class Killing:
    """A port that dies by SIGKILL before or after the n-th change of all ports that share `calls`."""

    def __init__(self, port: object, calls: list[int], kill_at: int, after: bool) -> None:
        self._port, self._calls, self._kill_at, self._after = port, calls, kill_at, after

    def __getattr__(self, name: str) -> object:
        method = getattr(self._port, name)
        if name not in CHANGING:
            return method

        def deadly(*arguments: object) -> object:
            self._calls[0] += 1
            if self._calls[0] == self._kill_at and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments)
            if self._calls[0] == self._kill_at and self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return deadly


def deadly(made: Ports, kill_at: int, after: bool) -> Ports:
    """The same ports, of which one kills."""
    calls = [0]

    def watched(port: object) -> Any:
        return Killing(port, calls, kill_at, after)

    return replace(made, loader=watched(made.loader), purge=watched(made.purge), journal=watched(made.journal))


def in_child(act: Callable[[], object]) -> int:
    """Do it in a process of its own; the signal that ended it, or minus its exit code."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            act()
        os._exit(0)
    _, end = os.waitpid(child, 0)
    return end & 0x7F


def steps(verb: str, dialect: str) -> list[tuple[int, bool]]:
    """Every change of a verb, killed before and after."""
    changes = CHANGES[verb] - (verb == "apply" and dialect == "nftables")
    return [(call, after) for call in range(1, 1 + changes) for after in (False, True)]


def is_tracked(host: LabHost) -> bool:
    """Does a connection to the service make an entry?"""
    return new_entries(host) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_apply_killed_anywhere_falls_back(tmp_path: Path, dialect: str) -> None:
    """After the deadline the service is tracked again; status knows; a second apply and a rollback work."""
    with ExitStack() as stack:
        kills = steps("apply", dialect)
        hosts = [stack.enter_context(lab_host(f"kill{number}")) for number, _ in enumerate(kills)]
        before = {}
        for host, step in zip(hosts, kills, strict=True):
            load_before(host, dialect)
            before[host.name] = listing(host, dialect)
            made = deadly(ports(host, str(tmp_path)), *step)
            assert in_child(partial(apply, made, handmade(dialect), 2)) == signal.SIGKILL
        for host in hosts:
            with server(host):
                assert until(partial(is_tracked, host))
            made = ports(host, str(tmp_path))
            assert status(made).state is not State.TRIAL
            assert apply(made, handmade(dialect), 60).answer == "armed"
            assert rollback(made).answer == "rolled back"
            assert without_empty_raw(listing(host, dialect)) == before[host.name]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_confirm_killed_anywhere_can_be_finished(tmp_path: Path, dialect: str) -> None:
    """A second confirm ends where the first would have; a connection from before lives through all of it."""
    for call, after in steps("confirm", dialect):
        with lab_host("kill") as host, server(host):
            load_before(host, dialect)
            before = listing(host, dialect)
            alive = connected(host)
            made = ports(host, str(tmp_path / f"{call}{after}"))
            assert apply(made, handmade(dialect), 60).answer == "armed"
            assert in_child(partial(confirm, deadly(made, call, after))) == signal.SIGKILL
            assert confirm(made).exit_code == 0
            assert (status(made).state, entries(host), new_entries(host)) == (State.CONFIRMED, 0, 0)
            alive.sendall(b"still here")
            assert rollback(made).answer == "rolled back"
            assert without_empty_raw(listing(host, dialect)) == before
            alive.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_rollback_killed_anywhere_can_be_finished(tmp_path: Path, dialect: str) -> None:
    """A second rollback leaves the listing as it was before the plan."""
    for call, after in steps("rollback", dialect):
        with lab_host("kill") as host:
            load_before(host, dialect)
            before = listing(host, dialect)
            made = ports(host, str(tmp_path / f"{call}{after}"))
            apply(made, handmade(dialect), 60)
            confirm(made)
            assert in_child(partial(rollback, deadly(made, call, after))) == signal.SIGKILL
            assert rollback(made).exit_code == 0
            assert without_empty_raw(listing(host, dialect)) == before
            assert status(made).state is State.NOTHING


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_signal_amid_apply_leaves_all_or_nothing(
    host: LabHost, tmp_path: Path, dialect: str, number: signal.Signals
) -> None:
    """The session hangs up as soon as the journal says that rules are being loaded: armed as a whole, or as before."""
    load_before(host, dialect)
    before = listing(host, dialect)
    (tmp_path / "plan.json").write_text(to_json("plan", handmade(dialect)))
    argv = ["apply", str(tmp_path), "--netns", host.name, "--state", str(tmp_path / "state"), "--trial", "60"]
    running = subprocess.Popen([sys.executable, "-m", "conntrim", *argv], stdout=subprocess.PIPE, text=True)
    made = ports(host, str(tmp_path / "state"))
    assert until(lambda: made.journal.read().state is not State.NOTHING)
    running.send_signal(number)
    output, _ = running.communicate(timeout=60)
    if running.returncode == 0:
        assert (output[:6], status(made).state) == ("Armed.", State.TRIAL)
    else:
        assert without_empty_raw(listing(host, dialect)) == before
        assert status(made).state is State.NOTHING
    assert rollback(made).exit_code == 0


def moments() -> Iterator[tuple[str, str, float]]:
    """Dialect, verb and seconds after which it is killed; the same for every run of so many kills."""
    chance = random.Random(KILLS)
    for _ in range(KILLS):
        yield chance.choice(DIALECTS), chance.choice(["apply", "confirm", "rollback"]), chance.uniform(0, 0.4)


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """Killed at any moment, amid a running program too: a rollback restores the listing, and a trial works again."""
    verbs: dict[str, Callable[[Ports, str], Report]] = {
        "apply": lambda made, dialect: apply(made, handmade(dialect), 60),
        "confirm": lambda made, _: confirm(made),
        "rollback": lambda made, _: rollback(made),
    }
    for number, (dialect, verb, seconds) in enumerate(moments()):
        with lab_host("kill") as host:
            load_before(host, dialect)
            before = listing(host, dialect)
            made = ports(host, str(tmp_path / str(number)))
            for earlier in {"apply": (), "confirm": ("apply",), "rollback": ("apply", "confirm")}[verb]:
                assert verbs[earlier](made, dialect).exit_code == 0
            killed_after(seconds, partial(verbs[verb], made, dialect))
            status(made)
            assert rollback(made).exit_code == 0
            assert without_empty_raw(listing(host, dialect)) == before
            assert apply(made, handmade(dialect), 60).answer == "armed"


def killed_after(seconds: float, act: Callable[[], object]) -> None:
    """Do it in a process of its own, killed after so many seconds unless it has ended."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            act()
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        pass
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)
