"""Where our rules stand among those of others: as the plan meant it, and still so.

iptables and nft insert by number. A number is right only as long as nobody else changes the chain, so the listing is
looked at after each load; what was loaded in the wrong place is taken out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from conntrim.core.model.plan import POLICIES, Batch, slot_of_chain, slot_of_table
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.rollout.batches import puts, table_of
from conntrim.core.rollout.claim import Claim, seen_nft
from conntrim.core.rollout.ours import is_ours_xt
from conntrim.core.rollout.persist import chains_xt
from conntrim.core.rollout.persist_nft import chains_nft
from conntrim.core.rollout.stores import family_of

Chains = Mapping[str, tuple[str, ...]]
OURS = "*"


def chains(
    program: str, listing: str, claim: Claim, fed: Mapping[str, str], earlier: Claim | None = None
) -> dict[str, tuple[str, ...]]:
    """The chains that a listing shows, each rule of ours as `OURS`, without chains and tables of ours.

    Rules of a plan that this one replaces are left out where `earlier` tells them: they come and go.

    `fed` says which program the plan feeds each table with (`fed_by`): no other one's listing tells it, since nft
    lists the tables of iptables-nft too, without our comments.
    """
    if program == POLICIES:
        return {}
    found = chains_nft(listing) if program == "nft" else chains_xt(listing)
    return {
        name: tuple(
            OURS if _is_ours(program, name, rule, claim) else rule
            for rule in rules
            if earlier is None or not _is_ours(program, name, rule, earlier)
        )
        for name, rules in found.items()
        if not _is_own_chain(program, name) and fed.get(_table(program, name), program) == program
    }


def fed_by(batches: Iterable[Batch]) -> dict[str, str]:
    """Which program fills each table, by `ip filter`; tables of iptables-legacy are others of the same name (K37)."""
    listed = ((_table(batch.program, _chain(batch.program, table_of(batch))), batch.program) for batch in batches)
    return {table: program for table, program in listed if program != POLICIES and not _is_own_table(table)}


def _chain(program: str, table: str, chain: str = "") -> str:
    """A chain as that program's listing is read: `filter INPUT`, `table inet filter chain input`."""
    return f"table {table} chain {chain}" if program == "nft" else f"{table} {chain}"


def _table(program: str, chain: str) -> str:
    words = chain.split()
    if program == "nft":
        return " ".join(words[1:3])
    legacy = "legacy " if "legacy" in program else ""
    return f"{legacy}{family_of(program)} {words[0]}"


def _is_own_chain(program: str, name: str) -> bool:
    if program == "nft":
        return _is_own_table(_table(program, name))
    return slot_of_chain(name.split()[1]) > 0


def _is_own_table(table: str) -> bool:
    """Of `inet conntrim`."""
    family, _, name = table.partition(" ")
    return slot_of_table(family, name) > 0


def _is_ours(program: str, chain: str, rule: str, claim: Claim) -> bool:
    if program == "nft":
        return claim.holds(seen_nft(chain, rule))
    return is_ours_xt(program, chain.partition(" ")[0], rule, claim)


def around(program: str, seen: Chains) -> dict[str, str]:
    """A digest of each chain that holds rules of ours: it changes with their places, and with what is around them.

    Not with how many stand next to each other: amid a confirm the kept ones stand beside the guarded ones.
    """
    return {
        f"{program} {name}": hashlib.sha256(bytes_of("\n".join(_places(rules)))).hexdigest()[:16]
        for name, rules in seen.items()
        if OURS in rules
    }


def _places(rules: Iterable[str]) -> Iterator[str]:
    """The rules, with each run of ours as one."""
    for rule, run in groupby(rules):
        yield from (OURS,) if rule == OURS else run


def theirs(seen: Chains) -> dict[str, tuple[str, ...]]:
    """The chains without rules of ours; those that are empty then say nothing."""
    left = {name: tuple(rule for rule in rules if rule != OURS) for name, rules in seen.items()}
    return {name: rules for name, rules in left.items() if rules}


def misplaced(trial: Iterable[Batch], program: str, before: Chains, after: Chains) -> str:
    """Why rules are not where the plan meant them to be; "" where they are. Both listings are that program's."""
    if changed := [n for n in {**theirs(before), **theirs(after)} if theirs(before).get(n) != theirs(after).get(n)]:
        return f"another program changed {changed[0]} while the rules were loaded"
    meant: dict[str, list[int]] = {}
    for put in puts(batch for batch in trial if batch.program == program):
        if not put.own:
            name = _chain(program, put.table, put.chain)
            meant.setdefault(name, []).append(len(before.get(name, ())) if put.behind is None else put.behind)
    for name, places in meant.items():
        if sorted(places) != (found := list(_behind(after.get(name, ())))):
            return f"in {name} the rules stand behind {found} rules of others, not {sorted(places)}"
    return ""


def _behind(rules: tuple[str, ...]) -> Iterator[int]:
    count = 0
    for rule in rules:
        if rule == OURS:
            yield count
        else:
            count += 1
