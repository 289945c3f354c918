"""Plans for the fake kernel, made by hand."""

from __future__ import annotations

from dataclasses import replace

from conntrim.core.model.facts import Era
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch, FileChange, Obligation, Plan
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.service import Direction

WEB = Policy((Untrack(Direction.INBOUND, 6, Intervals.of(80)),))


def batches(*texts: str) -> tuple[Batch, ...]:
    """Batches for the fake loader."""
    return tuple(Batch("fake", text) for text in texts)


def fake_plan(name: str = "web", obligations: tuple[Obligation, ...] = ()) -> Plan:
    """An accept and a notrack rule, two sysctls, two files of which one exists."""
    return Plan(
        name=name,
        dialect=Dialect.IPTABLES_NFT,
        era=Era.NF,
        policy=WEB,
        trial=batches(f"+{name} accept (trial)", f"+{name} raw (trial)"),
        confirm=batches(f"-{name} accept (trial)\n+{name} accept", f"-{name} raw (trial)\n+{name} raw"),
        rollback_trial=batches(f"-{name} raw (trial)", f"-{name} accept (trial)"),
        rollback_confirmed=batches(f"-{name} raw", f"-{name} accept"),
        files=(FileChange("/etc/rules", "new"), FileChange("/etc/more", "more")),
        obligations=obligations,
        settings={"a": 10, "b": 20},
    )


def settings_plan() -> Plan:
    """The two sysctls and a file, without any service."""
    plan = replace(fake_plan("sizes"), policy=Policy(max=10), files=(FileChange("/etc/rules", "sizes"),))
    return replace(plan, trial=(), confirm=(), rollback_trial=(), rollback_confirmed=())
