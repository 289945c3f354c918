"""Rule sets from files, and from the kernel by iptables-save (both back ends, both families) and nft."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel
from conntrim.core.parse.ruleset import read_all
from conntrim.host import programs

SAVES: tuple[tuple[str, TableFamily, Dialect], ...] = (
    ("iptables-nft-save", TableFamily.IP, Dialect.IPTABLES_NFT),
    ("ip6tables-nft-save", TableFamily.IP6, Dialect.IPTABLES_NFT),
    ("iptables-legacy-save", TableFamily.IP, Dialect.IPTABLES_LEGACY),
    ("ip6tables-legacy-save", TableFamily.IP6, Dialect.IPTABLES_LEGACY),
)
"""Both back ends list only their own tables (K37)."""

NFT, IPSET = ("nft", "-j", "list", "ruleset"), ("ipset", "save")

LARGEST = 64 << 20
"""Bytes of a rule-set file; the largest of real ones have some hundred thousand rules in a tenth of it."""


@dataclass(frozen=True, slots=True)
class FileRulesets:
    """Some files as one rule set; `-` is standard input."""

    paths: Sequence[str]

    def read(self) -> Ruleset:
        """All files' tables together."""
        return read_all(("standard input" if path == "-" else path, _bytes(path)) for path in self.paths)


def _bytes(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(LARGEST)
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(path, error.strerror or str(error)) from error
    if len(data) > LARGEST:
        raise InputError(path, f"more than {LARGEST >> 20} MiB", advice="this is no rule set")
    return data


@dataclass(frozen=True, slots=True)
class KernelRulesets:
    """What the kernel holds in one network namespace (None: ours)."""

    netns: str | None = None

    def read(self) -> Ruleset:
        """The tables of every kind of iptables that is installed, nft's own, and the content of ipsets."""
        listed = ((program, family, dialect, self._listing(program)) for program, family, dialect in SAVES)
        saves = [Save(program, family, dialect, text) for program, family, dialect, text in listed if text is not None]
        nft = self._listing(*NFT)
        if not saves and nft is None:
            raise HostError("nft", "neither nft nor iptables is installed", advice="give the rules as files")
        return read_kernel(saves, nft, self._listing(*IPSET))

    def _listing(self, *argv: str) -> str | None:
        """A program's output; None where it is not installed."""
        return None if programs.find(argv[0]) is None else programs.run(argv, netns=self.netns)
