"""A rollout's report as a few lines: what happened first, then what happens next and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conntrim.core.rollout.commands import Answer
from conntrim.core.rollout.report import Report, Tuned
from conntrim.core.rollout.states import SETTLING, State
from conntrim.render.hints import Options
from conntrim.render.page import page, wrapped

SHOWN = 5
"""Rules of a list that are shown one by one; the rest is counted."""


def to_text(report: Report) -> str:
    """The report, the answer in its first line."""
    given = Options(report.netns, report.state_dir, report.root)
    advice = (line for said in _NEXT.get(report.state, _nothing)(report) for line in _advised(given.hinted(said)))
    details = (line for detail in _details(report, given) for line in wrapped(detail, long=False))
    return page([_first(report), *advice, *details])


def _advised(line: str) -> list[str]:
    """A command stays in one line, to be copied whole."""
    return [line] if "conntrim " in line else wrapped(line, rest="")


def _first(report: Report) -> str:
    """`Trial of web: 57 s left.`; a verb that failed leads with its own word."""
    stands = _STANDS[report.state](report)
    if report.answer == "status":
        return stands
    return f"{report.answer[0].upper()}{report.answer[1:]}. {stands}"


def _name(report: Report) -> str:
    return report.plan or "a plan"


def _proof(report: Report) -> str:
    """What became of what was proved; short where nobody changed anything."""
    if report.broken:
        return f"but {len(report.broken)} of its obligations are broken now."
    if report.undecided:
        return f"but {len(report.undecided)} of its obligations are not decided any more."
    if not report.rules and not (report.services or report.timeouts or report.limits):
        return f"{_counted(report.settings)} set."
    return f"{report.rules} rules of ours are loaded."


def _counted(settings: tuple[Tuned, ...]) -> str:
    return f"{len(settings)} setting{'s' * (len(settings) != 1)}"


def _for_some(report: Report) -> str:
    return " for some clients" if report.clients else ""


def _nothing_loaded(report: Report) -> str:
    """Not so of rules that bear our marks and are none of the plan's."""
    if not report.strays:
        return "Nothing of ours is loaded."
    return f"Nothing of this plan is loaded, but {len(report.strays)} rules or chains bear marks of ours."


_STANDS: dict[State, Callable[[Report], str]] = {
    State.NOTHING: _nothing_loaded,
    State.CHECKING: lambda r: "Nothing of ours is loaded.",
    State.PENDING: lambda r: f"{_name(r)} has {_counted(r.settings)} to set, and nothing to try.",
    State.TRIAL: lambda r: f"{_name(r)} is on trial{_for_some(r)}, {r.seconds_left:.0f} s left.",
    State.EXPIRED: lambda r: f"The trial of {_name(r)} is over, its rules are inert.",
    State.LOST: lambda r: f"The trial of {_name(r)} is broken.",
    State.CONFIRMED: lambda r: f"{_name(r)} is confirmed, {_proof(r)}",
    State.DRIFTED: lambda r: f"{_name(r)} is confirmed, but {len(r.missing)} of its rules are gone.",
    State.STRAY: lambda r: f"{r.rules} rules of ours are loaded, and no journal tells why.",
    State.LOADING: lambda r: f"Loading {_name(r)} did not end; what is loaded expires.",
    State.PROBING: lambda r: f"{_name(r)} is loaded and being probed.",
    State.REVIEWING: lambda r: f"{_name(r)} is on trial.",
    State.ASSESSING: lambda r: f"{_name(r)} is confirmed, but {len(r.missing)} of its rules are gone.",
    State.SWAPPING: lambda r: f"The confirm of {_name(r)} stopped amid the rules.",
    State.KEEPING: lambda r: f"{_name(r)} is kept; taking out its guarded rules is not done.",
    State.PURGING: lambda r: f"{_name(r)} is kept; deleting its stale entries is not done.",
    State.TUNING: lambda r: f"{_name(r)} is kept; setting its sysctls is not done.",
    State.WRITING: lambda r: f"{_name(r)} is kept; writing its files is not done.",
    State.REPAIRING: lambda r: f"{_name(r)} is kept; loading again what is gone is not done.",
    State.CLEARING: lambda r: f"Old rules of {_name(r)} are not out yet.",
    State.BACKING_OUT: lambda r: f"Rules of {_name(r)} are not out yet.",
    State.WITHDRAWING: lambda r: f"Rules of {_name(r)} are not out yet.",
    State.UNDOING: lambda r: f"The rollback of {_name(r)} is not done: rules are not out yet.",
    State.RESTORING: lambda r: f"The rollback of {_name(r)} is not done: sysctls or files.",
}


def _nothing(report: Report) -> Iterator[str]:
    return iter(())


def _on_trial(report: Report) -> Iterator[str]:
    yield f"At {report.deadline} its rules expire in the kernel by themselves,"
    yield "whatever happens to this session; nothing needs to be running for that."
    if report.moved:
        yield "It cannot be kept: others have changed its chains since it began."
        yield "Undo it now: conntrim rollback, then conntrim plan -o DIR again"
        return
    yield "Try the whole: conntrim apply PLAN_DIR" if report.clients else "Keep it:     conntrim confirm"
    yield f"Undo it now: {'  ' * bool(report.clients)}conntrim rollback"


def _pending(report: Report) -> Iterator[str]:
    yield "Settings cannot expire: they are set at confirm, and undone by rollback."
    yield "Set them:    conntrim confirm"
    yield "Forget them: conntrim rollback"


def _expired(report: Report) -> Iterator[str]:
    yield f"Since {report.deadline} the host does what it did before the trial."
    yield "The inert rules stay in the listing until they are taken out:"
    yield "conntrim status --clean, or the next apply or rollback."


