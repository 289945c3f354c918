"""The doctor's report as text: one screen of 80 columns, the verdict in its first line as Nagios wants it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

from conntrim.core.diagnose import filling_up, log_overflow, packets_dropped, table_full
from conntrim.core.diagnose.report import Diagnosis, Figures
from conntrim.core.diagnose.wording import duration, number, per_second, percent, size
from conntrim.core.model.facts import Events, NamespaceUse
from conntrim.core.model.finding import Finding, Remedy, RemedyKind, Severity
from conntrim.core.model.printable import shown
from conntrim.render.page import page, width

LABEL = 12
"""Columns of the labels on the left."""

ABOVE = frozenset({table_full.CODE, packets_dropped.CODE, log_overflow.CODE, filling_up.CODE})
"""Findings whose numbers stand in the part above already."""

MOST_CAUSES, MOST_FINDINGS, MOST_OF_CODE, MOST_REMARKS, MOST_NAMESPACES = 4, 5, 2, 2, 4
MOST_OF_KIND = {
    RemedyKind.UNTRACK: 3, RemedyKind.KEEP_ALIVE: 1, RemedyKind.TIMEOUT: 2, RemedyKind.ENLARGE: 1,
    RemedyKind.SERVICE_TIMEOUT: 1,
    RemedyKind.LIMIT: 2, RemedyKind.BLOCK: 1, RemedyKind.DELETE: 1, RemedyKind.REPAIR: 2,
}  # fmt: skip
"""Rows shown of each, so that the report stays on one screen; `--json` has all."""

SETTINGS = frozenset({RemedyKind.TIMEOUT, RemedyKind.SERVICE_TIMEOUT, RemedyKind.ENLARGE, RemedyKind.LIMIT})
"""What is one command or a few, shown even where it is not for an outage."""

MARK = {Severity.OK: " ", Severity.WARNING: "!", Severity.CRITICAL: "!!"}
"""How a finding's severity shows."""


INDENT = " " * 8
"""What a finding's evidence is set in by."""


def diagnosis_text(report: Diagnosis) -> str:
    """The whole report."""
    lines = [f"{report.verdict.name} - {report.summary}"]
    for part in (
        _where(report),
        _table(report),
        _fillers(report),
        _viewpoint(report),
        _causes(report),
        _findings(report),
        _remedies(report),
        _doubts(report),
    ):
        lines += part
    return page(lines)


def _row(label: str, text: str) -> Iterator[str]:
    """A label and its text, which goes on below itself for one line."""
    lines = textwrap.wrap(shown(text), width() - LABEL, max_lines=2, placeholder=" ...") or [""]
    yield f"{label:<{LABEL}}{lines[0]}".rstrip()
    yield from (" " * LABEL + line for line in lines[1:])


def _where(report: Diagnosis) -> Iterator[str]:
    kernel = f" ({report.kernel})" if report.kernel else ""
    inode = f", net:[{report.netns}]" if report.netns else ""
    namespace = f", namespace {report.namespace}" if report.namespace else ""
    yield from _row("Host", f"{report.source}{kernel}{namespace}{inode}")


def _table(report: Diagnosis) -> Iterator[str]:
    figures = report.figures
    rows = {
        "Trial": report.trial,
        "Table": _fill(figures),
        "Drops": _drops(figures),
        "Refused": _refused(figures),
        "Growth": _growth(figures),
        "TCP": _tcp(figures),
        "Chains": _chains(figures),
        "Memory": _memory(figures),
        "Log": _log(figures),
        "Namespaces": _namespaces(report.namespaces),
        "Events": _events(report.events),
    }
    for label, text in rows.items():
        if text:
            yield from _row(label, text)


def _fill(figures: Figures) -> str:
    if figures.entries is None:
        return "the number of entries is not known"
    if figures.max == 0:
        return f"{number(figures.entries)} entries, no limit (max is 0)"
    if figures.max is None or figures.fill_percent is None:
        return f"{number(figures.entries)} entries, max is not known"
    fill = f"{number(figures.entries)} of {number(figures.max)} entries ({percent(figures.entries, figures.max)})"
    return f"{fill}, room for {number(figures.headroom or 0)}"


def _drops(figures: Figures) -> str:
    if figures.drop is None:
        return ""
    now = "" if figures.drop_per_second is None else f", {per_second(figures.drop_per_second)} now"
    return f"{number(figures.drop)} packets since boot{now}{_readings(figures)}"


def _readings(figures: Figures) -> str:
    return "" if figures.span is None else f" (two readings, {figures.span:.1f} s apart)"


