"""A `check` that says exactly what the kernel showed, and the ways in which it can lie: what the oracle must find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from conntrim.core.diagnose.rulesets.registry import Checked
from conntrim.core.model.finding import Finding, Place, Severity
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.lab.held.judge import Both, harmed, holes, residual
from conntrim.lab.held.stand import HOST
from conntrim.lab.held.verbs import Told

CUT, REFUSED, HOLE, RESIDUAL, MOVED, ONE_SIDED, STATE = "CUT", "REFUSED", "HOLE", "RESIDUAL", "MOVED", "ONE", "STATE"
"""What an honest check tells, by codes of its own."""


def truth(told: Told, both: Sequence[Both]) -> Checked:
    """A finding for each thing that the kernel showed, at each rule that took its packets."""
    found = dict.fromkeys(_findings(told, both))
    return Checked(tuple(found), 0)


def _findings(told: Told, both: Sequence[Both]) -> Iterator[Finding]:
    open_ = {id(each) for each in holes(both)}
    for each in both:
        shown = (
            (CUT, Severity.CRITICAL, each.cut), (REFUSED, Severity.WARNING, each.unrefused),
            (HOLE, Severity.CRITICAL, id(each) in open_ and not residual(each)),
            (RESIDUAL, Severity.WARNING, id(each) in open_ and residual(each)),
            (MOVED, Severity.WARNING, each.untranslated), (ONE_SIDED, Severity.WARNING, each.one_sided),
            (STATE, Severity.WARNING, each.stateless),
        )  # fmt: skip
        for code, severity, shows in shown:
            if shows:
                yield from (_finding(code, severity, told, rule) for rule in sorted(each.r.hits))


def _finding(code: str, severity: Severity, told: Told, rule: int, witness: Packet | None = None) -> Finding:
    return Finding(code, severity, code, place=Place(told.places[rule]), witness=witness)


# --- lies -----------------------------------------------------------------------------------------------------------

Lie = Callable[[Told, Sequence[Both]], Checked]


def clean(told: Told, both: Sequence[Both]) -> Checked:
    """Nothing at all is said."""
    return Checked((), 0)


def without(code: str) -> Lie:
    """One finding's condition never holds."""

    def lie(told: Told, both: Sequence[Both]) -> Checked:
        return Checked(tuple(f for f in truth(told, both).findings if f.code != code), 0)

    return lie


def no_residue(told: Told, both: Sequence[Both]) -> Checked:
    """Nothing is said of rules that let answers in which nobody asked for."""
    rules = {rule for each in holes(both) if residual(each) for rule in each.r.hits}
    places = {told.places[rule] for rule in rules}
    return Checked(tuple(f for f in truth(told, both).findings if str(f.place) not in places), 0)


def mild(code: str) -> Lie:
    """One finding is said, but not as critical."""

    def lie(told: Told, both: Sequence[Both]) -> Checked:
        findings = truth(told, both).findings
        return Checked(tuple(replace(f, severity=Severity.WARNING) if f.code == code else f for f in findings), 0)

    return lie


def alarming(told: Told, both: Sequence[Both]) -> Checked:
    """A critical finding with a witness at each rule that harms nobody."""
    honest = truth(told, both)
    more = []
    for each in both:
        for rule in each.r.hits:
            if not harmed(both, frozenset({rule})) and each.dialogue.protocol in (Protocol.TCP, Protocol.UDP):
                more.append(_finding("ALARM", Severity.CRITICAL, told, rule, witness_of(each)))
    return Checked((*honest.findings, *dict.fromkeys(more)), 0)


def idle(told: Told, both: Sequence[Both]) -> Checked:
    """Every untracking rule is said to have no effect."""
    named = (Finding("CT104", Severity.WARNING, "idle", place=Place(place)) for place in told.places)
    return Checked((*truth(told, both).findings, *named), 0)


def one_sided(told: Told, both: Sequence[Both]) -> Checked:
    """Every untracking rule is said to be one-sided."""
    more = [
        replace(_finding("CT103", Severity.WARNING, told, rule, witness_of(each)))
        for each in both
        for rule in each.r.hits
    ]
    return Checked((*truth(told, both).findings, *dict.fromkeys(more)), 0)


def witness_of(each: Both) -> Packet:
    """The first packet of a dialogue."""
    talk = each.dialogue
    a, b = talk.a, talk.b
    iif = "" if a.place == HOST else a.place
    oif = ("lo" if a.place == HOST else "") if b.place == HOST else b.place
    return Packet(
        talk.family,
        talk.protocol,
        a.address,
        b.address,
        a.port,
        b.port,
        tcp_flags=talk.turns[0].flags,
        iif=iif,
        oif=oif,
    )


LIES: dict[str, Lie] = {
    "says nothing": clean, "no cut": without(CUT), "no hole": without(HOLE), "no residue": no_residue,
    "no lost refusal": without(REFUSED), "no lost translation": without(MOVED), "no one-sided": without(ONE_SIDED),
    "no lost state": without(STATE), "cut only a warning": mild(CUT), "hole only a warning": mild(HOLE),
    "cries wolf": alarming, "all without effect": idle, "all one-sided": one_sided,
}  # fmt: skip
"""Each is one condition of one claim broken on purpose."""
