"""What an earlier release left on a host: its plan, journals and rules, kept in `kept/`, are shown, kept and undone."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conntrim import wiring
from conntrim.app.rollout import confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import TRIAL_LIST
from conntrim.core.rollout.record import Moment
from conntrim.core.rollout.states import State
from conntrim.host.clock import HostClock
from conntrim.lab.netns import LabHost
from tests.lab.test_rollout_plans import SwiftOperator

KEPT = Path(__file__).parent / "kept"
KINDS = ("iptables-nft", "nftables")
RESTORE = {
    "nft": ("nft", "-f", "-"),
    "iptables": ("iptables-nft-restore",),
    "ip6tables": ("ip6tables-nft-restore",),
}
DATESTOP = re.compile(r"--datestop [0-9T:-]+")
LEFT = 3600
"""Seconds that a kept trial has still to run."""
HIS_XT = """\
*filter
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "conntrim: ignore CT114 office" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 8080 -m comment --comment "conntrim: inbound tcp/80 request" -j ACCEPT
COMMIT
"""
HIS_NFT = """\
add rule inet filter input tcp dport 22 accept comment "conntrim: ignore CT114 office"
add rule inet filter input tcp dport 8080 accept comment "conntrim: inbound tcp/80 request"
"""


def shown(host: LabHost, kind: str) -> str:
    """Everything that is loaded, as the kept listings have it."""
    if kind == "nftables":
        return host.run("nft", "-s", "list", "ruleset")
    saves = [host.run(f"{v}-nft-save") for v in ("iptables", "ip6tables")]
    lines = [line.split(" [")[0] for text in saves for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines)


def load(host: LabHost, kind: str, name: str, datestop: str = "") -> None:
    """The rules of a kept listing."""
    for path in sorted((KEPT / kind).glob(f"{name}.*")):
        if argv := RESTORE.get(path.suffix[1:]):
            text = DATESTOP.sub(f"--datestop {datestop}", path.read_text())
            if text.strip():
                host.run(*argv, text=text)


def stop_of(now: Moment) -> str:
    """What the rules of a kept trial say that goes on from now."""
    return datetime.fromtimestamp(int(now.wall) + LEFT, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def revived_text(kind: str, name: str, now: Moment) -> str:
    """The kept journal, its guard going on from now."""
    stop = stop_of(now)
    text = DATESTOP.sub(
        lambda m: m[0] if "@" in m[0] else f"--datestop {stop}", (KEPT / kind / f"{name}.json").read_text()
    )
    document: dict[str, Any] = json.loads(text)
    document["journal"]["guard"] |= {"wall": int(now.wall) + LEFT + 1, "since_boot": now.since_boot + LEFT}
    document["journal"]["guard"]["boot"] = now.boot
    return json.dumps(document)


def revived(host: LabHost, state: Path, kind: str, name: str) -> Ports:
    """The host as the earlier release left it an instant ago: rules, journal, and a trial's time going on from now."""
    now = HostClock().now()
    load(host, kind, name, stop_of(now))
    document = revived_text(kind, name, now)
    state.mkdir(0o700)
    (state / f"netns-{host.name}.json").write_text(document)
    (state / f"netns-{host.name}.json").chmod(0o600)
    made = wiring.rollout(host.name, str(state))
    if name == "trial" and kind != "nftables":
        made.loader.fill(TRIAL_LIST)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_trial_is_shown_confirmed_and_undone(host: LabHost, tmp_path: Path, kind: str) -> None:
    """A journal of schema 1 goes on under this release, and the listing is the old one after its rollback."""
    load(host, kind, "before")
    before = shown(host, kind)
    host.run("nft", "flush", "ruleset")
    made = revived(host, tmp_path / "state", kind, "trial")
    report = status(made)
    assert (report.state, report.missing, report.added, report.exit_code) == (State.TRIAL, (), (), 0)
    report = confirm(made)
    assert (report.answer, report.why) == ("confirmed", "")
    report = status(made)
    assert (report.state, report.missing, report.added, report.exit_code) == (State.CONFIRMED, (), (), 0)
    assert rollback(made).answer == "rolled back"
    assert shown(host, kind) == before


@pytest.mark.parametrize("name", ["trial", "confirmed"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_of_kept_rules_leaves_the_operators(host: LabHost, tmp_path: Path, kind: str, name: str) -> None:
    """He marked a rule as the manual told him, and copied a comment of ours to a rule of his: both stay, ours go."""
    load(host, kind, "before")
    his(host, kind)
    before = shown(host, kind)
    host.run("nft", "flush", "ruleset")
    made = revived(host, tmp_path / "state", kind, name)
    his(host, kind)
    report = status(made)
    assert (report.state, report.missing) == ({"trial": State.TRIAL, "confirmed": State.CONFIRMED}[name], ())
    assert rollback(made).answer == "rolled back"
    assert shown(host, kind) == before


def his(host: LabHost, kind: str) -> None:
    """The operator's own rules, with comments that look like ours."""
    if kind == "nftables":
        host.run("nft", "-f", "-", text=HIS_NFT)
    else:
        host.run("iptables-nft-restore", "--noflush", text=HIS_XT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kept_plan_is_tried_or_refused_in_words(host: LabHost, tmp_path: Path, kind: str) -> None:
    """An old plan directory is no crash: it is tried and can be undone, or the operator is told to make it again."""
    load(host, kind, "before")
    before = shown(host, kind)
    operator = SwiftOperator(host, tmp_path)
    told = operator.does("apply", str(KEPT / kind / "plan"))
    assert told.returncode in (0, 1, 2), told.stderr
    assert ("Armed" in told.stdout) == (told.returncode == 0), told.stdout
    if told.returncode == 0:
        assert operator.does("rollback").returncode == 0
    assert shown(host, kind) == before
