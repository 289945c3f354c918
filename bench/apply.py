"""How long an apply takes on a host with thousands of rules, beside loading the same lines; part of `make bench`.

The host is the largest rule set of the corpus. Loading is all that changes the kernel; the proof that the plan still
fits (the rule set is the one that it was made for, the kernel would take every batch) and looking at what is loaded
stand apart. Writes bench/apply.json.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from conntrim import wiring
from conntrim.app.rollout import apply, rollback
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import DEADLINE, Plan
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.record import Guard
from conntrim.host import programs
from conntrim.host.signals import orderly_end
from conntrim.lab.netns import LabHost, lab_host
from conntrim.store.plans import read_plan

ROOT = Path(__file__).parent.parent
CORPUS = Path(os.environ.get("CONNTRIM_CORPUS", ROOT.parent / "shared" / "corpus")) / "iptables"
RESTORES = ("iptables-nft-restore", "iptables-legacy-restore")
ROUNDS = 5
POLICY = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
PARTS = {"load": "load", "fill": "load", "difference": "proof", "check": "proof"}
"""A port's method and the part of the apply that it belongs to; everything else is looking and writing down."""
GOAL = 1.5
"""How many times as long as restoring the same lines the loading may take."""


class _Timed:
    """A port that counts the seconds of each call."""

    def __init__(self, port: object, spent: Counter[str]) -> None:
        self._port, self._spent = port, spent

    def __getattr__(self, name: str) -> object:
        method: Callable[..., object] = getattr(self._port, name)

        def timed(*given: object) -> object:
            start = time.perf_counter()
            try:
                return method(*given)
            finally:
                self._spent[PARTS.get(name, "looks and journal")] += time.perf_counter() - start  # type: ignore[assignment]

        return method if name == "lock" else timed


def planned(host: LabHost, place: str) -> Plan:
    """A plan that untracks one service of the host. That it stands open there is not what is measured."""
    Path(place, "policy.toml").write_text(POLICY)
    conntrim = [sys.executable, "-m", "conntrim", "plan", "--policy", f"{place}/policy.toml"]
    programs.attempt([*conntrim, "--netns", host.name, "-o", f"{place}/plan"], timeout=120)
    return read_plan(f"{place}/plan")


def restored(host: LabHost, plan: Plan) -> float:
    """Seconds to feed the trial's lines to the restore program, with the date in them and nothing else."""
    until = Guard.starting(wiring.rollout(host.name, None).clock.now(), 60).datestop()
    start = time.perf_counter()
    for batch in plan.trial:
        host.run(batch.program, "--noflush", text=batch.text.replace(DEADLINE, until))
    return time.perf_counter() - start


def applied(ports: Ports, plan: Plan) -> dict[str, float]:
    """Seconds of each part of an apply."""
    spent: Counter[str] = Counter()
    values = {field.name: getattr(ports, field.name) for field in fields(ports)}
    timed: dict[str, Any] = {n: _Timed(port, spent) for n, port in values.items() if not isinstance(port, str | None)}
    report = apply(replace(ports, **timed), plan, 60, tuple(o.name for o in plan.obligations))
    if report.exit_code:
        raise SystemExit(f"apply: {report.answer}: {report.why}")
    return dict(spent)


def measure(restore: str, rules: Path) -> dict[str, float]:
    """The fastest round of each part."""
    with lab_host("bench") as host, tempfile.TemporaryDirectory() as place:
        host.run(restore, text=rules.read_text())
        plan, best = planned(host, place), dict[str, float]()
        for _ in range(ROUNDS):
            ports = wiring.rollout(host.name, f"{place}/state")
            got = {"restore": restored(host, plan)}
            wiring.rollout(host.name, None).loader.sweep((restore, restore.replace("ip", "ip6", 1)), (), Claim())
            got |= applied(ports, plan)
            rollback(ports)
            best = {part: min(seconds, best.get(part, seconds)) for part, seconds in got.items()}
    return best


def main() -> int:
    """Measure both back ends, print, write the file; 1 where a goal was missed."""
    sizes = {file: file.read_text(errors="replace").count("\n-A") for file in CORPUS.glob("ip4__*")}
    if not sizes:
        print(f"apply: left out, no corpus at {CORPUS}", file=sys.stderr)
        return 0
    rules = max(sizes, key=lambda file: sizes[file])
    found = {restore: measure(restore, rules) for restore in RESTORES}
    print(f"apply on {sizes[rules]:,} rules, seconds\n")
    print(f"{'back end':24} {'restore':>8} {'load':>8} {'ratio':>6} {'proof':>8} {'looks and journal':>18}")
    for restore, got in found.items():
        ratio = got["load"] / got["restore"]
        missed = "" if ratio <= GOAL else f"  missed: <= {GOAL}"
        print(
            f"{restore:24} {got['restore']:8.3f} {got['load']:8.3f} {ratio:6.2f} {got['proof']:8.3f}"
            f" {got['looks and journal']:18.3f}{missed}"
        )
    (ROOT / "bench" / "apply.json").write_text(json.dumps({"rules": sizes[rules], "seconds": found}, indent=2) + "\n")
    return int(any(got["load"] / got["restore"] > GOAL for got in found.values()))


if __name__ == "__main__":
    with orderly_end():
        sys.exit(main())
