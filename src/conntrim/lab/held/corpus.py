"""Others' rule sets as scripts: their interfaces and single addresses become the stand's, untracking is added."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from conntrim.core.model.errors import HostError
from conntrim.lab import generate
from conntrim.lab.held.kept import script_of
from conntrim.lab.held.rules_nft import Nft
from conntrim.lab.held.rules_xt import Xt
from conntrim.lab.held.services import LEGS, OUTER, Service
from conntrim.lab.held.stand import Stand
from conntrim.lab.held.untracking import count, lines_of
from conntrim.lab.script import Script, Sheet

LONGEST = 300
"""Rules; longer rule sets take the verbs more time than they teach."""


@dataclass(frozen=True, slots=True)
class ForeignRules:
    """One file of a corpus, and its rules as a script."""

    name: str
    script: Script

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that its rules name, a few of them."""
        found = (int(n) for line in lines_of(self.script) for n in re.findall(r"ports? (?:\{ )?(\d+)\b", str(line)))
        return tuple(dict.fromkeys(port for port in found if 0 < port < 1 << 16))[:MOST_PORTS] or (80,)


MOST_PORTS = 8
LARGEST = 60_000
"""Bytes of a file."""


@dataclass(slots=True)
class Corpus:
    """A folder of rule sets, read when they are asked for: iptables-save files as they are, nft's as the kernel lists
    them."""

    stand: Stand
    paths: tuple[Path, ...]
    read: dict[int, ForeignRules | None] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, stand: Stand) -> Corpus:
        """All files of a folder but the largest."""
        every = (*sorted((folder / "iptables").glob("*.save")), *sorted((folder / "nft").glob("*.nft")))
        return cls(stand, tuple(path for path in every if path.stat().st_size <= LARGEST))

    def foreign(self, index: int) -> ForeignRules:
        """One of them; HostError where the kernel refuses it, or nothing that is tried here is in it."""
        number = index % len(self.paths)
        if number not in self.read:
            path = self.paths[number]
            self.read[number] = _saved(path) if path.suffix == ".save" else _listed(path, self.stand)
        found = self.read[number]
        if found is None or not 0 < sum(1 for _ in lines_of(found.script)) <= LONGEST:
            raise HostError(self.paths[number].name, "it is not loaded, or not tried")
        return found


def _saved(path: Path) -> ForeignRules:
    program = "ip6tables-restore" if path.name.startswith("ip6") else "iptables-restore"
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = (_placed(re.sub(r"^\[\d+:\d+\] ", "", line)) for line in text.splitlines())
    return ForeignRules(path.name, script_of([(program, "\n".join(lines))]))


def _listed(path: Path, stand: Stand) -> ForeignRules | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        stand.nft.run(_placed(re.sub(r"\bflush ruleset\b", "", text)))  # the observer's table is in it
        tables = [line.split()[1:] for line in stand.nft.run("list tables").splitlines()]
        texts = [stand.nft.run(f"list table {family} {name}") for family, name in tables if "conntrim" not in name]
    except HostError:
        return None
    finally:
        stand.unload()
    text = "".join(texts).replace("\n\n", "\n").replace("\t\t", "  ").replace("\n\t", "\n ")
    script = script_of([("nft", text)])
    supported = all(sheet.family in ("ip", "ip6", "inet") for sheet in script.sheets)
    return ForeignRules(path.name, script) if script.sheets and supported else None


# --- places ---------------------------------------------------------------------------------------------------------

XT_DEVICE = re.compile(r"((?:^| )(?:-[io]|--(?:in|out)-interface) )([\w.:+-]+)")
NFT_DEVICE = re.compile(r"\b([io]if(?:name)? (?:!= )?\{?)([^{}\n]*?(?:\"[^\"\n]+\"[, ]*)+)")
SINGLE = re.compile(r"(-d |daddr )(\d+\.\d+\.\d+\.\d+)(/32)?(?![\d./-])")


def _placed(text: str) -> str:
    """With the stand's interfaces: the first that is named is the outer one, all others the inner one."""
    names: dict[str, str] = {"lo": "lo"}

    def one(name: str) -> str:
        bare = name.rstrip("+*")
        return names.setdefault(bare, "eth0" if len(names) == 1 else "eth1")

    text = XT_DEVICE.sub(lambda m: m[1] + one(m[2]), text)
    text = NFT_DEVICE.sub(lambda m: m[1] + re.sub(r"\"([^\"]+)\"", lambda n: f'"{one(n[1])}"', m[2]), text)
    return SINGLE.sub(_ours(), text)


def _ours() -> Callable[[re.Match[str]], str]:
    """The first address that packets are said to go to is the host's own."""
    first: list[str] = []

    def replaced(found: re.Match[str]) -> str:
        first.append(found[2])
        return f"{found[1]}{OUTER['ip']}" if found[2] == first[0] else found[0]

    return replaced


# --- untracking -----------------------------------------------------------------------------------------------------


def untracking(random: Random, foreign: ForeignRules) -> Script:
    """The rule set, with untracking rules for ports that it names where it has none."""
    script = foreign.script
    if count(script):
        return script
    ways = random.choices(tuple(LEGS), (5, 4, 2, 1), k=random.choice((1, 2)))
    ports = foreign.ports
    services = [Service(way, random.choice(("tcp", "tcp", "udp")), random.choice(ports)) for way in ways]
    if script.program == "nft":
        blocks = tuple(Nft(random, "inet", services).raw())
        return replace(script, sheets=(Sheet("inet", "untracking", blocks, generate.SETS), *script.sheets))
    return replace(script, sheets=tuple(_xt(random, script.sheets, services)))


def _xt(random: Random, sheets: Sequence[Sheet], services: list[Service]) -> Iterator[Sheet]:
    """Before the others; a raw table that is there stands behind it in one with it."""
    family = sheets[0].family
    made = Xt(random, family, services).raw()
    for sheet in sheets:
        if sheet.name != "raw":
            continue
        kept = {block.name: block for block in sheet.blocks}
        blocks = [
            replace(b, lines=b.lines + kept.pop(b.name).lines if b.name in kept else b.lines) for b in made.blocks
        ]
        made = replace(made, blocks=(*blocks, *kept.values()))
    yield made
    yield from (sheet for sheet in sheets if sheet.name != "raw")
