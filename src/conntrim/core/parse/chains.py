"""Jumps between the chains of one table: none to a missing chain, no loops."""

from __future__ import annotations

from collections.abc import Iterable

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Chain, Jump, Rule


def check_jumps(chains: Iterable[Chain], source: str) -> None:
    """InputError where a jump has no end or comes back to where it was; deep nesting is no reason."""
    named = {chain.name: chain for chain in chains}
    for chain in named.values():
        for target in chain.jumps():
            if target not in named:
                message = f"jump to chain {target}, which this table does not have"
                raise InputError(source, message, line=_jumping(chain, target).place.line)
    done = {name for name, chain in named.items() if not chain.jumps()}
    for start in named:
        if start not in done:
            _walk(start, named, done, source)


def _jumping(chain: Chain, target: str) -> Rule:
    """The first rule of a chain that jumps to another."""
    return next(rule for rule in chain.rules for done in rule.statements if type(done) is Jump and done.chain == target)


def _walk(start: str, named: dict[str, Chain], done: set[str], source: str) -> None:
    """Depth first without recursion: operators' chains may nest deeper than Python's stack."""
    path, open_ = [(start, iter(named[start].jumps()))], {start}
    while path:
        name, left = path[-1]
        target = next(left, None)
        if target is None:
            path.pop()
            open_.discard(name)
            done.add(name)
        elif target in open_:
            chain = [n for n, _ in path]
            round_ = " -> ".join([*chain[chain.index(target) :], target])
            line = _jumping(named[name], target).place.line
            raise InputError(source, f"chains jump in a circle: {round_}", line=line)
        elif target not in done:
            open_.add(target)
            path.append((target, iter(named[target].jumps())))
