"""Which programs make the rules of a rule set, told by the names of their tables and chains, and what that means."""

from __future__ import annotations

import re  # rule text: names of chains
from dataclasses import dataclass

from conntrim.core.model.ruleset import Ruleset


@dataclass(frozen=True, slots=True)
class Manager:
    """A program that makes rules: `names` are its tables and chains, `means` what a plan has to reckon with."""

    name: str
    names: re.Pattern[str]
    means: str


MANAGERS = (
    Manager(
        "firewalld",
        re.compile(r"firewalld$|(IN|FWD[IO]|PRE|POST)_\w+_allow$|INPUT_ZONES$"),
        "each start and reload of it drops our accepts in its table: a unit that confirm writes puts them back, "
        "from the next boot on or once it is started; else conntrim confirm does",
    ),
    Manager(
        "ufw", re.compile(r"ufw6?-"), "its reload fills its chains from /etc/ufw, where confirm writes our accepts"
    ),
    Manager("Docker", re.compile(r"DOCKER"), "it adds and takes out rules of its own while it runs"),
    Manager("Kubernetes", re.compile(r"KUBE-|cali-|CILIUM_"), "it writes rules again and again, and sizes the table"),
    Manager("fail2ban", re.compile(r"f2b-"), "it changes its chains while it runs: a plan may be stale within minutes"),
    Manager("libvirt", re.compile(r"LIBVIRT_"), "it adds rules of its own for each network that it starts"),
)


def managers_of(ruleset: Ruleset) -> tuple[Manager, ...]:
    """Those that have a table or chain here."""
    names = {name for table in ruleset.tables for name in (table.name, *(chain.name for chain in table.chains))}
    return tuple(manager for manager in MANAGERS if any(manager.names.match(name) for name in names))
