"""Any value as one JSON object: `kind`, `schema`, `version`, then its own fields."""

from __future__ import annotations

import msgspec

from conntrim import __version__

SCHEMA = 1
"""Counts up when a field changes its meaning or goes away; a new field does not count."""


def to_json(kind: str, value: object) -> str:
    """`value`, a dataclass, as indented JSON with a line feed at the end; enums as their values."""
    fields = msgspec.to_builtins(value, enc_hook=str, str_keys=True)
    envelope = {"kind": kind, "schema": SCHEMA, "version": __version__} | fields
    return msgspec.json.format(msgspec.json.encode(envelope), indent=2).decode() + "\n"
