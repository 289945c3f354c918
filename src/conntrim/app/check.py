"""The verb check: findings in a rule set, and against a conntrack table what its NOTRACK rules miss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from conntrim.app.budget import ticking
from conntrim.app.ports.flows import Flows
from conntrim.app.ports.rulesets import Rulesets
from conntrim.core.census.infer import ENOUGH, infer_viewpoint
from conntrim.core.diagnose.rulesets.met import COLUMNS
from conntrim.core.diagnose.rulesets.registry import Checked, Entries, check_ruleset
from conntrim.core.model.address import format_range
from conntrim.core.model.flows import FlowTable
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Notrack, Ruleset


@dataclass(frozen=True, slots=True)
class Host:
    """What is known beside the rules: the host's own addresses (empty: not known), and its conntrack table."""

    local: Intervals = Intervals()
    flows: Flows | None = None


def check(source: Rulesets, host: Host) -> Checked:
    """Look through a rule set; without addresses whatever has no outgoing interface is for the host.

    The table is read only where there are NOTRACK rules that may meet something. Where no addresses are told they are
    guessed from it, for this question alone.
    """
    ruleset = source.read()
    if host.flows is None or not _untracks(ruleset):
        return check_ruleset(ruleset, host.local or None, ticking())
    entries, guess = _entries(host.local, host.flows)
    found = check_ruleset(ruleset, host.local or None, ticking(), entries)
    return replace(found, remarks=(*found.remarks, *guess, *host.flows.remarks))


def _untracks(ruleset: Ruleset) -> bool:
    statements = (s for t in ruleset.tables for c in t.chains for r in c.rules for s in r.statements)
    return any(isinstance(s, Notrack) for s in statements)


def _entries(local: Intervals, flows: Flows) -> tuple[Entries, list[str]]:
    blocks = flows.blocks(COLUMNS)
    if local:
        return Entries(local, blocks), []
    first, blocks = _first(blocks)
    guessed = infer_viewpoint(first).local
    names = ", ".join(format_range(*r) for r in guessed.ranges)
    told = f"the host's own addresses, guessed from {flows.source}: {names}"
    return Entries(guessed, blocks), [told] if names else []


def _first(blocks: Iterator[FlowTable]) -> tuple[list[FlowTable], Iterator[FlowTable]]:
    """Enough blocks to guess from, and all of them again."""
    first: list[FlowTable] = []
    while sum(map(len, first)) < ENOUGH and (more := list(islice(blocks, 1))):
        first += more
    return first, chain(first, blocks)
