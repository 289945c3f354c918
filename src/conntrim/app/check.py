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
from conntrim.core.model.kinds import SYNPROXY
from conntrim.core.model.ruleset import Notrack, OpaqueStatement, Ruleset, Statement


@dataclass(frozen=True, slots=True)
class Host:
    """What is known beside the rules: the host's own addresses (empty: not known), its conntrack table, and its
    nf_conntrack_tcp_loose (None: not known)."""

    local: Intervals = Intervals()
    flows: Flows | None = None
    loose: bool | None = None


def check(source: Rulesets, host: Host, *, edits: bool = True) -> Checked:
    """Look through a rule set; without addresses whatever has no outgoing interface is for the host.

    The table is read only where there are NOTRACK rules that may meet something. Where no addresses are told they are
    guessed from it, for this question alone. Without `edits` none are proved, and none shown.
    """
    ruleset = source.read()
    loose = host.loose is not False
    if host.flows is None or not _untracks(ruleset):
        return _said(check_ruleset(ruleset, host.local or None, ticking(), loose=loose, edits=edits), ruleset, host)
    entries, guess = _entries(host.local, host.flows)
    found = check_ruleset(ruleset, host.local or None, ticking(), entries, loose=loose, edits=edits)
    return _said(replace(found, remarks=(*found.remarks, *guess, *host.flows.remarks)), ruleset, host)


LOOSE = "nf_conntrack_tcp_loose is taken as 1, the kernel's default: --tcp-loose 0 says otherwise"


def _said(found: Checked, ruleset: Ruleset, host: Host) -> Checked:
    """With what was assumed where SYNs are proxied: there it decides about every connection (K115)."""
    proxies = any(isinstance(s, OpaqueStatement) and s.kind in SYNPROXY for s in _statements(ruleset))
    assumed = proxies and host.loose is None and _untracks(ruleset)
    return replace(found, remarks=(*found.remarks, LOOSE)) if assumed else found


def _untracks(ruleset: Ruleset) -> bool:
    return any(isinstance(s, Notrack) for s in _statements(ruleset))


def _statements(ruleset: Ruleset) -> Iterator[Statement]:
    return (s for rule in ruleset.rules() for s in rule.statements)


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
