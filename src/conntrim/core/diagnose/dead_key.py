"""A file sets a key that this kernel does not have.

What it says:
    A sysctl or module option of the 2.6 era, `ip_conntrack`, stands in a file
    of a host with nf_conntrack.

Why it matters:
    The line does nothing: the table has the kernel's default size while the
    file looks as if it were cared for.

What to do:
    Write `net.netfilter.nf_conntrack_max`,
    `net.netfilter.nf_conntrack_tcp_timeout_*` and `options nf_conntrack`
    instead.

Caveats:
    Kernels up to 4.8 could still have the old sysctl names beside the new
    ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.model.facts import Era, Setting
from conntrim.core.model.finding import Finding, Place, Severity

CODE, NAME = "CT022", "dead-key"


def new_name(key: str) -> str:
    """The key of today: `net.ipv4.netfilter.ip_conntrack_max` is `net.netfilter.nf_conntrack_max`."""
    if not key.startswith("net."):
        return key.replace("ip_", "nf_", 1)
    return "net.netfilter." + key.rpartition(".")[2].replace("ip_", "nf_", 1)


def _dead(setting: Setting) -> bool:
    return setting.key.rpartition(".")[2].startswith("ip_conntrack") or setting.key.startswith("ip_conntrack.")


def check(case: Case) -> Iterator[Finding]:
    """Every old key in a file of a new kernel."""
    if case.facts.era is not Era.NF:
        return
    for setting in case.facts.settings:
        if _dead(setting):
            yield Finding(
                CODE,
                Severity.WARNING,
                f"{setting.key} has no effect on this kernel",
                (f"its name today is {new_name(setting.key)}",),
                Place(setting.source, setting.line),
            )
