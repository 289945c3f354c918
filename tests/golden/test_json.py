"""What the verbs print with `--json` is as the shipped schemas say."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conntrim.cli.main import conntrim
from conntrim.core.model.finding import Severity
from conntrim.core.model.held import Held
from conntrim.core.model.incident import Incident
from conntrim.lab.cause_run import Outcome
from conntrim.render.causes import outcomes_json
from conntrim.render.json import to_json
from tests.fakes.schemas import validated
from tests.golden.test_transcripts import HERE, TRANSCRIPTS
from tests.unit.render.test_incident import KNOCK, SERVED
from tests.unit.store.test_record import written

TABLES = sorted((HERE / "tables").glob("*.txt"))

TEXTS = {"--diff", "--quiet"}
"""Options that ask for another text, which JSON excludes."""


def told(*argv: str) -> dict[str, Any]:
    """What a verb prints as JSON."""
    result = CliRunner().invoke(conntrim, [*argv, "--json"])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return validated(result.output)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda p: str(p.stem))
def test_every_transcript(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """check, compare, explain and plan, of every host of the transcripts."""
    monkeypatch.chdir(HERE / "hosts")
    words = shlex.split(path.read_text().splitlines()[0].removeprefix("$ conntrim "))
    told(*(word for word in words if word not in TEXTS))


@pytest.mark.parametrize("path", TABLES, ids=lambda p: str(p.stem))
def test_every_table(path: Path) -> None:
    """census and diagnose of every saved table; shares are from 0 to 1 and add up."""
    census = told("census", str(path), "--top", "3")
    assert sum(service["share"] for service in census["services"]) + census["other_share"] == pytest.approx(1.0)
    told("diagnose", str(path), "--max", "1000")


def test_a_record(tmp_path: Path) -> None:
    """A panel, a census and a diagnosis of a record."""
    written(tmp_path / "r")
    assert told("census", "--again", "5", str(tmp_path / "r"))["kind"] == "panel"
    told("census", str(tmp_path / "r"))
    told("diagnose", str(tmp_path / "r"))


def test_the_labs_own() -> None:
    """The story's stages; claims of which none was made."""
    validated(to_json("claims", Held()))
    validated(to_json("incident", Incident(1, 1, (SERVED, KNOCK), ("x",))))


def test_causes_are_printed_by_their_schema() -> None:
    """Each diagnosis of a scenario, with what was wanted and what was named."""
    validated(
        outcomes_json([Outcome("a scan", "saved", 300, "CT012", ("CT012",), (), Severity.WARNING, "a port scan")])
    )
