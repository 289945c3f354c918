"""Jumps between the chains of one table: none to a missing chain, no loops."""

from __future__ import annotations

from collections.abc import Iterable

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Chain, Jump, Rule


def jumps(chain: Chain) -> list[tuple[str, Rule]]:
    """The chains a chain jumps to, and from which rule."""
    return [(done.chain, rule) for rule in chain.rules for done in rule.statements if type(done) is Jump]


def check_jumps(chains: Iterable[Chain], source: str) -> None:
    """InputError where a jump has no end or comes back to where it was; deep nesting is no reason."""
    edges = {chain.name: jumps(chain) for chain in chains}
    for found in edges.values():
        for target, rule in found:
            if target not in edges:
                message = f"jump to chain {target}, which this table does not have"
                raise InputError(source, message, line=rule.place.line)
    done = {name for name, found in edges.items() if not found}
    for start in edges:
        if start not in done:
            _walk(start, edges, done, source)


def _walk(start: str, edges: dict[str, list[tuple[str, Rule]]], done: set[str], source: str) -> None:
    """Depth first without recursion: operators' chains may nest deeper than Python's stack."""
    path, open_ = [(start, iter(edges[start]))], {start}
    while path:
        name, left = path[-1]
        step = next(left, None)
        if step is None:
            path.pop()
            open_.discard(name)
            done.add(name)
            continue
        target, rule = step
        if target in open_:
            chain = [n for n, _ in path]
            round_ = " -> ".join([*chain[chain.index(target) :], target])
            raise InputError(source, f"chains jump in a circle: {round_}", line=rule.place.line)
        if target not in done:
            open_.add(target)
            path.append((target, iter(edges[target])))
