"""Rule sets from files, and from the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conntrim.app.ports.saved import SavedHost
from conntrim.core.model.errors import HostError
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.ruleset import read_all
from conntrim.core.parse.xt.form import Lines
from conntrim.host import programs
from conntrim.host.listing import KernelListing
from conntrim.host.nft_text import listed
from conntrim.host.sources import read_whole

LARGEST = 32 << 20
"""Bytes of a rule-set file; the largest of real ones have some hundred thousand rules in a fifth of it."""
STDIN = "standard input"


@dataclass(frozen=True, slots=True)
class FileRulesets:
    """Some files as one rule set; `-` is standard input. `lines`: what was read before of another state of them."""

    paths: Sequence[str]
    lines: Lines | None = None

    def read(self) -> Ruleset:
        """All files' tables together."""
        texts = ((STDIN if path == "-" else path, read_whole(path, LARGEST, "rule set")) for path in self.paths)
        return read_all(texts, listed, self.lines)


@dataclass(frozen=True, slots=True)
class SavedRulesets:
    """The rules of hosts that were saved, and of the files that were named beside them."""

    hosts: Sequence[SavedHost]
    others: FileRulesets

    def read(self) -> Ruleset:
        """All of them together."""
        return sum((host.ruleset() for host in self.hosts), self.others.read())


@dataclass(frozen=True, slots=True)
class KernelRulesets:
    """What the kernel holds in one network namespace (None: ours)."""

    netns: str | None = None

    def read(self) -> Ruleset:
        """The tables of every kind of iptables that is installed, nft's own, and the content of ipsets."""
        if not any(programs.find(program) for program in ("nft", "iptables-save")):
            raise HostError("nft", "neither nft nor iptables is installed", advice="give the rules as files")
        return KernelListing().read(self.netns).ruleset
