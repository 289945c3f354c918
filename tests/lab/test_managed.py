"""Hosts whose rules firewalld or ufw makes: untracked, their reload and a boot survived, their rules untouched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conntrim.host import programs
from conntrim.lab.netns import LabHost, bridged
from tests.lab.managed import Managed, firewalld, ufw
from tests.lab.planning import WEB, WEB_POLICY, ask, entries, serve
from tests.lab.test_persist import flush, loaded
from tests.lab.test_rollout_plans import Operator, SwiftOperator


@contextmanager
def web_host(directory: Path) -> Iterator[tuple[LabHost, LabHost, Operator, Path]]:
    """The web host with systemd below its root, a client, and somebody at its command line."""
    (directory / "web.toml").write_bytes(WEB_POLICY)
    with bridged(["client=20", "web=18"]) as hosts:
        operator, root = SwiftOperator(hosts["web"], directory), directory / "root"
        (root / "lib/systemd").mkdir(parents=True)
        (root / "lib/systemd/systemd").touch()
        yield hosts["web"], hosts["client"], operator, root


def untracked(web: LabHost, client: LabHost) -> bool:
    """The service answers, and that leaves no entry more."""
    before = entries(web)
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
    left = {n: tuple(r for r in rules if "conntrim: " not in r) for n, rules in chains.items()}
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
    """Its reload keeps our table and drops the accepts in its own: told, and loaded again by a confirm."""
    with web_host(tmp_path) as (web, client, operator, _):
        manager = firewalld(web, tmp_path)
        serve(web, 80)
        before = loaded(web)
        told = kept(operator, tmp_path)
        assert "Rules here are made by: firewalld" in told
        assert "Does not come back at boot by itself: nft: no file is known here" in told
        assert untracked(web, client)
        after = loaded(web)
        manager.does("--reload")
        assert untracked(web, client)
        status = operator.does("status")
        assert (status.returncode, status.stdout.splitlines()[1][:14]) == (1, "Load it again:")
        mended = operator.does("confirm")
        assert (mended.returncode, mended.stdout[:16]) == (0, "Confirmed again."), mended.stdout
        assert loaded(web) == after
        assert operator.does("status").returncode == 0
        assert operator.does("rollback").returncode == 0
        assert loaded(web) == before
