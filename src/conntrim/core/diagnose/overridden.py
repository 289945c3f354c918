"""A setting is not what the files say: something else changed it after boot.

What it says:
    The running value of a conntrack sysctl differs from the last file that
    sets it, and who is likely to have changed it.

Why it matters:
    Either the file has no effect, and your fix is gone after the next boot, or
    the running value is not written down.

What to do:
    Change it where it is really set (kube-proxy: `conntrack.maxPerCore` and
    `conntrack.min`), or write the running value into the file named.

Caveats:
    Who did it is a guess from the value and from what runs. A sysctl.d file
    also has no effect when it is applied before the module is loaded: the keys
    do not exist then; list nf_conntrack in /etc/modules-load.d.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.wording import number
from conntrim.core.model.facts import HostFacts, Setting
from conntrim.core.model.finding import Finding, Place, Severity

CODE, NAME = "CT020", "overridden"

PREFIXES = ("net.netfilter.", "net.")
"""`net.nf_conntrack_max` is another name of `net.netfilter.nf_conntrack_max`."""

PER_CORE, LEAST = 32_768, 131_072
"""kube-proxy's defaults (K42)."""


def live_values(facts: HostFacts) -> dict[str, int]:
    """The running value of each setting by its last name."""
    values = dict(facts.timeouts)
    known = {"nf_conntrack_max": facts.max, "nf_conntrack_buckets": facts.buckets}
    if facts.tcp_loose is not None:
        known["nf_conntrack_tcp_loose"] = int(facts.tcp_loose)
    return values | {key: value for key, value in known.items() if value is not None}


def last_settings(facts: HostFacts) -> dict[str, Setting]:
    """The last assignment of each key by its last name: the one that a boot leaves."""
    found: dict[str, Setting] = {}
    for setting in facts.settings:
        for prefix in PREFIXES:
            name = setting.key.removeprefix(prefix)
            if name != setting.key and name.startswith("nf_"):
                found[name] = setting
    return found


def kube_proxy_max(cpus: int) -> int:
    """What kube-proxy makes of max (K42)."""
    return max(PER_CORE * cpus, LEAST)


def likely(facts: HostFacts, key: str, value: int) -> str:
    """Who is likely to have set this value."""
    by_cores = facts.cpus is not None and value == kube_proxy_max(facts.cpus)
    if key == "nf_conntrack_max" and by_cores:
        return f"kube-proxy's own value for {facts.cpus} cores"
    if facts.programs:
        return f"likely {' or '.join(facts.programs)}, which runs here and sets it"
    hashsize = next((s for s in facts.settings if s.key == "nf_conntrack.hashsize" and s.value.isdigit()), None)
    if key == "nf_conntrack_max" and hashsize and value == 8 * int(hashsize.value):
        return f"8 x hashsize of {Place(hashsize.source, hashsize.line)}: no sysctl was applied after the module"
    return "by hand, or the file was applied before the module was loaded"


def check(case: Case) -> Iterator[Finding]:
    """Every key that a file sets and whose running value is known."""
    live = live_values(case.facts)
    for key, setting in last_settings(case.facts).items():
        value = live.get(key)
        if value is None or not setting.value.isdigit() or int(setting.value) == value:
            continue
        yield Finding(
            CODE,
            Severity.WARNING,
            f"{key} is {number(value)}, not {number(int(setting.value))}",
            (f"the last file says {number(int(setting.value))}", likely(case.facts, key, value)),
            Place(setting.source, setting.line),
            (f"sysctl -p {setting.source}, or correct the file",),
        )
