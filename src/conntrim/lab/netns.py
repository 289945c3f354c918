"""Hosts of the lab: network namespaces made, wired up and deleted again, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from conntrim.core.model.errors import HostError
from conntrim.host import programs
from conntrim.host.netns import entered
from conntrim.host.signals import uninterrupted

PREFIX = "conntrim-"
"""Every namespace of the lab has a name that starts so."""


@dataclass
class LabHost:
    """One namespace of the lab; `name` is its name for `ip netns`. Its daemons end with it."""

    name: str
    daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self, *argv: str, text: str | None = None, timeout: float = 60) -> str:
        """Run a program inside, to its end; its output. HostError where it fails."""
        return programs.run(argv, text=text, netns=self.name, timeout=timeout)

    def start(self, *argv: str, quiet: bool = True) -> subprocess.Popen[bytes]:
        """Start a daemon inside; it is ended when the host is closed."""
        program = programs.find(argv[0])
        if program is None:
            raise HostError(argv[0], "this program is not installed")
        sink = subprocess.DEVNULL if quiet else None
        with entered(self.name):
            daemon = subprocess.Popen(
                [program, *argv[1:]], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True,
                env=programs.environment(),
            )  # fmt: skip
        self.daemons.append(daemon)
        return daemon

    def sysctl(self, key: str, value: int | str) -> None:
        """Set one of the namespace's own sysctls, by its dotted name."""
        with entered(self.name), open(f"/proc/sys/{key.replace('.', '/')}", "w", encoding="ascii") as file:
            file.write(str(value))

    def close(self) -> None:
        """End the daemons with their children, then delete the namespace."""
        for daemon in self.daemons:
            if daemon.poll() is None:
                os.killpg(daemon.pid, signal.SIGKILL)
            daemon.wait()
        programs.run(["ip", "netns", "delete", self.name])


@contextmanager
def lab_host(label: str) -> Iterator[LabHost]:
    """A fresh host with `lo` up, named after the label and this process; gone at the end."""
    host = LabHost(f"{PREFIX}{label}-{os.getpid()}")
    programs.run(["ip", "netns", "add", host.name])
    try:
        host.run("ip", "link", "set", "lo", "up")
        yield host
    finally:
        with uninterrupted():
            host.close()


def sweep() -> None:
    """End and delete what lab runs left that were killed: namespaces named after a process that is no more."""
    for entry in programs.run(["ip", "netns", "list"]).splitlines():
        name = entry.split()[0]
        owner = name.rpartition("-")[2]
        if name.startswith(PREFIX) and owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
            for pid in programs.run(["ip", "netns", "pids", name]).split():
                os.kill(int(pid), signal.SIGKILL)
            programs.run(["ip", "netns", "delete", name])


@contextmanager
def bridged(labels: Sequence[str], network: str = "192.168.0") -> Iterator[dict[str, LabHost]]:
    """Hosts on one bridge (in a namespace of its own); each label is `name=last octet`; eth0 is their interface."""
    with ExitStack() as stack:
        switch = stack.enter_context(lab_host("switch"))
        switch.run("ip", "link", "add", "br0", "type", "bridge")
        switch.run("ip", "link", "set", "br0", "up")
        hosts: dict[str, LabHost] = {}
        for label in labels:
            name, _, octet = label.partition("=")
            host = hosts[name] = stack.enter_context(lab_host(name))
            switch.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", host.name)
            switch.run("ip", "link", "set", name, "master", "br0", "up")
            host.run("ip", "address", "add", f"{network}.{octet}/24", "dev", "eth0")
            host.run("ip", "link", "set", "eth0", "up")
        yield hosts
