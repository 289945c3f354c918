"""The JSON Schema of every kind of JSON output, made from the types that are printed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from conntrim.core.diagnose.report import Diagnosis
from conntrim.core.model.census import Census
from conntrim.core.model.explanation import Explanation
from conntrim.core.model.held import Held
from conntrim.core.model.incident import Incident
from conntrim.core.model.panel import Panel
from conntrim.core.model.plan import Plan
from conntrim.core.model.record import Recorded
from conntrim.core.model.replay import Replay
from conntrim.core.model.truth import Truth
from conntrim.core.rollout.report import Report
from conntrim.render.check import CheckedFields
from conntrim.render.compare import ComparisonFields
from conntrim.render.json import schema_number

DIALECT = "https://json-schema.org/draft/2020-12/schema"

KINDS: dict[str, type] = {
    "census": Census, "panel": Panel, "record": Recorded, "diagnosis": Diagnosis, "plan": Plan,
    "explanation": Explanation, "check": CheckedFields, "comparison": ComparisonFields, "apply": Report,
    "confirm": Report, "rollback": Report, "status": Report, "incident": Incident, "replay": Replay,
    "truth": Truth, "claims": Held,
}  # fmt: skip
"""Kind to the type whose fields it has."""

PLAIN: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}

SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
SERVICE: dict[str, dict[str, Any]] = {
    "service": {"type": "string"}, "direction": {"$ref": "#/$defs/Direction"},
    "protocol": {"type": "string"}, "port": {"type": "integer", "minimum": 0, "maximum": 65_535},
    "servers": {"type": "array", "items": {"type": "string"}}, "share": SHARE,
}  # fmt: skip
"""What a census tells of a service beside its numbers."""


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of one kind: every field of today is required, others may come."""
    parts: dict[str, dict[str, Any]] = {}
    _of(KINDS[kind], parts)
    top = parts.pop(KINDS[kind].__name__)
    if kind == "census":
        _census(top, parts)
    own = {"kind": {"const": kind}, "schema": {"const": schema_number(kind)}, "version": {"type": "string"}}
    properties = own | top["properties"]
    return {
        "$schema": DIALECT, "title": kind, "description": top["description"], "type": "object",
        "properties": properties, "required": sorted(properties), "$defs": dict(sorted(parts.items())),
    }  # fmt: skip


def _of(kind: Any, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of a type; those of dataclasses and enumerations are put into `parts` and referred to."""
    origin, of = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_of(each, parts) for each in of]}
    if origin is tuple and of[-1:] != (...,):
        return {"type": "array", "prefixItems": [_of(each, parts) for each in of]}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _of(of[0], parts)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(of[1], parts)}
    if kind in PLAIN:
        return {"type": PLAIN[kind]}
    if not is_dataclass(kind) and not issubclass(kind, Enum):
        return {"type": "string"}  # what no other rule says is printed as text
    if kind.__name__ not in parts:
        parts[kind.__name__] = {}
        parts[kind.__name__] = _members(kind, parts)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _members(kind: Any, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema of a dataclass or an enumeration."""
    told = {"description": inspect.cleandoc(kind.__doc__ or "")}
    if not is_dataclass(kind):
        return told | {"enum": sorted(each.value for each in kind)}
    hints = get_type_hints(kind)
    properties = {each.name: _of(hints[each.name], parts) for each in fields(kind)}
    return told | {"type": "object", "properties": properties, "required": sorted(properties)}


def _census(top: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    """A census is printed with its services spelt out, and with shares."""
    service = parts["ServiceCount"]
    service["properties"] |= SERVICE
    service["required"] = sorted(service["properties"])
    parts["Sample"]["properties"]["bound"] = SHARE
    for gone in ("Service", "Intervals"):
        parts.pop(gone, None)
    top["properties"] |= {"other_share": SHARE, "idle_steps": {"type": "array", "items": {"type": "integer"}}}
