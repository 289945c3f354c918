"""Where a rollout stands at the start of a run: what the journal says, corrected by the clock and the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.rollout.machine import Rollout
from conntrim.core.rollout.record import Journal, Moment
from conntrim.core.rollout.states import State
from conntrim.core.rollout.swap import flip_at, steps

MARGIN = 0.5
"""Seconds before the deadline in which a confirm is no longer begun: a swap across it would flap."""


@dataclass(frozen=True, slots=True)
class Drift:
    """How our rules in the kernel differ from those that were loaded."""

    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.added)


def drift(journal: Journal, own: tuple[str, ...]) -> Drift:
    """Our rules now against those of the journal."""
    before, now = set(journal.own), set(own)
    return Drift(
        tuple(rule for rule in journal.own if rule not in now), tuple(rule for rule in own if rule not in before)
    )


def seconds_left(journal: Journal, now: Moment) -> float:
    """Seconds until the first of the trial's rules are inert, 0 where there is no trial. Those of nft end one batch
    after the other; all of iptables' end together."""
    if journal.plan is None or journal.guard is None:
        return 0.0
    batches = journal.plan.trial
    programs = {batch.program for batch in batches}
    ends = [journal.guard.left(programs - {"nft"}, now)] if programs != {"nft"} else []
    if "nft" in programs:
        ends.append(journal.guard.staggered(max(0, len(batches) - 1)).left({"nft"}, now))
    return max(0.0, min(ends))


def swapped(journal: Journal, own: tuple[str, ...]) -> int:
    """How many of the swap's steps are done: each is one transaction, so our rules changed or did not."""
    if journal.swap is None:
        return 0
    return journal.swap.steps + (journal.swap.own != own)


def resumed(journal: Journal, now: Moment, own: tuple[str, ...]) -> Rollout:
    """The rollout that a new run takes up."""
    match journal.state:
        case State.TRIAL:
            return _trial(journal, now, own)
        case State.SWAPPING | State.KEEPING:
            return _swapping(journal, now, own)
        case State.NOTHING | State.PENDING | State.CHECKING if own:
            return Rollout(State.STRAY, f"{len(own)} rules of ours are loaded that the journal does not know")
        case State.CONFIRMED if gone := len(drift(journal, own).missing):
            return Rollout(State.DRIFTED, f"{gone} of {len(journal.own)} confirmed rules are gone from the kernel")
        case state:  # the rest: as the journal says
            return Rollout(state)


def _trial(journal: Journal, now: Moment, own: tuple[str, ...]) -> Rollout:
    if journal.guard is not None and journal.guard.boot != now.boot:
        return Rollout(State.LOST, "the host was restarted since the trial began")
    if seconds_left(journal, now) <= MARGIN:
        return Rollout(State.EXPIRED, "the deadline has passed")
    gone = len(drift(journal, own).missing)
    if gone:
        return Rollout(State.LOST, f"{gone} of the trial's {len(journal.own)} rules are gone from the kernel")
    return Rollout(State.TRIAL)


def _swapping(journal: Journal, now: Moment, own: tuple[str, ...]) -> Rollout:
    """A confirm that died amid the swap may go on while the trial is armed; from the flip on the rules are kept."""
    if journal.guard is not None and journal.guard.boot != now.boot:
        return Rollout(State.LOST, "the host was restarted amid a confirm")
    to_do = steps(journal)
    done, flip = swapped(journal, own), flip_at(to_do)
    if done >= len(to_do) if flip is None else done > flip:
        return Rollout(State.KEEPING)
    if seconds_left(journal, now) <= MARGIN:
        return Rollout(State.EXPIRED, "a confirm died amid the swap and the deadline has passed since")
    return Rollout(State.SWAPPING)
