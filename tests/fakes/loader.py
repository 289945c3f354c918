"""A kernel of rules in memory, and a loader for it that can fail or hang up at any call.

What a batch does to the rules is said by `core/change`: its lines are read as operations, and these are applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conntrim.core.change.apply import NotThereError, apply
from conntrim.core.model.change import AppendRule, Change, DeleteRule, RuleOperation, TableKey, Transaction
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Batch, comment_of
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.ruleset import read
from conntrim.core.rollout.claim import Claim, Seen
from conntrim.core.rollout.record import Guard
from tests.fakes.plans import line, mark

GUARDED = " (trial)"


class KilledError(BaseException):
    """kill -9: nothing after it runs."""


@dataclass
class Faults:
    """Fails, hangs up or dies at the n-th call of anything that changes something; 0: never."""

    fail_at: int = 0
    hang_up_at: int = 0
    die_before: int = 0
    die_after: int = 0
    calls: int = 0

    def before(self, what: str) -> None:
        """To be called before a change."""
        self.calls += 1
        if self.calls == self.fail_at:
            raise HostError(what, f"fault at call {self.calls}")
        if self.calls == self.hang_up_at:
            raise KeyboardInterrupt
        if self.calls == self.die_before:
            raise KilledError

    def after(self) -> None:
        """To be called after a change."""
        if self.calls == self.die_after:
            raise KilledError


FILTER = TableKey(Dialect.IPTABLES_NFT, TableFamily.IP, "filter")
TEXT = "*filter\n:INPUT ACCEPT [0:0]\n{}COMMIT\n"


def _operation(text: str) -> RuleOperation:
    """A line of a batch."""
    verb, rest = text[:2], text[2:]
    rule = next(iter(read(TEXT.format(f"-A{rest}\n"), "fake").tables[0].rules()))
    match verb:
        case "-A":
            return AppendRule("INPUT", rule)
        case "-D":
            return DeleteRule("INPUT", rule)
        case _:
            raise AssertionError(f"no batch of the fake's plans has {text}")


def _change(batch: Batch) -> Change:
    """A batch as a value."""
    lines = [text for text in batch.text.splitlines() if text.startswith("-")]
    return Change((Transaction(FILTER, tuple(map(_operation, lines))),))


def _names(ruleset: Ruleset) -> list[str]:
    """`web accept (trial)`, of each rule with a comment of ours."""
    return [rule.comment.partition(" ")[2] for table in ruleset.tables for rule in table.rules()]


def _seen(name: str) -> Seen:
    """A rule as it stands in the listing."""
    plan = name.partition(" ")[0]
    return Seen("fake filter INPUT", comment_of(mark(plan), name), "ACCEPT", narrow=True)


@dataclass
class FakeLoader:
    """Takes the words of iptables-restore, as the program's own readers read them: a rule is what its comment says.

    `rules` holds each of our rules with its guard, None where it has none; one that ends with ` (trial)` is guarded.
    """

    faults: Faults = field(default_factory=Faults)
    rules: dict[str, Guard | None] = field(default_factory=dict)
    armed: bool = False
    lacks_recent: bool = False
    """The kernel takes no batch whose guard has a second part."""
    counts: bool = True
    """Each look finds one packet more, counted by rules without a name."""
    looked: int = 0
    strays: tuple[str, ...] = ()
    """Rules with marks of ours that no journal holds."""
    refuses: str = ""
    """The kernel does not take a batch with this text in it."""

    def _after(self, batch: Batch, guard: Guard) -> dict[str, Guard | None]:
        rules = dict(self.rules)
        if guard.recent and self.lacks_recent:
            raise HostError(batch.program, "missing kernel module?")
        if self.refuses and self.refuses in batch.text:
            raise HostError(batch.program, f"refused: {self.refuses}")
        try:
            names = _names(apply(_change(batch), read(self.listing(), "fake")))
        except NotThereError as error:
            raise HostError(batch.program, str(error)) from error
        if len(set(names)) < len(names):
            raise HostError(batch.program, "a rule is there twice")
        return {name: rules.get(name, guard if name.endswith(GUARDED) else None) for name in names}

    def _claimed(self, claim: Claim) -> tuple[str, ...]:
        """Those that a claim holds."""
        return tuple(name for name in self.rules if claim.holds(_seen(name)))

    def listing(self) -> str:
        """As iptables-save would print it."""
        rules = (line(name.partition(" ")[0], f"+{name.partition(' ')[2]}") for name in self.rules)
        return TEXT.format("".join(rules))

    def check(self, batch: Batch, guard: Guard) -> None:
        """As the kernel does: by trying."""
        self._after(batch, guard)

    def load(self, batch: Batch, guard: Guard) -> None:
        """All of it or nothing."""
        self.faults.before(batch.program)
        self.rules = self._after(batch, guard)
        self.faults.after()

    def offers_recent(self) -> bool:
        """This kernel has it; `refuses` may say otherwise."""
        return True

    def empty(self, name: str) -> None:
        """There is no list of an earlier run."""

    def fill(self, name: str) -> None:
        """Starts the second guard."""
        self.faults.before("arm")
        self.armed = True
        self.faults.after()

    def own(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Those of the plan; where nobody tells which, all of any, and what only looks so is as well."""
        return (*self._claimed(claim), *(self.strays if claim == Claim() else ()))

    def altered(self, programs: Sequence[str], claim: Claim) -> tuple[str, ...]:
        """Nobody alters a rule."""
        return ()

    def counted(self, programs: Sequence[str], claim: Claim) -> dict[str, int]:
        """As many packets as it was looked at, by rules without a name."""
        self.looked += 1
        return {"": self.looked} if self.counts else {}

    def tables(self, programs: Sequence[str]) -> tuple[str, ...]:
        """None."""
        return ()

    def sweep(self, programs: Sequence[str], keep: Sequence[str], claim: Claim) -> None:
        """Everything of the plan goes, one rule at a time."""
        self.armed = False
        for rule in sorted(self._claimed(claim), reverse=True):
            self.faults.before("sweep")
            del self.rules[rule]
            self.faults.after()

    def installed(self) -> tuple[str, ...]:
        """The fake's only program."""
        return ("fake",)
