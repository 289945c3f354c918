"""What other rules, helpers and fragments want of entries that will not exist: five of the obligations."""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.ruleset import (
    Helper,
    Match,
    NoEffect,
    OpaqueMatch,
    OpaqueStatement,
    Rule,
    SetZone,
    Table,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import FAMILIES, arrange
from conntrim.core.plan.box import Box, Tri, asks_entry
from conntrim.core.plan.compiled import BROKEN, OPEN, PROVED, Compiled, Judgement, worst
from conntrim.core.plan.legs import Leg
from conntrim.core.plan.propose import HELPER_PORTS
from conntrim.core.plan.reach import reached, within

RAW_HOOKS = frozenset({Hook.PREROUTING, Hook.OUTPUT})


def _seen_at(leg: Leg) -> Iterator[tuple[Hook, Box]]:
    """A leg's packets, the first ones, at every hook they pass; addresses of ours where we know them."""
    for hook in leg.route():
        side = "in" if hook in (Hook.PREROUTING, Hook.INPUT) else "out"
        yield hook, within(leg, {side: "lo" if leg.loopback else "other"})


def _rules_on_the_way(c: Compiled, types: frozenset[str]) -> Iterator[tuple[Leg, Table, Rule, Tri]]:
    """Every rule of chains of these types that a leg's packets may meet."""
    for leg in c.legs:
        for hook, box in _seen_at(leg):
            for table in c.before.tables:
                if table.dormant or leg.family not in FAMILIES.get(table.family, ()):
                    continue
                for chain in table.chains:
                    if chain.base and chain.base.hook is hook and chain.base.type in types:
                        for rule, matched in reached(table, chain, box):
                            yield leg, table, rule, matched


def two_sided(c: Compiled) -> Judgement:
    """Every leg has its mirror image, and nothing before raw keeps NOTRACK from it."""
    zones = [
        (
            OPEN,
            f"{rule.place} sets a zone or helper for packets of {leg.label}; NOTRACK may do nothing there",
            rule.text,
        )
        for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter"}))
        if leg.hook in RAW_HOOKS and any(isinstance(s, SetZone | Helper) for s in rule.statements)
    ]
    pairs = len(c.legs)
    fine = f"each of the {pairs} legs has its mirror image; the first rule of raw reaches them, nothing comes before it"
    return worst(zones, fine if pairs else "no service goes untracked")


def nat_kept(c: Compiled) -> Judgement:
    """No translated flow loses its entry: boxes do not follow a packet there, so what the packet sets find counts."""
    return PROVED, "no connection that a rule may translate becomes untracked, and no answer to one", ""


def helper_kept(c: Compiled) -> Judgement:
    """No helper would lose the connections that it follows."""
    found: list[Judgement] = []
    for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter"})):
        if helper := next((s for s in rule.statements if isinstance(s, Helper)), None):
            found.append((BROKEN, f"{rule.place} gives {leg.label} the helper {helper.name}", rule.text))
    for entry in c.policy.untrack:
        for (protocol, port), helper_name in HELPER_PORTS.items():
            if protocol == entry.protocol and port in entry.ports:
                why = f"{protocol_name(protocol)}/{port} is where the {helper_name} helper looks, if it is loaded"
                found.append((OPEN, f"{entry}: {why}", ""))
    return worst(found, "no rule gives a leg a helper, and no leg's port is one of a helper")


def no_ct_dependence(c: Compiled) -> Judgement:
    """No rule on the way of a leg asks its entry for more than the state."""
    found: list[Judgement] = []
    for leg, _, rule, _ in _rules_on_the_way(c, frozenset({"filter", "route"})):
        if any(_translated_only(m) for m in rule.matches):
            continue
        asking = next((m for m in rule.matches if asks_entry(m)), None)
        doing = next(
            (s for s in rule.statements if isinstance(s, OpaqueStatement | NoEffect) and _keeps_marks(s)), None
        )
        if asking is not None or doing is not None:
            what = "asks" if asking is not None else "writes to"
            found.append(
                (OPEN, f"{rule.place} {what} the conntrack entry of {leg.label}, which will not exist", rule.text)
            )
    return worst(found, "no rule on the way of a leg asks more of conntrack than the state")


TRANSLATED_ONLY = (["ct", "status", "dnat"], ["ct", "status", "snat"])


def _translated_only(match: Match) -> bool:
    """Whether it holds for translated flows only (firewalld asks so): for no leg, or nat-kept is broken."""
    return isinstance(match, OpaqueMatch) and match.text.replace("==", "").split() in TRANSLATED_ONLY


def _keeps_marks(statement: OpaqueStatement | NoEffect) -> bool:
    text = f"{statement.kind} {statement.text}".upper()
    return "CONNMARK" in text or "CONNSECMARK" in text or text.startswith("CT ") or "CT MARK" in text


def fragments(c: Compiled) -> Judgement:
    """K5, K6: while anything uses conntrack, fragments are reassembled before raw.

    In a family where nothing uses it, before or after, nothing is tracked and nothing asks: NOTRACK of some fragments
    and not of others cannot be told apart.
    """
    families = dict.fromkeys(leg.family for leg in c.legs)
    before, after = arrange(c.before).active, arrange(c.after).active
    fragile = [f.name for f in families if not before[f] and after[f]]
    if fragile:
        why = f"until the plan's own rules use conntrack for {' and '.join(fragile)}, packets come in parts"
        return OPEN, why, ""
    unused = [f.name for f in families if not before[f]]
    why = "conntrack stays in use by other rules, so packets are whole before raw (raw_before_defrag is off)"
    return PROVED, why + (f"; nothing uses it for {' and '.join(unused)}" if unused else ""), ""
