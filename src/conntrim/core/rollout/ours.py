"""Which rules in the kernel are ours, and the batches that take out exactly those.

Ours are own chains and the own nft table, jumps to own chains, and in chains of others what a `Claim` holds: never
what merely looks like it. Taking out by that, and not by undoing the plan step by step, works from any half-loaded
state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.plan import (
    ARMED,
    CHAIN_PREFIX,
    POLICIES,
    POLICY_NAME,
    Batch,
    slot_of_chain,
    slot_of_table,
)
from conntrim.core.parse.listed import sections
from conntrim.core.rollout.batches import table_of
from conntrim.core.rollout.claim import OWN_NFT_JUMPS, Claim, Seen, seen_xt

NAME = "conntrim"


def may_be_ours(line: str) -> bool:
    """Only such a line of a listing need be looked at closely: listings have tens of thousands of others."""
    return NAME in line or CHAIN_PREFIX in line


def is_ours_xt(program: str, table: str, line: str, claim: Claim) -> bool:
    """Is this line of an `iptables-save` text, `-A CHAIN ...`, a rule of ours?"""
    return may_be_ours(line) and _is_ours(seen_xt(program, table, line), claim)


def _is_ours(rule: Seen, claim: Claim) -> bool:
    if slot_of_chain(rule.target):
        return claim.owns_chain(rule.target) and not claim.disowns(rule)
    return claim.owns_chain(rule.chain) or claim.holds(rule)


@dataclass(frozen=True, slots=True)
class XtTable:
    """What is ours in one table of an `iptables-save` listing.

    `idle`: base chains without rules whose policy is accept. `empty`: there is nothing else. `iptables-nft-save` lists
    base chains that are not there. `altered` are the rules with a comment of the plan's that are somebody else's now.
    """

    name: str
    chains: tuple[str, ...]
    rules: tuple[str, ...]
    base: tuple[str, ...]
    idle: tuple[str, ...]
    altered: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """No rules, no own chains, policies accept."""
        return self.base == self.idle


def xt_tables(program: str, listing: str, claim: Claim) -> tuple[XtTable, ...]:
    """The tables of an `iptables-save` listing, each with what is ours in it."""
    found = []
    for each in sections(listing):
        seen = [(line, seen_xt(program, each.table, line)) for line in each.rules if may_be_ours(line)]
        anothers = any(claim.owns_chain(rule.target) and claim.disowns(rule) for _, rule in seen)
        chains = [] if anothers else [name for name in each.chains if claim.owns_chain(name)]
        rules = [r for r, rule in seen if _is_ours(rule, claim) and not (anothers and claim.owns_chain(rule.chain))]
        filled = {line.split(" ", 2)[1] for line in each.rules}
        idle = tuple(name for name, policy in each.chains.items() if policy == "ACCEPT" and name not in filled)
        altered = tuple(line for line, rule in seen if claim.altered(rule) and line not in rules)
        found.append(XtTable(each.table, tuple(chains), tuple(rules), tuple(each.chains), idle, altered))
    return tuple(found)


def own_xt(program: str, listing: str, claim: Claim) -> tuple[str, ...]:
    """Our chains and rules of an `iptables-save` listing, one text each."""
    return tuple(
        f"{program} {table.name} {line}"
        for table in xt_tables(program, listing, claim)
        for line in (*(f"-N {chain}" for chain in table.chains), *table.rules)
    )


def sweep_xt(program: str, listing: str, claim: Claim) -> tuple[Batch, ...]:
    """One transaction a table that takes out what is ours; raw first, so that nothing is untracked but refused."""
    tables = sorted(xt_tables(program, listing, claim), key=lambda table: table.name != "raw")
    return tuple(Batch(program, _sweep_table(table)) for table in tables if table.rules or table.chains)


def _sweep_table(table: XtTable) -> str:
    foreign = [rule for rule in table.rules if not rule.startswith(f"-A {CHAIN_PREFIX}")]
    lines = [
        f"*{table.name}",
        *(rule.replace("-A ", "-D ", 1) for rule in foreign),
        *(f"-F {chain}" for chain in table.chains),
        *(f"-X {chain}" for chain in table.chains),
        "COMMIT\n",
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class NftObject:
    """An object of an `nft -j list ruleset` listing that is ours or, `altered`, only bears a comment of the plan's."""

    kind: str
    path: str
    name: str
    handle: int
    text: str
    """The same for the same rule, whatever its handle, counters and the time its elements have left."""
    altered: bool = False


Item = tuple[str, dict[str, Any]]
_VOLATILE = frozenset({"handle", "packets", "bytes", "elem", "expires", "position", "index"})
"""What a listing says of a rule or set that is not its meaning."""


def _meaning(value: Any) -> Any:
    """Decoded JSON without its volatile fields."""
    if isinstance(value, dict):
        return {key: _meaning(v) for key, v in value.items() if key not in _VOLATILE}
    return [_meaning(v) for v in value] if isinstance(value, list) else value


def nft_objects(listing: str, claim: Claim) -> tuple[NftObject, ...]:
    """What is ours in an nft listing. The listing comes from nft itself: anything unknown in it is not ours."""
    items, with_table = nft_items(listing, claim)
    return tuple(_nft_ours(items, claim, with_table))


