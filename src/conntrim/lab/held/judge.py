"""What the kernel did against what `check` said: every difference is one of a few kinds.

R are the rules, R0 the same with every untracking statement inert. A claim is judged only where the kernel can tell:
a dialogue that ends otherwise, an unsolicited packet that gets in, a translation that stops, an entry that is left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import ONE_WAY
from conntrim.core.prove.packet_text import conditional
from conntrim.lab.held.play import DONE, REFUSED, Played
from conntrim.lab.held.talks import CLOSED_PORT, UNANSWERED, Dialogue, group, opens
from conntrim.lab.held.verbs import Told


class Fault(StrEnum):
    """The kinds of disagreement."""

    CRASH = "the verb fails"
    CUT = "a dialogue dies, and nothing is said of the rules that took it"
    CUT_MILD = "a dialogue dies, and its rules have no critical finding"
    REFUSAL = "a refusal no longer comes back, and nothing is said of the rules that took it"
    HOLE = "an unsolicited packet gets in, and nothing is said of the rules that took it"
    HOLE_MILD = "an unsolicited packet gets in, and its rules have no critical finding"
    RESIDUAL = "an answer that nobody asked for gets in, and nothing is said of the rules that took it"
    TRANSLATION = "a translation stops, and nothing is said of the rules that took it"
    ONE_SIDED = "an untracked dialogue leaves an entry, and nothing is said of the rules that took it"
    STATE = "a mark or helper of an entry is lost, and nothing is said of the rules that took it"
    ALARM = "a critical finding, and no dialogue dies and no packet gets in"
    UNTRUE = "a finding, and the kernel shows nothing of it"
    EFFECT = "a rule is said to do nothing, and something changes without it"
    EDIT_REFUSED = "the kernel refuses an edit"
    EDIT_STAYS = "the finding is still there after its edit"
    EDIT_BRINGS = "an edit brings another finding"
    EDIT_KILLS = "an edit kills a dialogue"
    EDIT_OPENS = "an edit lets an unsolicited packet in"
    EDIT_CHANGES = "an edit changes what peers see of a dialogue"
    EDITS_LEAVE = "all edits done, a dialogue is still dead"
    EDITS_UNCLEAN = "all edits done, the report is not clean"
    SAME = "said to be the same, and a dialogue is treated otherwise"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One: what kind, what tells it from others of its kind, the dialogues that show it, and words for a reader."""

    fault: Fault
    about: str
    dialogues: tuple[Dialogue, ...] = ()
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """By which it is counted."""
        return " | ".join(filter(None, (self.fault, " ".join(self.codes), self.about)))


@dataclass(slots=True)
class Counts:
    """What was asked and compared; names to numbers."""

    claims: Counter[str] = field(default_factory=Counter)
    undecided: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Both:
    """One dialogue under R and under R0."""

    dialogue: Dialogue
    r: Played
    r0: Played

    @property
    def cut(self) -> bool:
        """It completes in R0 and not in R."""
        return self.r0.ended == DONE and self.r.ended != DONE and not self.dialogue.unsolicited

    @property
    def error_lost(self) -> bool:
        """All that is lost is an ICMP error: a warning will do."""
        turns = self.dialogue.turns
        return self.r.turn < len(turns) and bool(turns[self.r.turn].error)

    @property
    def unrefused(self) -> bool:
        """Its refusal came back in R0, and nothing comes in R. That of an answer tells the server what its client never
        hears, with and without untracking; and who sends an echo reply that nobody asked for waits for nothing."""
        turns = self.dialogue.turns
        if turns[0].name == "echo reply" or (self.r0.turn < len(turns) and turns[self.r0.turn].back):
            return False
        return self.r0.ended == REFUSED and self.r.ended not in (REFUSED, DONE) and self.r.turn <= self.r0.turn

    @property
    def admitted(self) -> bool:
        """Its first packet comes from outside, was refused in R0 and arrives in R."""
        return self.dialogue.entering and self.r.opened and not self.r0.opened

    @property
    def untranslated(self) -> bool:
        """R0 translates it, R lets packets through as they are, but for what rules write into them."""
        ends = self.dialogue.a.address, self.dialogue.b.address
        then, now = ({(c[1], c[3]) == ends for c in each.came[:1]} for each in (self.r0, self.r))
        return self.r0.translated and self.r.opened and (not self.r.translated or (then == {False} and now == {True}))

    @property
    def one_sided(self) -> bool:
        """It was untracked in part by a rule, completes and leaves an entry."""
        return bool(self.r.hits and self.r.beside) and self.r.ended == DONE

    @property
    def stateless(self) -> bool:
        """Its entry had a mark or a helper in R0, and there is none with one in R."""
        kept, left = (any(e.mark or e.helper for e in played.entries) for played in (self.r0, self.r))
        return kept and not left and bool(self.r.untracked)


