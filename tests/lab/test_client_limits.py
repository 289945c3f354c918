"""Limits for clients on a real gateway, in every dialect: who is refused, who is not, and what is left afterwards."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from conntrim.host.netns import entered
from conntrim.lab.gateway import LAN, RULES, SERVER, SERVER6, Gateway, gateway
from tests.lab.commands import conntrim
from tests.lab.test_rollout import until

ABUSER = f"{LAN}.22"
OPEN = """\
[[limit]]
direction = "forwarded"
per = "client"
connections = 30
action = "reject"
"""
RATE = """\
[[limit]]
direction = "forwarded"
protocol = "tcp"
ports = [443]
per_second = 5
action = "drop"
"""


@pytest.fixture
def gate() -> Iterator[Gateway]:
    """A gateway with 21 clients."""
    with gateway() as made:
        yield made


def run(gate: Gateway, place: Path, *words: str) -> str:
    """A verb that succeeds; its output."""
    done = conntrim(gate.host, *words, "--state", str(place / "state"))
    assert (done.returncode, done.stderr) == (0, b""), done.stdout.decode() + done.stderr.decode()
    return done.stdout.decode()


def planned(gate: Gateway, place: Path, policy: str) -> str:
    """The plan of a policy, in the directory `plan`."""
    (place / "policy.toml").write_text(policy)
    return run(gate, place, "plan", "--policy", str(place / "policy.toml"), "-o", str(place / "plan"))


@pytest.mark.parametrize("dialect", RULES)
def test_an_abuser_is_refused_and_nobody_else(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """Of a client's new connections those over 30 are refused, of 20 others none; open ones go on, through trial,
    confirm and rollback; then the rules are those of before. What was open at the load is not counted (K164), and
    a confirm in legacy counts anew (K165)."""
    gate.load(dialect)
    before = listed(gate)
    assert gate.connects(ABUSER, 40) == 40
    old = list(gate.opened)
    said, left = planned(gate, tmp_path, OPEN), 30
    assert said.startswith(f"ready: 1 limit for clients, entries 40 -> {left}; all 4 obligations proved")
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "60s")
    assert gate.connects(ABUSER, 40) == 30
    assert [gate.connects(f"{LAN}.{n}", 3) for n in range(2, 22)] == [3] * 20
    assert gate.connects("fd09:1::2", 40, server=SERVER6) == 30
    assert gate.connects("fd09:2::2", 3, server=SERVER6) == 3
    assert gate.alive(old) == 40
    run(gate, tmp_path, "confirm")
    assert gate.connects(ABUSER, 5) == (5 if dialect == "iptables-legacy" else 0)
    assert gate.alive(gate.opened) == len(gate.opened)
    run(gate, tmp_path, "rollback")
    assert gate.connects(ABUSER, 5) == 5
    assert before == listed(gate)


def listed(gate: Gateway) -> str:
    """The gateway's rules without counters, handles and empty tables."""
    texts = [gate.host.run("nft", "-s", "list", "ruleset")]
    texts += [gate.host.run(f"ip{six}tables-legacy-save") for six in ("", "6")]
    return "\n".join(line for text in texts for line in text.splitlines() if line.strip() and line[0] not in "#:")


@pytest.mark.parametrize("dialect", ["iptables-nft", "nftables"])
def test_a_rate_lets_a_burst_by_and_drops_what_comes_faster(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """Of 20 connections at once five are let through, to another port all, and after the trial's end all again."""
    gate.load(dialect)
    said = planned(gate, tmp_path, RATE)
    assert said.startswith("ready: 1 limit for clients; all 4 obligations proved")
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "6s")
    assert together(gate, ABUSER, 20, 443) in (5, 6)
    assert together(gate, f"{LAN}.2", 5, 443) == 5
    assert together(gate, ABUSER, 20, 80) == 20
    while together(gate, ABUSER, 20, 443) < 20:
        pass
    assert "is over" in conntrim(gate.host, "status", "--state", str(tmp_path / "state")).stdout.decode()


