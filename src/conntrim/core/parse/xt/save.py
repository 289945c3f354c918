"""A whole iptables-save or ip6tables-save file: tables, chains, counters, COMMIT."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.ruleset import (
    XT_CHAINS,
    XT_HOOKS,
    Base,
    Chain,
    Dialect,
    Rule,
    Ruleset,
    Table,
    TableFamily,
    Verdict,
    xt_priority,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.parse.chains import check_jumps
from conntrim.core.parse.unread import opaque_rule
from conntrim.core.parse.xt.rule import body
from conntrim.core.parse.xt.tokens import split, split_listed

POLICIES = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "-": Verdict.ACCEPT, "QUEUE": Verdict.QUEUE}
"""What stands behind a chain's name; `-` is a user's chain."""

_V6_NAME = re.compile(r"ip6|v6|before6|after6|user6", re.IGNORECASE)
_V4_WORDS = re.compile(r" (?:-[sd]|--(?:src|dst|source|destination)) (?:! )?\d+\.\d+\.| -p icmp\b")
_V6_WORDS = re.compile(r"icmp6-|icmpv6|ipv6-icmp| (?:-[sd]|--(?:src|dst|source|destination)) (?:! )?[0-9a-f]*:", re.I)
_COUNTERS = re.compile(r"\[\d+:\d+\]\s+")


@dataclass(slots=True)
class Block:
    """One `*table` ... `COMMIT`, not yet understood. `lines` are rule lines with their numbers."""

    name: str
    line: int
    header: str
    policies: dict[str, tuple[Verdict, int]] = field(default_factory=dict)
    rules: list[tuple[int, str]] = field(default_factory=list)


class Faults(Protocol):
    """What becomes of what cannot be read."""

    listed: bool

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """Raise InputError, or note it and let the reader go on."""
        ...


class Fatal:
    """Of an operator's file: an InputError with its line."""

    listed = False

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """Always raises."""
        raise InputError(source, message, line=line, advice=advice)


@dataclass(slots=True)
class Noted:
    """Of a kernel's listing: one line costs its own rule, and is told."""

    notes: list[str] = field(default_factory=list)
    listed = True

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """One more note."""
        self.notes.append(f"{source}:{line}: {message}" + (f": {text}" if text else ""))


FATAL: Faults = Fatal()


def read_listing(text: str, source: str, family: TableFamily) -> Ruleset:
    """What a save program printed of this kernel: a line that is not understood is one opaque rule, and `unread`."""
    faults = Noted()
    tables = tuple(
        _table(block, source, family, _dialect(block.header), faults) for block in _blocks(text, source, faults)
    )
    return Ruleset(tables, unread=tuple(faults.notes))


def read_save(text: str, source: str, family: TableFamily | None = None) -> Ruleset:
    """The tables of a save file; `family` where the caller knows it. InputError with file and line."""
    tables: dict[tuple[TableFamily, str], Table] = {}
    remarks = []
    blocks = list(_blocks(text, source, FATAL))
    known = next((b.header for b in blocks if b.header), "")  # one program wrote them all
    for block in blocks:
        table = _table(block, source, family or _family(block, source), _dialect(block.header or known), FATAL)
        key = table.family, table.name
        if key in tables:
            remarks.append(f"{source}:{block.line}: table {block.name} stands here again; a restore keeps the last")
        tables.pop(key, None)
        tables[key] = table
    if not tables:
        raise InputError(source, "no table in it", advice="an iptables-save file has lines such as *filter")
    return Ruleset(tuple(tables.values()), tuple(remarks))


def _blocks(text: str, source: str, faults: Faults) -> Iterable[Block]:
    """The blocks of a file; it is a fault if one is not closed or something stands outside."""
    block, header, number = None, "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line:
            continue
        if line[0] == "#":
            header = line if "enerated by" in line else header
        elif line[0] == "*":
            if block is not None:
                faults.found(source, f"table {block.name} has no COMMIT before this one", line=number)
                yield from (block,) if block.name in XT_HOOKS else ()
            block = Block(_known_table(line[1:].strip(), source, number, faults), number, header)
        elif block is None:
            faults.found(source, f"{line[:40]!r} outside of a table", line=number, advice="give me iptables-save")
        elif line == "COMMIT":
            yield from (block,) if block.name in XT_HOOKS else ()
            block = None
        else:
            _line(block, line, source, number, faults)
    if block is not None:
        advice = "the file is truncated: save it again"
        faults.found(source, f"table {block.name} has no COMMIT", line=number, advice=advice)
        yield from (block,) if block.name in XT_HOOKS else ()


def _known_table(name: str, source: str, line: int, faults: Faults) -> str:
    if name not in XT_HOOKS:
        faults.found(source, f"no such table: {name}", line=line, advice=f"iptables has {', '.join(XT_HOOKS)}")
    return name