def paired(dialogues: Sequence[Dialogue], r: Sequence[Played], r0: Sequence[Played]) -> list[Both]:
    """Each dialogue with both outcomes."""
    return [Both(*each) for each in zip(dialogues, r, r0, strict=True)]


def open_in_r0(both: Sequence[Both]) -> frozenset[tuple[int, ...]]:
    """Sources and ports to which R0 admits an opener."""
    return frozenset(group(b.dialogue) for b in both if b.r0.opened and opens(b.dialogue))


def holes(both: Sequence[Both]) -> Iterator[Both]:
    """Unsolicited packets that get in to ports that R0 closes to their source."""
    known = open_in_r0(both)
    yield from (b for b in both if b.admitted and group(b.dialogue) not in known and b.r.hits)


def residual(each: Both) -> bool:
    """A packet that opens nothing: no bare SYN, of TCP."""
    return each.dialogue.turns[0].flags is not None and not opens(each.dialogue)


Shown = tuple[Fault, Fault | None, Callable[[Both], bool]]
ANY: tuple[Shown, ...] = (
    (Fault.CUT, Fault.CUT_MILD, lambda b: b.cut and bool(b.r.hits)),
    (Fault.REFUSAL, None, lambda b: b.unrefused and bool(b.r.hits)),
    (Fault.TRANSLATION, None, lambda b: b.untranslated and bool(b.r.hits) and not b.cut),
    (Fault.ONE_SIDED, None, lambda b: b.one_sided),
    (Fault.STATE, None, lambda b: b.stateless and b.r.ended == DONE),
)
"""What must be told: unsaid, said too mildly, and when."""


PLAIN = ANY[:-1]
"""The same where no rule reads a mark of an entry, nor sets a helper: then nobody misses them."""
ABOUT_ERRORS = frozenset({"CT106", "CT119"})
"""Findings that name rules for the errors about their connections alone."""
ABOUT_ENTRIES = frozenset({"CT110", "CT111"})
"""Findings at rules that want what an entry holds."""
NOTED = frozenset({Fault.ONE_SIDED, Fault.RESIDUAL})
"""What a note may tell."""


def silent(both: Sequence[Both], checked: Checked, told: Told, counts: Counts) -> Iterator[Disagreement]:
    """What the kernel shows and no finding tells."""
    rules = {id(f): told.rules_of(f) for f in checked.findings}
    noted = told.named_in("\n".join(checked.remarks))

    def judged(
        each: Both, unsaid: Fault, mild: Fault | None, beside: tuple[Dialogue, ...] = ()
    ) -> Iterator[Disagreement]:
        counts.claims[unsaid.name.lower()] += 1
        of_errors = each.error_lost and unsaid is Fault.CUT
        telling = (f for f in checked.findings if of_errors or f.code not in ABOUT_ERRORS)
        at = [f for f in telling if rules[id(f)] & each.r.hits or (unsaid is Fault.STATE and f.code in ABOUT_ENTRIES)]
        if unsaid in NOTED and noted & each.r.hits:
            return  # it harms nobody: a note will do
        if not at:
            yield Disagreement(unsaid, each.dialogue.sort, (each.dialogue, *beside))
        elif mild and not _mild(each, mild, told) and all(f.severity is not Severity.CRITICAL for f in at):
            yield from _too_mildly(mild, each, at, beside, counts)

    for each in possible(both):
        for unsaid, mild, shows in ANY if told.reads_marks else PLAIN:
            if shows(each):
                yield from judged(each, unsaid, mild, twins(both, each))
    for each in holes(both):
        beside = tuple(b.dialogue for b in both if group(b.dialogue) == group(each.dialogue) and b is not each)
        if residual(each):
            yield from judged(each, Fault.RESIDUAL, None, beside)
        else:
            yield from judged(each, Fault.HOLE, Fault.HOLE_MILD, beside)


