"""Rules that others change beside ours: between the proof and the load, during a trial, after the confirm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.ports.loader import Loader
from conntrim.app.rollout import apply, confirm, rollback, status
from conntrim.core.model.plan import Batch
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.states import State
from conntrim.lab.netns import LabHost, bridged
from tests.lab.handmade import DIALECTS, handmade, listing, load_before
from tests.lab.planning import WEB_POLICY
from tests.lab.test_rollout import without_empty_raw
from tests.lab.test_rollout_plans import FIREWALLS, SwiftOperator, load_firewall


@dataclass
class Meddled:
    """A loader before whose first load somebody else acts."""

    loader: Loader
    act: Callable[[], None]
    done: bool = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.loader, name)

    def load(self, batch: Batch, guard: Guard) -> None:
        """First they, then we."""
        if not self.done:
            self.done = True
            self.act()
        self.loader.load(batch, guard)


def meddle(host: LabHost, dialect: str) -> None:
    """Somebody puts a rule in front of all others."""
    if dialect == "nftables":
        host.run("nft", "insert", "rule", "inet", "filter", "input", "ip", "saddr", "203.0.113.9", "drop")
    else:
        host.run(dialect, "-I", "INPUT", "-s", "203.0.113.9", "-j", "DROP")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_change_between_proof_and_load_takes_the_trial_back(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """The rules go in by number, and the numbers are another rule set's: seen, and everything of ours taken out."""
    load_before(host, dialect)
    made = wiring.rollout(host.name, str(tmp_path))
    meddled = Meddled(made.loader, lambda: meddle(host, dialect))
    report = apply(replace(made, loader=meddled), handmade(dialect), 60)  # type: ignore[arg-type]  # by __getattr__
    assert (report.answer, report.state) == ("fell back", State.NOTHING)
    assert "another program changed" in report.why
    there = without_empty_raw(listing(host, dialect))
    assert ("203.0.113.9" in there, "conntrim" in there.lower()) == (True, False)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_change_during_the_trial_is_not_confirmed(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """The confirm would misplace its rules, so it is refused with the chain; the trial stands."""
    load_before(host, dialect)
    made = wiring.rollout(host.name, str(tmp_path))
    assert apply(made, handmade(dialect), 60).answer == "armed"
    meddle(host, dialect)
    report = confirm(made)
    assert (report.answer, report.state) == ("refused", State.TRIAL)
    assert "was changed since the trial began" in report.why
    assert rollback(made).answer == "rolled back"
    there = without_empty_raw(listing(host, dialect))
    assert ("203.0.113.9" in there, "conntrim" in there.lower()) == (True, False)


@pytest.mark.parametrize("kind", list(FIREWALLS))
def test_an_accept_behind_a_drop_is_told(tmp_path: Path, kind: str) -> None:
    """No rule is gone, but the service is cut off for new reasons: proved again in the order of the present rules."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    made = str(tmp_path / "plan")
    with bridged(["web=18"]) as hosts:
        web, operator = hosts["web"], SwiftOperator(hosts["web"], tmp_path)
        load_firewall(web, kind)
        for verb in (("plan", "--policy", str(tmp_path / "web.toml"), "-o", made), ("apply", made), ("confirm",)):
            assert operator.does(*verb).returncode == 0
        harmless(web, kind)
        told = operator.does("status")
        assert (told.returncode, "Proved again for the present rules: nothing" in told.stdout) == (0, True), told.stdout
        reorder(web, kind)
        told = operator.does("status")
        assert told.returncode == 1, told.stdout
        assert "No longer so: delivered is broken" in told.stdout
        assert "Gone from the kernel" not in told.stdout


def harmless(host: LabHost, kind: str) -> None:
    """A rule in our chain that touches nothing of the service."""
    if kind == "nft":
        host.run("nft", "insert", "rule", "inet", "filter", "input", "udp", "dport", "9", "drop")
    else:
        program = "iptables-legacy" if kind == "legacy" else "iptables-nft"
        host.run(program, "-I", "RH-Firewall-1-INPUT", "-p", "udp", "--dport", "9", "-j", "DROP")


def reorder(host: LabHost, kind: str) -> None:
    """Our first accept of the service's requests goes behind the chain's last rule, a REJECT."""
    if kind == "nft":
        lines = host.run("nft", "-a", "list", "chain", "inet", "filter", "input").splitlines()
        line = next(row.strip() for row in lines if " inbound tcp/80 request" in row)
        text, handle = line.rsplit(" # handle ", 1)
        host.run("nft", "delete", "rule", "inet", "filter", "input", "handle", handle)
        host.run("nft", "-f", "-", text=f"add rule inet filter input {text}\n")
        return
    program = "iptables-legacy" if kind == "legacy" else "iptables-nft"
    lines = host.run(f"{program}-save", "-t", "filter").splitlines()
    line = next(row for row in lines if " inbound tcp/80 request" in row)
    moved = f"*filter\n{line.replace('-A ', '-D ', 1)}\n{line}\nCOMMIT\n"
    host.run(f"{program}-restore", "--noflush", text=moved)


def test_a_sysctl_that_somebody_changed_is_told(host: LabHost, tmp_path: Path) -> None:
    """status names the key, both values, and which file would set it."""
    load_before(host, "nftables")
    key = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
    made = wiring.rollout(host.name, str(tmp_path))
    apply(made, handmade("nftables", settings={key: 17}), 60)
    confirm(made)
    host.sysctl(key, 99)
    report = status(made)
    assert (report.changed, report.exit_code) == ((f"{key} is 99, not 17; no file sets it",), 1)
