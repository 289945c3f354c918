"""The JSON Schema of every kind of JSON output, made from the types that are printed."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import Any, get_type_hints

import msgspec

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
from conntrim.core.rollout.history import History
from conntrim.core.rollout.report import Report
from conntrim.render.causes import CausesFields
from conntrim.render.check import CheckedFields, FindingFields
from conntrim.render.compare import ComparisonFields
from conntrim.render.json import schema_number

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_HINTS = get_type_hints(Diagnosis) | {"findings": tuple[FindingFields, ...]}
DIAGNOSED = make_dataclass("Diagnosis", [(f.name, _HINTS[f.name]) for f in fields(Diagnosis)])
"""What `diagnose` prints: what it finds are no rules, so no finding has an edit whose operations had to be told."""

KINDS: dict[str, type] = {
    "census": Census, "panel": Panel, "record": Recorded, "diagnosis": DIAGNOSED, "plan": Plan,
    "explanation": Explanation, "check": CheckedFields, "comparison": ComparisonFields, "apply": Report,
    "confirm": Report, "rollback": Report, "status": Report, "history": History, "incident": Incident, "replay": Replay,
    "truth": Truth, "claims": Held, "plans": Held, "causes": CausesFields,
}  # fmt: skip
"""Kind to the type whose fields it has."""

SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
SERVICE: dict[str, dict[str, Any]] = {
    "service": {"type": "string"}, "direction": {"$ref": "#/$defs/Direction"},
    "protocol": {"type": "string"}, "port": {"type": "integer", "minimum": 0, "maximum": 65_535},
    "servers": {"type": "array", "items": {"type": "string"}}, "share": SHARE,
}  # fmt: skip
"""What a census tells of a service beside its numbers."""


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of one kind: every field of today is required, others may come."""
    made, parts = msgspec.json.schema_components([KINDS[kind]], schema_hook=_text, ref_template="#/$defs/{name}")
    for part in parts.values():
        if "properties" in part:
            part["required"] = sorted(part["properties"])
            for each in part["properties"].values():
                each.pop("default", None)
    top = parts.pop(made[0]["$ref"].rpartition("/")[2])
    if kind == "census":
        _census(top, parts)
    own = {"kind": {"const": kind}, "schema": {"const": schema_number(kind)}, "version": {"type": "string"}}
    properties = own | top["properties"]
    return {
        "$schema": DIALECT, "title": kind, "description": top.get("description", ""), "type": "object",
        "properties": properties, "required": sorted(properties), "$defs": parts,
    }  # fmt: skip


def _text(_: type) -> dict[str, Any]:
    """What no other rule says is printed as text."""
    return {"type": "string"}


def _census(top: dict[str, Any], parts: dict[str, dict[str, Any]]) -> None:
    """A census is printed with its services spelt out, and with shares."""
    service = parts["ServiceCount"]
    service["properties"] |= SERVICE
    service["required"] = sorted(service["properties"])
    parts["Sample"]["properties"]["bound"] = SHARE
    for gone in ("Service", "Intervals"):
        parts.pop(gone, None)
    top["properties"] |= {"other_share": SHARE, "idle_steps": {"type": "array", "items": {"type": "integer"}}}
