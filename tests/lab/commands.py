"""The command line as an operator runs it on a lab host: a process of its own, its output as bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conntrim.host.netns import entered
from conntrim.host.programs import find
from conntrim.lab.netns import LabHost

WEB = '[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n'
"""A policy: the host's web server."""


def conntrim(host: LabHost, *words: str) -> subprocess.CompletedProcess[bytes]:
    """One run of conntrim for that host."""
    argv = [sys.executable, "-m", "conntrim", *words, "--netns", host.name]
    # The journal and this process may be of another checkout: what this process imports is what is run.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(argv, capture_output=True, timeout=120, check=False, env=environment)


def planned(host: LabHost, place: Path, policy: str = WEB, *words: str) -> subprocess.CompletedProcess[bytes]:
    """`conntrim plan` of a policy for a host with one address, into the directory `plan`."""
    (place / "policy.toml").write_text(policy)
    host.run("ip", "address", "replace", "192.0.2.1/32", "dev", "lo")
    given = ["--policy", str(place / "policy.toml"), "-o", str(place / "plan"), *words]
    return conntrim(host, "plan", *given)


def undecided(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    """The lines of a plan's text that say that something is not decided."""
    return [line for line in done.stdout.decode().splitlines() if "not decided" in line]


def fed(host: LabHost, data: bytes, *argv: str) -> bytes:
    """Run a program inside with these bytes on its standard input, whatever they are; its output."""
    with entered(host.name):
        program = find(argv[0]) or argv[0]
        return subprocess.run([program, *argv[1:]], input=data, capture_output=True, check=True).stdout