def _refused(figures: Figures) -> str:
    meaning = {
        "chain too long": figures.chaintoolong,
        "lost a race or chain (insert_failed)": figures.insert_failed,
        "thrown out early": figures.early_drop,
    }
    known = {name: value for name, value in meaning.items() if value is not None}
    if not any(known.values()):
        return ""
    return ", ".join(f"{name} {number(value)}" for name, value in known.items() if value)


def _tcp(figures: Figures) -> str:
    """What TCP noted of its entries, where every twentieth has it."""
    meaning = {
        "wait for an acknowledgement": figures.unacknowledged,
        "are be-liberal: picked up in the middle, or in a trial": figures.be_liberal,
    }
    entries = figures.entries or 0
    return ", ".join(f"{number(value)} {name}" for name, value in meaning.items() if value and 20 * value >= entries)


def _growth(figures: Figures) -> str:
    if figures.growth_per_second is None or not figures.max:
        return ""
    sign = "+" if figures.growth_per_second > 0 else ""
    if figures.headroom == 0:
        when = "full now"
    elif figures.seconds_to_full is None:
        when = "not filling"
    else:
        when = f"full in {duration(figures.seconds_to_full)} at this rate"
    return f"{sign}{per_second(figures.growth_per_second)}; {when}"


def _chains(figures: Figures) -> str:
    if figures.chain is None or figures.buckets is None:
        return ""
    full = "" if figures.chain_at_max is None else f", {figures.chain_at_max:,.1f} when full"
    return f"{figures.chain:,.1f} tuples a bucket{full} (2 an entry, {number(figures.buckets)} buckets)"


def _memory(figures: Figures) -> str:
    if figures.bytes_now is None:
        return ""
    full = "" if figures.bytes_at_max is None else f", {size(figures.bytes_at_max)} when full"
    return f"{size(figures.bytes_now)} now{full} ({figures.entry_bytes} bytes an entry)"


def _log(figures: Figures) -> str:
    if not figures.log_lines:
        return ""
    lines = f'{number(figures.log_lines)} line{"s" if figures.log_lines > 1 else ""} "table full"'
    return f"{lines}, first {figures.log_first}, last {figures.log_last}"


def _events(events: Events | None) -> str:
    """Rates where the stream has times, else numbers."""
    if events is None:
        return ""
    told = f"{number(events.new)} new, {number(events.destroyed)} ended"
    if events.seconds:
        told += f" in {duration(events.seconds)}: {per_second(events.new / events.seconds)} new"
    return f"{told}; most {', '.join(f'{port} {number(count)}' for port, count in events.ports)}"


def _namespaces(uses: tuple[NamespaceUse, ...]) -> str:
    """The fullest, where there is more than one; max counts for each of them (K25)."""
    if len(uses) < 2:
        return ""
    shown = [_namespace(use) for use in uses[:MOST_NAMESPACES]]
    more = [f"{len(uses) - MOST_NAMESPACES} more"] if len(uses) > MOST_NAMESPACES else []
    return "; ".join(shown + more)


def _namespace(use: NamespaceUse) -> str:
    dropped = f" ({number(use.drop)} dropped)" if use.drop else ""
    return f"{use.name or use.inode} {number(use.count)}{dropped}"


def _fillers(report: Diagnosis) -> Iterator[str]:
    if not report.fillers:
        return
    bound = "" if report.sampled_bound is None else f" (sampled, +-{100 * report.sampled_bound:.1f} %)"
    yield f"Who fills it{bound}"
    for filler in report.fillers:
        state = f"{100 * filler.state_share:.0f} % {filler.state}" if filler.state else ""
        yield f"  {_cut(filler.service, 38):<38}{number(filler.entries):>11}{filler.share:>7.1%}  {state}".rstrip()
    if report.other_services:
        yield f"  {_others(report.other_services):<38}{number(report.other_entries):>11}"


def _others(services: int) -> str:
    return "1 other" if services == 1 else f"{number(services)} others"


def _viewpoint(report: Diagnosis) -> Iterator[str]:
    """Whose table it is, where that was inferred."""
    if not report.local_inferred:
        return
    shown = "; ".join(report.local_evidence[:2]) or "no address of its own was found"
    yield from _row("Seen from", f"{', '.join(report.local[:3])}{': ' * bool(report.local)}{shown}")
    if report.local_doubt:
        yield from _row("Or else", f"{report.local_doubt}; say which with --local")


