"""A rule-set file of any form to a `Ruleset`; which form it is shows in its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import assert_never

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.ipset import read_ipsets, with_ipsets
from conntrim.core.parse.ipset_list import as_saved
from conntrim.core.parse.nft.document import read_document
from conntrim.core.parse.rule_forms import WANTED, Form, Part, parts
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


def read_all(sources: Iterable[Source], listed: Listed = unlisted) -> Ruleset:
    """Several files of one host as one rule set: both families, both dialects, the contents of its ipsets."""
    return with_ipsets(sum((read(text, source, listed=listed) for source, text in sources), Ruleset()))


def read(text: str | bytes, source: str, family: TableFamily | None = None, listed: Listed = unlisted) -> Ruleset:
    """The rule set of one file in any of the `Form`s, also of several in one.

    `family` where the caller knows it of iptables' rules. InputError with file and line for anything else.
    """
    if isinstance(text, bytes):
        text = decoded(text, source)
    return sum((_part(part, source, family, listed) for part in parts(text, source)), Ruleset())


def _part(part: Part, source: str, family: TableFamily | None, listed: Listed) -> Ruleset:
    match part.form:
        case Form.SAVE:
            return read_save(part.text, source, family)
        case Form.LIST_RULES:
            return read_list_rules(part.text, source, family)
        case Form.NFT_JSON:
            return read_document(part.document, part.text, source)
        case Form.NFT_TEXT:
            return replace(read(listed(part.text, source), source), remarks=tuple(_included(part.text, source)))
        case Form.IPSET_SAVE:
            return Ruleset(ipsets=read_ipsets(part.text, source))
        case Form.IPSET_LIST:
            return Ruleset(ipsets=read_ipsets(as_saved(part.text, source), source))
    assert_never(part.form)


def _included(text: str, source: str) -> Iterator[str]:
    """A remark where it is not this file alone that was read."""
    if _INCLUDE.search(text):
        yield f"{source}: what it includes was looked for on this machine"


_INCLUDE = re.compile(r"^\s*include\s", re.M)
