"""Rule sets as the oracle's generator makes them: texts that can be taken apart, down to the single match."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from conntrim.core.model.plan import Batch

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    """One rule: the texts of its matches and what happens then."""

    matches: tuple[str, ...]
    effect: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (*self.matches, self.effect) if part)


@dataclass(frozen=True, slots=True)
class Block:
    """One chain. `head` is iptables' policy (`-` for a user's chain) or nft's line of type, hook and priority."""

    name: str
    head: str
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table. `family` is nft's word, iptables knows ip and ip6; `sets` are nft's declarations."""

    family: str
    name: str
    blocks: tuple[Block, ...]
    sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A whole rule set of one dialect: its `program` is iptables-restore or nft."""

    program: str
    sheets: tuple[Sheet, ...]

    def batches(self) -> tuple[Batch, ...]:
        """What to feed to which program."""
        if self.program == "nft":
            return (Batch("nft", "".join(_nft(sheet) for sheet in self.sheets)),) if self.sheets else ()
        texts = {"ip": "iptables-restore", "ip6": "ip6tables-restore"}
        asked = any("-set " in str(line) for s in self.sheets for b in s.blocks for line in b.lines)
        sets = (Batch("ipset", IPSETS),) if asked else ()
        return sets + tuple(
            Batch(program, "".join(_xt(sheet) for sheet in self.sheets if sheet.family == family))
            for family, program in texts.items()
            if any(sheet.family == family for sheet in self.sheets)
        )

    def smaller(self) -> Iterator[Script]:
        """Every rule set with one thing less, the largest things first: tables, chains, rules, matches."""
        for i in range(len(self.sheets)):
            yield replace(self, sheets=_without(self.sheets, i))
        for i, sheet in enumerate(self.sheets):
            for less in _smaller(sheet):
                yield replace(self, sheets=(*self.sheets[:i], less, *self.sheets[i + 1 :]))


IPSETS = """\
create seen4 hash:ip,port,ip family inet timeout 600
create seen6 hash:ip,port,ip family inet6 timeout 600
create web4 hash:net family inet
add web4 192.0.2.0/28
add web4 203.0.113.0/24
create web6 hash:net family inet6
add web6 2001:db8::/124
add web6 2001:db8:2::/64
create pair4 hash:ip,port family inet
add pair4 192.0.2.1,tcp:80
add pair4 192.0.2.1,udp:53
add pair4 198.51.100.1,tcp:443
create pair6 hash:ip,port family inet6
add pair6 2001:db8::1,tcp:80
add pair6 2001:db8::1,udp:53
create net4 hash:net,port family inet
add net4 192.0.2.0/24,tcp:22-80
create net6 hash:net,port family inet6
add net6 2001:db8::/64,tcp:22-80
create ports bitmap:port range 0-65535
add ports 80
add ports 4000-5000
add ports 11211
"""
"""The sets that iptables' rules ask."""


def _without(items: tuple[T, ...], index: int) -> tuple[T, ...]:
    return (*items[:index], *items[index + 1 :])


def _smaller(sheet: Sheet) -> Iterator[Sheet]:
    for i in range(len(sheet.sets)):
        yield replace(sheet, sets=_without(sheet.sets, i))
    for i in range(len(sheet.blocks)):
        yield replace(sheet, blocks=_without(sheet.blocks, i))
    for i, block in enumerate(sheet.blocks):
        for lines in _fewer(block.lines):
            yield replace(sheet, blocks=(*sheet.blocks[:i], replace(block, lines=lines), *sheet.blocks[i + 1 :]))


def _fewer(lines: tuple[Line, ...]) -> Iterator[tuple[Line, ...]]:
    for i in range(len(lines)):
        yield _without(lines, i)
    for i, line in enumerate(lines):
        for m in range(len(line.matches)):
            yield (*lines[:i], Line(_without(line.matches, m), line.effect), *lines[i + 1 :])


def _xt(sheet: Sheet) -> str:
    heads = [f":{block.name} {block.head} [0:0]" for block in sheet.blocks]
    rules = [f"-A {block.name} {line}" for block in sheet.blocks for line in block.lines]
    return "\n".join([f"*{sheet.name}", *heads, *rules, "COMMIT", ""])


def _nft(sheet: Sheet) -> str:
    lines = [f"table {sheet.family} {sheet.name} {{", *(f" {text}" for text in sheet.sets)]
    # nft wants a chain before it is jumped to only within one command; whole tables come in one.
    for block in sheet.blocks:
        head = [f"  {block.head}"] if block.head else []
        # K18: a statement such as notrack must end with a line feed.
        lines += [f" chain {block.name} {{", *head, *(f"  {line}" for line in block.lines), " }"]
    return "\n".join([*lines, "}", ""])
