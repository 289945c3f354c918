"""sysctl.conf and modprobe.d files to settings, in the order in which a boot applies them.

sysctl.d(5): files of one name hide each other by folder, then all run by name, so `/etc` does not win over a later
name in `/usr/lib`. The last assignment counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from conntrim.core.model.facts import Setting

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
"""Where `*.conf` is looked for; of two files with one name the earlier folder's is read."""

LAST = ("/etc/sysctl.conf", "/etc/ufw/sysctl.conf")
"""Applied after all of them: by procps's `sysctl --system`, and by ufw when it starts (K42)."""

MODPROBE_FOLDERS = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
"""modprobe.d(5): the same rule. /etc/modprobe.conf was the file of the 2.6 era and is read first."""

OPTION = re.compile(r"options\s+((?:nf|ip)_conntrack)\s+(.*)")
"""A module option line of either era."""


def in_order(paths: Iterable[str], folders: tuple[str, ...], last: tuple[str, ...] = ()) -> list[str]:
    """The files of these that a boot reads, in its order; a file that another one hides is left out."""
    chosen: dict[str, str] = {}
    known = list(paths)
    for folder in folders:
        for path in known:
            head, _, name = path.rpartition("/")
            if head == folder and name.endswith(".conf"):
                chosen.setdefault(name, path)
    return [chosen[name] for name in sorted(chosen)] + [path for path in last if path in known]


def canonical(key: str) -> str:
    """A sysctl key with dots, however it was written: ufw writes `net/ipv4/ip_forward` (sysctl.d(5))."""
    slash, dot = key.find("/"), key.find(".")
    return key.replace("/", ".") if slash >= 0 and (dot < 0 or slash < dot) else key


def sysctl_file(text: str, source: str) -> Iterator[Setting]:
    """The conntrack assignments of one file. Lines that assign nothing are the business of sysctl(8), not ours."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;" or "=" not in stripped:
            continue
        name, _, value = stripped.partition("=")
        key = canonical(name.strip().removeprefix("-").strip())
        if "conntrack" in key:
            yield Setting(key, value.strip(), source, number)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their number, those that end in a backslash joined with the next."""
    start, held = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        yield start, (held + line).strip()
        start, held = 0, ""
    if held:
        yield start, held.strip()


def modprobe_file(text: str, source: str) -> Iterator[Setting]:
    """The options of the conntrack module in a modprobe.d file, as `nf_conntrack.hashsize`."""
    for number, line in _joined(text):
        if found := OPTION.match(line):
            yield from _options(found[1], found[2].split(), source, number)


def kernel_command_line(text: str, source: str) -> Iterator[Setting]:
    """The options of the conntrack module on the kernel's command line."""
    for module in ("nf_conntrack", "ip_conntrack"):
        words = [word.removeprefix(module + ".") for word in text.split() if word.startswith(module + ".")]
        yield from _options(module, words, source, 1)


def _options(module: str, words: Iterable[str], source: str, line: int) -> Iterator[Setting]:
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            yield Setting(f"{module}.{name}", value, source, line)
