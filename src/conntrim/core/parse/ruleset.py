"""A rule-set file of any form to a `Ruleset`; which form it is shows in its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.ipset import read_ipsets, with_ipsets
from conntrim.core.parse.ipset_list import as_saved
from conntrim.core.parse.nft.commands import without_handles
from conntrim.core.parse.nft.document import ListedTable, decode, document_tables, lost_of
from conntrim.core.parse.paired import together
from conntrim.core.parse.rule_forms import WANTED, Form, Part, parts
from conntrim.core.parse.xt.form import Lines
from conntrim.core.parse.xt.list_rules import read_list_rules
from conntrim.core.parse.xt.save import read_save

ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decoded(data: bytes, source: str) -> str:
    """Bytes as text; InputError with the line where they are no UTF-8."""
    if (coding := ENCODINGS.get(data[:2])) is not None:
        raise InputError(source, f"this is {coding}", advice=f"iconv -f {coding} -t UTF-8 makes text of it")
    if b"\0" in data:
        raise InputError(source, "this is no text", line=data.count(b"\n", 0, data.index(b"\0")) + 1, advice=WANTED)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(source, "these bytes are no UTF-8 text", line=line) from error


Source = tuple[str, str | bytes]
"""A file's name and content."""

Listed = Callable[[str, str], str]
"""nft's own text and its source to what `nft -j list ruleset` says of it; only nft can read that language."""


def unlisted(text: str, source: str) -> str:
    """Where there is no nft that may be asked: InputError with the command that does it."""
    raise InputError(source, "this is nft's own text", advice="give me `nft -j list ruleset`")


def read_all(sources: Iterable[Source], listed: Listed = unlisted, lines: Lines | None = None) -> Ruleset:
    """Several files of one host as one rule set: both families, both dialects, the contents of its ipsets. `lines` are
    what was read before of another state of it, and serve the next one."""
    return with_ipsets(_joined(each for source, text in sources for each in _parts(text, source, None, listed, lines)))


def read(text: str | bytes, source: str, family: TableFamily | None = None, listed: Listed = unlisted) -> Ruleset:
    """The rule set of one file in any of the `Form`s, also of several in one.

    `family` where the caller knows it of iptables' rules. InputError with file and line for anything else.
    """
    return _joined(_parts(text, source, family, listed))


@dataclass(frozen=True, slots=True)
class _Read:
    """One part read; the tables of nft's stand apart: iptables' listing may have them, too."""

    ruleset: Ruleset
    source: str
    natives: tuple[ListedTable, ...] = ()


def _joined(found: Iterable[_Read]) -> Ruleset:
    """All parts as one rule set: a table of iptables-nft of which nft's listing is there, too, stands in it once."""
    found = list(found)
    whole = sum((each.ruleset for each in found), Ruleset())
    tables, remarks = together(whole.tables, [native for each in found for native in each.natives])
    lost = lost_of(tables, ", ".join(dict.fromkeys(each.source for each in found if each.natives)))
    return replace(whole, tables=tuple(tables), remarks=(*whole.remarks, *remarks), unread=(*whole.unread, *lost))


def _parts(
    text: str | bytes, source: str, family: TableFamily | None, listed: Listed, lines: Lines | None = None
) -> Iterator[_Read]:
    if isinstance(text, bytes):
        text = decoded(text, source)
    for part in parts(text, source):
        yield from _part(part, source, family, listed, lines)


def _part(part: Part, source: str, family: TableFamily | None, listed: Listed, lines: Lines | None) -> Iterator[_Read]:
    match part.form:
        case Form.SAVE:
            yield _Read(read_save(part.text, source, family, lines), source)
        case Form.LIST_RULES:
            yield _Read(read_list_rules(part.text, source, family), source)
        case Form.NFT_JSON:
            natives, told = document_tables(part.document, part.text, source)
            yield _Read(told, source, tuple(natives))
        case Form.NFT_TEXT:
            yield _Read(Ruleset(remarks=tuple(_included(part.text, source))), source)
            text = listed(part.text, source)
            natives, told = document_tables(without_handles(decode(text, source)[0]), text, source)
            yield _Read(told, source, tuple(natives))
        case Form.IPSET_SAVE:
            yield _Read(Ruleset(ipsets=read_ipsets(part.text, source)), source)
        case Form.IPSET_LIST:
            yield _Read(Ruleset(ipsets=read_ipsets(as_saved(part.text, source), source)), source)
        case _:
            assert_never(part.form)


def _included(text: str, source: str) -> Iterator[str]:
    """A remark where it is not this file alone that was read."""
    if _INCLUDE.search(text):
        yield f"{source}: what it includes was looked for on this machine"


_INCLUDE = re.compile(r"^\s*include\s", re.M)
