"""A rule-set file of any kind to a `Ruleset`: the kinds are told apart by content."""

from __future__ import annotations

import re
from collections.abc import Iterable

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.parse.ipset import IPSET, read_ipsets, with_ipsets
from conntrim.core.parse.nft.document import read_nft
from conntrim.core.parse.xt.save import read_save

_NFT_TEXT = re.compile(r"^(?:#!.*\bnft\b|table\s\w+|flush ruleset|add (?:table|chain|rule)\s|define\s|include\s)", re.M)
_LISTED = re.compile(r"^Chain \S+ \((?:policy|\d+ references?)", re.M)


def decoded(data: bytes, source: str) -> str:
    """Bytes as text; InputError with the line where they are no UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(source, "these bytes are no UTF-8 text", line=line) from error


Source = tuple[str, str | bytes]
"""A file's name and content."""


def read_all(sources: Iterable[Source]) -> Ruleset:
    """Several files of one host as one rule set: both families, both dialects, the contents of its ipsets."""
    return with_ipsets(sum((read(text, source) for source, text in sources), Ruleset()))


def read(text: str | bytes, source: str, family: TableFamily | None = None) -> Ruleset:
    """The rule set of one file: iptables-save, ip6tables-save, `nft -j list ruleset`, `ipset save`.

    `family` where the caller knows it of an iptables-save. InputError with file and line for anything else.
    """
    if isinstance(text, bytes):
        text = decoded(text, source)
    if text.lstrip()[:1] == "{":
        return read_nft(text, source)
    if IPSET.match(text):
        return Ruleset(ipsets=read_ipsets(text, source))
    if _LISTED.search(text):
        raise InputError(source, "this is `iptables -L`, which hides half of it", advice="give me iptables-save")
    if _NFT_TEXT.search(text):
        raise InputError(source, "this is nft's own text", advice="give me `nft -j list ruleset`")
    return read_save(text, source, family)
