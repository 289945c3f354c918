"""Findings of a rule set as SARIF 2.1.0, which code hosts show beside the lines of a file."""

from __future__ import annotations

from typing import Any

import msgspec

from conntrim import __version__
from conntrim.core.diagnose.rulesets.registry import MODULES, Checked
from conntrim.core.model.finding import Finding, Severity

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: dict[Severity, str] = {
    Severity.OK: "none", Severity.WARNING: "warning", Severity.CRITICAL: "error", Severity.UNKNOWN: "note",
}  # fmt: skip


def sarif(found: Checked) -> str:
    """One SARIF log with one run."""
    rules = [
        {
            "id": module.CODE,
            "name": module.NAME,
            "shortDescription": {"text": (module.__doc__ or "").splitlines()[0]},
            "fullDescription": {"text": module.__doc__ or ""},
        }
        for module in MODULES
    ]
    driver = {"name": "conntrim", "version": __version__, "rules": rules}
    notes = [{"level": "note", "message": {"text": text}} for text in (*found.undecided, *found.remarks)]
    run = {
        "tool": {"driver": driver},
        "results": [_result(finding) for finding in found.findings],
        "invocations": [{"executionSuccessful": not found.undecided, "toolExecutionNotifications": notes}],
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _result(finding: Finding) -> dict[str, Any]:
    text = "\n".join([finding.title, *finding.evidence, *finding.advice])
    result: dict[str, Any] = {
        "ruleId": finding.code, "level": LEVELS[finding.severity], "message": {"text": text},
    }  # fmt: skip
    if finding.place:
        location: dict[str, Any] = {"artifactLocation": {"uri": finding.place.source}}
        if finding.place.line:
            location["region"] = {"startLine": finding.place.line}
        result["locations"] = [{"physicalLocation": location}]
    return result
