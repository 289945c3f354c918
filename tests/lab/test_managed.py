"""Hosts whose rules firewalld or ufw makes: untracked, their reload and a boot survived, their rules untouched."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conntrim.host import programs
from conntrim.lab.netns import LabHost, bridged
from tests.lab.managed import Managed, firewalld, ufw, until
from tests.lab.planning import CACHE, WEB, WEB_POLICY, ask, entries, serve
from tests.lab.test_persist import flush, loaded
from tests.lab.test_rollout_plans import Operator, SwiftOperator


@contextmanager
def web_host(directory: Path) -> Iterator[tuple[LabHost, LabHost, Operator, Path]]:
    """The web host with systemd below its root, a client, a cache, and somebody at its command line."""
    (directory / "web.toml").write_bytes(WEB_POLICY)
    with bridged(["cache=17", "client=20", "web=18"]) as hosts:
        serve(hosts["cache"], 11211)
        operator, root = SwiftOperator(hosts["web"], directory), directory / "root"
        (root / "lib/systemd").mkdir(parents=True)
        (root / "lib/systemd/systemd").touch()
        yield hosts["web"], hosts["client"], operator, root


def untracked(web: LabHost, client: LabHost) -> bool:
    """The service answers, the cache answers it, and that leaves no entry more."""
    before = entries(web)
    assert [ask(web, CACHE, 11211) for _ in range(3)] == ["echo"] * 3
    assert [ask(client, WEB, 80) for _ in range(3)] == ["echo"] * 3
    return entries(web) == before


def kept(operator: Operator, directory: Path) -> str:
    """Plan, trial, confirm; what confirm says, on one line."""
    made = str(directory / "plan")
    for verb in (("plan", "--policy", str(directory / "web.toml"), "-o", made), ("apply", made), ("confirm",)):
        done = operator.does(*verb)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return " ".join(done.stdout.split())


XT_AS_NFT = ("table ip ", "table ip6 ", "ip raw ", "ip6 raw ")


def theirs(chains: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The chains and rules that are not ours, of iptables by its own program: nft shows no comments there."""
    left = {n: tuple(r for r in rules if "conntrim:" not in r) for n, rules in chains.items()}
    return {n: rules for n, rules in left.items() if "conntrim" not in n.lower() and not n.startswith(XT_AS_NFT)}


@pytest.mark.skipif(programs.find("ufw") is None, reason="ufw is not installed")
def test_ufw(tmp_path: Path) -> None:
    """The accepts come back with ufw's own files, at its reload and at boot; the raw rules with a unit of ours."""
    with web_host(tmp_path) as (web, client, operator, root):
        manager = ufw(web, root)
        (root / "etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
        (root / "etc/systemd/system/multi-user.target.wants/ufw.service").symlink_to("/lib/systemd/system/ufw.service")
        serve(web, 80)
        before = loaded(web)
        told = kept(operator, tmp_path)
        assert "Rules here are made by: ufw" in told
        assert "Comes back at boot: /etc/ufw/before.rules, loaded by ufw" in told
        assert "Comes back at boot: /etc/conntrim/untrack.v4, loaded by conntrim.service" in told
        assert theirs(loaded(web)) == theirs(before)
        after = loaded(web)
        manager.does("reload")
        assert loaded(web) == after
        assert untracked(web, client)
        assert operator.does("status").returncode == 0
        boot(web, root, manager)
        assert loaded(web) == after
        assert untracked(web, client)
        assert operator.does("rollback").returncode == 0
        assert theirs(loaded(web)) == theirs(before)
        manager.does("reload")
        assert theirs(loaded(web)) == theirs(before)


def boot(web: LabHost, root: Path, manager: Managed) -> None:
    """No rules, then what the manager and our unit load."""
    flush(web)
    manager.begin()
    unit = (root / "etc/systemd/system/conntrim.service").read_text().splitlines()
    for line in (line for line in unit if line.startswith("ExecStart=")):
        *command, path = line.partition("=")[2].split()
        web.run(*command, text=(root / path[1:]).read_text())


@pytest.mark.skipif(programs.find("firewalld") is None, reason="firewalld is not installed")
def test_firewalld(tmp_path: Path) -> None:
    """Its reload drops the accepts in its table: told, loaded again by a confirm, and by the unit where that runs."""
    with web_host(tmp_path) as (web, client, operator, root):
        manager = firewalld(web, tmp_path)
        serve(web, 80)
        before = loaded(web)
        told = kept(operator, tmp_path)
        assert "Rules here are made by: firewalld" in told
        assert "Comes back at boot: /etc/conntrim/untrack.nft, loaded by conntrim-firewalld.service" in told
        assert untracked(web, client)
        after = loaded(web)
        manager.does("--reload")
        assert ask(web, CACHE, 11211) != "echo"
        status = operator.does("status")
        assert (status.returncode, status.stdout.splitlines()[1][:14]) == (1, "Load it again:")
        mended = operator.does("confirm")
        assert (mended.returncode, mended.stdout[:16]) == (0, "Confirmed again."), mended.stdout
        assert loaded(web) == after
        for unit in by_itself(web, root, manager, after):
            assert loaded(web) == after
            assert untracked(web, client)
            assert operator.does("status").returncode == 0
            again = operator.does("plan", "--policy", str(tmp_path / "web.toml"), "-o", str(tmp_path / f"again-{unit}"))
            proofs = again.stdout.partition("\nobligations:\n")[2].partition("\n\n")[0].splitlines()
            assert again.stdout.startswith("nothing to do: the rules of this policy are loaded (2 services untracked,")
            assert {line[:7].strip() for line in proofs} <= {"ok", ""}, again.stdout
            assert sum(line.startswith("  ok ") for line in proofs) == 13, again.stdout
        assert operator.does("rollback").returncode == 0
        assert loaded(web) == before
        assert [path.name for path in root.rglob("*") if path.is_file()] == ["systemd"]
        manager.does("--reload")
        assert loaded(web) == before


def by_itself(web: LabHost, root: Path, manager: Managed, after: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The unit runs: once our rules are there after a boot, two kinds of reload, and a restart of firewalld."""
    manager.end()
    flush(web)
    manager.begin()
    unit = started(web, root, manager)
    until(lambda: loaded(web) == after)
    yield "boot"
    for kind in ("--reload", "--complete-reload"):
        manager.does(kind)
        until(lambda: loaded(web) == after)
        yield kind
    os.killpg(unit.pid, signal.SIGTERM)
    manager.end()
    manager.begin()
    started(web, root, manager)
    until(lambda: loaded(web) == after)
    yield "restart"


def started(web: LabHost, root: Path, manager: Managed) -> subprocess.Popen[bytes]:
    """What systemd does with the unit: the first command ends, the second one stays."""
    unit = (root / "etc/systemd/system/conntrim-firewalld.service").read_text().splitlines()
    first, second = (line.partition("=")[2].split() for line in unit if line.startswith("ExecStart"))
    web.run(*manager.environment, *first)
    return web.start(*manager.environment, *second[:-1], str(root) + second[-1])
