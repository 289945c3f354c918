"""Trial, confirm, rollback and a deadline under load: no request fails, and nobody gets in meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.rollout import apply, confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import Plan
from conntrim.core.rollout.states import State
from conntrim.host.netns import entered
from conntrim.host.programs import find
from conntrim.lab.site import DATABASE, WEB, Site, site
from conntrim.store.plans import read_plan
from tests.lab.barrage import barrage
from tests.lab.test_rollout import until
from tests.lab.test_rollout_plans import FIREWALLS, Operator, load_firewall

KINDS = list(FIREWALLS) if "CONNTRIM_TORTURE" in os.environ else ["iptables", "nft"]
"""iptables-legacy in the long form only."""
POLICY = """
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]
"""
"""The service that ab asks. An outbound one loses connections when it falls back: its server may speak next (K13)."""
OUTSIDER = "192.168.0.66"
LONGEST = 120
"""Seconds after which ab ends by itself."""
BETWEEN = 200
"""Requests answered between two verbs, at least."""
COUNTS = re.compile(r"^(Complete requests|Failed requests|Non-2xx responses): +(\d+)", re.MULTILINE)


@contextmanager
def ab(made: Site, report: Path) -> Iterator[dict[str, int]]:
    """ab, as long as the context lasts; what it counted, afterwards."""
    options = ["-q", "-t", str(LONGEST), "-n", "4000000", "-c", "10", "-s", "10", "-r"]
    counted: dict[str, int] = {}
    with entered(made.client.name), report.open("w") as sink:
        running = subprocess.Popen([find("ab") or "ab", *options, f"http://{WEB}/live"], stdout=sink, stderr=sink)
    try:
        yield counted
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(LONGEST)
        counted |= {name: int(number) for name, number in COUNTS.findall(report.read_text())}


def planned(made: Site, place: Path) -> tuple[Plan, Ports]:
    """The plan of the web host, and what the verbs work with there."""
    (place / "web.toml").write_text(POLICY)
    done = Operator(made.web, place).does("plan", "--policy", str(place / "web.toml"), "-o", str(place / "plan"))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return read_plan(str(place / "plan")), wiring.rollout(made.web.name, str(place / "state"), str(place / "root"))


def go_through(steps: list[tuple[Callable[[], str], str]], made: Site) -> None:
    """One verb after the other, each with its answer, and requests before and after each."""
    for verb, answer in steps:
        wait_for_requests(made)
        assert verb() == answer
    wait_for_requests(made)


def wait_for_requests(made: Site) -> None:
    """Until some more requests have been answered."""
    enough = made.answered() + BETWEEN
    assert until(lambda: made.answered() >= enough)


@pytest.mark.parametrize("kind", KINDS)
def test_no_request_fails_and_nobody_gets_in(tmp_path: Path, kind: str) -> None:
    """Kept, undone, expired: every request and SYN to the service is answered, none to the closed port is."""
    with site(f"stranger={OUTSIDER.rpartition('.')[2]}") as made:
        load_firewall(made.web, kind)
        plan, ports = planned(made, tmp_path)

        def applied(seconds: float) -> str:
            return apply(ports, plan, seconds).answer

        def expired() -> str:
            assert until(lambda: status(ports).state is State.EXPIRED)
            return "expired"

        def undone() -> str:
            return rollback(ports).answer

        steps: list[tuple[Callable[[], str], str]] = [
            *((partial(applied, 60), "armed"), (lambda: confirm(ports).answer, "confirmed"), (undone, "rolled back")),
            *((partial(applied, 60), "armed"), (undone, "rolled back")),
            *((partial(applied, 5), "armed"), (expired, "expired"), (undone, "rolled back")),
        ]
        with (
            barrage(made.others["stranger"], OUTSIDER, WEB, 80, DATABASE) as fallen,
            ab(made, tmp_path / "ab.txt") as counted,
        ):
            go_through(steps, made)
    assert (counted["Failed requests"], counted.get("Non-2xx responses", 0)) == (0, 0)
    assert counted["Complete requests"] >= BETWEEN * len(steps)
    assert [(0, 0)] == [(found.unanswered, found.let_in) for found in fallen]
    print(kind, counted, fallen)  # with -s: the figures of docs/torture.md