def _too_mildly(
    mild: Fault, each: Both, at: Sequence[Finding], beside: tuple[Dialogue, ...], counts: Counts
) -> Iterator[Disagreement]:
    """Unless a finding says on what it hangs: then nobody could know."""
    if any(conditional(finding.evidence) for finding in at):
        counts.undecided["check: said for one answer alone of a match that nobody understands"] += 1
    else:
        yield Disagreement(mild, each.dialogue.sort, (each.dialogue, *beside))


def twins(both: Sequence[Both], each: Both) -> tuple[Dialogue, ...]:
    """Beside a connection that is refused the one that is not."""
    same = (b.dialogue for b in both if b.dialogue.kind == "tcp" and group(b.dialogue) == group(each.dialogue))
    return tuple(same) if each.dialogue.kind == CLOSED_PORT else ()


def possible(both: Sequence[Both]) -> Iterator[Both]:
    """Without what nobody asks for: connections that are refused and could not be anyway, and datagrams without answers
    where there is one to be."""
    open_ = {group(b.dialogue) for b in both if b.dialogue.kind == "tcp" and b.r0.ended == DONE}
    for each in both:
        kind, port = each.dialogue.kind, each.dialogue.b.port
        if (kind != CLOSED_PORT or group(each.dialogue) in open_) and (kind != UNANSWERED or port in ONE_WAY):
            yield each


def _mild(each: Both, mild: Fault, told: Told) -> bool:
    """Whether a warning will do: errors or large datagrams are all that is lost, or whom the rules let in is named
    by them, or comes by a way that is not the usual one where they ask for that."""
    large = mild is Fault.CUT_MILD and each.dialogue.kind.endswith("fragments")
    unusual = told.asks_ways and each.dialogue.sort.startswith("bridged")
    named = each.r.hits & told.pinned != frozenset()
    return each.error_lost or large or (mild is Fault.HOLE_MILD and (named or unusual))


# --- findings --------------------------------------------------------------------------------------------------------


def harmed(both: Sequence[Both], rules: frozenset[int]) -> bool:
    """Whether a dialogue that these rules took dies, a packet gets in or a translation stops."""
    taken = [b for b in both if b.r.hits & rules]
    found = {id(b) for b in holes(both)}
    return any(b.cut or b.unrefused or b.untranslated or id(b) in found for b in taken)


def one_sided(both: Sequence[Both], rules: frozenset[int]) -> bool:
    """Whether a dialogue that these rules took leaves an entry, or dies."""
    return any(b.r.hits & rules and (b.one_sided or b.cut or b.r.entries) for b in both)


def untranslated(both: Sequence[Both], rules: frozenset[int]) -> bool:
    """Whether a translation of what these rules took stops."""
    return any(b.r.hits & rules and (b.untranslated or (b.cut and b.r0.translated)) for b in both)


def stateless(both: Sequence[Both], rules: frozenset[int]) -> bool:
    """Whether a mark or helper is lost."""
    return any(b.r.hits & rules and (b.stateless or b.cut) for b in both)


SHOWN: dict[str, Callable[[Sequence[Both], frozenset[int]], bool]] = {
    "CT103": one_sided, "CT109": untranslated, "CT110": stateless,
}  # fmt: skip
"""What the kernel must show of findings that need not be critical."""

NO_EFFECT = ("CT104", "CT113")
"""Findings that say that a rule does nothing."""


def demanded(finding: Finding) -> Callable[[Sequence[Both], frozenset[int]], bool] | None:
    """What a finding must show; None for those that the kernel cannot be asked about here."""
    if finding.code in NO_EFFECT:
        return None
    return harmed if finding.severity is Severity.CRITICAL else SHOWN.get(finding.code)
