"""Hosts whose rules are another program's: real firewalld and ufw, each with a configuration of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conntrim.core.model.errors import HostError
from conntrim.lab.netns import LabHost

BUS = """\
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/><allow user="*"/>
  </policy>
</busconfig>
"""
LIMIT = 60.0


@dataclass(frozen=True)
class Managed:
    """A host with such a program: `does` runs its command, `begin` is what a boot does.

    `end` ends it, where it runs at all; before a command, `environment` makes that find its bus.
    """

    does: Callable[..., str]
    begin: Callable[[], None]
    end: Callable[[], None] = lambda: None
    environment: tuple[str, ...] = ()


def firewalld(host: LabHost, directory: Path) -> Managed:
    """firewalld on a bus of its own, its zone public serving ssh and http."""
    bus, config = directory / "bus", directory / "firewalld"
    (config / "zones").mkdir(parents=True)
    shutil.copy("/etc/firewalld/firewalld.conf", config)
    (directory / "bus.conf").write_text(BUS.format(path=bus))
    running: list[subprocess.Popen[bytes]] = []
    environment = ("env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={bus}")

    def does(*words: str) -> str:
        return host.run(*environment, "firewall-cmd", *words)

    def begin() -> None:
        if not bus.exists():
            host.start("dbus-daemon", f"--config-file={directory / 'bus.conf'}", "--nofork", "--nopidfile")
        running.append(host.start(*environment, "firewalld", "--nofork", "--nopid", f"--system-config={config}"))
        until(lambda: "running" in does("--state"))

    def end() -> None:
        daemon = running.pop()
        daemon.terminate()
        daemon.wait(LIMIT)

    begin()
    does("--permanent", "--add-service=http")
    does("--reload")
    return Managed(does, begin, end, environment)


def until(reached: Callable[[], bool]) -> None:
    """Wait for that, but not for ever."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        try:
            if reached():
                return
        except HostError:
            pass
        time.sleep(0.05)
    raise HostError("firewalld", f"not there within {LIMIT:g} s")


INSIDE = 'mount --bind "$0" /etc/ufw && mount -t tmpfs tmpfs /run && exec "$@"'
"""ufw's configuration has a fixed place: a copy of it there, for this command only."""


def ufw(host: LabHost, root: Path) -> Managed:
    """ufw below this root directory, serving ssh and http."""
    shutil.copytree("/etc/ufw", root / "etc/ufw")

    def inside(*words: str) -> str:
        return host.run("unshare", "--mount", "sh", "-c", INSIDE, str(root / "etc/ufw"), *words)

    def does(*words: str) -> str:
        return inside("ufw", *words)

    def begin() -> None:
        inside("/lib/ufw/ufw-init", "start")

    does("allow", "22/tcp")
    does("allow", "80/tcp")
    does("--force", "enable")
    return Managed(does, begin)


@contextmanager
def nothing() -> Iterator[None]:
    """No manager."""
    yield
