"""Outputs held against the schemas that are shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

SHIPPED = Path(__file__).parents[2] / "src" / "conntrim" / "schemas"


def validated(text: str) -> dict[str, Any]:
    """One JSON object, which must be as the schema of its kind says."""
    told: dict[str, Any] = json.loads(text)
    schema = json.loads((SHIPPED / f"{told['kind']}.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(told)
    return told
