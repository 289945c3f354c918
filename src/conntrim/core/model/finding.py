"""A finding: the result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from conntrim.core.model.change import Operation, TableKey
from conntrim.core.model.packet import Packet
from conntrim.core.model.place import Place

__all__ = ["Edit", "Finding", "How", "Place", "Remedy", "RemedyKind", "Severity"]


class Severity(IntEnum):
    """How bad; the numbers are those of the Nagios plugin interface."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class How(StrEnum):
    """What an edit does at its place."""

    REPLACE = "replace"
    BEFORE = "before"
    AFTER = "after"
    REMOVE = "remove"
    APPEND = "append"
    CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one rule: what is done, as an operation on `table`, and how that is shown.

    `text` is the operation's rule in the dialect of the place: it goes instead of, before or after what is there.
    Of nft alone: `append` puts a rule at the end of the chain that the place names, `chain` makes the chain that it
    names, with the hook that `text` tells, unless it is there. Words in capitals such as `SERVER` are addresses that
    the operator fills in; the operation has addresses that nobody has in their place.
    """

    how: How
    place: Place
    text: str
    table: TableKey
    operation: Operation


@dataclass(frozen=True, slots=True)
class Finding:
    """One result: `code` (`CT001`), how bad, one sentence, the evidence, where, what to do, and what caused it.

    `caused_by` names another finding of the same report, by code or by `name`, whose consequence this one is.
    `witness` is the packet that the evidence tells of, `edits` what to do as changes of single rules.
    """

    code: str
    severity: Severity
    title: str
    evidence: tuple[str, ...] = ()
    place: Place | None = None
    advice: tuple[str, ...] = ()
    caused_by: str = ""
    witness: Packet | None = None
    edits: tuple[Edit, ...] = ()

    @property
    def name(self) -> str:
        """Code and place, where a report has several of one code."""
        return f"{self.code} {self.place}" if self.place else self.code


class RemedyKind(StrEnum):
    """What a remedy changes."""

    UNTRACK = "untrack"
    TIMEOUT = "timeout"
    SERVICE_TIMEOUT = "service-timeout"
    ENLARGE = "enlarge"
    KEEP_ALIVE = "keep-alive"
    LIMIT = "limit"
    BLOCK = "block"
    DELETE = "delete"
    REPAIR = "mend"
    """JSON keeps the name of the release before."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One way out: what to do, and how many entries the table would then hold.

    `worth`, 0 to 1, ranks it. `matters` is False where it would change next to nothing: said, not advised. `now`: it
    helps in an outage, at once; `works_in` tells how long it takes, `costs` what in exchange; neither is empty.
    """

    kind: RemedyKind
    title: str
    entries_after: int
    worth: float
    how: tuple[str, ...] = ()
    matters: bool = True
    now: bool = False
    works_in: str = ""
    costs: str = ""

    @property
    def takes(self) -> tuple[str, str]:
        """How long, and what."""
        return self.works_in, self.costs
