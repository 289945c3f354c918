"""Text that came as bytes: what is no UTF-8 in it (one Latin-1 comment in a rule) is kept as lone surrogates, each
standing for its byte and goes back as that byte (PEP 383)."""

from __future__ import annotations

import re

_LONE = re.compile("[\ud800-\udfff]")


def text_of(data: bytes) -> str:
    """Bytes as text, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes that `text_of` read; a surrogate that stands for no byte becomes a question mark."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udc7f\udd00-\udfff]", "?", text).encode("utf-8", "surrogateescape")


def is_plain(text: str) -> bool:
    """Whether every byte of it is UTF-8."""
    return _LONE.search(text) is None
