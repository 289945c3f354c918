"""Our rules written into an nft file: accepts as lines of the operator's own chain blocks, the own table at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from conntrim.core.model.plan import OWN_NFT_TABLES
from conntrim.core.parse.listed import nft_table, without_met
from conntrim.core.parse.nft.blocks import Block, blocks, includes, rules_of
from conntrim.core.rollout.claim import Claim, seen_nft
from conntrim.core.rollout.persist import NoPlaceError, Placed

OWN = tuple(f"table {family} {name}" for family, name in OWN_NFT_TABLES)
MARK = "# Written by conntrim; conntrim rollback takes it out."
_INCLUDED = ", and the file includes others: put our rules into the one that has it, by hand"


def chains_nft(listing: str) -> dict[str, tuple[str, ...]]:
    """The rules of each chain of an nft text, by `table FAMILY NAME chain NAME`."""
    return {name: tuple(text for _, _, text in rules_of(block)) for name, block in blocks(listing)}


def ours_nft(listing: str, claim: Claim) -> dict[str, tuple[Placed, ...]]:
    """Our rules in chains of others, by chain."""
    found = {}
    for name, rules in chains_nft(listing).items():
        if not is_own(name):
            found[name] = tuple(_placed(name, rules, claim))
    return {name: placed for name, placed in found.items() if placed}


def _placed(chain: str, rules: Sequence[str], claim: Claim) -> Iterator[Placed]:
    behind = 0
    for rule in rules:
        if claim.holds(seen_nft(chain, rule)):
            yield Placed(chain, behind, rule)
        else:
            behind += 1


def is_own(chain: str) -> bool:
    """Of `table inet conntrim chain output`: whether the table is ours."""
    return chain.startswith(tuple(f"{own} " for own in OWN))


def own_table(listing: str) -> str:
    """The own table as nft lists it, "" where there is none; without what packets have put into its sets."""
    return "".join(without_met(nft_table(listing, own.removeprefix("table "))) for own in OWN)


def own_file(listing: str) -> str:
    """The own table as a file of its own that may be loaded again and again."""
    there = [own for own in OWN if nft_table(listing, own.removeprefix("table "))]
    return "".join([f"{MARK}\n", *(f"{own}\ndelete {own}\n" for own in there), own_table(listing)])


def with_ours_nft(text: str, ours: Mapping[str, Sequence[Placed]], own: str) -> str:
    """An nft file with our rules in it and nothing else changed; what was ours in it before is gone. NoPlaceError."""
    clean = text.replace(f"\n{MARK}\n", "\n")
    for own_before in OWN:
        clean = clean.replace(nft_table(clean, own_before.removeprefix("table ")), "")
    known = {rule.text for placed in ours.values() for rule in placed}
    lines = [line for line in clean.splitlines() if not _was_ours(line.strip().rstrip(";").rstrip(), known)]
    there = dict(blocks("\n".join(lines) + "\n"))
    before: dict[int, list[str]] = {}
    for chain, placed in ours.items():
        if chain not in there:
            raise NoPlaceError(f"there is no {chain} block{_INCLUDED if includes(text) else ''}")
        for rule in placed:
            number = _place(there[chain], rule)
            before.setdefault(number, []).append(_indent(lines, there[chain], number) + rule.text)
    filled = [row for number, line in enumerate(lines) for row in (*before.get(number, []), line)]
    while filled and not filled[-1].strip():
        filled.pop()
    return "\n".join(filled) + "\n" + (f"\n{MARK}\n{own}" if own else "")


def _was_ours(line: str, known: set[str]) -> bool:
    return line in known or Claim().holds(seen_nft(f"{OWN[0]} chain -", line))


def _indent(lines: Sequence[str], block: Block, number: int) -> str:
    """That of the rule there, or of the last one."""
    rules = rules_of(block)
    like = number if number < block.last else rules[-1][0] if rules else block.first
    shown = lines[like]
    return shown[: len(shown) - len(shown.lstrip())] + "\t" * (like == block.first)


def _place(block: Block, placed: Placed) -> int:
    rules = rules_of(block)
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
