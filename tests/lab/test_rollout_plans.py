"""From `conntrim plan` to `confirm` and back by the command alone, on the document's web host in both dialects."""

from __future__ import annotations

import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.lab.netns import LabHost, bridged
from tests.lab.planning import NFT_FIREWALL, OUTSIDER, RH_FIREWALL, RH_FIREWALL_V6, WEB, WEB_POLICY, ask, serve
from tests.lab.test_rollout import entries

FIREWALLS: dict[str, tuple[tuple[str, str], ...]] = {
    "iptables": (("iptables-nft-restore", RH_FIREWALL), ("ip6tables-nft-restore", RH_FIREWALL_V6)),
    "legacy": (("iptables-legacy-restore", RH_FIREWALL), ("ip6tables-legacy-restore", RH_FIREWALL_V6)),
    "nft": (("nft", NFT_FIREWALL),),
}


def load_firewall(host: LabHost, kind: str) -> None:
    """The operator's rules."""
    for program, text in FIREWALLS[kind]:
        host.run(program, *(["-f", "-"] if program == "nft" else []), text=text)


def listing(host: LabHost) -> str:
    """Everything that is loaded, in all dialects, without counters, dates and tables that do nothing."""
    saves = [host.run(f"{v}-{k}-save") for v in ("iptables", "ip6tables") for k in ("nft", "legacy")]
    lines = [line.split(" [")[0] for text in saves for line in text.splitlines() if line[:1] in "*:-"]
    inert = {"*raw", ":PREROUTING ACCEPT", ":OUTPUT ACCEPT"}
    return "\n".join([*(line for line in lines if line not in inert), host.run("nft", "-s", "list", "ruleset")])


class Operator:
    """Somebody at the command line of one host."""

    def __init__(self, host: LabHost, directory: Path, *, rooted: bool = True) -> None:
        self.host, self.directory, self.rooted = host, directory, rooted
        (directory / "root").mkdir()

    def does(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a verb there."""
        argv = [sys.executable, "-m", "conntrim", *self.arguments(verb, *words)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)

    def arguments(self, verb: str, *words: str) -> list[str]:
        """The verb with what tells it where."""
        state = [] if verb == "plan" else ["--state", str(self.directory / "state")]
        root = ["--root", str(self.directory / "root")] if verb == "confirm" and self.rooted else []
        return [verb, *words, "--netns", self.host.name, *state, *root]


class SwiftOperator(Operator):
    """The same without a process for each verb."""

    def does(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a verb there."""
        arguments, out, errors = self.arguments(verb, *words), StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            try:
                code = run(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), errors.getvalue())


@pytest.mark.parametrize("kind", list(FIREWALLS))
def test_the_whole_way(tmp_path: Path, kind: str) -> None:
    """Plan, trial, confirm, plan again, roll back: no entries, the stranger refused, the listing as before."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    policy, made = str(tmp_path / "web.toml"), str(tmp_path / "plan")
    with bridged(["client=20", "web=18", f"stranger={OUTSIDER.rpartition('.')[2]}"]) as hosts:
        web, client, stranger = hosts["web"], hosts["client"], hosts["stranger"]
        load_firewall(web, kind)
        for port in (80, 3306):
            serve(web, port)
        before = listing(web)
        operator = Operator(web, tmp_path)
        planned = operator.does("plan", "--policy", policy, "-o", made)
        assert (planned.returncode, planned.stderr) == (0, ""), planned.stdout
        assert ask(client, WEB, 80) == "echo"
        assert entries(web) == 1
        applied = operator.does("apply", made, "--trial", "2m")
        assert (applied.returncode, applied.stderr) == (0, ""), applied.stdout
        assert [ask(client, WEB, 80) for _ in range(5)] == ["echo"] * 5
        assert entries(web) == 1  # the one from before
        confirmed = operator.does("confirm")
        assert (confirmed.returncode, confirmed.stderr) == (0, ""), confirmed.stdout
        assert "Stale entries deleted: 1" in confirmed.stdout
        assert [ask(client, WEB, 80) for _ in range(5)] == ["echo"] * 5
        assert entries(web) == 0
        assert ask(stranger, WEB, 3306, source_port=11211) != "echo"
        again = operator.does("plan", "--policy", policy, "-o", made)
        assert again.returncode == 0
        second = operator.does("apply", made)
        assert (second.returncode, second.stdout.splitlines()[0][:18]) == (0, "Already confirmed.")
        status = operator.does("status")
        assert (status.returncode, status.stderr) == (0, ""), status.stdout
        undone = operator.does("rollback")
        assert (undone.returncode, undone.stdout.splitlines()[0]) == (0, "Rolled back. Nothing of ours is loaded.")
        assert listing(web) == before
        assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []
        assert ask(client, WEB, 80) == "echo"
        assert entries(web) == 1


@pytest.mark.parametrize("kind", list(FIREWALLS))
def test_a_stale_plan_is_refused_with_the_difference(tmp_path: Path, kind: str) -> None:
    """Somebody adds a rule between plan and apply: nothing is loaded, the chain is named."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    made = str(tmp_path / "plan")
    with bridged(["web=18"]) as hosts:
        web = hosts["web"]
        load_firewall(web, kind)
        operator = Operator(web, tmp_path)
        assert operator.does("plan", "--policy", str(tmp_path / "web.toml"), "-o", made).returncode == 0
        if kind == "nft":
            web.run("nft", "insert", "rule", "inet", "filter", "input", "tcp", "dport", "80", "drop")
        else:
            web.run("iptables-legacy" if kind == "legacy" else "iptables-nft", "-I", "INPUT", "-p", "udp", "-j", "DROP")
        before = listing(web)
        refused = operator.does("apply", made)
        assert (refused.returncode, refused.stdout.splitlines()[0]) == (1, "Refused. Nothing of ours is loaded.")
        assert "has changed" in refused.stdout
        assert listing(web) == before
