"""plan.json back to the Plan that `conntrim plan -o DIR` wrote."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.errors import InputError
from conntrim.core.model.json import read_json
from conntrim.core.model.plan import Plan

ADVICE = "make it again with conntrim plan -o DIR"
SCHEMA = 1
"""The schema of the JSON envelope that this version reads (render/json.py)."""


@dataclass(frozen=True, slots=True)
class _Envelope:
    """What tells a plan from any other JSON of ours."""

    kind: str = ""
    schema: int = 0


def parse_plan(data: bytes, source: str) -> Plan:
    """A plan.json's content. InputError where it is none, or was edited into something that is none."""
    try:
        envelope = read_json(data, _Envelope)
        if envelope.kind != "plan":
            raise InputError(source, "this is no plan.json", advice=ADVICE)
        if envelope.schema != SCHEMA:
            raise InputError(source, f"a plan of schema {envelope.schema}, not {SCHEMA}", advice=ADVICE)
        return read_json(data, Plan)
    except ValueError as error:
        raise InputError(source, f"not a valid plan: {error}", advice=ADVICE) from error
