"""Trials on a real kernel, in every dialect: untracked, expired, confirmed, rolled back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from conntrim import wiring
from conntrim.app.rollout import apply, clean, confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import TRIAL_LIST, Batch, FileChange, Plan
from conntrim.core.rollout.record import Guard
from conntrim.core.rollout.states import State
from conntrim.host.flows import KernelFlows
from conntrim.host.netns import entered
from conntrim.lab.fill import Entry, fill
from conntrim.lab.netns import LabHost
from conntrim.render.json import to_json
from tests.lab.handmade import DIALECTS, handmade, listing, load_before

ROOT = Path(__file__).parents[2]
LIMIT = 30.0
"""Seconds after which a state that does not come is a failure."""
PAUSE = 0.02
"""Seconds between two looks: each may leave a connection in the server's backlog, which must hold those of `LIMIT`."""


def until(reached: Callable[[], bool], limit: float = LIMIT) -> bool:
    """Poll for a state; False where it does not come."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if reached():
            return True
        time.sleep(PAUSE)
    return False


@contextmanager
def server(host: LabHost, port: int = 80) -> Iterator[None]:
    """A listening socket; connections to it are completed by the kernel."""
    with entered(host.name):
        listening = socket.create_server(("127.0.0.1", port), backlog=4096)
    with listening:
        yield


def connected(host: LabHost, port: int = 80) -> socket.socket:
    """A connection to the server, open."""
    with entered(host.name):
        return socket.create_connection(("127.0.0.1", port), timeout=5)


def entries(host: LabHost, port: int = 80) -> int:
    """How many entries have this server port."""
    columns = frozenset({"dport", "sport"})
    return sum(int(np.sum((b.dport == port) | (b.sport == port))) for b in KernelFlows(host.name).blocks(columns))


def new_entries(host: LabHost) -> int:
    """How many entries one more connection makes."""
    before = entries(host)
    connected(host).close()
    return entries(host) - before


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A directory for the journal."""
    return str(tmp_path / "state")


def ports(host: LabHost, state: str) -> Ports:
    """What the verbs work with, on that host."""
    return wiring.rollout(host.name, state)


def during_a_trial(made: Ports, plan: Plan, look: Callable[[], int], seconds: float = 3) -> int:
    """What is seen while a short trial runs; again in a longer one where the machine was too slow for it."""
    report = apply(made, plan, seconds)
    assert (report.answer, report.why, report.remarks) == ("armed", "", ())
    seen = look()
    return seen if status(made).state is State.TRIAL else during_a_trial(made, plan, look, seconds * 3)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_trial_untracks_and_falls_back_by_itself(host: LabHost, state: str, dialect: str) -> None:
    """While the trial runs a connection makes no entry; after the deadline it makes one, with nobody doing anything."""
    load_before(host, dialect)
    with server(host):
        assert new_entries(host) == 1
        assert during_a_trial(ports(host, state), handmade(dialect), lambda: new_entries(host)) == 0
        assert until(lambda: new_entries(host) == 1)
        assert status(ports(host, state)).state is State.EXPIRED


@pytest.mark.parametrize("dialect", DIALECTS)
def test_confirm_keeps_connections_and_deletes_exactly_the_stale_entries(
    host: LabHost, state: str, dialect: str
) -> None:
    """A connection from before the trial lives on; the service's entries go, everything else's stay."""
    load_before(host, dialect)
    stale = [Entry(6, "127.0.0.9", "127.0.0.1", 20_000 + i, 80) for i in range(211)]
    foreign = [Entry(6, "127.0.0.1", "192.0.2.9", 30_000 + i, 80) for i in range(7)]
    other = [Entry(17, "127.0.0.9", "127.0.0.1", 20_000 + i, 80) for i in range(5)]
    with entered(host.name), socket.create_server(("127.0.0.1", 80)) as listening:
        client = connected(host)
        serving, _ = listening.accept()
        fill(host.name, [*stale, *foreign, *other])
        assert apply(ports(host, state), handmade(dialect), 60).exit_code == 0
        assert entries(host) == 1 + 211 + 7 + 5
        report = confirm(ports(host, state))
        assert (report.answer, report.purged, report.why) == ("confirmed", 212, "")
        assert entries(host) == 7 + 5
        client.sendall(b"still here?")
        assert serving.recv(100) == b"still here?"
        assert entries(host) == 7 + 5
        client.close()
        serving.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_confirmed_rules_have_no_deadline(host: LabHost, state: str, dialect: str) -> None:
    """After the trial's deadline the confirmed service is still untracked."""
    load_before(host, dialect)
    with server(host):
        for seconds in (3, 20):  # the longer one for a machine that is too slow for the other
            deadline = wall(apply(ports(host, state), handmade(dialect), seconds).deadline)
            if (answer := confirm(ports(host, state)).answer) == "confirmed":
                break
        assert answer == "confirmed"
        assert until(lambda: time.time() > deadline + 1)
        assert new_entries(host) == 0
        assert status(ports(host, state)).state is State.CONFIRMED


