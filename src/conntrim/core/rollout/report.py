"""What a verb of the rollout answers: one value, rendered as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.rollout.states import State


@dataclass(frozen=True, slots=True)
class Tuned:
    """A sysctl from one value to another: to be set, set, or put back; None where the kernel has no such key."""

    key: str
    before: int | None
    after: int


@dataclass(frozen=True, slots=True)
class Report:
    """Where a rollout stands, and what a verb did about it.

    `answer` and `exit_code` are the verb's; `why` says what stood in the way. `deadline` is the first UTC second in
    which the trial's rules are inert. `rules` counts ours in the kernel now; `missing` and `added` are how they differ
    from those that were loaded, `changed` the sysctls and files that no longer are as the confirm left them.
    `moved` is what others have changed around our rules: chains, sets, addresses, settings. Because of that everything
    is proved again: `broken` are the obligations that do not hold now, `undecided` those of which that is not known.
    `lasting` tells which file brings the rules back at boot and who loads it, `by_hand` what the operator has to do for
    that. `settings` are those that a confirm will set, has set, or a rollback has put back; `netns`, `state_dir` and
    `root` the options that were given. `costs` are the connections that do not survive when a trial falls back.
    `strays` are rules with marks of ours that are none of this plan's as it was loaded; nothing touches them.
    `replaced` is the confirmed plan that this one has taken the place of, or is to; `undone` the plan that was taken
    back where another is in force again.
    `clients` are those that the trial is narrowed to; none: it is of all.
    `unmendable` says why a confirm cannot load again what is gone.
    """

    answer: str
    exit_code: int
    state: State
    why: str = ""
    plan: str = ""
    services: tuple[str, ...] = ()
    timeouts: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    seconds_left: float = 0.0
    deadline: str = ""
    rules: int = 0
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()
    unmendable: str = ""
    changed: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    purged: int | None = None
    lasting: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    costs: tuple[str, ...] = ()
    replaced: str = ""
    undone: str = ""
    settings: tuple[Tuned, ...] = ()
    netns: str = ""
    state_dir: str = ""
    root: str = ""
