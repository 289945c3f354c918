"""The JSON Schemas that are shipped are those of the printed types; a difference is a decision (docs/json.md)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from conntrim.render.schemas import KINDS, schema_of

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "src" / "conntrim" / "schemas"


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_schema_is_that_of_the_type(kind: str) -> None:
    """`make golden` accepts a new field; a field that is gone or means something else counts the schema's number up."""
    path, text = SHIPPED / f"{kind}.json", json.dumps(schema_of(kind), indent=1) + "\n"
    if os.environ.get("GOLDEN") == "accept":
        path.write_text(text)
    assert path.read_text() == text, "docs/json.md says what may change; `make golden` accepts it"
    jsonschema.Draft202012Validator.check_schema(json.loads(text))


def test_every_kind_that_is_printed_has_a_schema() -> None:
    """The kinds in the code's calls of `to_json`; those of the rollout are the verbs' names."""
    calls = re.compile(r"""(?:to_json|_json)\(\s*"(\w+)",""")
    printed = {kind for path in (ROOT / "src").rglob("*.py") for kind in calls.findall(path.read_text())}
    assert printed | {"apply", "confirm", "rollback", "status"} == set(KINDS)


def test_no_other_schema_is_shipped() -> None:
    """One file a kind, and each kind stands in the manual."""
    assert {path.stem for path in SHIPPED.glob("*.json")} == set(KINDS)
    page = (ROOT / "docs/json.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
