"""Connections of this host to itself that a NAT rule translates: they stay tracked, or the translation would stop.

Docker's MASQUERADE, for one, also takes what the bridge's own address sends over `lo`. The plan's chain in OUTPUT lets
such packets return before its own rules, in both directions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.nat import Nat
from conntrim.core.model.ruleset import Field, Interface, Ruleset
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.plan.box import narrow
from conntrim.core.plan.legs import Leg, Way, reply_to
from conntrim.core.plan.reach import reached, within


def spared(ruleset: Ruleset, legs: Iterable[Leg], local: Intervals) -> tuple[Leg, ...]:
    """Requests over `lo` that may be translated, and the replies to them; `local` are our addresses, where known."""
    requests = [leg for leg in legs if leg.loopback and leg.way is Way.REQUEST]
    found: list[Leg] = []
    for leg in requests:
        found += [kept for kept in _translated(ruleset, leg, local) if kept not in found]
    return tuple(leg for request in found for leg in (request, reply_to(request)))


def _translated(ruleset: Ruleset, leg: Leg, local: Intervals) -> Iterator[Leg]:
    box = within(leg, {"out": "lo"})
    if local:
        ours = (local | LOOPBACK) & leg.addresses
        box = replace(box, fields={**box.fields, Field.SRC: box.fields.get(Field.SRC, ours) & ours})
    for table in ruleset.tables:
        if leg.family not in FAMILIES.get(table.family, ()):
            continue
        for chain in table.chains:
            if chain.base and chain.base.type == "nat" and chain.base.hook in leg.route():
                for rule, _ in reached(table, chain, box):
                    matches = [m for m in rule.matches if not isinstance(m, Interface)]
                    inside = narrow(box, matches)
                    if any(isinstance(s, Nat) for s in rule.statements) and not inside.empty() and not inside.holds:
                        yield replace(leg, fields={f: v for f, v in inside.fields.items() if f is not Field.TCP_FLAGS})
