"""What happens to a rollout: the operator asks, a command ends well or badly, a hang-up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Apply:
    """The operator asks for a trial of the plan that the journal knows, or of any plan where it knows none."""


@dataclass(frozen=True, slots=True)
class ApplyAnother:
    """The operator asks for a trial of a plan other than the journal's."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """The operator asks to keep what is on trial."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """The operator asks to undo everything."""


@dataclass(frozen=True, slots=True)
class Clean:
    """The operator asks to take away what is inert, and nothing else."""


@dataclass(frozen=True, slots=True)
class Done:
    """The command under way ended well."""


@dataclass(frozen=True, slots=True)
class NothingToTry:
    """The check ended well, and the plan has settings only: they cannot expire, so there is no trial of them."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The command under way failed; why, in the words of what failed."""

    why: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """SIGHUP, SIGINT or SIGTERM while a command was under way."""

    why: str = "interrupted by a signal"


Asked = Apply | ApplyAnother | Confirm | Rollback | Clean
Event = Asked | Done | NothingToTry | Failed | Hangup
ASKED: tuple[type[Asked], ...] = (Apply, ApplyAnother, Confirm, Rollback, Clean)
ENDED: tuple[type[Done | Failed | Hangup], ...] = (Done, Failed, Hangup)