def _finish_confirm(report: Report) -> Iterator[str]:
    yield "Finish it: conntrim confirm     Undo it: conntrim rollback"


def _finish_rollback(report: Report) -> Iterator[str]:
    yield "Finish it: conntrim rollback"


def _load_again(report: Report) -> Iterator[str]:
    if report.unmendable:
        yield "What is gone cannot be loaded again by itself: conntrim rollback,"
        yield "then conntrim plan -o DIR and conntrim apply DIR"
        return
    yield "Load it again: conntrim confirm     Undo it all: conntrim rollback"


def _take_out(report: Report) -> Iterator[str]:
    yield "Take out what is left: conntrim rollback"


_NEXT: dict[State, Callable[[Report], Iterator[str]]] = {
    State.PENDING: _pending,
    State.TRIAL: _on_trial,
    State.EXPIRED: _expired,
    State.SWAPPING: _finish_confirm,
    State.KEEPING: _finish_confirm,
    State.PURGING: _finish_confirm,
    State.TUNING: _finish_confirm,
    State.WRITING: _finish_confirm,
    State.UNDOING: _finish_rollback,
    State.RESTORING: _finish_rollback,
    State.LOST: _take_out,
    State.DRIFTED: _load_again,
    State.REPAIRING: _finish_confirm,
    State.STRAY: _take_out,
    State.LOADING: _take_out,
    State.CLEARING: _take_out,
    State.BACKING_OUT: _take_out,
    State.WITHDRAWING: _take_out,
}


_ACTING = SETTLING | {State.TRIAL, State.CONFIRMED, State.DRIFTED, State.PROBING, State.REVIEWING, State.SWAPPING}
_ENDED = frozenset({Answer.UNDONE.words, Answer.FELL_BACK.words, Answer.NOT_KEPT.words})


def _cures(report: Report) -> Iterator[str]:
    """What the rules do now, or would do, where that is known."""
    over = report.state is State.EXPIRED or report.answer in _ENDED
    dry = report.answer == Answer.WOULD_APPLY.words
    for what, acting, ended, would in (
        (report.services, "Untracked", "Tracked again", "It would untrack"),
        (report.timeouts, "Time-outs of their own", "Time-outs of the host again", "It would give time-outs to"),
        (report.limits, "Limited", "No longer limited", "It would limit"),
    ):
        if what and (over or dry or report.state in _ACTING):
            yield f"{would if dry else acting if report.state in _ACTING else ended}: {'; '.join(what)}"


def _details(report: Report, given: Options) -> Iterator[str]:
    if report.why:
        yield f"Why: {given.hinted(report.why)}"
    if report.answer == Answer.OTHER_TRIAL.words:
        yield given.hinted("Decide about it first: conntrim confirm or conntrim rollback")
    yield from _replaced(report)
    if report.clients and report.state is State.TRIAL:
        yield f"Clients that take part: {', '.join(report.clients)}; all others go on as before"
    yield from _cures(report)
    if report.managers:
        yield f"Rules here are made by: {', '.join(report.managers)}"
    if report.accepted:
        yield f"Accepted by the operator: {', '.join(report.accepted)}"
    if report.purged is not None:
        yield f"Stale entries deleted: {report.purged:,}"
    yield from _listed(_SETTINGS.get(report.state, "Set"), tuple(map(_tuned, report.settings)))
    yield from (f"If it falls back: {given.hinted(cost)}" for cost in report.costs)
    yield from _listed("Comes back at boot", report.lasting)
    yield from (f"Does not come back at boot by itself: {item}" for item in report.by_hand[:1])
    yield from (f"By hand: {item}" for item in report.by_hand[1:])
    yield from _listed("Gone from the kernel", report.missing)
    yield from _listed("Not in the journal", report.added)
    yield from _listed("Marked as ours, but not as this journal knows it, and left alone", report.strays)
    if report.unmendable:
        yield f"Not to be loaded again: {report.unmendable}"
    yield from _listed("Changed since", report.changed)
    yield from _listed("Changed around our rules", report.moved)
    if report.moved and not (report.broken or report.undecided or report.state is State.TRIAL):
        yield "Proved again for the present rules: nothing is broken by that."
    yield from _listed("No longer so", report.broken)
    yield from _listed("Not decided any more", report.undecided)
    if report.broken or report.undecided:
        yield given.hinted("Undo it: conntrim rollback; for the host as it is, conntrim plan -o DIR after that")
    yield from _listed("Note", report.remarks)


def _replaced(report: Report) -> Iterator[str]:
    """What else is there, or comes back."""
    if report.replaced and report.state is State.CONFIRMED:
        yield f"It has replaced {report.replaced}: a rollback goes back to that"
    elif report.replaced:
        yield f"It would replace {report.replaced}, which acts until then, and afterwards if it is not kept"
    if report.undone:
        yield f"{report.undone} is undone, and what it had replaced, or would have, is in force"


_SETTINGS = {State.PENDING: "Set at confirm", State.TRIAL: "Set at confirm", State.NOTHING: "Put back"}
"""What became of the settings, or will; elsewhere they are set."""


def _tuned(setting: Tuned) -> str:
    before = "not known" if setting.before is None else f"{setting.before:,}"
    return f"{setting.key} {before} -> {setting.after:,}"


def _listed(title: str, items: tuple[str, ...]) -> Iterator[str]:
    yield from (f"{title}: {item}" for item in items[:SHOWN])
    if len(items) > SHOWN:
        yield f"{title}: {len(items) - SHOWN} more"
