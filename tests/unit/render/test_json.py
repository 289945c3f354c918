"""JSON that any reader takes and any terminal shows."""

import json
from pathlib import Path

from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.parse.ruleset import read
from conntrim.render.check import check_json
from conntrim.render.json import json_text

HOSTILE = "a\x1b[2J\x9b\x7f\u202e\n\udce9\U000e0041 ü"


def test_json_is_valid_prints_and_comes_back() -> None:
    """Only printing characters and line feeds between the fields; the value read back is the one that was written."""
    text = json_text({"comment": HOSTILE, "n": 1})
    assert text.replace("\n", "").isprintable()
    assert text.encode()
    assert json.loads(text) == {"comment": HOSTILE, "n": 1}
    assert "ü" in text


def test_json_without_surrogates_is_laid_out_alike() -> None:
    """A name that is no UTF-8 changes nothing else of the layout."""
    value: dict[str, object] = {"a": [1, 2.5, None, True, []], "b": {}}
    assert json_text(value | {"c": "\udce9"}).replace("udce9", "u00e9") == json_text(value | {"c": "é"}).replace(
        "é", "\\u00e9"
    )


def test_an_edit_in_json_is_what_is_shown_of_it() -> None:
    """What it does to the rule set stays inside: how, where and the text are for others."""
    host = Path(__file__).parents[2] / "golden/hosts/web-one-sided.save"
    report = json.loads(check_json(check_ruleset(read(host.read_text(), host.name), None)))
    edits = [edit for finding in report["findings"] for edit in finding["edits"]]
    assert edits
    assert [{"how", "place", "text"}] * len(edits) == [set(edit) for edit in edits]
