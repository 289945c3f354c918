"""A NOTRACK rule opens ports that the filter does not.

What it says:
    A NOTRACK rule takes packets to some ports, the filter accepts whatever
    is UNTRACKED, and without the rule it would refuse these packets.

Why it matters:
    Every service that listens on such a port, now or later, is open to
    everybody, though no filter rule says so. Ranges such as 10240:65000
    hold databases, caches and debuggers.

What to do:
    Name the service's own ports and accept UNTRACKED for those only. Answers
    to this host's own connections are told by the peer's address and port
    (-s ADDRESS --sport PORT ! --syn), not by a range of our ports.

Caveats:
    If the ports are meant to be open, a filter rule should say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.diagnose.rulesets.untracked_hole import Exposure, exposures, findings
from conntrim.core.model.finding import Finding

CODE, NAME = "CT102", "open-range"


def check(case: RuleCase) -> Iterator[Finding]:
    """Rules by destination port that open more than the filter would."""
    yield from findings(case, CODE, exposures(case, targeted=True), _title, _advice)


MANY = 1024
"""Ports that no single service has."""


def _advice(one: Exposure) -> tuple[str, ...]:
    """What to do; a range of client ports was meant for answers, which are told by the server's port."""
    own = ("accept UNTRACKED for the services' own ports and clients only",)
    if one.told.ports.size < MANY:
        return own
    answers = (
        "if the range is for answers to this host's own connections, untrack the server instead:"
        " -s SERVER --sport PORT ! --syn coming in, -d SERVER --dport PORT going out"
    )
    return answers, *own


def _title(one: Exposure) -> str:
    count = one.told.ports.size
    what = "a port" if count == 1 else f"{count:,} ports" if count else "ports"
    whom = " to the peers it names" if one.pinned else ""
    return f"this NOTRACK rule opens {what}{whom} that the filter refuses"
