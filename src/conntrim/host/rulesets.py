"""Rule sets from files, and from the kernel by iptables-save (both back ends, both families) and nft."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.ruleset import read
from conntrim.host import programs

SAVES: tuple[tuple[str, TableFamily], ...] = (
    ("iptables-nft-save", TableFamily.IP),
    ("ip6tables-nft-save", TableFamily.IP6),
    ("iptables-legacy-save", TableFamily.IP),
    ("ip6tables-legacy-save", TableFamily.IP6),
)
"""Both back ends list only their own tables (K37)."""

LARGEST = 64 << 20
"""Bytes of a rule-set file; the largest of real ones have some hundred thousand rules in a tenth of it."""


@dataclass(frozen=True, slots=True)
class FileRulesets:
    """Some files as one rule set; `-` is standard input."""

    paths: Sequence[str]

    def read(self) -> Ruleset:
        """All files' tables together."""
        total = Ruleset()
        for path in self.paths:
            total += read(_bytes(path), "standard input" if path == "-" else path)
        return total


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
        """The tables of every kind of iptables that is installed, and nft's own."""
        total, asked = Ruleset(), 0
        for program, family in SAVES:
            if programs.find(program) is None:
                continue
            asked += 1
            text = programs.run([program], netns=self.netns)
            if any(line.startswith("*") for line in text.splitlines()):
                total += read(text, program, family)
        if not asked:
            raise HostError("iptables-nft-save", "this program is not installed", advice="give the rules as files")
        return total
