"""NOTRACK in one direction only.

What it says:
    A NOTRACK rule takes packets of a direction, and no rule takes their
    answers.

Why it matters:
    The answers find no entry. TCP's first answer is INVALID, and most
    filters refuse it: time-outs. Where they do not, the connection is picked
    up in the middle and makes an entry all the same: nothing is saved.

What to do:
    Write the twin: the other hook (PREROUTING for OUTPUT, OUTPUT for
    PREROUTING), addresses and ports swapped. Forwarded packets meet
    PREROUTING both ways: both rules stand there.

Caveats:
    On a host whose answers go another way (direct server return) the twin
    stands on that way.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase, Side, Taken, such_as
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Direction, Hook

CODE, NAME = "CT103", "one-way-notrack"

SWAPPED = {
    "-s": "-d", "-d": "-s", "--sport": "--dport", "--dport": "--sport", "--sports": "--dports", "--dports": "--sports",
    "-i": "-o", "-o": "-i", "PREROUTING": "OUTPUT", "OUTPUT": "PREROUTING",
}  # fmt: skip


def twin(rule: Rule, hook: Hook) -> str:
    """The rule for the answers, in words or as iptables has it."""
    if not rule.text.startswith("-A ") or "--syn" in rule.text or "--tcp-flags" in rule.text:
        there = "output" if hook is Hook.PREROUTING else "prerouting"
        return f"its twin in {there}, with addresses and ports swapped"
    return " ".join(SWAPPED.get(word, word) for word in rule.text.split())


FEW = 0.1
"""Less of a rule's packets than this have untracked answers: what overlaps by chance (equal ports) is no twin."""


def covered(side: Side, taken: Taken) -> float:
    """The part of a rule's packets whose answers are untracked as well, 0 to 1."""
    count = side.space.sets.variables
    packets = side.flagless(taken.packets)
    return (packets & side.flagless(side.answers(taken))).sat_count(count) / packets.sat_count(count)


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules hardly any of whose packets has an untracked answer. Packets on `lo` are another matter (K16)."""
    for rule in {id(t.rule): t.rule for s in case.sides for t in s.taken}.values():
        mine = [(s, t) for s in case.sides for t in s.taken if t.rule is rule and t.direction is not Direction.LOOPBACK]
        ported = [(s, t) for s, t in mine if t.packets & s.space.with_ports != s.space.nothing]
        if not ported or any(covered(s, t) > FEW for s, t in ported):
            continue
        side, taken = ported[0]
        words, witness = side.told(taken.packets, taken.direction)
        yield Finding(
            CODE,
            Severity.WARNING,
            "no rule untracks the answers to what this one untracks",
            (f"untracked: {words}", such_as(witness)),
            rule.place,
            (f"add: {twin(rule, taken.hook)}",),
        )
