"""Plans for the fake kernel, made by hand: two rules in own words of iptables, each known by its comment."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from conntrim.core.model.facts import Era
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import Batch, FileChange, Obligation, Plan, comment_of
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.ruleset import Dialect
from conntrim.core.model.service import Direction

WEB = Policy((Untrack(Direction.INBOUND, 6, Intervals.of(80)),))


def mark(name: str) -> str:
    """The eight digits in the comments of a plan's rules."""
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def batches(name: str, *changes: tuple[str, ...]) -> tuple[Batch, ...]:
    """A batch for each change: `+accept` adds that rule of the plan, `-raw (trial)` takes it out."""
    return tuple(Batch("fake", "".join(["*filter\n", *(line(name, c) for c in each), "COMMIT\n"])) for each in changes)


def line(name: str, change: str) -> str:
    """One line of such a batch."""
    verb, rule = {"+": "-A", "-": "-D"}[change[0]], comment_of(mark(name), f"{name} {change[1:]}")
    return f'{verb} INPUT -m conntrack --ctstate UNTRACKED -m comment --comment "{rule}" -j ACCEPT\n'


def fake_plan(name: str = "web", obligations: tuple[Obligation, ...] = (), replaces: str = "") -> Plan:
    """An accept and a notrack rule, two sysctls, two files of which one exists; made beside another plan or not."""
    return Plan(
        name=name,
        dialect=Dialect.IPTABLES_NFT,
        era=Era.NF,
        policy=WEB,
        trial=batches(name, ("+accept (trial)",), ("+raw (trial)",)),
        confirm=batches(name, ("-accept (trial)", "+accept"), ("-raw (trial)", "+raw")),
        rollback_trial=batches(name, ("-raw (trial)",), ("-accept (trial)",)),
        rollback_confirmed=batches(name, ("-raw",), ("-accept",)),
        files=(FileChange("/etc/rules", "new"), FileChange("/etc/more", "more")),
        obligations=obligations,
        settings={"a": 10, "b": 20},
        replaces=(mark(replaces),) if replaces else (),
        reinstate=batches(replaces, ("+accept",), ("+raw",)) if replaces else (),
    )


def settings_plan() -> Plan:
    """The two sysctls and a file, without any service."""
    plan = replace(fake_plan("sizes"), policy=Policy(max=10), files=(FileChange("/etc/rules", "sizes"),))
    return replace(plan, trial=(), confirm=(), rollback_trial=(), rollback_confirmed=())
