"""Any value as one JSON object: `kind`, `schema`, `version`, then its own fields."""

from __future__ import annotations

import json
import re

import msgspec

from conntrim import __version__

SCHEMAS = {"census": 2}
"""Kinds of which a field has changed its meaning or gone away since the first schema: the present one. A new field does
not count.
"""


def schema_number(kind: str) -> int:
    """The schema of a kind (docs/json.md)."""
    return SCHEMAS.get(kind, 1)


def to_json(kind: str, value: object) -> str:
    """`value`, a dataclass, as indented JSON with a line feed at the end; enums as their values."""
    fields = msgspec.to_builtins(value, enc_hook=str, str_keys=True)
    return json_text({"kind": kind, "schema": schema_number(kind), "version": __version__} | fields)


def json_text(builtins: object, indent: int = 2) -> str:
    """Lists and dictionaries as JSON with a line feed at the end: only characters that print, the others as escapes.

    A byte that was no UTF-8 (a lone surrogate, PEP 383) comes back as it was, where Python's json reads it.
    """
    try:
        text = msgspec.json.format(msgspec.json.encode(builtins), indent=indent).decode()
    except UnicodeEncodeError:
        text = json.dumps(builtins, indent=indent, ensure_ascii=False)
    return (text if text.isprintable() else _UNSHOWN.sub(_escaped, text)) + "\n"


_UNSHOWN = re.compile(r"[^\x20-\x7e\n]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
