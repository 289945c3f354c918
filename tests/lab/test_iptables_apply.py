"""The same mistake, a drop of the operator's own port, tried with iptables-apply and with us, side by side."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from conntrim.core.model.plan import Batch
from conntrim.host.netns import entered
from conntrim.host.programs import environment, find
from conntrim.lab.netns import LabHost, lab_host
from conntrim.render.json import to_json
from tests.lab.by_hand import ARGV, ROOT
from tests.lab.handmade import GUARD, XT_FILTER, handmade
from tests.lab.test_rollout import connected, server, until

SSH = 22
ENDS = {"SIGHUP": signal.SIGHUP, "SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL, "nobody answers": None}
"""What becomes of the session; where nobody answers, both wait for their time to pass."""
Way = Callable[[LabHost, Path, int], subprocess.Popen[str]]
MISTAKE = "INPUT -p tcp --dport 22"


class TooSlowError(Exception):
    """This machine was."""


def reachable(host: LabHost) -> bool:
    """Can the operator log in?"""
    try:
        connected(host, SSH).close()
    except OSError:
        return False
    return True


def refused(host: LabHost) -> bool:
    """Can the operator not log in?"""
    return not reachable(host)


def iptables_apply(host: LabHost, place: Path, seconds: int) -> subprocess.Popen[str]:
    """iptables-apply with the operator's rules and the mistake before them."""
    rules = place / "rules"
    rules.write_text(XT_FILTER.replace("-A INPUT", f"-A {MISTAKE} -j REJECT\n-A INPUT", 1))
    return started(host, [find("iptables-apply") or "", "-t", str(seconds), str(rules)])


def our_apply(host: LabHost, place: Path, seconds: int) -> subprocess.Popen[str]:
    """Our apply of a plan with nothing but the mistake in it, waiting at the terminal for its end."""
    rule = f'{MISTAKE} -m comment --comment "conntrim: mistake (trial)" {GUARD} -j REJECT'
    batches = [(Batch("iptables-nft-restore", f"*filter\n-{verb} {rule}\nCOMMIT\n"),) for verb in "ID"]
    plan = replace(handmade("iptables-nft"), trial=batches[0], confirm=(), rollback_trial=batches[1])
    (place / "plan.json").write_text(to_json("plan", plan))
    options = ["--trial", f"{seconds}s", "--wait", "--netns", host.name, "--state", str(place)]
    return started(None, [*ARGV, str(place), *options])


def started(host: LabHost | None, argv: list[str]) -> subprocess.Popen[str]:
    """In a session of its own as after a login: its terminal's input open, root's path."""
    with entered(host.name if host else None):
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True, env=environment(), cwd=ROOT,
        )  # fmt: skip


@contextmanager
def ended(running: subprocess.Popen[str]) -> Iterator[None]:
    """At its end the session has ended, its terminal's input too."""
    with running:
        try:
            yield
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)


def locked_out(way: Way, place: Path, seconds: int, patience: float) -> dict[str, bool]:
    """Make the mistake on a host for each end; is the operator locked out there when everything has ended that will?

    All are signalled before any is waited for: iptables-apply lives on to its time-out where the signal comes between
    its loading the rules and its asking. `patience`: seconds. TooSlowError where a trial was over before its mistake
    was seen.
    """
    with ExitStack() as stack:
        hosts, running = {}, {}
        for number, end in enumerate(ENDS):
            host = hosts[end] = stack.enter_context(lab_host(f"apply{number}"))
            stack.enter_context(server(host, SSH))
            host.run("iptables-nft-restore", text=XT_FILTER)
            (place / end).mkdir(parents=True)
            running[end] = way(host, place / end, seconds)
            stack.enter_context(ended(running[end]))
        for end, signalled in ENDS.items():
            if signalled is not None:
                if not until(partial(refused, hosts[end]), seconds):
                    raise TooSlowError
                os.killpg(running[end].pid, signalled)  # everything in the session, as by a terminal that is gone
        for process in running.values():
            process.wait(2 * seconds)
        return {end: not until(partial(reachable, host), patience) for end, host in hosts.items()}


@pytest.mark.skipif(find("iptables-apply") is None, reason="iptables-apply is not installed")
def test_who_is_locked_out_by_iptables_apply(tmp_path: Path) -> None:
    """K71: it falls back where its process lives on, undisturbed; whatever ends that leaves the mistake in place."""
    expected = {"SIGHUP": True, "SIGTERM": True, "SIGKILL": True, "nobody answers": False}
    assert expected == in_time(iptables_apply, tmp_path, patience=0.5)


def test_nobody_is_locked_out_by_us(tmp_path: Path) -> None:
    """Whatever ends the session, the kernel ends the mistake at its deadline."""
    assert dict.fromkeys(ENDS, False) == in_time(our_apply, tmp_path, patience=30)


def in_time(way: Way, place: Path, patience: float) -> dict[str, bool]:
    """With short trials; again with long ones on a machine that is too slow for those."""
    try:
        return locked_out(way, place / "short", 6, patience)
    except TooSlowError:
        return locked_out(way, place / "long", 60, patience * 10)