def nft_items(listing: str, claim: Claim) -> tuple[list[Item], bool]:
    """The kind and content of each object of a listing, and whether the own table is this plan's."""
    document: Any = msgspec.json.decode(listing or '{"nftables": []}')
    items = [next(iter(item.items())) for item in document["nftables"]]
    jumps = (seen for kind, body in items if kind == "rule" and (seen := _seen(body)).place in OWN_NFT_JUMPS)
    anothers = any(claim.owns_table(*OWN_NFT_JUMPS[seen.place]) and claim.disowns(seen) for seen in jumps)
    return items, not anothers


def nft_statements(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that nft lists as JSON; what it has no JSON for stands there as text (K102)."""
    return [each for each in rule.get("expr", ()) if isinstance(each, dict)]


def _seen(body: dict[str, Any], text: str = "") -> Seen:
    place = f"nft {body.get('family', '')} {body.get('table', '')} {body.get('chain', '')}"
    asked = [each["match"] for each in nft_statements(body) if "match" in each]
    states = [m.get("right") for m in asked if m.get("left") == {"ct": {"key": "state"}} and m.get("op") != "!="]
    return Seen(place, str(body.get("comment", "")), "", any(s in ("untracked", "invalid") for s in states), text)


def _nft_ours(items: list[Item], claim: Claim, with_table: bool) -> Iterator[NftObject]:
    for kind, body in items:
        if kind not in ("table", "chain", "set", "map", "rule"):
            continue
        family, table = body.get("family", ""), body.get("table", "")
        name = str(body.get("name", body.get("chain", "")))
        own_table = name if kind == "table" else table
        of_own = slot_of_table(family, own_table)
        if not of_own and name != ARMED and NAME not in str(body.get("comment", "")):
            continue
        mean = msgspec.json.encode(_meaning(body), order="deterministic")
        comment = f' "{body["comment"]}"' if "comment" in body else " for good" if _lasting(body) else ""
        path = f"{family} {table}".strip()
        text = f"nft {kind} {path} {name}{comment} #{hashlib.sha256(mean).hexdigest()[:8]}"
        seen = _seen(body, text)
        if of_own:
            ours = with_table and claim.owns_table(family, own_table)
        else:
            ours = claim.holds(seen) if kind == "rule" else claim.guards and (kind, name) == ("set", ARMED)
        altered = kind == "rule" and not ours and claim.altered(seen)
        if ours or altered:
            yield NftObject(kind, path, name, int(body.get("handle", 0)), text, altered)


def _lasting(body: dict[str, Any]) -> bool:
    """A set of ours whose elements no longer time out: its rules are kept."""
    return body.get("name") == ARMED and any("timeout" not in _element(each) for each in body.get("elem", ()))


def _element(listed: Any) -> dict[str, Any]:
    found = listed.get("elem") if isinstance(listed, dict) else None
    return found if isinstance(found, dict) else {}


def belongs(batch: Batch, own: str) -> bool:
    """Is this one of our rules, as `own_xt` or `own_nft` tells it, of the table that the batch fills?"""
    if batch.program == POLICIES:
        return own in batch.text.split("\n")
    if batch.program != "nft":
        return own.startswith(f"{batch.program} {table_of(batch)} ")
    return own.startswith("nft ") and " ".join(own.split()[2:4]) == table_of(batch)


def own_nft(listing: str, claim: Claim) -> tuple[str, ...]:
    """Our tables, chains, sets and rules of an nft listing, one text each."""
    return tuple(found.text for found in nft_objects(listing, claim) if not found.altered)


def own_policies(policies: Iterable[TimeoutPolicy], claim: Claim) -> tuple[str, ...]:
    """Our time-out policies of those that ctnetlink lists, one text each: they have no comment, so by their names."""
    first = {None: "cd", 1: "c", 2: "d"}
    mine = (p for p in policies if POLICY_NAME.fullmatch(p.name) and p.name[0] in first[claim.slot])
    return tuple(map(str, mine))


def altered(program: str, listing: str, claim: Claim) -> tuple[str, ...]:
    """The rules that bear a comment of the plan's and are not what was loaded: their writer's, and left alone."""
    if program == POLICIES:
        return ()
    if program == "nft":
        return tuple(found.text for found in nft_objects(listing, claim) if found.altered)
    tables = xt_tables(program, listing, claim)
    return tuple(f"{program} {table.name} {line}" for table in tables for line in table.altered)


def sweep_nft(listing: str, claim: Claim) -> tuple[Batch, ...]:
    """One transaction that takes out what is ours: the own table whole, rules and sets in foreign tables singly.

    Its handles are the listing's, and mean nothing in any other.
    """
    ours = [found for found in nft_objects(listing, claim) if not found.altered]
    foreign = [found for found in ours if not slot_of_table(*found.path.partition(" ")[::2])]
    lines = [f"delete table {t.path} {t.name}" for t in ours if t.kind == "table"]
    lines += [f"delete rule {r.path} {r.name} handle {r.handle}" for r in foreign if r.kind == "rule"]
    lines += [f"delete set {s.path} {s.name}" for s in foreign if s.kind == "set"]
    return (Batch("nft", "\n".join(lines) + "\n"),) if lines else ()
