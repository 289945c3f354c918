"""A kernel of rules in memory, and a loader for it that can fail or hang up at any call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Batch, comment_of
from conntrim.core.parse.listed import line_xt
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


def _name(text: str) -> str:
    """`web accept (trial)`, of a line; "" where it has no comment of ours."""
    return line_xt(text.replace("-D", "-A", 1)).comment.partition(" ")[2] if text.startswith(("-A", "-D")) else ""


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
        for each in batch.text.splitlines():
            verb, name = each[:2], _name(each)
            if verb == "-A":
                if name in rules:
                    raise HostError(batch.program, f"{name} is there twice")
                rules[name] = guard if name.endswith(GUARDED) else None
            elif verb == "-D":
                if name not in rules:
                    raise HostError(batch.program, f"no rule {name}")
                del rules[name]
        return rules

    def _claimed(self, claim: Claim) -> tuple[str, ...]:
        """Those that a claim holds."""
        return tuple(name for name in self.rules if claim.holds(_seen(name)))

    def listing(self) -> str:
        """As iptables-save would print it."""
        rules = (line(name.partition(" ")[0], f"+{name.partition(' ')[2]}") for name in self.rules)
        return "".join(["*filter\n:INPUT ACCEPT [0:0]\n", *rules, "COMMIT\n"])

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
