"""Findings of a rule set as SARIF 2.1.0, which code hosts show beside the lines of a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any
from urllib.parse import quote

from conntrim import __version__
from conntrim.core.diagnose.rulesets.ignored import Ignored
from conntrim.core.diagnose.rulesets.registry import PAGES, Checked
from conntrim.core.diagnose.rulesets.rewrite import has_blank
from conntrim.core.model.finding import Edit, Finding, How, Place, Severity
from conntrim.render.json import json_text

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: dict[Severity, str] = {
    Severity.OK: "none", Severity.WARNING: "warning", Severity.CRITICAL: "error", Severity.UNKNOWN: "note",
}  # fmt: skip

Json = dict[str, Any]


def sarif(found: Checked) -> str:
    """One SARIF log with one run."""
    rules = [
        {
            "id": module.CODE,
            "name": module.NAME,
            "shortDescription": {"text": (module.__doc__ or "").splitlines()[0]},
            "fullDescription": {"text": module.__doc__ or ""},
        }
        for module in PAGES
    ]
    driver = {"name": "conntrim", "version": __version__, "rules": rules}
    notes = [{"level": "note", "message": {"text": text}} for text in (*found.undecided, *found.remarks)]
    run = {
        "tool": {"driver": driver},
        "results": [*(_result(f, found.findings) for f in found.findings), *map(_suppressed, found.ignored)],
        "invocations": [{"executionSuccessful": not found.undecided, "toolExecutionNotifications": notes}],
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json_text(log)


def _suppressed(ignored: Ignored) -> Json:
    reason = {"kind": "inSource", "status": "accepted", "justification": ignored.reason}
    return _result(ignored.finding, ()) | {"suppressions": [reason]}


def _result(finding: Finding, every: Sequence[Finding]) -> Json:
    text = "\n".join([finding.title, *finding.evidence, *finding.advice])
    result: Json = {
        "ruleId": finding.code, "ruleIndex": [m.CODE for m in PAGES].index(finding.code),
        "level": LEVELS[finding.severity], "message": {"text": text},
    }  # fmt: skip
    if finding.place:
        result["locations"] = [_location(finding.place)]
    if finding.caused_by:
        cause = next((f for f in every if f.name == finding.caused_by), None)
        result["properties"] = {"causedBy": finding.caused_by}
        if cause and cause.place:
            told = {"text": f"follows from {cause.code}: {cause.title}"}
            result["relatedLocations"] = [_location(cause.place) | {"message": told}]
    if fixes := list(_fixes(finding)):
        result["fixes"] = fixes
    return result


def _location(place: Place) -> Json:
    physical: Json = {"artifactLocation": {"uri": _uri(place)}}
    if place.line:
        physical["region"] = {"startLine": place.line}
    location: Json = {"physicalLocation": physical}
    if place.within:
        location["logicalLocations"] = [{"fullyQualifiedName": place.within}]
    return location


def _uri(place: Place) -> str:
    """A file's name as a URI reference: a name may hold spaces and colons."""
    name = quote(place.source)
    return f"./{name}" if ":" in name.split("/")[0] else name


def _fixes(finding: Finding) -> Iterator[Json]:
    """All edits of a finding as one fix, where they are about lines of files and nothing is left to fill in."""
    edits = finding.edits
    if not edits or not all(e.place.line for e in edits) or any(has_blank(e.text) for e in edits):
        return
    changes = [
        {"artifactLocation": {"uri": uri}, "replacements": [_replacement(e) for e in mine]}
        for uri, mine in groupby(edits, key=lambda e: _uri(e.place))
    ]
    yield {"description": {"text": finding.advice[0] if finding.advice else finding.title}, "artifactChanges": changes}


def _replacement(edit: Edit) -> Json:
    line = edit.place.line
    spans: dict[How, tuple[int, int, str]] = {
        How.REPLACE: (line, line + 1, edit.text + "\n"), How.REMOVE: (line, line + 1, ""),
        How.BEFORE: (line, line, edit.text + "\n"), How.AFTER: (line + 1, line + 1, edit.text + "\n"),
    }  # fmt: skip
    first, end, text = spans[edit.how]
    region = {"startLine": first, "startColumn": 1, "endLine": end, "endColumn": 1}
    return {"deletedRegion": region, "insertedContent": {"text": text}}
