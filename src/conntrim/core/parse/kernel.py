"""The listings of one running kernel as one rule set: no table twice, none from a listing that loses its meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import UNREAD, Dialect, NamedSet, OpaqueMatch, Ruleset, Table, TableFamily
from conntrim.core.parse.ipset import read_ipsets, with_ipsets
from conntrim.core.parse.nft.document import ListedTable, TableName, listed_tables, lost_of, remarks_of
from conntrim.core.parse.paired import paired
from conntrim.core.parse.xt.save import read_listing

_INCOMPATIBLE = re.compile(r"^# Table `(\w+)' is incompatible", re.M)
"""What iptables-nft-save prints instead of such a table."""


@dataclass(frozen=True, slots=True)
class Save:
    """What one of the save programs printed."""

    program: str
    family: TableFamily
    dialect: Dialect
    text: str


def read_kernel(saves: Iterable[Save], nft: str | None, ipsets: str | None) -> Ruleset:
    """Tables of both iptables back ends and of nft; None where a program is not there.

    A table of iptables-nft is read from both its listings: nft loses the arguments of iptables' matches (K36), the
    save misprints what nft itself put there (K96). Where the two do not fit, nft's is taken; what it lost is unread.
    """
    natives, unread = _natives(nft)
    remarks: list[str] = []
    tables: list[Table] = []
    for save in saves:
        read = read_listing(save.text, save.program, save.family, save.dialect)
        if nft is None or save.dialect is not Dialect.IPTABLES_NFT:
            tables += read.tables
            unread += read.unread
            continue
        known = _known(read, save, natives, remarks)
        tables += known
        opaque = _opaque(known)  # of everything else nft tells
        unread += [note for note in read.unread if note.partition(": ")[0] in opaque]
        remarks += [note for note in read.unread if note.partition(": ")[0] not in opaque]
    left = [each.table for each in natives.values()]
    unread += lost_of([*left, *(t for t in tables if t.dialect is Dialect.IPTABLES_NFT)], "nft")
    sets = _ipsets(ipsets, remarks)
    remarks += remarks_of(left, nft or "", "nft")
    return with_ipsets(Ruleset((*tables, *left), tuple(remarks), sets, tuple(dict.fromkeys(unread))))


def _natives(nft: str | None) -> tuple[dict[TableName, ListedTable], list[str]]:
    """nft's tables by name, and what is not understood of them."""
    if not nft:
        return {}, []
    try:
        found, unread = listed_tables(nft, "nft")
    except (InputError, LookupError, TypeError, ValueError, AttributeError) as error:
        return {}, [f"nft's listing is not understood: {error}"]
    return {(each.table.family, each.table.name): each for each in found}, unread


def _opaque(tables: Iterable[Table]) -> set[str]:
    """The places of lines that were not understood."""
    return {
        str(rule.place)
        for table in tables for rule in table.rules() for match in rule.matches
        if isinstance(match, OpaqueMatch) and match.kind == UNREAD
    }  # fmt: skip


def _known(read: Ruleset, save: Save, natives: dict[TableName, ListedTable], remarks: list[str]) -> list[Table]:
    """The tables of a save that both listings tell; those are no longer among `natives`."""
    found = []
    for name in _INCOMPATIBLE.findall(save.text):
        remarks.append(f"{save.program}: table {name} holds rules that only nft can list: it is taken from nft")
    for table in read.tables:
        native = natives.get((table.family, table.name))
        if native is None:
            continue  # it is not there: the save lists base chains that nobody made
        made = paired(table, native)
        if made is None:
            remarks.append(f"{save.program} and nft list table {table.family} {table.name} differently")
        elif made.dialect is Dialect.IPTABLES_NFT:
            del natives[table.family, table.name]
            found.append(made)
    return found


def _ipsets(text: str | None, remarks: list[str]) -> tuple[NamedSet, ...]:
    """The sets; an error costs all of them, and rules that ask them stay undecided."""
    try:
        return read_ipsets(text, "ipset save") if text and text.strip() else ()
    except InputError as error:
        remarks.append(f"no set is known: {error}")
        return ()
