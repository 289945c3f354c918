"""With the guard expired the rules admit, untrack and translate what they did before.

How it is decided:
    By the trial's texts: each line adds, and carries the guard outside of
    conntrim's own chains. And by sets: with the guard false the trial must
    treat every packet as the rules before it do, in every ct state.

Broken means:
    A trial that does not undo itself.

What to do:
    Take out an earlier plan's rules first (`conntrim rollback`). Kernels of
    the ip_conntrack era have no guard; their plans are for reading.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.model.facts import Era
from conntrim.core.model.plan import ARMED, DEADLINE, OWN_TABLE
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.spec import BROKEN, Judgement, Spec
from conntrim.core.plan.texts import XT_GUARD
from conntrim.core.prove.expired import expired

NAME = "guard-expired"


def by_plan(c: Compiled) -> Iterator[Judgement]:
    """Lines that are not guarded, and packets that a trial without its guard would treat otherwise."""
    if c.facts.era is Era.IP and c.texts.trial:
        why = "kernels of the ip_conntrack era have no match on the date: nothing expires by itself"
        yield BROKEN, why, ""
        return
    for line in (line for b in c.texts.trial for line in b.text.splitlines()):
        if not guarded(line):
            yield BROKEN, "a line of the trial is neither guarded nor in a chain of ours", line
    by_sets = expired(c.before, c.trial, XT_GUARD, c.facts.local, tick=c.tick, listed=c.listed)
    yield by_sets.standing, by_sets.why, by_sets.witness


def guarded(line: str) -> bool:
    """Whether a line of a trial has no effect once the guard has expired."""
    words = line.split()
    if not words or words[0] in ("COMMIT",) or line.startswith(("*", ":CONNTRIM-", "-A CONNTRIM-")):
        return True
    if words[0] == "-I":
        return f"--datestop {DEADLINE}" in line
    if words[:2] in (["add", "set"], ["flush", "set"], ["add", "element"]):
        return words[4] == ARMED
    own = words[2:4] == ["inet", OWN_TABLE]
    if words[:2] in (["add", "table"], ["add", "chain"], ["flush", "chain"]):
        return own
    if words[:2] in (["insert", "rule"], ["add", "rule"]):
        return f"@{ARMED} " in line or (own and words[4].startswith("untrack_"))
    return False


SPEC = Spec(
    NAME, "each line of the trial adds and is guarded; with the guard false every packet fares as before",
    by_plan=by_plan,
)  # fmt: skip
