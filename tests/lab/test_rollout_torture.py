"""kill -9 and signals at every step of apply, confirm and rollback, on a real kernel in every dialect.

The short form: a sample of what `make torture` does, and nine kills at random moments; CONNTRIM_TORTURE=N makes that N.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from conntrim.app.rollout import apply, confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import State
from conntrim.lab.netns import LabHost, lab_host
from conntrim.render.json import to_json
from tests.lab.besieged import Besieged, besieged
from tests.lab.by_hand import ARGV, ROOT
from tests.lab.fault_injection import Fault, When, steps_of, struck
from tests.lab.handmade import DIALECTS, handmade, listing, load_before
from tests.lab.test_rollout import ports, until, without_empty_raw
from tests.lab.torture import LONG, SHORT, SIEGES, prepared, run

CONFIRM = next(siege for siege in SIEGES if siege.name == "confirm")
FAULTS = 24
"""Of the thousand and more of the full form."""
KILLS = int(os.environ.get("CONNTRIM_TORTURE", "9"))
"""Kills at random moments, over all dialects and verbs."""


def test_no_blow_at_any_step_locks_anybody_out() -> None:
    """A fair sample of all faults, each with everything that must hold after it; they hit at least four states."""
    outcomes = list(run(lambda cases: cases[:FAULTS], seed=1, lanes=6))
    assert [] == [f"{outcome.case}\n{outcome.wrong}" for outcome in outcomes if outcome.wrong]
    assert FAULTS == len(outcomes)
    # Which state a fault finds is a matter of moments; that they find many is not.
    assert len({outcome.state for outcome in outcomes}) >= 4


def _hung_up(host: Besieged, fault: Fault) -> tuple[Ports, int]:
    """The ports of a confirm that was struck, with a trial that is long enough for it; how many signals it got."""
    for seconds in (SHORT, SHORT * 4, SHORT * 16) if fault.apart == 1 else (LONG,):
        made = prepared(host, CONFIRM, f"killed {fault.apart}", seconds)
        if signals := struck(made, confirm, fault, seed=fault.apart):
            return made, signals
        rollback(made)
    raise AssertionError("the confirm never came to that step")


def _over(made: Ports) -> bool:
    guard = made.journal.read().guard
    return guard is not None and made.clock.now().wall > guard.wall


@pytest.mark.parametrize(("kind", "step"), [("iptables", "fill"), ("legacy", "load")])
def test_a_hang_up_from_the_flip_on_keeps_the_rules(kind: str, step: str) -> None:
    """Hung up behind that step and killed at any call of the orderly end: kept for good, and a confirm goes on."""
    with besieged(kind) as host:
        made = prepared(host, CONFIRM, "undisturbed", LONG)
        names = steps_of(made, confirm)
        assert rollback(made).exit_code == 0
        call = names.index(step, names.index("fill")) + 1
        for apart in count(1):
            made, signals = _hung_up(host, Fault(call, When.AFTER, (signal.SIGHUP, signal.SIGKILL), apart))
            if apart == 1:  # once is enough to see that no deadline ends it
                assert until(partial(_over, made))
            host.not_locked_out()
            assert not host.tracked(flipping=True)
            assert (status(made).state, status(made).rules > 0) == (State.KEEPING, True)
            assert confirm(made).answer == "confirmed"
            assert rollback(made).answer == "rolled back"
            host.as_before(f"killed {apart}")
            if signals == 1:
                break
        assert apart >= 3


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_signal_amid_apply_leaves_all_or_nothing(
    host: LabHost, tmp_path: Path, dialect: str, number: signal.Signals
) -> None:
    """The session hangs up as soon as the journal says that rules are being loaded: armed as a whole, or as before."""
    load_before(host, dialect)
    before = listing(host, dialect)
    (tmp_path / "plan.json").write_text(to_json("plan", handmade(dialect)))
    argv = [str(tmp_path), "--netns", host.name, "--state", str(tmp_path / "state"), "--trial", "60"]
    running = subprocess.Popen([*ARGV, *argv], stdout=subprocess.PIPE, text=True, cwd=ROOT)
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
