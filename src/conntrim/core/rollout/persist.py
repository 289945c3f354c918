"""Our rules written into the files that a boot loads: placed as the kernel lists them, everything else as it stood.

A rule of ours in a chain of others goes behind as many of their rules as it stands behind in the kernel. Whether that
is the same place is not argued here: the result is loaded into an empty namespace and its listing compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from conntrim.core.model.plan import CHAIN_PREFIX
from conntrim.core.parse.listed import appended, declared, tables
from conntrim.core.rollout.claim import Claim
from conntrim.core.rollout.ours import is_ours_xt


class NoPlaceError(Exception):
    """A file has no place for a rule of ours; the message says which."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule in a chain of others, behind so many of theirs; the text is a whole line."""

    chain: str
    behind: int
    text: str


@dataclass(frozen=True, slots=True)
class Ours:
    """What is ours in one table: own chains with their rules, and rules in chains of others."""

    table: str
    chains: tuple[str, ...]
    own: tuple[str, ...]
    placed: tuple[Placed, ...]


def ours_xt(program: str, listing: str, claim: Claim) -> tuple[Ours, ...]:
    """What is ours in a listing, by table; tables without are left out."""
    found = []
    for table, lines in tables(listing):
        chains = [line.split()[0][1:] for line in lines if line.startswith(f":{CHAIN_PREFIX}")]
        rules = [line for line in lines if appended(line)]
        own = [line for line in rules if appended(line).startswith(CHAIN_PREFIX)]
        placed = tuple(_placed(program, table, rules, claim))
        if chains or placed:
            found.append(Ours(table, tuple(chains), tuple(own), placed))
    return tuple(found)


def _placed(program: str, table: str, rules: Iterable[str], claim: Claim) -> Iterator[Placed]:
    behind: dict[str, int] = {}
    for line in rules:
        chain = appended(line)
        if not is_ours_xt(program, table, line, claim):
            behind[chain] = behind.get(chain, 0) + 1
        elif not chain.startswith(CHAIN_PREFIX):
            yield Placed(chain, behind.get(chain, 0), line)


def with_ours_xt(text: str, ours: Sequence[Ours], *, whole: bool = True) -> str:
    """An `iptables-save` file with our rules in it and nothing else changed; what was ours in it before is gone.

    What was ours is told by the grammar of our comments, and by being one of the rules that come in.

    `whole`: the file is all that a boot loads, so that a table which it lacks is added. NoPlaceError.
    """
    placed = {p.text for mine in ours for p in mine.placed}
    lines = [line for line in text.splitlines() if not (_was_ours(line, placed) or _is_own_declaration(line))]
    for mine in ours:
        start = next((n for n, line in enumerate(lines) if line.strip() == f"*{mine.table}"), None)
        if start is None:
            lines += _new_table(mine) if whole else []
        else:
            end = next((n for n in range(start, len(lines)) if lines[n].strip() == "COMMIT"), len(lines))
            lines[start:end] = _filled(lines[start:end], mine if whole else Ours(mine.table, (), (), mine.placed))
    return "\n".join(lines) + "\n"


def _was_ours(line: str, placed: set[str]) -> bool:
    bare = line[line.index("-A") :].rstrip() if appended(line) else ""
    return bool(bare) and (bare in placed or is_ours_xt("-", "-", bare, Claim()))


def _is_own_declaration(line: str) -> bool:
    return declared(line).startswith(CHAIN_PREFIX)


def new_table(ours: Ours) -> str:
    """A table with our rules alone, for `iptables-restore --noflush`."""
    return "\n".join(_new_table(ours)) + "\n"


def _new_table(ours: Ours) -> list[str]:
    base = dict.fromkeys(placed.chain for placed in ours.placed)
    chains = [f":{chain} ACCEPT [0:0]" for chain in base] + [f":{chain} - [0:0]" for chain in ours.chains]
    return [f"*{ours.table}", *chains, *(placed.text for placed in ours.placed), *ours.own, "COMMIT"]


def _filled(lines: list[str], ours: Ours) -> list[str]:
    """One table's lines, from `*table` on and without COMMIT, with ours in them."""
    before: dict[int, list[str]] = {}
    for placed in ours.placed:
        before.setdefault(_place(lines, placed), []).append(placed.text)
    last = max((n for n, line in enumerate(lines) if declared(line)), default=0)
    filled = []
    for number, line in enumerate(lines):
        filled += [*before.get(number, []), line]
        if number == last:
            filled += [f":{chain} - [0:0]" for chain in ours.chains]
    return [*filled, *before.get(len(lines), []), *ours.own]


def _place(lines: list[str], placed: Placed) -> int:
    """The number of the line that the rule goes before."""
    there = [number for number, line in enumerate(lines) if appended(line) == placed.chain]
    if placed.behind > len(there):
        raise NoPlaceError(f"{placed.chain} has {len(there)} rules there, not {placed.behind} or more")
    if placed.behind < len(there):
        return there[placed.behind]
    return there[-1] + 1 if there else len(lines)


def chains_xt(listing: str) -> dict[str, tuple[str, ...]]:
    """The rules of each chain of a listing, by `table chain`, without counters."""
    found: dict[str, list[str]] = {}
    for table, lines in tables(listing):
        for line in lines:
            if name := declared(line):
                found.setdefault(f"{table} {name}", [])
            elif chain := appended(line):
                found.setdefault(f"{table} {chain}", []).append(line[line.index("-A") :])
    return {name: tuple(rules) for name, rules in found.items()}


def skeleton_xt(listing: str) -> str:
    """The chains of a listing without their rules: what a part of a rule set is loaded over."""
    made = []
    for table, lines in tables(listing):
        others = [line for line in lines if declared(line) and not _is_own_declaration(line)]
        made += [f"*{table}", *others, "COMMIT"]
    return "\n".join(made) + "\n"
