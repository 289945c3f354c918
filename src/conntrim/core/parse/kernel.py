"""The listings of one running kernel as one rule set: no table twice, none from a listing that loses its meaning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Dialect, Ruleset, Table, TableFamily
from conntrim.core.parse.ipset import read_ipsets, with_ipsets
from conntrim.core.parse.nft.document import TableName, native_tables, read_nft
from conntrim.core.parse.xt.save import read_save

_INCOMPATIBLE = re.compile(r"^# Table `(\w+)' (?:is incompatible|contains incompatible)", re.M)
"""iptables-nft-save prints such a table all the same, and empty."""


@dataclass(frozen=True, slots=True)
class Save:
    """What one of the save programs printed."""

    program: str
    family: TableFamily
    dialect: Dialect
    text: str


def read_kernel(saves: Iterable[Save], nft: str | None, ipsets: str | None) -> Ruleset:
    """Tables of both iptables back ends and of nft; None where a program is not there.

    A table of iptables-nft comes from its save, because nft lists its matches without their arguments (K36); but not
    where the save cannot tell it: a table with nft's own sets and maps, or one that the save calls incompatible.
    """
    native = native_tables(nft, "nft") if nft else set()
    tables: list[Table] = []
    remarks: list[str] = []
    taken: set[TableName] = set()
    for save in saves:
        for table in _tables(save, native, remarks):
            tables.append(table)
            if save.dialect is Dialect.IPTABLES_NFT:
                taken.add((table.family, table.name))
    found = read_nft(nft, "nft", without=taken) if nft else Ruleset()
    sets = read_ipsets(ipsets, "ipset save") if ipsets and ipsets.strip() else ()
    return with_ipsets(Ruleset((*tables, *found.tables), (*remarks, *found.remarks), sets))


def _tables(save: Save, native: set[TableName], remarks: list[str]) -> list[Table]:
    """The tables of a save that it tells truly."""
    if "*" not in save.text:
        return []
    strange = set(_INCOMPATIBLE.findall(save.text))
    try:
        listed = read_save(save.text, save.program, save.family)
    except InputError as error:
        remarks.append(f"{error}: its tables are taken from nft")
        return []
    kept = []
    for table in listed.tables:
        if save.dialect is Dialect.IPTABLES_NFT and (table.name in strange or (table.family, table.name) in native):
            continue
        kept.append(Table(save.dialect, table.family, table.name, table.chains, table.sets))
    return kept
