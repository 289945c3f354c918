"""Which programs make the rules of a rule set, told by the names of their tables and chains, and what that means."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from conntrim.core.model.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Manager:
    """A program that makes rules: `names`, its tables and chains, `*` for any rest; `means`: what follows for plans."""

    name: str
    names: tuple[str, ...]
    means: str


MANAGERS = (
    Manager(
        "firewalld",
        ("firewalld", "IN_?*_allow", "FWD[IO]_?*_allow", "PRE_?*_allow", "POST_?*_allow", "INPUT_ZONES"),
        "each start and reload of it drops our accepts in its table: a unit that confirm writes puts them back, "
        "from the next boot on or once it is started; else conntrim confirm does",
    ),
    Manager("ufw", ("ufw-*", "ufw6-*"), "its reload fills its chains from /etc/ufw, where confirm writes our accepts"),
    Manager("Docker", ("DOCKER*",), "it adds and takes out rules of its own while it runs"),
    Manager("Kubernetes", ("KUBE-*", "cali-*", "CILIUM_*"), "it writes rules again and again, and sizes the table"),
    Manager("fail2ban", ("f2b-*",), "it changes its chains while it runs: a plan may be stale within minutes"),
    Manager("libvirt", ("LIBVIRT_*",), "it adds rules of its own for each network that it starts"),
)


def managers_of(ruleset: Ruleset) -> tuple[Manager, ...]:
    """Those that have a table or chain here."""
    names = {name for table in ruleset.tables for name in (table.name, *(chain.name for chain in table.chains))}
    return tuple(
        manager for manager in MANAGERS if any(fnmatchcase(name, each) for each in manager.names for name in names)
    )
