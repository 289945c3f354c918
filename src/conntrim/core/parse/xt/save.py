"""A whole iptables-save or ip6tables-save file: tables, chains, counters, COMMIT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.ruleset import (
    UNREAD,
    XT_CHAINS,
    XT_HOOKS,
    Base,
    Chain,
    Dialect,
    OpaqueStatement,
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
from conntrim.core.parse.xt.form import Forms, Lines
from conntrim.core.parse.xt.options import TARGETS
from conntrim.core.parse.xt.tokens import split, split_listed

POLICIES = {"ACCEPT": Verdict.ACCEPT, "DROP": Verdict.DROP, "-": Verdict.ACCEPT, "QUEUE": Verdict.QUEUE}
"""What stands behind a chain's name; `-` is a user's chain."""

_V6_NAME = re.compile(r"ip6|v6|before6|after6|user6", re.IGNORECASE)
_V4_WORDS = re.compile(r" (?:-[sd]|--(?:src|dst|source|destination)) (?:! )?\d+\.\d+\.| -p icmp\b")
_V6_WORDS = re.compile(r"icmp6-|icmpv6|ipv6-icmp| (?:-[sd]|--(?:src|dst|source|destination)) (?:! )?[0-9a-f]*:", re.I)
_PROGRAM = re.compile(r"\bip(6?)tables[\w-]*-save")
_UNNAMED = re.compile(r"-save v1\.8\.[3-7]\b(?! \(nf_tables)")
"""The header of the versions that do not name their back end."""

_COUNTERS = re.compile(r"\[\d+:\d+\]\s+")


@dataclass(slots=True)
class Block:
    """One table, not yet understood: `header` is what the program that printed it says of itself, `family` what
    somebody else says of it, `rules` are the rule lines with their numbers."""

    name: str
    line: int
    header: str = ""
    family: TableFamily | None = None
    policies: dict[str, tuple[Verdict, int]] = field(default_factory=dict)
    rules: list[tuple[int, str]] = field(default_factory=list)


class Faults(Protocol):
    """What becomes of what cannot be read; `lines`: what was read before, if that is kept."""

    listed: bool
    notes: list[str]
    lines: Lines | None

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """Raise InputError, or note it and let the reader go on."""
        ...


@dataclass(slots=True)
class Fatal:
    """Of an operator's file: an InputError with its line. Only a whole table that is not known is noted."""

    notes: list[str] = field(default_factory=list)
    lines: Lines | None = None
    listed = False

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """Always raises."""
        raise InputError(source, message, line=line, advice=advice)


@dataclass(slots=True)
class Noted:
    """Of a kernel's listing: one line costs its own rule, and is told."""

    notes: list[str] = field(default_factory=list)
    lines: Lines | None = None
    listed = True

    def found(self, source: str, message: str, *, line: int, advice: str = "", text: str = "") -> None:
        """One more note."""
        self.notes.append(f"{source}:{line}: {message}" + (f": {text}" if text else ""))


def read_listing(text: str, source: str, family: TableFamily, dialect: Dialect) -> Ruleset:
    """What the save program of that back end printed of this kernel: a line that is not understood is one opaque rule,
    and `unread`."""
    faults = Noted()
    tables = tuple(_table(block, source, family, dialect, faults) for block in _blocks(text, source, faults))
    return Ruleset(tables, unread=tuple(faults.notes))


def read_save(text: str, source: str, family: TableFamily | None = None, lines: Lines | None = None) -> Ruleset:
    """The tables of a save file; `family` where the caller knows it, `lines` what was read before. InputError with file
    and line."""
    faults = Fatal(lines=lines)
    blocks = list(_blocks(text, source, faults))
    if not blocks and not faults.notes:
        raise InputError(source, "no table in it", advice="an iptables-save file has lines such as *filter")
    return read_blocks(blocks, source, faults, family)


def read_blocks(blocks: Sequence[Block], source: str, faults: Faults, family: TableFamily | None = None) -> Ruleset:
    """Tables, each once: a restore keeps the last of a name."""
    tables: dict[tuple[TableFamily, str], Table] = {}
    remarks = []
    known = next((b.header for b in blocks if b.header), "")  # one program wrote them all
    for block, inferred in zip(blocks, _families(blocks, source), strict=True):
        table = _table(block, source, family or inferred, _dialect(block.header or known), faults)
        key = table.family, table.name
        if key in tables:
            remarks.append(f"{source}:{block.line}: table {block.name} stands here again; a restore keeps the last")
        tables.pop(key, None)
        tables[key] = table
    if _UNNAMED.search(known):
        remarks.append(
            f"{source}: iptables 1.8.3 to 1.8.7 does not say which back end it is: taken as nft's, not legacy's"
        )
    remarks += foreign_targets(tables.values())
    return Ruleset(tuple(tables.values()), tuple(remarks), unread=tuple(faults.notes))


def foreign_targets(tables: Iterable[Table]) -> Iterator[str]:
    """The targets that are no chain and that no iptables has, each once, with the first place."""
    known = {*TARGETS, UNREAD}
    for table in tables:
        for rule, done in table.unusual():
            if isinstance(done, OpaqueStatement) and done.kind not in known:
                known.add(done.kind)
                name = done.kind.removeprefix("target ")
                yield f"{rule.place}: {name} is no chain of table {table.name}: a target that is not known"


