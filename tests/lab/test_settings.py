"""Settings: shown from old to new, never tried, never too small; named by the confirm and by the rollback."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from conntrim.host.netns import entered
from conntrim.lab.bulk import busy_site, fill_columns
from conntrim.lab.fill import Entry
from conntrim.lab.netns import LabHost, lab_host
from tests.lab.planning import WEB_POLICY, serve
from tests.lab.test_rollout_plans import SwiftOperator, load_firewall

NAME = "nf_conntrack_tcp_timeout_time_wait"
KEY = f"net.netfilter.{NAME}"
TIMEOUTS = f"[timeouts]\n{NAME} = 17\n".encode()


def value(host: LabHost) -> int:
    """The time-out as it is now."""
    with entered(host.name), open(f"/proc/sys/net/netfilter/{NAME}", encoding="ascii") as file:
        return int(file.read())


def policy_of(tmp_path: Path, text: bytes) -> tuple[str, ...]:
    """`plan`'s words for a policy of that text and a directory."""
    (tmp_path / "policy.toml").write_bytes(text)
    return "plan", "--policy", str(tmp_path / "policy.toml"), "-o", str(tmp_path / "plan")


def test_settings_alone_are_noted_and_set_at_confirm(host: LabHost, tmp_path: Path) -> None:
    """No trial of what cannot expire: apply sets nothing, confirm sets and names it, rollback puts it back."""
    operator, made = SwiftOperator(host, tmp_path), str(tmp_path / "plan")
    told = operator.does(*policy_of(tmp_path, TIMEOUTS))
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith("ready: 1 setting, nothing to try, no service untracked\n")
    assert f"set {KEY} 120 -> 17" in told.stdout
    assert "settings cannot expire: they are set at confirm, and undone by rollback" in told.stdout
    told = operator.does("apply", made)
    assert (told.returncode, value(host)) == (0, 120), told.stdout
    first, *lines = told.stdout.splitlines()
    assert first.startswith("Noted. plan-")
    assert "has 1 setting to set, and nothing to try" in first
    assert f"Set at confirm: {KEY} 120 -> 17" in " ".join(map(str.strip, lines))
    told = operator.does("confirm")
    assert (told.returncode, value(host)) == (0, 17), told.stdout
    assert f"Set: {KEY} 120 -> 17" in told.stdout
    assert operator.does("status").returncode == 0
    assert operator.does("apply", made).stdout.startswith("Already confirmed.")
    told = operator.does("rollback")
    assert (told.returncode, value(host)) == (0, 120), told.stdout
    assert f"Put back: {KEY} 17 -> 120" in told.stdout


def test_noted_settings_are_forgotten_by_a_rollback(host: LabHost, tmp_path: Path) -> None:
    """Nothing was set, so nothing is put back, and a confirm finds nothing."""
    operator = SwiftOperator(host, tmp_path)
    operator.does(*policy_of(tmp_path, TIMEOUTS))
    assert operator.does("apply", str(tmp_path / "plan")).returncode == 0
    assert operator.does("rollback").returncode == 0
    told = operator.does("confirm")
    assert (told.returncode, told.stdout.splitlines()[0], value(host)) == (
        1, "No trial. Nothing of ours is loaded.", 120,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["iptables", "legacy", "nft"])
def test_a_confirm_names_the_settings_beside_its_rules(host: LabHost, tmp_path: Path, kind: str) -> None:
    """Rules are on trial, settings are not: the trial says which are to come, confirm which it set."""
    load_firewall(host, kind)
    serve(host, 80)
    operator = SwiftOperator(host, tmp_path)
    assert operator.does(*policy_of(tmp_path, WEB_POLICY + TIMEOUTS)).returncode == 0
    told = operator.does("apply", str(tmp_path / "plan"))
    assert (told.returncode, f"Set at confirm: {KEY}" in told.stdout, value(host)) == (0, True, 120), told.stdout
    told = operator.does("confirm")
    assert (told.returncode, f"Set: {KEY} 120 -> 17" in told.stdout, value(host)) == (0, True, 17), told.stdout
    told = operator.does("rollback")
    assert (told.returncode, f"Put back: {KEY} 17 -> 120" in told.stdout, value(host)) == (0, True, 120), told.stdout


def test_a_max_without_room_is_refused(host: LabHost, tmp_path: Path) -> None:
    """Below twice the entries that are there the plan is broken, and apply counts once more."""
    busy_site(host.name, 300)
    operator, made = SwiftOperator(host, tmp_path), str(tmp_path / "plan")
    told = operator.does(*policy_of(tmp_path, b"[table]\nmax = 1\n"))
    assert (told.returncode, told.stdout[:9], "broken: room" in told.stdout) == (1, "not ready", True), told.stdout
    told = operator.does("apply", made)
    assert (told.returncode, "room is broken" in told.stdout) == (1, True), told.stdout
    assert operator.does(*policy_of(tmp_path, b"[table]\nmax = 4000\n")).returncode == 0
    assert operator.does("apply", made).returncode == 0
    query = Entry(17, "192.0.2.1", "192.0.2.53", 1, 53, timeout=86_400)
    fill_columns(host.name, query, {"sport": 1024 + np.arange(3000, dtype=np.uint64)})
    for verb in (("confirm",), ("rollback",), ("apply", made)):
        told = operator.does(*verb)
        refused = verb[0] != "rollback"
        assert (told.returncode == 1) is refused, told.stdout
        assert ("is too small for 3,300 entries" in " ".join(told.stdout.split())) is refused, told.stdout


def test_advice_names_the_namespace_and_the_journal(tmp_path: Path) -> None:
    """What an answer advises can be typed as it stands: with --netns and --state as they were given."""
    with lab_host("web") as host:
        load_firewall(host, "nft")
        serve(host, 80)
        (tmp_path / "my journals").mkdir()
        operator, made = SwiftOperator(host, tmp_path / "my journals"), str(tmp_path / "plan")
        told = operator.does(*policy_of(tmp_path, WEB_POLICY))
        assert f"then conntrim apply --netns {host.name} {made}" in " ".join(told.stdout.split())
        where = f"--netns {host.name} --state {shlex.quote(str(tmp_path / 'my journals' / 'state'))}"
        told = operator.does("apply", made)
        for verb in ("confirm", "rollback"):
            assert f"conntrim {verb} {where}" in " ".join(told.stdout.split()), told.stdout
        host.run("nft", "insert", "rule", "inet", "filter", "input", "udp", "dport", "9", "drop")
        told = operator.does("confirm")
        assert f"conntrim rollback {where}" in " ".join(told.stdout.split()), told.stdout
        assert f"conntrim plan --netns {host.name} -o DIR" in " ".join(told.stdout.split()), told.stdout
