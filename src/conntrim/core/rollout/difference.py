"""What a confirm would add to what is loaded and take out of it, chain by chain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from conntrim.core.model.plan import TRIAL_SUFFIX, Plan, mark_of, slot_of_table
from conntrim.core.model.ruleset import Ruleset, Table
from conntrim.core.rollout.batches import Put, puts


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a place (`ip filter INPUT`): sign `+`, `-` or, for what the line above it comes before, a blank."""

    place: str
    sign: str
    text: str


def difference(plan: Plan, loaded: Ruleset) -> tuple[Line, ...]:
    """Rules and objects as their tools write them, without a trial's guard; then settings and files.

    What goes are the rules of the plan that this one replaces. Lines of one place stand together.
    """
    lines = (*_taken_out(plan, loaded), *_added(plan), *_settings(plan))
    places = dict.fromkeys(line.place for line in lines)
    return tuple(line for place in places for line in lines if line.place == place)


def _added(plan: Plan) -> Iterator[Line]:
    for change in plan.changes:
        if slot_of_table(*change.chain.split(" ", 1)):  # the table alone: an object of it, no rule
            yield Line(change.chain, "+", change.rule)
    guarded = list(puts(plan.trial))
    found = [put for put in (*guarded, *puts(plan.confirm)) if not put.comment.endswith(TRIAL_SUFFIX)]
    for put, after in pairwise([*sorted(found, key=partial(_order, guarded)), None]):
        assert put is not None
        yield Line(_place(put), "+", put.text)
        before = _before(plan, put)
        if before and not (after and _place(after) == _place(put) and _before(plan, after) == before):
            yield Line(_place(put), " ", before)


def _order(guarded: Sequence[Put], put: Put) -> tuple[str, int, int]:
    """By the place that the guarded rule gets, which a confirm swaps for this one. A trial gives them from the last
    to the first, so that no number counts a rule of ours."""
    where = _place(put), f"{put.comment}{TRIAL_SUFFIX}"
    for at, each in enumerate(guarded):
        if (_place(each), each.comment) == where:
            return _place(put), each.behind or 0, -at
    return _place(put), 0, 0


def _before(plan: Plan, put: Put) -> str:
    """What the rule stands before, "" where it is put into a chain of ours, or at an end."""
    place, comment = _place(put), f'"{put.comment}"'
    found = (c.before for c in plan.changes if c.chain == place and comment in c.rule)
    return _bare(next(found, ""), put.chain)


def _bare(shown: str, chain: str) -> str:
    """A rule without the chain that its place names already."""
    return shown.removeprefix(f"-A {chain} ")


def _place(put: Put) -> str:
    if put.program == "nft":
        return f"{put.table} {put.chain}"
    return f"{'ip6' if put.program.startswith('ip6') else 'ip'} {put.table} {put.chain}"


def _taken_out(plan: Plan, loaded: Ruleset) -> Iterator[Line]:
    for table in loaded.tables if plan.replaces else ():
        where = f"{table.family} {table.name}"
        marked = [
            Line(f"{where} {chain.name}", "-", _bare(rule.text, chain.name))
            for chain in table.chains
            for rule in chain.rules
            if mark_of(rule.comment) in plan.replaces and not rule.comment.endswith(TRIAL_SUFFIX)
        ]
        if marked and slot_of_table(str(table.family), table.name):
            yield from (Line(where, "-", text) for text in _objects(table))
        yield from marked


def _objects(table: Table) -> Iterator[str]:
    """By kind and name: `ct timeout timeout_1`."""
    for text in table.objects:
        kind, content = next(iter(json.loads(text).items()))
        yield f"{kind} {content['name']}"


def _settings(plan: Plan) -> Iterator[Line]:
    for key, value in plan.settings.items():
        before = plan.settings_before.get(key)
        if before is not None:
            yield Line("sysctl", "-", f"{key} = {before}")
        yield Line("sysctl", "+", f"{key} = {value}")
    yield from (Line("files", "+", file.path) for file in plan.files)
