"""The files from which this host's boot loads rules, and empty network namespaces to try them in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import glob

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import POLICIES
from conntrim.core.model.raw_text import text_of
from conntrim.core.parse.ct_timeout import policies_of
from conntrim.core.rollout.stores import KINDS, Kind, Store
from conntrim.host import programs
from conntrim.host.confined import exists, found
from conntrim.host.ct_timeouts import CtTimeouts
from conntrim.host.loader import refuse_unknown
from conntrim.host.netns import fresh

ENABLED = (
    "/etc/systemd/system/*.wants/{0}.service",
    "/etc/systemd/system/*.requires/{0}.service",
    "/etc/runlevels/*/{0}",
    "/etc/rc[2-5].d/S??{0}",
)
"""Links that make a boot start a service: systemd's, OpenRC's, those of System V."""
SYSTEMD = ("/lib/systemd/systemd", "/usr/lib/systemd/systemd")


class HostPersistence:
    """This host's, for the rules of the namespace `netns`; None: ours."""

    def __init__(self, netns: str | None) -> None:
        self.netns = netns

    def stores(self, root: str) -> tuple[Store, ...]:
        """The files of `KINDS` that are here and that a service loads at boot."""
        return tuple(store for kind in KINDS if _enabled(kind, root) and (store := _store(kind, root)) is not None)

    def takes_units(self, root: str) -> bool:
        """systemd is installed below `root`."""
        return any(exists(root, path) for path in SYSTEMD)

    def paths(self) -> dict[str, str]:
        """Where the programs are."""
        names = [
            "nft",
            "busctl",
            "firewall-cmd",
            POLICIES,
            *(f"{v}tables-{k}-restore" for v in ("ip", "ip6") for k in ("nft", "legacy")),
        ]
        return {name: path for name in names if (path := programs.find(name))}

    def loaded_by(self, family: str) -> str:
        """What `iptables-restore` is here."""
        version = programs.run([f"{family}tables-restore", "--version"])
        return f"{family}tables-{'nft' if 'nf_tables' in version else 'legacy'}-restore"

    def listing(self, program: str) -> str:
        """This namespace's rules."""
        return _listing(program, self.netns)

    @contextmanager
    def rehearsal(self) -> Iterator[HostRehearsal]:
        """A fresh namespace; it is gone when nothing holds it any more."""
        with fresh() as path:
            made = HostRehearsal(path)
            made.prepare(self.netns)
            yield made


@dataclass(frozen=True, slots=True)
class HostRehearsal:
    """An empty network namespace, by its path."""

    path: str

    def prepare(self, like: str | None) -> None:
        """Interfaces and ipsets as in that namespace: rules may name them."""
        names = re.findall(r"^\d+: ([^:@]+)[:@]", programs.run(["ip", "-o", "link"], netns=like), re.MULTILINE)
        for name in names:
            with suppress(HostError):  # lo is there already
                programs.run(["ip", "link", "add", name, "type", "dummy"], netns=self.path)
        if programs.find("ipset") and (sets := programs.run(["ipset", "save"], netns=like)):
            programs.run(["ipset", "restore"], text=sets, netns=self.path)

    def load(self, program: str, text: str, *, onto: bool) -> None:
        """As a boot does."""
        refuse_unknown(program)
        if program == POLICIES:
            CtTimeouts(self.path).done(policies_of(text))
        elif program == "nft":
            programs.run(["nft", "-f", "-"], text=text, netns=self.path)
        else:
            programs.run([program, *(["--noflush"] if onto else [])], text=text, netns=self.path)

    def listing(self, program: str) -> str:
        """Everything that is loaded."""
        return _listing(program, self.path)


def _listing(program: str, netns: str | None) -> str:
    refuse_unknown(program)
    if program == POLICIES:
        return ""
    if program == "nft":
        return programs.run(["nft", "-s", "list", "ruleset"], netns=netns)
    return programs.run([program.replace("-restore", "-save")], netns=netns)


def _enabled(kind: Kind, root: str) -> bool:
    if kind.service == "ufw" and "enabled=yes" not in _read(root, "/etc/ufw/ufw.conf").lower().split():
        return False
    return any(glob(glob_root(root) + pattern.format(kind.service)) for pattern in ENABLED)


def glob_root(root: str) -> str:
    """A root directory as the beginning of a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", root.rstrip("/"))


def _store(kind: Kind, root: str) -> Store | None:
    return Store(kind, _read(root, kind.path)) if exists(root, kind.path) else None


def _read(root: str, path: str) -> str:
    try:
        with found(root, path) as place:
            return text_of(place.read()[0])
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise HostError(f"reading {path}", str(error)) from error
