"""Our rules written into an nft file: accepts as lines of the operator's own chain blocks, the own table at the end."""

from __future__ import annotations

import re  # rule text: the operator's files, line by line
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from conntrim.core.model.plan import OWN_TABLE
from conntrim.core.rollout.claim import Claim, seen_nft
from conntrim.core.rollout.persist import NoPlaceError, Placed

OWN = f"table inet {OWN_TABLE}"
MARK = "# Written by conntrim; conntrim rollback takes it out."
_QUOTED = re.compile(r'"[^"\n]*"|#[^\n]*')
_NO_RULE = re.compile(r"(type|policy|comment|flags|device|devices|elements|size|timeout|include|define)\b")
"""First words of what stands in a chain block and is no rule."""

_INCLUDE = re.compile(r"^\s*include\s", re.MULTILINE)
_INCLUDED = ", and the file includes others: put our rules into the one that has it, by hand"


@dataclass(slots=True)
class _Block:
    """A `{ ... }` of a file: its header such as `chain input`, and its statements by the line on which each begins."""

    header: str
    first: int
    last: int = 0
    statements: list[tuple[int, bool, str]] | None = None
    """Line, whether nothing stands before it on that line, text."""


def chains_nft(listing: str) -> dict[str, tuple[str, ...]]:
    """The rules of each chain of an nft text, by `table FAMILY NAME chain NAME`."""
    return {name: tuple(text for _, _, text in _rules(block)) for name, block in _blocks(listing)}


def ours_nft(listing: str, claim: Claim) -> dict[str, tuple[Placed, ...]]:
    """Our rules in chains of others, by chain."""
    found = {}
    for name, rules in chains_nft(listing).items():
        if not name.startswith(f"{OWN} "):
            found[name] = tuple(_placed(name, rules, claim))
    return {name: placed for name, placed in found.items() if placed}


def _placed(chain: str, rules: Sequence[str], claim: Claim) -> Iterator[Placed]:
    behind = 0
    for rule in rules:
        if claim.holds(seen_nft(chain, rule)):
            yield Placed(chain, behind, rule)
        else:
            behind += 1


def own_table(listing: str) -> str:
    """The own table as nft lists it, "" where there is none."""
    found = re.search(rf"^{OWN} \{{\n.*?^\}}\n", listing, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""


def own_file(listing: str) -> str:
    """The own table as a file of its own that may be loaded again and again."""
    return f"{MARK}\n{OWN}\ndelete {OWN}\n{own_table(listing)}"


def with_ours_nft(text: str, ours: Mapping[str, Sequence[Placed]], own: str) -> str:
    """An nft file with our rules in it and nothing else changed; what was ours in it before is gone. NoPlaceError."""
    clean = text.replace(f"\n{MARK}\n", "\n")
    clean = clean.replace(own_table(clean), "")
    known = {rule.text for placed in ours.values() for rule in placed}
    lines = [line for line in clean.splitlines() if not _was_ours(line.strip().rstrip(";").rstrip(), known)]
    blocks = dict(_blocks("\n".join(lines) + "\n"))
    before: dict[int, list[str]] = {}
    for chain, placed in ours.items():
        if chain not in blocks:
            raise NoPlaceError(f"there is no {chain} block{_INCLUDED if _INCLUDE.search(text) else ''}")
        for rule in placed:
            number = _place(blocks[chain], rule)
            before.setdefault(number, []).append(_indent(lines, blocks[chain], number) + rule.text)
    filled = [row for number, line in enumerate(lines) for row in (*before.get(number, []), line)]
    while filled and not filled[-1].strip():
        filled.pop()
    return "\n".join(filled) + "\n" + (f"\n{MARK}\n{own}" if own else "")


def _was_ours(line: str, known: set[str]) -> bool:
    return line in known or Claim().holds(seen_nft(f"{OWN} chain -", line))


def _indent(lines: Sequence[str], block: _Block, number: int) -> str:
    """That of the rule there, or of the last one."""
    rules = _rules(block)
    like = number if number < block.last else rules[-1][0] if rules else block.first
    shown = lines[like]
    return shown[: len(shown) - len(shown.lstrip())] + "\t" * (like == block.first)


def _place(block: _Block, placed: Placed) -> int:
    rules = _rules(block)
    if placed.behind > len(rules):
        raise NoPlaceError(f"{block.header} has {len(rules)} rules there, not {placed.behind} or more")
    if placed.behind == len(rules):
        if block.first == block.last:
            raise NoPlaceError(f"{block.header} stands on one line")
        return block.last
    number, alone, text = rules[placed.behind]
    if not alone:
        raise NoPlaceError(f"no line of its own begins with {text!r}")
    return number


def _rules(block: _Block) -> list[tuple[int, bool, str]]:
    return [s for s in block.statements or [] if not _NO_RULE.match(s[2])]


def _blocks(text: str) -> Iterator[tuple[str, _Block]]:
    """The chain blocks of an nft text."""
    for table in _inside(text, 0, text.count("\n")):
        if not table.header.startswith("table "):
            continue
        header = " ".join(table.header.split())
        if len(header.split()) == 2:
            header = header.replace("table ", "table ip ")
        for inner in _inside(text, table.first + 1, table.last):
            if inner.header.startswith("chain "):
                inner.statements = list(_statements(text, inner))
                yield f"{header} {' '.join(inner.header.split())}", inner


def _bare(text: str) -> list[str]:
    """The lines with strings and comments blanked out, so that their braces and semicolons do not count."""
    return _QUOTED.sub(lambda m: ("_" if m[0][0] == '"' else " ") * len(m[0]), text).splitlines()


def _inside(text: str, first: int, last: int) -> Iterator[_Block]:
    """The blocks that begin on these lines and are not inside one another."""
    depth, opened = 0, _Block("", 0)
    for number, line in enumerate(_bare(text)[first:last], first):
        for sign in re.finditer(r"[{}]", line):
            if sign[0] == "{":
                if depth == 0:
                    opened = _Block(line[: sign.start()].strip(), number)
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    opened.last = number
                    yield opened


def _statements(text: str, block: _Block) -> Iterator[tuple[int, bool, str]]:
    """What a chain block says, each statement with its line, and whether it begins that line."""
    bare, shown = _bare(text), text.splitlines()
    depth, held, origin = 0, list[str](), (0, True)
    for number in range(block.first + 1, block.last):
        line = bare[number].rstrip()
        start = pieces = 0
        for at, sign in enumerate(line + "\n"):
            depth += {"{": 1, "}": -1}.get(sign, 0)
            if sign != "\n" and (sign != ";" or depth):
                continue
            if piece := shown[number][start : min(at, len(line))].strip():
                origin = origin if held else (number, pieces == 0)
                held.append(piece)
                pieces += 1
            start = at + 1
            if held and depth == 0 and not line.endswith("\\"):
                yield *origin, " ".join(held)
                held = []
