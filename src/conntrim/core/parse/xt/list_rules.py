"""`iptables -S` and `ip6tables -S`: policies, chains and rules of one table, or of several listed one after another."""

from __future__ import annotations

import re

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import XT_CHAINS, XT_HOOKS, Ruleset, TableFamily
from conntrim.core.parse.rule_forms import typed_in
from conntrim.core.parse.xt.save import POLICIES, Block, Fatal, read_blocks

ADVICE = "give me the whole output of `iptables -S -t TABLE`, or iptables-save"

TABLES: tuple[tuple[frozenset[str], str], ...] = (
    *((frozenset(map(str.upper, XT_CHAINS[name])), name) for name in ("filter", "raw", "nat", "mangle", "security")),
    (frozenset({"PREROUTING", "OUTPUT", "POSTROUTING"}), "nat"),
)
"""A listing does not name its table, but its built-in chains do: filter rather than security, which few use. Before
Linux 2.6.36 nat had no INPUT."""

_TABLE = re.compile(r"(?:-\w*t|--table)[ =]?(\w+)")
_COUNTED = re.compile(r" -c \d+ \d+$")
"""What -v adds."""


def read_list_rules(text: str, source: str, family: TableFamily | None = None) -> Ruleset:
    """The tables of a text; `family` where the caller knows it. InputError with file and line."""
    blocks: list[Block] = []
    command, open_ = "", False
    for number, raw in enumerate(text.split("\n"), 1):
        line = _COUNTED.sub("", raw.strip())
        typed = typed_in(line) if line else None
        if typed is not None:
            command, open_ = typed, False
        elif line and line[0] != "#":
            words = line.split()
            if words[0] == "-P" and (not open_ or blocks[-1].rules or words[1:2] == [*blocks[-1].policies][:1]):
                blocks.append(_block(command, number))
                open_ = True
            if not open_:
                raise InputError(source, f"{line[:40]!r} before any policy", line=number, advice=ADVICE)
            _line(blocks[-1], words, line, source, number)
    for block in blocks:
        _name(block, source)
    return read_blocks(blocks, source, Fatal(), family)


def _block(command: str, number: int) -> Block:
    """A table begins; its command may say which, and names the family."""
    table = _TABLE.search(command)
    families = {"ip6tables": TableFamily.IP6, "iptables": TableFamily.IP}
    family = next((family for name, family in families.items() if name in command), None)
    return Block(table[1] if table else "", number, family=family)


def _line(block: Block, words: list[str], line: str, source: str, number: int) -> None:
    """A policy, a chain or a rule."""
    if words[0] == "-P" and len(words) == 3 and words[2] in POLICIES:
        block.policies[words[1]] = POLICIES[words[2]], number
    elif words[0] == "-A" or (words[0] == "-N" and len(words) == 2):
        block.rules.append((number, line))
    else:
        raise InputError(source, f"{line[:40]!r} is no line of `iptables -S`", line=number, advice=ADVICE)


def _name(block: Block, source: str) -> None:
    """The table's name; InputError where chains are missing, as in the listing of one chain."""
    fitting = [name for chains, name in TABLES if chains == block.policies.keys()]
    if not fitting or (block.name and block.name not in fitting):
        of = f" of table {block.name}" if block.name in XT_HOOKS else ""
        chains = ", ".join(block.policies)
        raise InputError(source, f"chains {chains} are not all{of}", line=block.line, advice=ADVICE)
    block.name = block.name or fitting[0]
