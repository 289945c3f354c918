"""Do the packets of a plan's services still pass, and nobody else's? Five of the obligations, by walks of boxes.

*All* and *none* of a walk are exact (box.py); where it ends in *some*, the answer is *not decided*, with the rule that
stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conntrim.core.model.ruleset import (
    Chain,
    End,
    Rule,
    Table,
    Verdict,
)
from conntrim.core.plan.admission import Course, excused
from conntrim.core.plan.compiled import BROKEN, OPEN, PROVED, Compiled, Judgement, worst
from conntrim.core.plan.spelling import PLACE
from conntrim.core.plan.walk import hits, later_box


def _course(c: Compiled, course: Course) -> Judgement:
    """Whether every packet that was let through is let through by one base chain."""
    label = f"{course.passage.label} over {course.passage.family.name} in {course.table.name} {course.base.name}"
    if course.doubts:
        doubt = course.doubts[0]
        return OPEN, f"{label}: {doubt.rule.place} is not copied: {doubt.why}", doubt.rule.text
    table, chain = _after(c, course)
    for admission in course.admitted:
        box = later_box(admission.box, course.passage.later)
        ends = list(hits(table, chain, box))
        bad = [e for e in ends if not _passes(e, chain, course)]
        if bad:
            rule = bad[0][0] if bad[0] else None
            place = str(rule.place) if rule else f"the policy of {chain.name}"
            standing = BROKEN if len(bad) == len(ends) else OPEN
            return standing, f"{label}: {place} may refuse it as {box.state.name}", rule.text if rule else ""
    return PROVED, "", ""


def _passes(end: tuple[Rule, End] | None, chain: Chain, course: Course) -> bool:
    """Accepted, or refused where the tracked packets were refused as well."""
    if end is None:
        return chain.base is None or chain.base.policy is Verdict.ACCEPT
    rule, verdict = end
    twins = {id(t.original) for t in course.twins if t.original is not None}
    ours = rule.place.source == PLACE.source
    return verdict.verdict is Verdict.ACCEPT or (ours and bool(twins)) or excused(rule, course)


def _after(c: Compiled, course: Course) -> tuple[Table, Chain]:
    key = (course.table.dialect, course.table.family, course.table.name)
    table = next(t for t in c.after.tables if (t.dialect, t.family, t.name) == key)
    return table, table.chain(course.base.name) or course.base


def _courses(c: Compiled, wanted: Callable[[Course], bool], fine: str) -> Judgement:
    return worst((_course(c, course) for course in c.courses if course.admitted and wanted(course)), fine)


def delivered(c: Compiled) -> Judgement:
    """The policy's own packets pass every filter as before."""
    count = sum(1 for course in c.courses if course.passage.leg and course.admitted)
    fine = f"walked {count} ways of legs through filter chains: whatever was let through still is, with all TCP flags"
    return _courses(c, lambda course: course.passage.leg is not None, fine)


def errors_return(c: Compiled) -> Judgement:
    """ICMP errors about untracked flows come in as before."""
    fine = "ICMP errors about untracked flows are let in where those about tracked ones were"
    return _courses(
        c, lambda x: x.passage.label.startswith("icmp errors") and not x.passage.label.endswith("out"), fine
    )


def answers_leave(c: Compiled) -> Judgement:
    """Resets and ICMP errors about untracked packets leave as before."""
    fine = "resets and ICMP errors about untracked packets leave where those about tracked ones did"
    return _courses(c, lambda x: x.passage.leg is None and x.passage.label != "icmp errors in", fine)


def no_loss(c: Compiled) -> Judgement:
    """Nothing else that passed is refused."""
    inside = [(s, w, x) for s, w, x in (delivered(c), errors_return(c), answers_leave(c)) if s is not PROVED]
    return worst(inside, "packets outside the legs meet no new rule that matches them; the legs are delivered")


def no_exposure(c: Compiled) -> Judgement:
    """Nothing else that was refused passes."""
    found: list[Judgement] = []
    for course in c.courses:
        if course.passage.leg is None or _open_before(course):
            continue
        found += [(OPEN, f"{d.rule.place}: {d.why}", d.rule.text) for d in course.doubts]
        found += _newly_accepting(c, course)
    fine = "every added accept matches a leg, an ICMP error or a reset only, and stands behind what refused it before"
    return worst(found, fine)


def _newly_accepting(c: Compiled, course: Course) -> Iterator[Judgement]:
    """Rules and policies of the operator's that accept packets of a leg which they did not meet before."""
    table, chain = _after(c, course)
    met = {id(end[0]) if end else 0 for end in hits(course.table, course.base, course.passage.before)}
    policy = chain.base.policy if chain.base else Verdict.ACCEPT
    for end in hits(table, chain, course.passage.later):
        if (end[1].verdict if end else policy) is not Verdict.ACCEPT or (end and end[0].place.source == PLACE.source):
            continue
        if (id(end[0]) if end else 0) not in met:
            place, text = (str(end[0].place), end[0].text) if end else (f"the policy of {chain.name}", "")
            why = f"{place} accepts {course.passage.later.state.name} packets of {course.passage.label}"
            yield BROKEN, f"{why}, of which some were refused before", text


def _open_before(course: Course) -> bool:
    """Whether every first packet of the passage was accepted before."""
    policy = course.base.base.policy if course.base.base else Verdict.ACCEPT
    ends = hits(course.table, course.base, course.passage.before)
    return all((e[1].verdict if e else policy) is Verdict.ACCEPT for e in ends)
