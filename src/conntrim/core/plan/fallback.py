"""Does a trial end by itself, what becomes of connections then, and does it load? Three of the obligations."""

from __future__ import annotations

from conntrim.core.model.facts import Era
from conntrim.core.model.plan import ARMED, DEADLINE, OWN_TABLE
from conntrim.core.plan.compiled import BROKEN, OPEN, PROVED, Compiled, Judgement, worst
from conntrim.core.plan.texts import XT_GUARD
from conntrim.core.prove.expired import expired


def guard_expired(c: Compiled) -> Judgement:
    """By the trial's own text, every line of which adds and is guarded or reached through a guarded jump only, and by
    the sets of packets that its rules leave as they were once the guard is false."""
    if c.facts.era is Era.IP and c.texts.trial:
        return BROKEN, "kernels of the ip_conntrack era have no match on the date: nothing expires by itself", ""
    lines = [line for b in c.texts.trial for line in b.text.splitlines()]
    bare = [
        (BROKEN, "a line of the trial is neither guarded nor in a chain of ours", line)
        for line in lines
        if not guarded(line)
    ]
    by_sets = expired(c.before, c.trial, XT_GUARD, c.facts.local, tick=c.tick, listed=c.listed)
    found = [*bare, (by_sets.standing, by_sets.why, by_sets.witness)]
    return worst(found, f"all {len(lines)} lines of the trial add; each in a chain that is not ours carries the guard")


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


def falls_back(c: Compiled) -> Judgement:
    """By construction: apply keeps the entries of what is open (K88). What else is lost, packet sets list."""
    fine = "what was open before goes on by its entry, kept through the trial; what else is lost is listed as a cost"
    return PROVED, fine, ""


def loads(c: Compiled) -> Judgement:
    """The kernel takes the texts; asked by whoever has one at hand."""
    if not c.texts.trial:
        return PROVED, "there is nothing to load", ""
    return OPEN, "no kernel was asked to check the texts", ""