def wall(deadline: str) -> float:
    """A report's deadline as seconds since 1970."""
    return datetime.fromisoformat(deadline).timestamp()


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_rollback_leaves_the_listing_as_it_was(host: LabHost, state: str, dialect: str, confirmed: bool) -> None:
    """The rule set's listing after the rollback is the one before the plan, byte for byte (counters aside)."""
    load_before(host, dialect)
    before = listing(host, dialect)
    apply(ports(host, state), handmade(dialect), 60)
    if confirmed:
        confirm(ports(host, state))
    assert listing(host, dialect) != before
    report = rollback(ports(host, state))
    assert (report.answer, report.why, report.remarks) == ("rolled back", "", ())
    # The legacy raw table stays loaded once it was touched: the kernel offers no way to take it out.
    assert without_empty_raw(listing(host, dialect)) == before


def without_empty_raw(text: str) -> str:
    """A listing without a raw table that does nothing."""
    return text.replace("*raw\n:PREROUTING ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n", "")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_leftovers_go_with_clean_or_the_next_apply(host: LabHost, state: str, dialect: str) -> None:
    """Inert rules stay listed until somebody takes them out; the same plan can then be tried again."""
    load_before(host, dialect)
    before = listing(host, dialect)
    apply(ports(host, state), handmade(dialect), 1)
    assert until(lambda: status(ports(host, state)).state is State.EXPIRED)
    assert apply(ports(host, state), handmade(dialect), 1).answer == "armed"
    assert until(lambda: status(ports(host, state)).state is State.EXPIRED)
    assert clean(ports(host, state)).exit_code == 0
    assert without_empty_raw(listing(host, dialect)) == before


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rules_taken_out_by_mark_from_a_half_confirmed_state(host: LabHost, state: str, dialect: str) -> None:
    """With one table confirmed, the other not, and a rule gone besides, a rollback still restores the listing."""
    load_before(host, dialect)
    before = listing(host, dialect)
    made = ports(host, state)
    apply(made, handmade(dialect), 60)
    guard = made.journal.read().guard
    assert guard is not None
    made.loader.load(handmade(dialect).confirm[0], guard)
    assert rollback(made).answer == "rolled back"
    assert without_empty_raw(listing(host, dialect)) == before


def test_a_batch_that_fails_amid_loading_takes_out_the_others(host: LabHost, state: str) -> None:
    """iptables-nft-restore --test does not look whether a rule to delete exists: that fails only when loaded."""
    load_before(host, "iptables-nft")
    before = listing(host, "iptables-nft")
    plan = handmade("iptables-nft")
    bad = Batch("iptables-nft-restore", "*raw\n-D OUTPUT -p tcp --dport 1 -j CT --notrack\nCOMMIT\n")
    report = apply(ports(host, state), replace(plan, trial=(plan.trial[0], bad)), 60)
    assert (report.answer, report.exit_code, report.state) == ("fell back", 1, State.NOTHING)
    assert listing(host, "iptables-nft") == before


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_rule_that_the_kernel_refuses_changes_nothing(host: LabHost, state: str, dialect: str) -> None:
    """The check finds it before the first batch is loaded."""
    load_before(host, dialect)
    before = listing(host, dialect)
    plan = handmade(dialect)
    text = plan.trial[1].text.replace("notrack", "no-such-thing")
    report = apply(ports(host, state), replace(plan, trial=(plan.trial[0], replace(plan.trial[1], text=text))), 60)
    assert (report.answer, report.exit_code) == ("refused", 1)
    assert without_empty_raw(listing(host, dialect)) == before


