"""hashsize sets max as well: eight times as large.

What it says:
    A module option gives `hashsize=N`, no sysctl gives a max, and max is 8 x
    N.

Why it matters:
    A full table then has 16 tuples in each bucket: slow, and newer kernels
    refuse entries (CT006). Memory at max is eight times what the option looks
    like.

What to do:
    Set max with `net.netfilter.nf_conntrack_max` in a sysctl.d file that is
    applied after the module is loaded, or set
    `net.netfilter.nf_conntrack_buckets` there and drop the module option.

Caveats:
    The factor holds where the option is given at load time. Writing to
    /sys/module/nf_conntrack/parameters/hashsize later does not touch max.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.capacity.sizing import max_after_load
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.overridden import last_settings
from conntrim.core.diagnose.wording import number
from conntrim.core.model.finding import Finding, Place, Severity

CODE, NAME = "CT021", "hashsize-trap"

OPTIONS = ("nf_conntrack.hashsize", "ip_conntrack.hashsize")


def check(case: Case) -> Iterator[Finding]:
    """The last hashsize option, where max is what it makes of it."""
    options = [s for s in case.facts.settings if s.key in OPTIONS and s.value.isdigit()]
    if not options or "nf_conntrack_max" in last_settings(case.facts):
        return
    option = options[-1]
    makes = max_after_load(int(option.value))
    if case.facts.max is not None and case.facts.max != makes:
        return
    yield Finding(
        CODE,
        Severity.WARNING,
        f"max is 8 x hashsize = {number(makes)}, set by no sysctl",
        (f"hashsize={option.value}",),
        Place(option.source, option.line),
        ("set nf_conntrack_max in a sysctl.d file",),
    )
