"""Two packets raced for the same entry, and one of them lost.

What it says:
    The counter `insert_failed` grows for another reason than long chains.

Why it matters:
    The packet is dropped. It is typical of DNS: a resolver that sends its A
    and AAAA question at once from one socket, through NAT, loses one of them
    and waits five seconds.

What to do:
    Untrack DNS where it needs no NAT; `options single-request-reopen` in
    resolv.conf; a cache on the host.

Caveats:
    A few of them are normal on a busy host. Newer kernels settle most of these
    races and count `clash_resolve` instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number, per_second
from conntrim.core.model.finding import Finding, Severity

CODE, NAME = "CT007", "insert-failed"

WORTH_A_WARNING = 1.0
"""Lost packets a second."""


def check(case: Case) -> Iterator[Finding]:
    """Look at `insert_failed` without the refusals that `chaintoolong` counts too."""
    failed = (case.counter("insert_failed") or 0) - (case.counter("chaintoolong") or 0)
    growth = (case.per_second("insert_failed") or 0) - (case.per_second("chaintoolong") or 0)
    if failed <= 0:
        return
    yield Finding(
        CODE,
        Severity.WARNING if growth >= WORTH_A_WARNING else Severity.OK,
        f"{number(failed)} insertions lost a race",
        (f"{per_second(max(growth, 0))} now",) if case.later else (),
    )