def _blocks(text: str, source: str, faults: Faults) -> Iterable[Block]:
    """The blocks of a file; it is a fault if one is not closed or something stands outside."""
    block, header, number = None, "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line:
            continue
        if line[0] in "-[" and block is not None:
            block.rules.append((number, line))
        elif line[0] == "#":
            header = line if "enerated by" in line else header
        elif line[0] == "*":
            if block is not None:
                faults.found(source, f"table {block.name} has no COMMIT before this one", line=number)
                yield from (block,) if block.name in XT_HOOKS else ()
            block = Block(_known_table(line[1:].strip(), source, number, faults), number, header, _told(header))
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
        faults.notes.append(f"{source}:{line}: no such table: {name}; what its rules do is not known")
    return name


def _line(block: Block, line: str, source: str, number: int, faults: Faults) -> None:
    """A chain's line into its block."""
    if line[0] == ":":
        words = line[1:].split()
        if not words or (len(words) > 1 and words[1] not in POLICIES):
            faults.found(source, f"no chain in {line[:40]!r}", line=number, advice="as in :INPUT ACCEPT [0:0]")
        for name in words[:1]:
            block.policies[name] = POLICIES.get(words[1] if len(words) > 1 else "-", Verdict.ACCEPT), number
    else:
        faults.found(source, f"{line[:40]!r} is no line of a save file", line=number)


def _told(header: str) -> TableFamily | None:
    """The family that the program's name tells; xtables-save of iptables 1.8.0 to 1.8.2 was both."""
    found = _PROGRAM.search(header)
    return None if found is None else TableFamily.IP6 if found[1] else TableFamily.IP


def _families(blocks: Sequence[Block], source: str) -> Iterator[TableFamily]:
    """By what each block says of itself, then by the content of those beside it, then by the file's name."""
    named = TableFamily.IP6 if _V6_NAME.search(source.rpartition("/")[2]) else TableFamily.IP
    at = 0
    while at < len(blocks):
        run: list[Block] = []
        for block in blocks[at:]:  # a name that comes again belongs to the other family
            if block.name in {b.name for b in run} or (run and block.family is not run[0].family):
                break
            run.append(block)
        inferred = next((family for block in run if (family := _content(block))), named)
        yield from (block.family or inferred for block in run)
        at += len(run)


def _content(block: Block) -> TableFamily | None:
    """The family of the addresses and protocols in a block."""
    for words, family in ((_V4_WORDS, TableFamily.IP), (_V6_WORDS, TableFamily.IP6)):
        if any(words.search(line) for _, line in block.rules):
            return family
    return None


def _dialect(header: str) -> Dialect:
    """iptables-nft-save names its back end, before 1.8.3 by the name xtables-save; from there to 1.8.7 both print one
    header (K139), and most systems have nft's. Any other header without one is the legacy back end's."""
    told = not header or "nf_tables" in header or "xtables-" in header or _UNNAMED.search(header)
    return Dialect.IPTABLES_NFT if told else Dialect.IPTABLES_LEGACY


def _table(block: Block, source: str, family: TableFamily, dialect: Dialect, faults: Faults) -> Table:
    """A block understood, its jumps checked."""
    builtin = {hook.upper(): Hook(hook) for hook in XT_CHAINS[block.name]}
    rules: dict[str, list[Rule]] = {name: [] for name in (*builtin, *block.policies)}
    _commands(block, rules, source)
    chains: list[Chain] = []
    _rules(block, rules, source, family, faults)
    for name, listed in rules.items():
        policy, line = block.policies.get(name, (Verdict.ACCEPT, block.line))
        base = None
        if (hook := builtin.get(name)) is not None:
            base = Base(XT_HOOKS[block.name][0], hook, xt_priority(dialect, block.name, hook), policy)
        chains.append(Chain(name, tuple(listed), base, Place(source, line)))
    try:
        check_jumps(chains, source)
    except InputError as error:
        faults.found(source, error.message, line=error.line)
    return Table(dialect, family, block.name, tuple(chains))


def _commands(block: Block, rules: dict[str, list[Rule]], source: str) -> None:
    """-N and -P, which hand-written files have; they leave the rule lines."""
    if not any(line[:2] in ("-N", "-P") for _, line in block.rules):
        return
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
    forms, lines = Forms(family is TableFamily.IP6, frozenset(rules), faults.listed), faults.lines
    for number, line in block.rules:
        place = Place(source, number)
        if lines is not None and lines.again(line, place, rules, v6=forms.v6):
            continue
        try:
            _rule(rules, line, place, forms, lines)
        except ValueError as error:
            faults.found(source, str(error), line=number, text=line)
            chain = line.split()[1] if " " in line else ""
            rules.get(chain, []).append(opaque_rule(line, place))


def _rule(rules: dict[str, list[Rule]], line: str, place: Place, forms: Forms, lines: Lines | None) -> None:
    """One line: counters, -A or -I, chain, body."""
    whole = line
    if line[0] == "[":
        counters = _COUNTERS.match(line)
        if counters is None:
            raise ValueError("no counters and rule in this line")
        line = line[counters.end() :]
    words = split_listed(line) if forms.listed else split(line)
    if len(words) < 2 or words[0] not in ("-A", "-I", "--append", "--insert"):
        raise ValueError(f"{words[0] if words else line} is no command of a save file; -A and -I are")
    chain = rules.get(words[1])
    if chain is None:
        raise ValueError(f"rule in chain {words[1]}, which this table does not have")
    at, first = len(chain), 2
    if words[0] in ("-I", "--insert"):
        numbered = len(words) > 2 and words[2].isdecimal()
        at, first = (int(words[2]) - 1, 3) if numbered else (0, 2)
    rows, statements, comment = forms.body(words[first:], line)
    made = [Rule(matches, statements, place, line, comment) for matches in rows]
    chain[at:at] = made
    if lines is not None and len(made) == 1 and words[0] == "-A" and whole is line:
        lines.said[forms.v6][line] = words[1], made[0]
