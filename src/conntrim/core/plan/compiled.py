"""All that a plan's obligations look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conntrim.core.model.facts import HostFacts
from conntrim.core.model.plan import AddedRule
from conntrim.core.model.policy import ClientLimit, Policy, ServiceTimeout
from conntrim.core.model.ruleset import (
    Dialect,
    Ruleset,
)
from conntrim.core.plan.admission import Addition, Course
from conntrim.core.plan.changes import Changes, Texts
from conntrim.core.plan.clients import Asked
from conntrim.core.plan.legs import Leg
from conntrim.core.plan.replacing import Replacing
from conntrim.core.prove.rule_index import Listed


@dataclass(frozen=True, slots=True)
class Compiled:
    """Everything that the obligations look at. `before` holds nothing of ours, `after` the unguarded rules, `trial`
    the guarded ones, `untracked` those of the services that go untracked alone, `limited` with the limits besides;
    `listed` is what questions about `before` look at, `already` what is said of NOTRACK rules that are there, `limits`
    and `timeouts` the policy's in the families that are tracked here. `replacing`: the same change beside an earlier
    plan's rules, whose texts these are."""

    policy: Policy
    facts: HostFacts
    dialect: Dialect
    before: Ruleset
    listed: Listed
    already: tuple[str, ...]
    after: Ruleset
    untracked: Ruleset
    limited: Ruleset
    trial: Ruleset
    limits: tuple[ClientLimit, ...]
    timeouts: tuple[ServiceTimeout, ...]
    services: tuple[Asked, ...]
    legs: tuple[Leg, ...]
    courses: tuple[Course, ...]
    additions: tuple[Addition, ...]
    operations: Changes
    texts: Texts
    changes: tuple[AddedRule, ...]
    tick: Callable[[], None]
    replacing: Replacing | None = None

    @property
    def in_raw(self) -> bool:
        """Time-outs are given by iptables, because the host has no nft."""
        return bool(self.timeouts) and not self.facts.nft and self.dialect is not Dialect.NFTABLES
