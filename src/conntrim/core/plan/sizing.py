"""The policy's sizes and time-outs as settings and files, in the names of the kernel's era (K27)."""

from __future__ import annotations

from collections.abc import Collection

from conntrim.core.capacity.sizing import HASHSIZE_FACTOR
from conntrim.core.capacity.timeouts import sysctl_key
from conntrim.core.emit.modprobe import modprobe_file, modules_load_file
from conntrim.core.emit.sysctl import sysctl_file
from conntrim.core.model.facts import Era, HostFacts
from conntrim.core.model.plan import FileChange
from conntrim.core.model.policy import Policy

SYSCTL_FILES: dict[Era, str] = {
    Era.NF: "/etc/sysctl.d/90-conntrim.conf",
    # Nothing read /etc/sysctl.d then: these lines belong into /etc/sysctl.conf, which is not ours to replace.
    Era.IP: "/etc/conntrim/sysctl.conf",
}
MODPROBE_FILE = "/etc/modprobe.d/conntrim.conf"
MODULES_LOAD_FILE = "/etc/modules-load.d/conntrim.conf"


def settings_of(policy: Policy, era: Era, current_max: int | None) -> dict[str, int]:
    """Sysctl keys to values. With buckets there is always a max: `hashsize=` alone would move it (K27)."""
    maximum = policy.max
    if maximum is None and policy.buckets is not None:
        maximum = current_max or policy.buckets
    wanted: dict[str, int] = {}
    if maximum is not None:
        wanted[sysctl_key("nf_conntrack_max", era)] = maximum
    if policy.buckets is not None and era is Era.NF:
        # The old era sets its buckets by module option only.
        wanted[sysctl_key("nf_conntrack_buckets", era)] = policy.buckets
    return wanted | {sysctl_key(key, era): value for key, value in sorted(policy.timeouts.items())}


def settings_now(settings: Collection[str], facts: HostFacts) -> dict[str, int]:
    """What of these sysctls the host has now, as far as its facts tell."""
    sizes = {"nf_conntrack_max": facts.max, "nf_conntrack_buckets": facts.buckets}
    known = {sysctl_key(key, facts.era): value for key, value in {**facts.timeouts, **sizes}.items()}
    return {key: value for key in settings if (value := known.get(key)) is not None}


def files_of(policy: Policy, era: Era, current_max: int | None) -> tuple[FileChange, ...]:
    """The files that make the settings last."""
    settings = settings_of(policy, era, current_max)
    found = [FileChange(SYSCTL_FILES[era], sysctl_file(settings))] if settings else []
    if policy.buckets is not None:
        maximum = settings[sysctl_key("nf_conntrack_max", era)]
        found.append(FileChange(MODPROBE_FILE, modprobe_file(era, policy.buckets, maximum, HASHSIZE_FACTOR)))
    if settings and era is Era.NF:
        found.append(FileChange(MODULES_LOAD_FILE, modules_load_file(era)))
    return tuple(found)


def remarks_of(policy: Policy, facts: HostFacts) -> tuple[str, ...]:
    """What the reader must know about the sizes."""
    found = []
    asks = policy.max is not None or policy.buckets is not None
    if asks and not facts.max_writable:
        found.append("the table's size is global and read-only in this network namespace: set it in the first one")
    if facts.era is Era.IP and (asks or policy.timeouts):
        found.append(f"append the lines of {SYSCTL_FILES[Era.IP]} to /etc/sysctl.conf")
    key = sysctl_key("nf_conntrack_max", facts.era)
    others = dict.fromkeys(s.source for s in facts.settings if s.key.replace("/", ".") == key)
    if policy.max is not None and others:
        found.append(f"{key} is also set by {', '.join(others)}; whatever is read last wins")
    if policy.max is not None and any("kube-proxy" in p for p in facts.programs):
        found.append("kube-proxy runs here and sets nf_conntrack_max itself, over any file")
    return tuple(found)
