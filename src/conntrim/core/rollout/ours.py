"""Which rules in the kernel are ours, by their marks, and the batches that take out exactly those.

The marks are the plan's: own chains, the own nft table, and the comment of every rule that stands in a foreign chain.
Taking out by mark and not by undoing the plan step by step works from any half-loaded state.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from conntrim.core.model.plan import ARMED, CHAIN_PREFIX, COMMENT_PREFIX, OWN_TABLE, Batch

_OURS = re.compile(rf'^-A {CHAIN_PREFIX}| -[jg] {CHAIN_PREFIX}|--comment "?{COMMENT_PREFIX.strip()}')
_CHAIN = re.compile(rf"^:({CHAIN_PREFIX}\S+)")


def is_ours_xt(line: str) -> bool:
    """Is this line of an `iptables-save` text a rule of ours?"""
    return _OURS.search(line) is not None


@dataclass(frozen=True, slots=True)
class XtTable:
    """What is ours in one table of an `iptables-save` listing.

    `idle`: base chains without rules whose policy is accept. `empty`: there is nothing else. `iptables-nft-save` lists
    base chains that are not there.
    """

    name: str
    chains: tuple[str, ...]
    rules: tuple[str, ...]
    base: tuple[str, ...]
    idle: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """No rules, no own chains, policies accept."""
        return self.base == self.idle


def xt_tables(listing: str) -> tuple[XtTable, ...]:
    """The tables of an `iptables-save` listing, each with what is ours in it."""
    found = []
    for part in re.split(r"^\*", listing, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        chains = [m[1] for line in lines if (m := _CHAIN.match(line))]
        rules = [line for line in lines if line.startswith("-A ") and is_ours_xt(line)]
        declared = [line.split() for line in lines if line.startswith(":")]
        base = tuple(words[0][1:] for words in declared)
        filled = {line.split()[1] for line in lines if line.startswith("-A ")}
        idle = tuple(words[0][1:] for words in declared if words[1] == "ACCEPT" and words[0][1:] not in filled)
        found.append(XtTable(name, tuple(chains), tuple(rules), base, idle))
    return tuple(found)


def own_xt(program: str, listing: str) -> tuple[str, ...]:
    """Our chains and rules of an `iptables-save` listing, one text each."""
    return tuple(
        f"{program} {table.name} {line}"
        for table in xt_tables(listing)
        for line in (*(f"-N {chain}" for chain in table.chains), *table.rules)
    )


def sweep_xt(program: str, listing: str) -> tuple[Batch, ...]:
    """One transaction a table that takes out what is ours; raw first, so that nothing is untracked but refused."""
    tables = sorted(xt_tables(listing), key=lambda table: table.name != "raw")
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
    """One object of an `nft -j list ruleset` listing that is ours."""

    kind: str
    path: str
    name: str
    handle: int
    text: str
    """The same for the same rule, whatever its handle, counters and the time its elements have left."""


_VOLATILE = frozenset({"handle", "packets", "bytes", "elem", "expires", "position", "index"})
"""What a listing says of a rule or set that is not its meaning."""


def _meaning(value: Any) -> Any:
    """Decoded JSON without its volatile fields."""
    if isinstance(value, dict):
        return {key: _meaning(v) for key, v in value.items() if key not in _VOLATILE}
    return [_meaning(v) for v in value] if isinstance(value, list) else value


def nft_objects(listing: str) -> tuple[NftObject, ...]:
    """What is ours in an nft listing. The listing comes from nft itself: anything unknown in it is not ours."""
    document: Any = msgspec.json.decode(listing or '{"nftables": []}')
    return tuple(_nft_ours(document["nftables"]))


def _nft_ours(items: list[dict[str, dict[str, Any]]]) -> Iterator[NftObject]:
    for item in items:
        kind, body = next(iter(item.items()))
        family, table = body.get("family", ""), body.get("table", "")
        name = str(body.get("name", body.get("chain", "")))
        own_table = (name if kind == "table" else table) == OWN_TABLE
        marked = name == ARMED if kind == "set" else str(body.get("comment", "")).startswith(COMMENT_PREFIX)
        if kind in ("table", "chain", "set", "map", "rule") and (own_table or marked):
            mean = msgspec.json.encode(_meaning(body), order="deterministic")
            comment = f' "{body["comment"]}"' if "comment" in body else ""
            path = f"{family} {table}".strip()
            text = f"nft {kind} {path} {name}{comment} #{hashlib.sha256(mean).hexdigest()[:8]}"
            yield NftObject(kind, path, name, int(body.get("handle", 0)), text)


def belongs(batch: Batch, own: str) -> bool:
    """Is this one of our rules, as `own_xt` or `own_nft` tells it, of the table that the batch fills?"""
    if batch.program != "nft":
        return own.startswith(f"{batch.program} {batch.text.splitlines()[0].removeprefix('*')} ")
    family, table = batch.text.split()[2:4]
    return own.split()[2:4] == [family, table] and own.startswith("nft ")


def own_nft(listing: str) -> tuple[str, ...]:
    """Our tables, chains, sets and rules of an nft listing, one text each."""
    return tuple(found.text for found in nft_objects(listing))


def sweep_nft(listing: str) -> tuple[Batch, ...]:
    """One transaction that takes out what is ours: own tables whole, rules and sets in foreign tables singly."""
    ours = nft_objects(listing)
    foreign = [found for found in ours if not found.path.endswith(f" {OWN_TABLE}")]
    lines = [f"delete table {t.path} {t.name}" for t in ours if t.kind == "table"]
    lines += [f"delete rule {r.path} {r.name} handle {r.handle}" for r in foreign if r.kind == "rule"]
    lines += [f"delete set {s.path} {s.name}" for s in foreign if s.kind == "set"]
    return (Batch("nft", "\n".join(lines) + "\n"),) if lines else ()