def _causes(report: Diagnosis) -> Iterator[str]:
    if report.causes:
        yield "Why"
    for cause in report.causes[:MOST_CAUSES]:
        bound = f" (+-{100 * cause.bound:.1f})" if cause.bound else ""
        yield _cut(f"{MARK[cause.severity]:<3}{cause.code} {percent(cause.share, 1)}{bound} {cause.title}", width())
        yield from _evidence("; ".join(cause.evidence_for), 2)
        if cause.who:
            who = (
                f"{each} behind {cause.interfaces[each]}" if each in cause.interfaces else each for each in cause.who
            )
            yield from _evidence(f"who: {', '.join(who)}", 1)
        if cause.evidence_against:
            yield from _evidence(f"but: {'; '.join(cause.evidence_against)}", 2)
    if len(report.causes) > MOST_CAUSES:
        yield f"   and {len(report.causes) - MOST_CAUSES} more (--json)"


def _evidence(text: str, most: int) -> Iterator[str]:
    yield from textwrap.wrap(
        shown(text), width(), initial_indent=INDENT, subsequent_indent=INDENT, max_lines=most, placeholder=" ..."
    )


def _findings(report: Diagnosis) -> Iterator[str]:
    found = [finding for finding in report.findings if finding.code not in ABOVE]
    found.sort(key=lambda finding: -finding.severity)
    shown = [finding for at, finding in enumerate(found) if _codes(found[:at], finding.code) < MOST_OF_CODE]
    if shown:
        yield "What else is not right"
    for finding in shown[:MOST_FINDINGS]:
        yield from _finding(finding)
    if len(found) > len(shown[:MOST_FINDINGS]):
        yield f"   and {len(found) - len(shown[:MOST_FINDINGS])} more (--json)"


def _codes(findings: list[Finding], code: str) -> int:
    return sum(finding.code == code for finding in findings)


def _finding(finding: Finding) -> Iterator[str]:
    place = f" ({finding.place})" if finding.place else ""
    yield _cut(f"{MARK[finding.severity]:<3}{finding.code} {finding.title}{place}", width())
    if finding.evidence:
        yield from _evidence("; ".join(finding.evidence), 2)


def _remedies(report: Diagnosis) -> Iterator[str]:
    left = dict(MOST_OF_KIND)
    helpful = [remedy for remedy in report.remedies if remedy.matters and _within(left, remedy)]
    useless = [remedy for remedy in report.remedies if not remedy.matters]
    if helpful:
        yield f"{'What helps':<61}{'entries after':>18}"
    takes = set[tuple[str, str]]()
    for rank, remedy in enumerate(helpful, 1):
        yield f"{rank:>2} {_cut(remedy.title, 62):<63}{number(remedy.entries_after):>13}"
        if remedy.now or remedy.kind in SETTINGS:
            yield from (f"     {line}" for how in remedy.how for line in command_lines(how, width() - 5))
        if remedy.takes not in takes:
            yield from _wait(remedy)
        takes.add(remedy.takes)
    if useless:
        yield "What does not"
    for remedy in useless:
        yield f"   {_cut(remedy.title, 62):<63}{number(remedy.entries_after):>13}"


def _wait(remedy: Remedy) -> Iterator[str]:
    """How long it takes and what it costs; said once where several are alike."""
    yield from textwrap.wrap(
        shown(f"({remedy.works_in}; {remedy.costs})"), width(), initial_indent=" " * 5, subsequent_indent=" " * 5,
        max_lines=2,
    )  # fmt: skip


def command_lines(command: str, width: int) -> Iterator[str]:
    """A command of the shell in lines of at most so many columns where its words allow it, each but the last with a
    backslash at its end; what stands in quotes stays together.
    """
    line = ""
    for word in re.findall(r"(?:[^\s']|'[^']*')+", shown(command)):
        if line and len(line) + len(word) + 3 > width:
            yield f"{line} \\"
            line = f"  {word}"
        else:
            line = f"{line} {word}" if line else word
    yield line


def _within(left: dict[RemedyKind, int], remedy: Remedy) -> bool:
    left[remedy.kind] -= 1
    return left[remedy.kind] >= 0


def _doubts(report: Diagnosis) -> Iterator[str]:
    remarks = report.remarks
    for label, remark in zip(["Not known", *[""] * MOST_REMARKS], remarks[:MOST_REMARKS], strict=False):
        yield from _row(label, remark)
    if len(remarks) > MOST_REMARKS:
        yield from _row("", f"and {len(remarks) - MOST_REMARKS} more (--json)")


def _cut(text: str, width: int) -> str:
    """At most so many columns; what is cut shows as three dots."""
    text = shown(text)
    return text if len(text) <= width else text[: width - 3] + "..."
