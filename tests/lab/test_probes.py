"""What apply tries before it leaves a trial standing: a service, the operator's own session."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.core.model.plan import Batch
from conntrim.lab.netns import LabHost
from conntrim.render.json import to_json
from tests.lab.by_hand import ARGV, ROOT
from tests.lab.handmade import DIALECTS, handmade, listing, load_before
from tests.lab.test_rollout import entries, new_entries, server, without_empty_raw
from tests.lab.test_rollout_plans import Operator


class HandOperator(Operator):
    """Somebody whose plans are made by hand."""

    def does(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs a verb there."""
        if verb != "apply":
            return super().does(verb, *words)
        argv = [*ARGV, *self.arguments(verb, *words)[1:]]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


def operator_with(host: LabHost, directory: Path, dialect: str, plan_text: str) -> HandOperator:
    """Somebody with that plan, on a host with the operator's own rules."""
    load_before(host, dialect)
    (directory / "plan.json").write_text(plan_text)
    return HandOperator(host, directory)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_yes_keeps_what_a_probe_has_proved(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """The service answers through the new rules, so it is confirmed in one go; without a probe that is refused."""
    operator = operator_with(host, tmp_path, dialect, to_json("plan", handmade(dialect)))
    refused = operator.does("apply", str(tmp_path), "--yes")
    assert (bool(refused.returncode), refused.stdout) == (True, "")
    assert "name it with --probe" in refused.stderr
    with server(host):
        asked = f"ip netns exec {host.name} bash -c 'exec 3<>/dev/tcp/127.0.0.1/80'"
        done = operator.does("apply", str(tmp_path), "--probe-command", asked, "--yes")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        assert "Confirmed. web is confirmed" in done.stdout
        assert new_entries(host) == 0
    assert "counted by the rules that untrack" in " ".join(done.stdout.split())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_command_that_sends_nothing_is_no_proof(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """`true` ends well, and no rule that untracks has counted a packet: everything is out again, nothing confirmed."""
    operator = operator_with(host, tmp_path, dialect, to_json("plan", handmade(dialect)))
    before = listing(host, dialect)
    refused = operator.does("apply", str(tmp_path), "--probe-command", "true", "--yes")
    assert "no packet of the command true was counted" in " ".join(refused.stdout.split())
    assert (refused.returncode, without_empty_raw(listing(host, dialect))) == (1, before)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_probe_without_an_answer_takes_the_trial_back(host: LabHost, tmp_path: Path, dialect: str) -> None:
    """Nobody listens there: the rules are out again when apply returns, long before their deadline."""
    operator = operator_with(host, tmp_path, dialect, to_json("plan", handmade(dialect)))
    before = listing(host, dialect)
    failed = operator.does("apply", str(tmp_path), "--trial", "1h", "--probe", "127.0.0.1:81")
    assert (failed.returncode, failed.stdout.splitlines()[0]) == (1, "Fell back. Nothing of ours is loaded.")
    assert "Why: the probe of 127.0.0.1:81 failed: Connection refused" in failed.stdout
    assert without_empty_raw(listing(host, dialect)) == before
    assert entries(host) == 0


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_operator_s_session_is_looked_at(
    host: LabHost, tmp_path: Path, dialect: str, cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that would refuse the peer of $SSH_CONNECTION falls back at once; one that does not touch it stands."""
    plan = handmade(dialect)
    accepts, raw = plan.trial
    untracked = {"nftables": raw.text + "add rule inet conntrim untrack_output tcp dport 22 notrack\n"}.get(
        dialect, raw.text.replace("COMMIT", "-A CONNTRIM-OUTPUT -p tcp --dport 22 -j CT --notrack\nCOMMIT")
    )
    text = to_json("plan", replace(plan, trial=(accepts, Batch(raw.program, untracked))) if cut else plan)
    operator = operator_with(host, tmp_path, dialect, text)
    host.run("ip", "address", "add", "192.0.2.1/24", "dev", "lo")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.1 22")
    done = operator.does("apply", str(tmp_path))
    assert (done.returncode, done.stdout.split(".")[0]) == ((1, "Fell back") if cut else (0, "Armed")), done.stdout
    assert ("the SSH session from 192.0.2.1 port 50000" in " ".join(done.stdout.split())) is cut