def _line(block: Block, line: str, source: str, number: int, faults: Faults) -> None:
    """A chain or a rule line into its block."""
    if line[0] == ":":
        words = line[1:].split()
        if not words or (len(words) > 1 and words[1] not in POLICIES):
            faults.found(source, f"no chain in {line[:40]!r}", line=number, advice="as in :INPUT ACCEPT [0:0]")
        for name in words[:1]:
            block.policies[name] = POLICIES.get(words[1] if len(words) > 1 else "-", Verdict.ACCEPT), number
    elif line[0] in "-[":
        block.rules.append((number, line))
    else:
        faults.found(source, f"{line[:40]!r} is no line of a save file", line=number)


def _family(block: Block, source: str) -> TableFamily:
    """By what the file says of itself, then by content, then by the file's name."""
    if "tables-save" in block.header:
        return TableFamily.IP6 if "ip6tables" in block.header else TableFamily.IP
    for words, family in ((_V4_WORDS, TableFamily.IP), (_V6_WORDS, TableFamily.IP6)):
        if any(words.search(line) for _, line in block.rules):
            return family
    return TableFamily.IP6 if _V6_NAME.search(source.rpartition("/")[2]) else TableFamily.IP


def _dialect(header: str) -> Dialect:
    """iptables-nft-save names its back end; a header without one is the legacy back end's, or of the old days."""
    return Dialect.IPTABLES_LEGACY if header and "nf_tables" not in header else Dialect.IPTABLES_NFT


def _table(block: Block, source: str, family: TableFamily, dialect: Dialect, faults: Faults) -> Table:
    """A block understood, its jumps checked."""
    builtin = XT_CHAINS[block.name]
    rules: dict[str, list[Rule]] = {name: [] for name in (*map(str.upper, builtin), *block.policies)}
    _commands(block, rules, source)
    chains: list[Chain] = []
    _rules(block, rules, source, family, faults)
    for name, listed in rules.items():
        policy, line = block.policies.get(name, (Verdict.ACCEPT, block.line))
        base = None
        if name.isupper() and name.lower() in builtin:
            hook = Hook(name.lower())
            base = Base(XT_HOOKS[block.name][0], hook, xt_priority(dialect, block.name, hook), policy)
        chains.append(Chain(name, tuple(listed), base, Place(source, line)))
    try:
        check_jumps(chains, source)
    except InputError as error:
        faults.found(source, error.message, line=error.line)
    return Table(dialect, family, block.name, tuple(chains))


def _commands(block: Block, rules: dict[str, list[Rule]], source: str) -> None:
    """-N and -P, which hand-written files have; they leave the rule lines."""
    kept = []
    for number, line in block.rules:
        words = line.split()
        if words[0] == "-N" and len(words) == 2:
            rules.setdefault(words[1], [])
        elif words[0] == "-P" and len(words) == 3 and words[2] in POLICIES and words[1] in rules:
            block.policies[words[1]] = POLICIES[words[2]], number
        else:
            kept.append((number, line))
    block.rules = kept


def _rules(block: Block, rules: dict[str, list[Rule]], source: str, family: TableFamily, faults: Faults) -> None:
    """Every rule line into its chain; one that is not understood is opaque as a whole."""
    v6, chains = family is TableFamily.IP6, frozenset(rules)
    for number, line in block.rules:
        try:
            _rule(rules, line, Place(source, number), _Reading(v6, chains, faults.listed))
        except ValueError as error:
            faults.found(source, str(error), line=number, text=line)
            chain = line.split()[1] if " " in line else ""
            rules.get(chain, []).append(opaque_rule(line, Place(source, number)))


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the lines of a table have in common."""

    v6: bool
    chains: frozenset[str]
    listed: bool


def _rule(rules: dict[str, list[Rule]], line: str, place: Place, given: _Reading) -> None:
    """One line: counters, -A or -I, chain, body."""
    if line[0] == "[":
        counters = _COUNTERS.match(line)
        if counters is None:
            raise ValueError("no counters and rule in this line")
        line = line[counters.end() :]
    words = split_listed(line) if given.listed else split(line)
    if len(words) < 2 or words[0] not in ("-A", "-I", "--append", "--insert"):
        raise ValueError(f"{words[0] if words else line} is no command of a save file; -A and -I are")
    chain, first, at = words[1], 2, len(rules.get(words[1], ()))
    if chain not in given.chains:
        raise ValueError(f"rule in chain {chain}, which this table does not have")
    if words[0] in ("-I", "--insert"):
        numbered = len(words) > 2 and words[2].isdecimal()
        at, first = (int(words[2]) - 1, 3) if numbered else (0, 2)
    said = body(words[first:], given.v6, given.chains, line if given.listed else "")
    made = [Rule(matches, said.statements, place, line, said.comment) for matches in said.matches]
    rules[chain][at:at] = made
