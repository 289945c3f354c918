"""The operator's rules that look like ours: no trial, confirm, rollback, sweep or crash takes one of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.rollout import apply, confirm, rollback, rollback_without_journal, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import Plan
from conntrim.core.rollout.states import State
from conntrim.lab.netns import LabHost, lab_host
from conntrim.store.plans import read_plan
from tests.lab.fault_injection import Fault, When, steps_of, struck
from tests.lab.test_rollout import without_empty_raw
from tests.lab.test_rollout_plans import SwiftOperator, listing

POLICY = b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
XT = """\
*filter
:INPUT DROP [0:0]
:CONNTRIMX - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "conntrim: ignore CT114 office" -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -m comment --comment "conntrim: inbound tcp/80 request" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8081 -m comment --comment "conntrim: untrack 1a2b3c4d" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8082 -m comment --comment "not -j CONNTRIM-INPUT" -j ACCEPT
-A INPUT -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -j ACCEPT
-A INPUT -j CONNTRIMX
-A CONNTRIMX -p tcp -m tcp --dport 8083 -m comment --comment "conntrim: inbound tcp/80 reply" -j ACCEPT
COMMIT
"""
NFT = """\
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    iif "lo" accept
    tcp dport 22 accept comment "conntrim: ignore CT114 office"
    ct state established,related accept
    tcp dport 8080 accept comment "conntrim: inbound tcp/80 request"
    tcp dport 8081 accept comment "conntrim: untrack 1a2b3c4d"
    tcp dport 80 ct state new accept
  }
}
table inet conntrim2 {
  chain untrack { tcp dport 81 notrack comment "conntrim: inbound tcp/80 request"; }
}
table bridge conntrim {
  chain mine { tcp dport 81 accept comment "conntrim: inbound tcp/80 request"; }
}
"""
RULES = {
    "iptables": (("iptables-nft-restore",), XT),
    "legacy": (("iptables-legacy-restore",), XT),
    "nft": (("nft", "-f", "-"), NFT),
}
KINDS = list(RULES)


def planned(host: LabHost, directory: Path, kind: str) -> tuple[Plan, Ports, str]:
    """A plan for the operator's rules, the ports to carry it out, and the listing before it."""
    argv, text = RULES[kind]
    host.run(*argv, text=text)
    (directory / "web.toml").write_bytes(POLICY)
    operator, made = SwiftOperator(host, directory), str(directory / "plan")
    before = shown(host)
    told = operator.does("plan", "--policy", str(directory / "web.toml"), "-o", made)
    assert told.returncode == 0, told.stdout + told.stderr
    return read_plan(made), wiring.rollout(host.name, str(directory / "state")), before


def shown(host: LabHost) -> str:
    """The listing; the legacy raw table stays once it was touched."""
    return without_empty_raw(listing(host))


@pytest.mark.parametrize("kind", KINDS)
def test_apply_confirm_and_rollback_leave_them(host: LabHost, tmp_path: Path, kind: str) -> None:
    """Nothing of his is counted as ours at any step, and the listing is the one from before, byte for byte."""
    plan, ports, before = planned(host, tmp_path, kind)
    assert apply(ports, plan, 60).answer == "armed"
    assert confirm(ports).answer == "confirmed"
    report = status(ports)
    assert (report.exit_code, report.missing, report.added, report.strays) == (0, (), (), ())
    assert not [
        rule for rule in ports.journal.read().own if re.search(r"dport 80\d\d|ignore|CONNTRIMX|conntrim2", rule)
    ]
    assert rollback(ports).answer == "rolled back"
    assert shown(host) == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_without_a_journal_leaves_them(host: LabHost, tmp_path: Path, kind: str) -> None:
    """The exact grammar of our comments on rules that ask what ours ask: all of ours go, none of his."""
    plan, ports, before = planned(host, tmp_path, kind)
    assert apply(ports, plan, 60).answer == "armed"
    assert confirm(ports).answer == "confirmed"
    lost = replace(ports, journal=wiring.rollout(host.name, str(tmp_path / "elsewhere")).journal)
    report = status(lost)
    assert (report.state, report.exit_code) == (State.STRAY, 0)
    assert rollback_without_journal(lost).answer == "rolled back"
    assert shown(host) == before


