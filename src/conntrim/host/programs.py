"""Runs the system's programs: found by absolute path, never through a shell, optionally in a network namespace."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from conntrim.core.model.errors import HostError
from conntrim.host.netns import entered

PATH = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/local/bin")
"""Where programs are looked for; the caller's $PATH is not asked, conntrim often runs as root."""

PACKAGES = {"nft": "nftables", "iptables-save": "iptables", "ip": "iproute2", "ab": "apache2-utils"}
"""Program to Debian package, where the names differ."""


def find(name: str) -> str | None:
    """The absolute path of a program, None where it is not installed."""
    return next((p for d in PATH if os.access(p := f"{d}/{name}", os.X_OK)), None)


def run(argv: Sequence[str], *, text: str | None = None, netns: str | None = None, timeout: float = 60) -> str:
    """Run a program to its end with `text` on its standard input and return its standard output.

    HostError where it is not installed, fails (with its own message) or takes longer than `timeout` seconds.
    """
    program, command = find(argv[0]), " ".join(argv)
    if program is None:
        package = PACKAGES.get(argv[0], argv[0])
        raise HostError(argv[0], "this program is not installed", advice=f"Debian's package {package} has it")
    try:
        with entered(netns):
            done = subprocess.run(
                [program, *argv[1:]], input=text, capture_output=True, text=True, timeout=timeout, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise HostError(command, f"did not end within {timeout:g} s") from error
    if done.returncode:
        raise HostError(command, done.stderr.strip() or f"exit code {done.returncode}")
    return done.stdout
