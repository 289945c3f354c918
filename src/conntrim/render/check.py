"""Findings of a rule set as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.address import format_address
from conntrim.core.model.finding import Edit, Finding, How, Place, Severity
from conntrim.core.model.packet import Packet
from conntrim.render.edits import instructions
from conntrim.render.json import to_json
from conntrim.render.page import page, wrapped

MOST_EDITS = 6
"""Changes shown of one finding; `--json` has all."""


@dataclass(frozen=True, slots=True)
class _Packet:
    """A witness with its addresses as text."""

    protocol: int
    src: str
    dst: str
    sport: int | None
    dport: int | None
    tcp_flags: int | None
    icmp: int | None
    iif: str
    oif: str
    mark: int


@dataclass(frozen=True, slots=True)
class _Edit:
    how: How
    place: Place
    text: str


@dataclass(frozen=True, slots=True)
class FindingFields:
    """What is printed of one finding."""

    code: str
    severity: Severity
    title: str
    place: Place | None
    evidence: tuple[str, ...]
    witness: _Packet | None
    advice: tuple[str, ...]
    edits: tuple[_Edit, ...]
    caused_by: str


@dataclass(frozen=True, slots=True)
class _Ignored:
    finding: FindingFields
    reason: str


@dataclass(frozen=True, slots=True)
class CheckedFields:
    """What `check` prints as JSON."""

    rules: int
    findings: list[FindingFields]
    ignored: list[_Ignored]
    undecided: tuple[str, ...]
    remarks: tuple[str, ...]


def check_json(found: Checked) -> str:
    """One JSON object, kind `check`."""
    ignored = [_Ignored(_told(i.finding), i.reason) for i in found.ignored]
    return to_json(
        "check", CheckedFields(found.rules, list(map(_told, found.findings)), ignored, found.undecided, found.remarks)
    )


def _told(finding: Finding) -> FindingFields:
    witness = _packet(finding.witness) if finding.witness else None
    return FindingFields(
        finding.code, finding.severity, finding.title, finding.place, finding.evidence, witness, finding.advice,
        tuple(_Edit(e.how, e.place, e.text) for e in finding.edits), finding.caused_by,
    )  # fmt: skip


def _packet(packet: Packet) -> _Packet:
    return _Packet(
        packet.protocol, format_address(packet.src), format_address(packet.dst), packet.sport, packet.dport,
        packet.tcp_flags, packet.icmp, packet.iif, packet.oif, packet.mark,
    )  # fmt: skip


def check_text(found: Checked) -> str:
    """The answer on the first line, then each finding with its place, evidence and advice."""
    return page(_lines(found))


def _lines(found: Checked) -> Iterator[str]:
    yield from wrapped(_answer(found))
    for finding in found.findings:
        if not finding.caused_by:
            yield ""
            yield from _finding(finding)
            same = [f for f in _behind(finding, found.findings) if f.code == finding.code]
            if same:
                places = sorted((f.place for f in same if f.place), key=lambda p: (p.source, p.line, p.within))
                yield from wrapped(f"the same at {', '.join(_short(p, finding.place) for p in places)}", "  ")
            yield from _edits(tuple(dict.fromkeys(e for f in (finding, *same) for e in f.edits)))
            yield from _consequences(finding, found.findings)
    for reason in found.undecided:
        yield ""
        yield from wrapped(f"not decided: {reason}")
    for remark in found.remarks:
        yield ""
        yield from wrapped(f"note: {remark}")


def _answer(found: Checked) -> str:
    count = sum(not f.caused_by for f in found.findings)
    follow = len(found.findings) - count
    parts = [f"{_counted(count)}" if count else "not decided" if found.undecided else "clean"]
    parts[0] += f" in {found.rules:,} rules"
    if any(f.severity is Severity.CRITICAL for f in found.findings):
        parts[0] += ", critical" if count == 1 else ", some critical"
    parts += [f"{follow} more that follow{'s' * (follow == 1)} from {'it' if count == 1 else 'them'}"] if follow else []
    parts += [f"{len(found.ignored)} ignored as the comments ask"] if found.ignored else []
    return "; ".join(parts)


def _counted(count: int) -> str:
    return f"{count} finding{'s' * (count != 1)}"


def _finding(finding: Finding) -> Iterator[str]:
    where = f"{finding.place}: " if finding.place else ""
    yield from wrapped(f"{finding.code} {finding.severity.name.lower()}: {where}{finding.title}")
    for line in finding.evidence:
        yield from wrapped(line, "  ")
    for line in finding.advice:
        yield from wrapped(f"-> {line}", "  ")


def _edits(edits: Sequence[Edit]) -> Iterator[str]:
    for what, texts in instructions(edits[:MOST_EDITS]):
        yield from wrapped(f"-> {what}", "  ")
        for text in texts:
            yield from _continued(text) if text.startswith("nft ") else wrapped(text, "     ")
    if len(edits) > MOST_EDITS:
        yield f"     and {len(edits) - MOST_EDITS} more changes (--json)"


def _behind(cause: Finding, every: Sequence[Finding]) -> list[Finding]:
    return [f for f in every if f.caused_by == cause.name]


def _consequences(cause: Finding, every: Sequence[Finding]) -> Iterator[str]:
    """What follows from a finding: other kinds with their title and packet. The cause's cure is theirs."""
    for finding in _behind(cause, every):
        if finding.code != cause.code:
            yield from wrapped(f"so {finding.code} {finding.severity.name.lower()}: {finding.title}", "  ")
            for line in finding.evidence:
                yield from wrapped(line, "    ")
        yield from _consequences(finding, every)


def _continued(text: str) -> list[str]:
    """A command of nft over several lines: nft reads on behind a backslash, also within quotes."""
    lines = wrapped(text, "     ", less=2)
    return [line + " \\" for line in lines[:-1]] + lines[-1:]


def _short(place: Place, cause: Place | None) -> str:
    """`:17` where the file is the cause's, else the whole place."""
    return f":{place.line}" if place.line and cause and place.source == cause.source else str(place)
