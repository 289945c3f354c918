"""The programs of Debian's releases, each in a directory of its own (`tools/debian-programs`)."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "conntrim-lab"


@dataclass(frozen=True, slots=True)
class Release:
    """A release: the name of its suite, the versions that it has, and rows that these take or list in their own way."""

    suite: str
    nft: str
    iptables: str
    other: tuple[str, ...] = ()

    def here(self) -> bool:
        """Whether it is this machine's: all other tests of the lab run its programs."""
        return platform.freedesktop_os_release().get("VERSION_CODENAME") == self.suite

    def programs(self) -> str:
        """The directory of its programs, made where it is not there; skips where the packages cannot be had."""
        tree = CACHE / self.suite
        made = subprocess.run(
            [str(ROOT / "tools" / "debian-programs"), self.suite, str(tree)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"the programs of {self.suite} cannot be had: {made.stderr.strip()}")
        return str(tree / "bin")


RELEASES = (
    Release("bullseye", "0.9.8", "1.8.7", (
        "-s 10.0.0.1/255.0.0.255", "! -s 10.0.0.1/255.0.0.255", "-s 2001:db8::1/ffff::ffff",  # loads them as /8, /16
        "with icmp type 7", "with icmpv6 type 2",
    )),
    Release("bookworm", "1.0.6", "1.8.9"),
    Release("trixie", "1.1.3", "1.8.11", ("--dport 90:80",)),
)  # fmt: skip
