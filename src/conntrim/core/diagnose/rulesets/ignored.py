"""What a rule's comment asks to leave out: `check: ignore CT101,CT103 REASON`.

Without a reason nothing is left out: whoever reads the rule set next year wants to know why. Earlier releases had
people write `conntrim: ignore`, which is read as well.
"""

from __future__ import annotations

import re  # rule text: comments of the operator's
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from conntrim.core.model.finding import Finding, Place
from conntrim.core.model.ruleset import Ruleset

ASKED = re.compile(r"(?:\bconntrim|^check): *ignore\b *(CT\d{3}(?: *, *CT\d{3})*)?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Request:
    """One comment's wish: these codes, at this rule, for this reason."""

    place: Place
    codes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A finding that was left out, and why."""

    finding: Finding
    reason: str


@dataclass(frozen=True, slots=True)
class Sorted:
    """Findings to tell, findings left out, and what is wrong with the comments."""

    told: tuple[Finding, ...]
    ignored: tuple[Ignored, ...]
    remarks: tuple[str, ...]


def requests(ruleset: Ruleset) -> Iterator[Request]:
    """The wishes in all rules' comments; an nft rule that stands here as several has its wish once."""
    seen: set[Place] = set()
    for rule in (r for r in ruleset.rules() if "ignore" in r.comment):
        found = ASKED.search(rule.comment)
        if found and rule.place not in seen:
            seen.add(rule.place)
            codes = tuple(code.strip() for code in (found[1] or "").split(",") if code.strip())
            yield Request(rule.place, codes, found[2].strip())


def sort_out(found: Iterable[Finding], ruleset: Ruleset, known: Collection[str]) -> Sorted:
    """Part what is told from what is left out. `known` are the codes that there are."""
    wishes, remarks = [], []
    for request in requests(ruleset):
        problem = _problem(request, known)
        if problem:
            remarks.append(f"{request.place}: the comment is not honoured: {problem}")
        else:
            wishes.append(request)
    reasons = {(w.place, code): w.reason for w in wishes for code in w.codes}
    told, ignored = [], []
    for finding in found:
        reason = reasons.get((finding.place or Place(""), finding.code))
        if reason is None:
            told.append(finding)
        else:
            ignored.append(Ignored(finding, reason))
    used = {(i.finding.place, i.finding.code) for i in ignored}
    remarks += [f"{p}: nothing to ignore: there is no {code} here" for p, code in reasons if (p, code) not in used]
    return Sorted(tuple(told), tuple(ignored), tuple(remarks))


def _problem(request: Request, known: Collection[str]) -> str:
    if not request.codes:
        return "it names no finding, as in `check: ignore CT103 answers go another way`"
    if strange := [code for code in request.codes if code not in known]:
        return f"there is no finding {strange[0]} of rule sets"
    return "" if request.reason else "it gives no reason behind the code"
