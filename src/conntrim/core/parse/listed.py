"""Rules as the kernel's tools list them and files hold them, line by line: what tells a rollout's own from others'.

What a rule means is not asked here (`parse/ruleset.py` says it): every line counts, whether its rule is known or not,
and there may be tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]+')
_ESCAPED = re.compile(r"\\(.)")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_ENTRYLESS_XT = re.compile(r"-m (?:conntrack --ctstate|state --state) (?:UNTRACKED|INVALID)(?= |$)")
_ENTRYLESS_NFT = re.compile(r"\bct state (?:untracked|invalid)(?= )")
_APPEND = re.compile(r"^\s*(?:\[\d+:\d+\]\s*)?-A\s+(\S+)")
"""A rule in an `iptables-save` file, its counters in front of it or not."""
_DECLARED = re.compile(r"^\s*:(\S+)")
_NFT_COMMENT = re.compile(r'\bcomment "([^"]*)"$')


@dataclass(frozen=True, slots=True)
class Line:
    """A rule: its comment, where it jumps; `entryless`: it asks for packets without an entry, `untracks`: it makes them
    such."""

    chain: str
    comment: str
    target: str
    entryless: bool
    untracks: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One table of an `iptables-save` text: chains with their policies, `-` for those that have none, and rules."""

    table: str
    chains: dict[str, str]
    rules: tuple[str, ...]
    counted: tuple[tuple[int, str], ...]
    """The rules of a listing with counters, each behind its packets."""


def words_xt(line: str) -> list[str]:
    """The words of a line of `iptables-save`, quotes taken off."""
    return [_ESCAPED.sub(r"\1", w[1:-1]) if w[0] == '"' else w for w in _WORD.findall(line)]


def line_xt(line: str) -> Line:
    """`-A CHAIN ...`."""
    words = words_xt(line)
    after = dict(pairwise(words))
    at = next((n for n in range(len(words) - 1) if words[n] in ("-j", "-g")), len(words))
    target = words[at + 1] if at < len(words) else ""
    untracks = target == "NOTRACK" or (target == "CT" and "--notrack" in words[at:])
    entryless = _ENTRYLESS_XT.search(_QUOTED.sub('""', line)) is not None
    return Line(after.get("-A", ""), after.get("--comment", ""), target, entryless, untracks)


def line_nft(chain: str, text: str) -> Line:
    """A rule of nft's own text, in a chain of this name."""
    found = _NFT_COMMENT.search(text)
    return Line(chain, found[1] if found else "", "", _ENTRYLESS_NFT.search(text) is not None)


def sections(listing: str) -> Iterator[Section]:
    """The tables of an `iptables-save` listing."""
    for part in re.split(r"^\*", listing, flags=re.MULTILINE)[1:]:
        name, *lines = part.split("\n")
        chains = (line[1:].split() for line in lines if line.startswith(":"))
        counted = (line.partition(" ") for line in lines if line.startswith("["))
        yield Section(
            name,
            {words[0]: words[1] for words in chains},
            tuple(line for line in lines if line.startswith("-A ")),
            tuple((int(counter[1 : counter.index(":")]), line) for counter, _, line in counted),
        )


def appended(line: str) -> str:
    """The chain of a rule in a file, "" where the line is none."""
    found = _APPEND.match(line)
    return found[1] if found else ""


def declared(line: str) -> str:
    """The chain that a line of a file declares, "" where it declares none."""
    found = _DECLARED.match(line)
    return found[1] if found else ""


def tables(text: str) -> Iterator[tuple[str, list[str]]]:
    """The tables of an `iptables-save` file, each with its lines, without `*table`, COMMIT and comments."""
    for part in re.split(r"^\s*\*", text, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        yield name.strip(), [line.strip() for line in lines if not line.startswith(("#", "COMMIT")) and line.strip()]


def without_met(table: str) -> str:
    """A table as nft lists it, without what packets have put into its dynamic sets: that is of the moment."""
    kept, dynamic, among = list[str](), False, False
    for line in table.splitlines(keepends=True):
        said = line.strip()
        if said.startswith("set "):
            dynamic = False
        elif said.startswith("flags "):
            dynamic = "dynamic" in said.removeprefix("flags ").split(",")
        among = among or (dynamic and said.startswith("elements = {"))
        if not among:
            kept.append(line)
        among = among and not said.endswith("}")
    return "".join(kept)


def nft_table(listing: str, name: str) -> str:
    """A table (`inet filter`) as nft lists it, "" where there is none."""
    found = re.search(rf"^table {name} \{{\n.*?^\}}\n", listing, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""
