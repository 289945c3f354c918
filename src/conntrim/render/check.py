"""Findings of a rule set as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.finding import Finding
from conntrim.render.json import to_json

WIDTH = 79


def check_json(found: Checked) -> str:
    """One JSON object, kind `check`."""
    return to_json("check", found)


def check_text(found: Checked) -> str:
    """The answer on the first line, then each finding with its place, evidence and advice."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Checked) -> Iterator[str]:
    ignored = f"; {found.ignored} ignored as their comments ask" if found.ignored else ""
    count = len(found.findings)
    answer = f"{count} finding{'s' * (count != 1)}" if count else "not decided" if found.undecided else "clean"
    yield f"{answer} in {found.rules:,} rules{ignored}"
    for finding in found.findings:
        yield ""
        yield from _finding(finding)
    for reason in found.undecided:
        yield ""
        yield from _filled(f"not decided: {reason}")
    for remark in found.remarks:
        yield ""
        yield from _filled(f"note: {remark}")


def _finding(finding: Finding) -> Iterator[str]:
    where = f"{finding.place}: " if finding.place else ""
    yield from _filled(f"{finding.code} {finding.severity.name.lower()}: {where}{finding.title}")
    for line in finding.evidence:
        yield from _filled(line, "  ")
    for line in finding.advice:
        yield from _filled(f"-> {line}", "  ")


def _filled(text: str, indent: str = "") -> list[str]:
    return wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
