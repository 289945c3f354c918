"""plan.json back to the Plan that `conntrim plan -o DIR` wrote."""

from __future__ import annotations

from dataclasses import dataclass, fields

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


def refuse_other_version(data: bytes, source: str, version: str) -> None:
    """InputError for a plan.json that another conntrim wrote: it lacks what this one compares, or words it otherwise.

    `data` is what `parse_plan` has taken.
    """
    given = read_json(data, dict[str, object])
    by, lacking = given.get("version"), [field.name for field in fields(Plan) if field.name not in given]
    if by != version:
        raise InputError(source, f"made by conntrim {by}, not by this one ({version})", advice=ADVICE)
    if lacking:
        raise InputError(source, f"made by an earlier conntrim: no {', '.join(lacking)} in it", advice=ADVICE)
