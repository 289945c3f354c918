"""A plan: a policy compiled for one host."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from conntrim.core.model.facts import Era
from conntrim.core.model.policy import Policy
from conntrim.core.model.ruleset import Dialect


class Standing(StrEnum):
    """How an obligation stands."""

    PROVED = "proved"
    BROKEN = "broken"
    NOT_DECIDED = "not decided"


@dataclass(frozen=True, slots=True)
class Obligation:
    """A property that must hold before a plan may load, by its name in the manual; a witness where it is broken."""

    name: str
    standing: Standing
    why: str
    witness: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Text fed to one program in one transaction: `program` is iptables-restore, ip6tables-restore, nft or a twin."""

    program: str
    text: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that the plan writes, whole."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to try, keep and undo a change, and to judge it.

    `trial` are the guarded additions, `confirm` swaps them for unguarded rules, `rollback_trial` and
    `rollback_confirmed` take them out again; each is a sequence of batches. In guarded text `@DEADLINE@` stands for
    the UTC date (iptables) and `@SECONDS@` for the time-out (nft). `ruleset_digest` is that of the rule set that the
    plan was made for. `settings` are sysctl keys to values, `files` what `confirm` persists.
    """

    name: str
    dialect: Dialect
    era: Era
    policy: Policy
    trial: tuple[Batch, ...]
    confirm: tuple[Batch, ...]
    rollback_trial: tuple[Batch, ...]
    rollback_confirmed: tuple[Batch, ...]
    files: tuple[FileChange, ...]
    obligations: tuple[Obligation, ...]
    settings: dict[str, int] = field(default_factory=dict)
    ruleset_digest: str = ""
    entries_before: int | None = None
    entries_after: int | None = None
    residual: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