def test_datestop_ends_with_its_second(host: LabHost, state: str) -> None:
    """The second of --datestop still matches, the next does not (K39): the deadline told is the first inert second."""
    load_before(host, "iptables-nft")
    deadline = wall(apply(ports(host, state), handmade("iptables-nft"), 2).deadline)
    with server(host):
        while (start := time.time()) < deadline + 0.5:
            made, end = new_entries(host), time.time()
            if end < deadline:
                assert made == 0
            if start >= deadline:
                # A late packet of an earlier connection may be picked up as well (K13).
                assert made >= 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_clock_set_back_does_not_prolong_a_trial(host: LabHost, state: str, dialect: str) -> None:
    """Rules whose wall clock deadline is an hour away, as after a step back: the second guard ends them in time."""
    load_before(host, dialect)
    made = ports(host, state)
    now = made.clock.now()
    guard = replace(Guard.starting(now, 2, recent=True), wall=int(now.wall) + 3600)
    for batch in handmade(dialect).trial:
        made.loader.load(batch, guard)
    with server(host):
        if dialect != "nftables":
            assert new_entries(host) == 1  # loaded, not armed
            made.loader.fill(TRIAL_LIST)
        seen = new_entries(host)
        if made.clock.now().since_boot < guard.since_boot:  # else the machine was too slow to see it armed
            assert seen == 0
        assert until(lambda: new_entries(host) == 1)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_drift_names_the_rule_that_is_gone(host: LabHost, state: str, dialect: str) -> None:
    """Another program flushed the operator's chain: status misses our accepts there."""
    load_before(host, dialect)
    apply(ports(host, state), handmade(dialect), 60)
    confirm(ports(host, state))
    flush = ("nft", "flush", "chain", "inet", "filter", "input") if dialect == "nftables" else (dialect, "-F", "INPUT")
    host.run(*flush)
    report = status(ports(host, state))
    assert (report.state, report.exit_code, len(report.missing)) == (State.DRIFTED, 1, 2)
    assert all("conntrim:" in rule for rule in report.missing)


def conntrim(host: LabHost, state: str, *words: str) -> subprocess.CompletedProcess[str]:
    """The command itself, in a process of its own."""
    argv = [sys.executable, "-m", "conntrim", *words, "--netns", host.name, "--state", state]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def by_hand(host: LabHost, state: str, *words: str) -> subprocess.CompletedProcess[str]:
    """apply, of a plan made by hand."""
    argv = [sys.executable, "-m", "tests.lab.by_hand", *words, "--netns", host.name, "--state", state]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_whole_way_by_the_command(host: LabHost, state: str, tmp_path: Path, dialect: str) -> None:
    """apply, status, confirm and rollback from the command line, with sysctls and files; exit codes and first lines."""
    load_before(host, dialect)
    key = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
    plan = handmade(dialect, (FileChange("/etc/web.rules", "new\n"),), {key: 17})
    (tmp_path / "plan.json").write_text(to_json("plan", plan))
    (tmp_path / "root" / "etc").mkdir(parents=True)
    persisted = tmp_path / "root" / "etc" / "web.rules"
    persisted.write_text("old\n")
    root = ("--root", str(tmp_path / "root"))
    told = by_hand(host, state, str(tmp_path), "--trial", "1m")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Armed. web is on trial, ")
    assert by_hand(host, state, str(tmp_path)).stdout.startswith("Already on trial. ")
    told = conntrim(host, state, "confirm", *root)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Confirmed. web is confirmed, ")
    assert (persisted.read_text(), sysctl(host, key)) == ("new\n", "17")
    assert len(list(persisted.parent.iterdir())) == 2
    told = conntrim(host, state, "status", *root, "--json")
    assert (told.returncode, json.loads(told.stdout)["state"]) == (0, "confirmed")
    told = conntrim(host, state, "rollback", *root)
    assert (told.returncode, told.stdout.splitlines()[0]) == (0, "Rolled back. Nothing of ours is loaded.")
    assert (persisted.read_text(), sysctl(host, key)) == ("old\n", "120")
    assert list(persisted.parent.iterdir()) == [persisted]


def sysctl(host: LabHost, key: str) -> str:
    """A live sysctl of the host."""
    return host.run("sysctl", "-n", key).strip()


def test_diagnose_tells_of_the_trial(host: LabHost, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table seen amid a trial is the trial's: diagnose says so as long as the trial lasts, and not behind it."""
    monkeypatch.setenv("CONNTRIM_STATE", state)
    load_before(host, "iptables-nft")
    apply(ports(host, state), handmade("iptables-nft"), 60)
    during = conntrim_says(host)
    rollback(ports(host, state))
    after = conntrim_says(host)
    assert during["trial"].startswith("a plan is on trial for ")
    assert after["trial"] == ""


def conntrim_says(host: LabHost) -> dict[str, str]:
    """The JSON of `diagnose` on the host."""
    argv = [sys.executable, "-m", "conntrim", "diagnose", "--netns", host.name, "--interval", "0", "--json"]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    report: dict[str, str] = json.loads(told.stdout)
    return report


def test_max_is_read_only_in_a_namespace(host: LabHost, state: str) -> None:
    """nf_conntrack_max belongs to the initial namespace (K25): told, and the rules are kept all the same."""
    load_before(host, "iptables-nft")
    apply(ports(host, state), handmade("iptables-nft", settings={"net.netfilter.nf_conntrack_max": 4_000_000}), 60)
    report = confirm(ports(host, state))
    assert (report.answer, len(report.remarks)) == ("confirmed", 1)
    assert "initial network namespace" in report.remarks[0]
