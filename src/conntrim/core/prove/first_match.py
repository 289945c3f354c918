"""Rules that do nothing but end packets' ways, many at a time: where they send all packets, whatever comes to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice

from conntrim.core.model.ruleset import (
    End,
    NoEffect,
    Return,
    Rule,
    Table,
    Verdict,
)
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder

DROPPED, LEFT, ACCEPTED = "dropped", "left", "accepted"
KINDS: dict[Verdict, str] = {Verdict.ACCEPT: ACCEPTED, Verdict.DROP: DROPPED, Verdict.REJECT: DROPPED}

HEAD = 8
"""Rules folded first: the usual ones at the top of a chain (lo, established) often leave nobody alive."""
BLOCK = 64
"""Rules folded before the packets that are still alive are looked at again."""


def blocks(rules: Sequence[Rule], apart: Callable[[Rule], bool] = lambda rule: False) -> Iterator[Sequence[Rule]]:
    """The rules that do something, in order: neighbours with plain ends together, every other by itself, as are those
    that stand `apart`.

    Blocks are counted from the end: a rule that only one of two chains has, near its top, moves none below it.
    """
    acting = (r for r in rules if apart(r) or not all(isinstance(s, NoEffect) for s in r.statements))
    for plain, run in groupby(acting, lambda rule: plain_end(rule) is not None and not apart(rule)):
        yield from (_cut if plain else zip)(run)


def _cut(run: Iterator[Rule]) -> Iterator[tuple[Rule, ...]]:
    yield tuple(islice(run, HEAD))
    rest = tuple(run)
    for end in range(len(rest) % BLOCK, len(rest) + 1, BLOCK):
        if end:
            yield rest[max(end - BLOCK, 0) : end]


def folded(view: MatchEncoder, rules: Sequence[Rule], table: Table) -> dict[str, Set]:
    """Where a block of rules with plain ends sends all packets: found once for whoever sees the same."""
    known = view.space.known
    key = (*map(id, rules), id(table) if table.sets else 0, view.signature())
    if key not in known:
        known[key] = (rules, table), _folded(view, rules, table)  # holding the rules keeps their ids theirs
    found: dict[str, Set] = known[key][1]
    return found


def _folded(view: MatchEncoder, rules: Sequence[Rule], table: Table) -> dict[str, Set]:
    """First match, told from the last rule on: each takes its packets away from all that stand below it. A rule's set
    is small, and only where it is something changes."""
    either = view.space.sets.either
    runs = [(str(kind), either([view.rule(r, table) for r in run])) for kind, run in groupby(rules, plain_end)]
    found = dict.fromkeys((kind for kind, _ in runs), view.space.nothing)
    for kind, taken in reversed(runs):
        view.space.sets.tick()
        found = {other: below | taken if other == kind else taken.imp_strict(below) for other, below in found.items()}
    return found


def plain_end(rule: Rule) -> str | None:
    """Where a rule that does nothing but end (and count) sends its packets; None for every other rule."""
    deciding = [s for s in rule.statements if type(s) is not NoEffect]
    if len(deciding) != 1:
        return None
    if isinstance(end := deciding[0], End):
        return KINDS.get(end.verdict)
    return LEFT if isinstance(end, Return) else None