RETRY = 0.7
"""Seconds: TCP asks again after one."""


def together(gate: Gateway, client: str, count: int, port: int) -> int:
    """How many of so many connections that begin at once are answered before TCP asks again."""
    with ExitStack() as stack:
        waiting, end = [], time.monotonic() + RETRY
        with entered(gate.clients.name):
            for _ in range(count):
                mine = stack.enter_context(socket.socket())
                mine.setblocking(False)
                mine.bind((client, 0))
                mine.connect_ex((SERVER, port))
                waiting.append(mine)
        while waiting and time.monotonic() < end:
            answered = select.select([], waiting, [], max(0, end - time.monotonic()))[1]
            waiting = [mine for mine in waiting if mine not in answered]
        return count - len(waiting)


def test_a_full_hashlimit_drops_whom_it_does_not_know(gate: Gateway) -> None:
    """K166: with room for two clients in its table the third is dropped, however slow it is."""
    gate.load("iptables-nft")
    rule = "-I FORWARD -i lan -p tcp -m hashlimit --hashlimit-above 1000/sec --hashlimit-mode srcip"
    full = f"*filter\n{rule} --hashlimit-name few --hashlimit-htable-size 2 --hashlimit-htable-max 2 -j DROP\nCOMMIT\n"
    gate.host.run("iptables-nft-restore", "--noflush", text=full)
    assert [together(gate, f"{LAN}.{n}", 1, 80) for n in (2, 3, 4)] == [1, 1, 0]


@pytest.mark.parametrize("dialect", ["iptables-nft", "nftables"])
def test_what_waits_for_its_end_is_not_counted(gate: Gateway, dialect: str) -> None:
    """K86: under a limit of 20 a client makes 100 short connections, and all leave entries in TIME_WAIT."""
    gate.load(dialect)
    if dialect == "nftables":
        gate.host.run("nft", "-f", "-", text=FEW)
    else:
        rule = "-I FORWARD -p tcp --syn -m connlimit --connlimit-above 20 -j REJECT"
        gate.host.run("iptables-nft-restore", "--noflush", text=f"*filter\n{rule}\nCOMMIT\n")
    for made in range(10, 110, 10):
        assert gate.connects(ABUSER, 10) == 10
        gate.close()
        assert until(partial(_wait, gate, made))


def _wait(gate: Gateway, made: int) -> bool:
    """Whether so many connections of the abuser wait for their end."""
    return made == gate.host.run("conntrack", "-L", "-s", ABUSER).count("TIME_WAIT")


FEW = """\
table ip few {
  set few { type ipv4_addr; size 100; flags dynamic; }
  chain forward {
    type filter hook forward priority 5;
    ct state new tcp dport 80 add @few { ip saddr ct count over 20 } reject
  }
}
"""


@pytest.mark.parametrize("dialect", ["iptables-nft", "nftables"])
def test_a_gateway_without_a_policy_is_proposed_one_that_works(gate: Gateway, tmp_path: Path, dialect: str) -> None:
    """An abuser with 300 of 360 open connections: plan proposes a limit that nobody else meets, proves it, and applied
    it refuses what the abuser opens beyond it."""
    gate.load(dialect)
    assert gate.connects(ABUSER, 300) == 300
    assert [gate.connects(f"{LAN}.{n}", 3) for n in range(2, 22)] == [3] * 20
    said = run(gate, tmp_path, "plan", "-o", str(tmp_path / "plan"))
    assert said.startswith("ready: 1 limit for clients, entries 360 -> 160;")
    run(gate, tmp_path, "apply", str(tmp_path / "plan"), "--trial", "60s")
    assert gate.connects(ABUSER, 120) == 100
    assert gate.connects(f"{LAN}.2", 5) == 5
    run(gate, tmp_path, "rollback")