@pytest.mark.parametrize("kind", ["iptables", "nft"])
def test_a_crash_amid_loading_or_the_swap_leaves_them(host: LabHost, tmp_path: Path, kind: str) -> None:
    """Killed at loads of the trial and of the confirm: the rollback that follows takes what is ours."""
    plan, ports, before = planned(host, tmp_path, kind)

    def trial(made: Ports) -> None:
        apply(made, plan, 60)

    def keep(made: Ports) -> None:
        confirm(made)

    calls = steps_of(ports, trial)
    for call in [n for n, name in enumerate(calls, 1) if name == "load"][::2]:
        rollback(ports)
        assert shown(host) == before
        assert struck(ports, trial, Fault(call, When.AFTER), 7) == 1
    rollback(ports)
    apply(ports, plan, 60)
    calls = steps_of(ports, keep)
    for call in [n for n, name in enumerate(calls, 1) if name in ("load", "fill")][::3]:
        rollback(ports)
        assert shown(host) == before
        apply(ports, plan, 60)
        assert struck(ports, keep, Fault(call, When.AFTER), 7) == 1
    rollback(ports)
    assert shown(host) == before


@pytest.mark.parametrize("kind", ["iptables", "nft"])
def test_a_rule_of_ours_that_somebody_rewrote_is_his(host: LabHost, tmp_path: Path, kind: str) -> None:
    """Our comment on other content: told by status, left by rollback, and told again."""
    plan, ports, _ = planned(host, tmp_path, kind)
    assert apply(ports, plan, 60).answer == "armed"
    assert confirm(ports).answer == "confirmed"
    rewrite(host, kind)
    report = status(ports)
    assert (report.state, report.exit_code, len(report.missing), len(report.strays)) == (State.DRIFTED, 1, 1, 1)
    assert report.unmendable
    report = confirm(ports)
    assert (report.answer, status(ports).state) == ("refused", State.DRIFTED)
    report = rollback(ports)
    assert (report.answer, len(report.remarks)) == ("rolled back", 1)
    assert "left alone" in report.remarks[0]
    there = shown(host)
    assert (there.count("inbound tcp/80 request"), "dport 444" in there) == (2 if kind == "iptables" else 4, True)


def rewrite(host: LabHost, kind: str) -> None:
    """Our accept of the service's requests becomes one of port 444, comment and all."""
    if kind == "nft":
        lines = host.run("nft", "-a", "list", "chain", "inet", "filter", "input").splitlines()
        line = next(row.strip() for row in lines if re.search(r'conntrim:\w+ inbound tcp/80 request"', row))
        text, handle = line.rsplit(" # handle ", 1)
        new = text.replace("tcp dport 80", "tcp dport 444")
        host.run("nft", "-f", "-", text=f"replace rule inet filter input handle {handle} {new}\n")
        return
    lines = host.run("iptables-nft-save", "-t", "filter").splitlines()
    line = next(row for row in lines if re.search(r'conntrim:\w+ inbound tcp/80 request"', row))
    changed = f"{line}\n".replace("-A INPUT", "-I INPUT").replace("--dport 80", "--dport 444")
    host.run("iptables-nft-restore", "--noflush", text=f"*filter\n{line.replace('-A ', '-D ', 1)}\n{changed}COMMIT\n")


@pytest.mark.parametrize("kind", ["iptables", "nft"])
def test_a_journal_in_the_wrong_namespace_takes_nothing_there(host: LabHost, tmp_path: Path, kind: str) -> None:
    """The rules there are another plan's, by their marks: own chains included they stay, and status tells them."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    plan, ports, _ = planned(host, tmp_path / "here", kind)
    assert apply(ports, plan, 60).answer == "armed"
    assert confirm(ports).answer == "confirmed"
    before = shown(host)
    with lab_host("other") as other:
        global_policy = POLICY.replace(b"80", b"443")
        (tmp_path / "there" / "web.toml").write_bytes(global_policy)
        argv, text = RULES[kind]
        other.run(*argv, text=text.replace("dport 80 ", "dport 443 "))
        operator, made = SwiftOperator(other, tmp_path / "there"), str(tmp_path / "there" / "plan")
        assert operator.does("plan", "--policy", str(tmp_path / "there" / "web.toml"), "-o", made).returncode == 0
        mine = wiring.rollout(other.name, str(tmp_path / "there" / "state"))
        assert apply(mine, read_plan(made), 60).answer == "armed"
        wrong = replace(mine, loader=ports.loader, persistence=ports.persistence, freshness=ports.freshness)
        report = status(wrong)
        assert (report.state, report.exit_code, bool(report.strays)) == (State.LOST, 1, True)
        rollback(wrong)
        assert shown(host) == before
