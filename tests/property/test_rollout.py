"""Any order of events ends cleanly: verbs, faults, kills, time, restarts, in any order, on a host in memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from conntrim.app.rollout import apply, clean, confirm, rollback, status
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import Plan
from conntrim.core.rollout.report import Report
from conntrim.core.rollout.states import SETTLING, State
from tests.fakes.loader import KilledError
from tests.fakes.plans import fake_plan, settings_plan
from tests.fakes.rollout import FakeHost

WEB, CACHE, SIZES = fake_plan("web"), fake_plan("cache"), settings_plan()
BOTH = fake_plan("both", replaces="web")
"""Made while web was confirmed: applied beside it, refused elsewhere."""
KEPT = SETTLING | {State.CONFIRMED, State.DRIFTED}


def _apply(plan: Plan) -> Callable[[Ports], Report]:
    return lambda ports: apply(ports, plan, 60)


VERBS: dict[str, Callable[[Ports], Report]] = {
    "apply web": _apply(WEB), "apply cache": _apply(CACHE), "apply sizes": _apply(SIZES), "apply both": _apply(BOTH),
    "confirm": confirm, "rollback": rollback, "clean": clean,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """One run of a verb, with a fault at its n-th change, after some time, perhaps after a restart."""

    verb: str
    fault: str
    call: int
    wait: float
    restart: bool


RUNS = st.builds(
    Run,
    verb=st.sampled_from(sorted(VERBS)),
    fault=st.sampled_from(["", "", "fail_at", "hang_up_at", "die_before", "die_after"]),
    call=st.integers(1, 14),
    wait=st.sampled_from([0.0, 0.0, 1.0, 59.7, 61.0]),
    restart=st.sampled_from([False, False, False, False, True]),
)


def perform(host: FakeHost, run: Run) -> Report | None:
    """One run; None where it was killed."""
    host.clock.sleep(run.wait)
    if run.restart:
        host.restart()
    host.faults.__init__()  # type: ignore[misc]  # the parts of the host share this one object
    if run.fault:
        setattr(host.faults, run.fault, run.call)
    with suppress(KilledError):
        return VERBS[run.verb](host.ports())
    return None


INTERRUPTED = [
    Run("apply cache", "", 1, 0.0, restart=False),
    Run("confirm", "", 1, 0.0, restart=False),
    Run("rollback", "hang_up_at", 2, 0.0, restart=False),
]
"""A rollback of confirmed rules that is broken off before it took out the first of them."""


@settings(max_examples=400, deadline=None)
@given(st.lists(RUNS, min_size=1, max_size=7))
@example(INTERRUPTED)
def test_any_order_of_events_ends_cleanly(runs: list[Run]) -> None:
    """Untracking never acts without its accept; nothing but a confirm outlives the deadline; a rollback undoes all."""
    host, confirms = FakeHost(), 0
    for run in runs:
        perform(host, run)
        confirms += run.verb == "confirm"
        acting = host.acting()
        assert not any(rule.endswith("raw") for rule in acting) or any("accept" in rule for rule in acting)
    host.faults.__init__()  # type: ignore[misc]
    host.clock.sleep(61)
    seen = status(host.ports())
    # Confirmed rules carry no guard: where taking them out was broken off, they act on until a rollback is through.
    if seen.state not in KEPT | ({State.UNDOING} if confirms else frozenset()):
        assert not any(rule.endswith("raw") for rule in host.acting())
    if not confirms:
        assert host.acting() == frozenset()
    for _ in range(confirms + 1):  # each goes back to what the plan had replaced
        assert rollback(host.ports()).exit_code == 0
    assert host.loader.rules == {}
    assert (host.sysctls.values, host.files.texts) == ({"a": 1, "b": 2}, {"/etc/rules": "old"})
    assert apply(host.ports(), WEB, 60).answer == "armed"
