"""Hosts at a full table, end to end: what plan proposes there without a policy is proved, tried and kept; then nothing
is dropped, the table is as predicted, and no connection was cut."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conntrim.core.model.conntrack import TcpState
from conntrim.host.flows import KernelFlows
from conntrim.host.frames import KernelFrames
from conntrim.host.netns import entered
from conntrim.lab.gateway import LAN, gateway
from conntrim.lab.limits import global_limits
from conntrim.lab.netns import LabHost
from tests.lab.commands import conntrim
from tests.lab.full_tables import EACH_ONCE, HOSTS, MOST, TIMEOUT, Full
from tests.lab.test_rollout import until

TRIAL = 5
"""Seconds of the trial that expires."""
LOOKS = 5
"""Seconds of load as it always is before anybody plans, where arrivals are refused all the while."""
NEAR = 0.1
"""How far from the prediction the table may be."""
STAYS = 12
"""Seconds, longer than the new time-outs: what has passed by is gone."""
SETTLES = 40
"""Seconds for the last entries to go that have the time-outs of before (K80)."""


@pytest.fixture(autouse=True)
def _small() -> Iterator[None]:
    """A small table."""
    with global_limits(nf_conntrack_max=MOST):
        yield


def does(full: Full, place: Path, *words: str) -> str:
    """A verb that succeeds; what it says."""
    done = conntrim(full.host, *words, "--state", str(place / "state"))
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def near(full: Full, predicted: int) -> bool:
    """Whether a prediction holds."""
    return full.entries() == pytest.approx(predicted, rel=NEAR)


@pytest.mark.parametrize("name", HOSTS if os.environ.get("CONNTRIM_HOSTS") == "all" else EACH_ONCE)
def test_a_full_table_is_cured(tmp_path: Path, name: str) -> None:
    """Proposed, proved, tried until the trial expires, tried again and kept: afterwards no packet is dropped, no
    request fails, the table is within a tenth of the prediction, and all connections from before live at every
    step."""
    make, dialect = HOSTS[name]
    with make(dialect, tmp_path) as full:
        full.fill()
        directory, state = str(tmp_path / "plan"), str(tmp_path / "state")
        with full.busy():
            time.sleep(LOOKS * bool(full.rate))
            does(full, tmp_path, "plan", "-o", directory)
        plan: dict[str, Any] = json.loads((tmp_path / "plan/plan.json").read_text())
        assert {} == {each["name"]: each["why"] for each in plan["obligations"] if each["standing"] != "proved"}
        assert not plan["settings"]
        with full.busy():
            does(full, tmp_path, "apply", directory, "--trial", f"{TRIAL}s")
            assert full.cut() == 0
            time.sleep(TRIAL)
            assert until(lambda: "is over" in conntrim(full.host, "status", "--state", state).stdout.decode())
            assert full.cut() == 0
            does(full, tmp_path, "apply", directory, "--trial", "60s")
            does(full, tmp_path, "confirm")
            full.after()
            assert until(lambda: near(full, plan["entries_after"]), SETTLES), (full.entries(), plan["entries_after"])
            time.sleep(STAYS * bool(full.rate))
        assert full.cut() == 0
        before = full.dropped()
        with full.busy() as failed:
            time.sleep(2)
            assert near(full, plan["entries_after"]), (full.entries(), plan["entries_after"])
        assert (failed[0], full.dropped()) == (0, before)
        assert full.cut() == 0
        does(full, tmp_path, "rollback")
        assert full.cut() == 0


def test_seconds_left_are_rounded_down() -> None:
    """K161: an entry that has just been given 120 s has less in a dump, so it seems idle for up to a second longer than
    it is."""
    with gateway(2) as made:
        made.load("nftables")
        assert made.connects(f"{LAN}.2") == 1
        made.close()

        def waiting() -> list[int]:
            blocks = KernelFlows(made.host.name).blocks(frozenset({"state", "timeout"}))
            return [left for block in blocks for left in block.timeout[block.state == TcpState.TIME_WAIT].tolist()]

        assert until(lambda: bool(waiting()))
        assert max(waiting()) < 120


TRACKS = """\
table ip t {
  chain c {
    type filter hook output priority 0
    ct state new
  }
}
"""


def test_what_has_expired_takes_room(host: LabHost) -> None:
    """K160: a table of expired entries refuses packets until somebody walks past them; a dump takes them out, one that
    lists nothing too."""
    host.run("nft", "-f", "-", text=TRACKS)
    host.run("ip", "link", "set", "lo", "up")
    host.sysctl(TIMEOUT, 1)
    full = Full(host, lambda count: datagrams(host, count))

    def refuses() -> bool:  # not where the collector happened to come by
        datagrams(host, MOST)
        time.sleep(2)
        before = full.dropped()
        datagrams(host, 50)
        return full.dropped() > before

    assert until(refuses)
    assert KernelFrames(host.name).read(1, 0, settle=True).settled
    before = full.dropped()
    datagrams(host, 50)
    assert full.dropped() == before


def datagrams(host: LabHost, count: int) -> int:
    """So many, each an entry of its own, to nobody; how many the kernel refused to send."""
    refused = 0
    with entered(host.name), socket.socket(type=socket.SOCK_DGRAM) as mine:
        for port in range(count):
            try:
                mine.sendto(b"word", ("127.0.0.1", 20_000 + port))
            except OSError:
                refused += 1
    return refused
