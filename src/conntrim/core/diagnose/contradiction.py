"""Two files set the same key to different values.

What it says:
    A conntrack key is assigned more than once, and the assignment applied last
    wins.

Why it matters:
    Whoever edits the other file wonders why nothing changes. Order is by file
    name over all folders, not by folder: a vendor's 99-x.conf in /usr/lib
    beats your 10-y.conf in /etc.

What to do:
    Keep one; delete the rest.

Caveats:
    /etc/sysctl.conf counts last for `sysctl --system`, but for systemd only
    through a link in /etc/sysctl.d; ufw applies its own /etc/ufw/sysctl.conf
    after all others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.model.facts import Setting
from conntrim.core.model.finding import Finding, Place, Severity

CODE, NAME = "CT023", "contradiction"


def check(case: Case) -> Iterator[Finding]:
    """Keys with more than one value."""
    by_key: dict[str, list[Setting]] = defaultdict(list)
    for setting in case.facts.settings:
        by_key[setting.key].append(setting)
    for key, assigned in by_key.items():
        if len({setting.value for setting in assigned}) > 1:
            *others, last = assigned
            evidence = [f"{Place(s.source, s.line)} says {s.value}" for s in others if s.value != last.value]
            place = Place(last.source, last.line)
            yield Finding(CODE, Severity.OK, f"{key} is set twice; {last.value} wins", tuple(evidence), place)
