"""Where our rules stand among those of others: as the plan meant it, and still so.

iptables and nft insert by number. A number is right only as long as nobody else changes the chain, so the listing is
looked at after each load; what was loaded in the wrong place is taken out again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from conntrim.core.model.plan import CHAIN_PREFIX, COMMENT_PREFIX, OWN_TABLE, Batch
from conntrim.core.model.raw_text import bytes_of
from conntrim.core.rollout.ours import is_ours_xt
from conntrim.core.rollout.persist import chains_xt
from conntrim.core.rollout.persist_nft import chains_nft

Chains = Mapping[str, tuple[str, ...]]
_XT = re.compile(r"-I (\S+)(?: (\d+))?(?= |$)")
_NFT = re.compile(rf"(insert|add) rule (\S+) (?!{OWN_TABLE} )(\S+) (\S+)(?: index (\d+))?")
OURS = "*"


def chains(program: str, listing: str) -> dict[str, tuple[str, ...]]:
    """The chains that a listing shows, each rule of ours as `OURS`, without chains and tables of ours."""
    found = chains_nft(listing) if program == "nft" else chains_xt(listing)
    mine = f"table inet {OWN_TABLE} " if program == "nft" else CHAIN_PREFIX
    return {
        name: tuple(OURS if _is_ours(program, rule) else rule for rule in rules)
        for name, rules in found.items()
        if mine not in name
    }


def _is_ours(program: str, rule: str) -> bool:
    return f'comment "{COMMENT_PREFIX}' in rule if program == "nft" else is_ours_xt(rule)


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
    for batch in trial:
        if batch.program == program:
            for name, behind in _meant(batch, before):
                meant.setdefault(name, []).append(behind)
    for name, places in meant.items():
        if sorted(places) != (found := list(_behind(after.get(name, ())))):
            return f"in {name} the rules stand behind {found} rules of others, not {sorted(places)}"
    return ""


def _meant(batch: Batch, before: Chains) -> Iterator[tuple[str, int]]:
    """The chain and the number of rules in front, for each rule that the batch inserts."""
    lines = batch.text.splitlines()
    if batch.program != "nft":
        table = lines[0].removeprefix("*")
        yield from ((f"{table} {m[1]}", int(m[2] or 1) - 1) for line in lines if (m := _XT.match(line)))
        return
    for found in filter(None, map(_NFT.match, lines)):
        name = f"table {found[2]} {found[3]} chain {found[4]}"
        yield name, int(found[5] or 0) if found[1] == "insert" else len(before.get(name, ()))


def _behind(rules: tuple[str, ...]) -> Iterator[int]:
    count = 0
    for rule in rules:
        if rule == OURS:
            yield count
        else:
            count += 1
