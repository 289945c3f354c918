"""What the verbs of the rollout and of the lab print with `--json` is as the shipped schemas say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.lab.netns import LabHost
from tests.fakes.schemas import validated
from tests.lab.commands import conntrim, planned

RULES = """\
*filter
:INPUT DROP [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT
COMMIT
"""


def test_a_rollout(host: LabHost, tmp_path: Path) -> None:
    """plan, apply, status, confirm, rollback, in their order."""
    host.run("iptables-nft-restore", text=RULES)
    state = ["--state", str(tmp_path / "state")]
    assert validated(
        planned(
            host, tmp_path, '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n', "--json"
        ).stdout.decode()
    )
    for verb, *more in (("apply", str(tmp_path / "plan")), ("status",), ("confirm",), ("rollback",)):
        done = conntrim(host, verb, *more, *state, "--json")
        assert validated(done.stdout.decode())["kind"] == verb


def test_the_lab_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A short truth, and the witnesses of a comparison."""
    run(["lab", "truth", "--packets", "50", "--rulesets", "1", "--json"])
    validated(capsys.readouterr().out)
    before, after = tmp_path / "before.save", tmp_path / "after.save"
    before.write_text(RULES)
    after.write_text(RULES.replace("--dport 80", "--dport 80:81"))
    run(["lab", "replay", str(before), str(after), "--json"])
    validated(capsys.readouterr().out)


def test_a_panel_and_a_record(host: LabHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the kernel's own table; and what record says that it did."""
    host.run("iptables-nft-restore", text=RULES)
    for argv in (["census", "--again", "1", "--every", "0.1"], ["record", "-o", str(tmp_path / "r")], ["diagnose"]):
        run([*argv, "--netns", host.name, "--json"])
        validated(capsys.readouterr().out)


def test_a_monitoring_user_needs_no_rights(capsys: pytest.CaptureFixture[str]) -> None:
    """As nobody: entries, fill, counters and the verdict; what needs rights is a remark and no failure."""
    os.seteuid(65_534)
    try:
        code = run(["diagnose", "--nagios", "--interval", "0"])
        line = capsys.readouterr().out.splitlines()[0]
        run(["diagnose", "--interval", "0", "--json"])
        told = validated(capsys.readouterr().out)
    finally:
        os.seteuid(0)
    assert code == told["verdict"] in (0, 1, 2)
    assert all(f" {name}=" in line for name in ("entries", "fill", "drop", "memory"))
    assert any("root" in remark for remark in told["remarks"])
