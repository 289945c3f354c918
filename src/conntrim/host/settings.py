"""The files that set conntrack's sysctls and module options on this host, in the order in which a boot applies them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from glob import glob

from conntrim.core.model.facts import Setting
from conntrim.core.parse import sysctl

SYSTEMD = ("/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl")
"""Where it exists, /etc/sysctl.conf counts only through a link in /etc/sysctl.d (Debian has one)."""

UFW = "/etc/ufw/sysctl.conf"
COMMAND_LINE = "/proc/cmdline"
Parser = Callable[[str, str], Iterator[Setting]]


def settings(remarks: list[str]) -> tuple[Setting, ...]:
    """Sysctl assignments, then module options; files that cannot be read are added to the remarks."""
    found: list[Setting] = []
    for path in sysctl_files():
        found += _parsed(path, sysctl.sysctl_file, remarks)
    for path in modprobe_files():
        found += _parsed(path, sysctl.modprobe_file, remarks)
    found += _parsed(COMMAND_LINE, sysctl.kernel_command_line, remarks)
    return tuple(found)


def sysctl_files() -> list[str]:
    """The sysctl files in their order; ufw's only where ufw is switched on."""
    last = [path for path in sysctl.LAST if path != UFW or _ufw_enabled()]
    if any(os.path.exists(path) for path in SYSTEMD):
        last = [path for path in last if path != "/etc/sysctl.conf"]
    present = [p for folder in sysctl.FOLDERS for p in glob(f"{folder}/*.conf")]
    return sysctl.in_order([*present, *filter(os.path.isfile, last)], sysctl.FOLDERS, tuple(last))


def modprobe_files() -> list[str]:
    """The modprobe files in their order, the single file of the 2.6 era first."""
    present = [p for folder in sysctl.MODPROBE_FOLDERS for p in glob(f"{folder}/*.conf")]
    old = [path for path in ("/etc/modprobe.conf",) if os.path.isfile(path)]
    return old + sysctl.in_order(present, sysctl.MODPROBE_FOLDERS)


def _ufw_enabled() -> bool:
    try:
        with open("/etc/ufw/ufw.conf", encoding="utf-8", errors="replace") as file:
            return any(line.strip().lower() == "enabled=yes" for line in file)
    except OSError:
        return False


def _parsed(path: str, parse: Parser, remarks: list[str]) -> list[Setting]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return list(parse(file.read(), os.path.realpath(path)))
    except FileNotFoundError:
        return []
    except OSError as error:
        remarks.append(f"{path}: {error.strerror}")
        return []
