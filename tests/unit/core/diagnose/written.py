"""Rule sets as these tests write them, their findings, and what comes of following the advice."""

from __future__ import annotations

import re
from collections.abc import Iterable

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.finding import Edit, Finding, How
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.ruleset import read

FILTER = """*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
{}
-A INPUT -i lo -j ACCEPT
COMMIT
"""
ACCEPT_ALL = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT"
ACCEPT_80 = "-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
IN_80 = "-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack"
OUT_80 = "-A OUTPUT -p tcp -m tcp --sport 80 -j CT --notrack"
ERRORS = "-A INPUT -p icmp -m icmp --icmp-type {} -j ACCEPT"
TIGHT = (*(ERRORS.format(kind) for kind in (3, 11, 12)), ACCEPT_80.replace("NEW", "NEW,UNTRACKED"),
         "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")  # fmt: skip


def checked(raw: tuple[str, ...], accepts: tuple[str, ...]) -> Checked:
    """The findings of a raw table with these rules and a filter with those."""
    return check_ruleset(ruleset(raw, accepts), None)


def ruleset(raw: tuple[str, ...], accepts: tuple[str, ...]) -> Ruleset:
    """The same, read."""
    return read(text(raw, accepts), "rules")


def codes(found: Checked) -> list[tuple[str, int]]:
    """Code and line of each finding."""
    return [(f.code, f.place.line if f.place else 0) for f in found.findings]


NAT = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
{}
COMMIT
"""


def text(raw: tuple[str, ...], accepts: tuple[str, ...]) -> str:
    """A raw table with these rules and a filter with those; rules of nat chains go into a table of their own."""
    nat = [rule for rule in accepts if any(target in rule for target in ("SNAT", "DNAT", "MASQUERADE"))]
    accepts = tuple(rule for rule in accepts if rule not in nat)
    table = "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", ""])
    return table + FILTER.format("\n".join(accepts)) + (NAT.format("\n".join(nat)) if nat else "")


def edited(before: str, findings: Iterable[Finding]) -> str:
    """The rule set after all edits, with addresses filled in."""
    lines = before.splitlines()
    slots: dict[int, tuple[list[str], list[str], list[str]]] = {n: ([], [line], []) for n, line in enumerate(lines, 1)}
    for edit in dict.fromkeys(e for f in findings for e in f.edits):
        _apply(edit, slots[edit.place.line])
    after = "\n".join(line for slot in slots.values() for part in slot for line in part) + "\n"
    return re.sub("CLIENT", "203.0.113.9", re.sub("SERVER", "203.0.113.7", after))


def _apply(edit: Edit, slot: tuple[list[str], list[str], list[str]]) -> None:
    before, here, after = slot
    match edit.how:
        case How.BEFORE:
            before.append(edit.text)
        case How.AFTER:
            after.append(edit.text)
        case How.REPLACE:
            here[:] = [edit.text]
        case How.REMOVE:
            here.clear()
