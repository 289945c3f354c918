"""Another network namespace of this kernel has a full table, or lost packets.

What it says:
    A container's or a router's own table is above the warning threshold, or
    its `drop` counter is above zero, or the kernel log names it. A full one is
    a warning, unless another namespace was asked for by its name.

Why it matters:
    max is one setting for the whole kernel, but each namespace counts for
    itself and may reach it alone. The host's own numbers show nothing of that.

What to do:
    Look at it with `--netns NAME`, or enter it by a process of it: `nsenter -t
    PID -n conntrim diagnose`.

Caveats:
    Without root other namespaces cannot be looked at; the report then says how
    many were left out. A namespace that is gone may still be named by the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import many, number
from conntrim.core.model.facts import NamespaceUse
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT009", "other-namespace"


def check(case: Case) -> Iterator[Finding]:
    """Every namespace but ours: fill, drops, lines in the log."""
    logged = Counter(line.netns for line in case.facts.overflows if line.netns not in (None, case.facts.netns))
    for use in case.facts.namespaces:
        if use.inode != case.facts.netns and (finding := _of(case, use, logged.pop(use.inode, 0))):
            yield finding
    if logged:
        title = f"the log tells of full tables in {many(len(logged), 'namespace')} now gone"
        yield Finding(CODE, Severity.OK, title, (many(logged.total(), "line"),))


def _of(case: Case, use: NamespaceUse, lines: int) -> Finding | None:
    maximum = case.facts.max
    if use.drop == 0:
        lines = 0  # numbers are used again: the log means an earlier namespace
    full = bool(maximum) and 100 * use.count >= case.thresholds.warning * (maximum or 0)
    if not full and not use.drop and not lines:
        return None
    evidence = [f"{number(use.count)} entries" + (f" of {number(maximum)}" if maximum else "")]
    evidence += [f"{many(use.drop, 'packet')} dropped"] if use.drop else []
    evidence += [f"{many(lines, 'line')} in the log"] if lines else []
    # Who asks for one namespace by name wants that one's verdict.
    severity = Severity.WARNING if full and not case.facts.namespace else Severity.OK
    what = "is full" if full else "was full"
    return Finding(CODE, severity, f"namespace {use.name or use.inode} {what}", tuple(evidence))
