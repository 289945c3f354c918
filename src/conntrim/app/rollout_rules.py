"""Our rules on their way into the kernel and out of it: checked, on trial, probed, kept, repaired, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from conntrim.app.ports.freshness import Freshness
from conntrim.app.rollout_probes import Probes
from conntrim.app.rollout_run import RefusedError, Run, programs_of
from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import KEPT_LIST, POLICIES, TRIAL_LIST, Batch, ObligationStatus, Plan
from conntrim.core.plan.freshness import shown
from conntrim.core.plan.obligations.room import NAME as ROOM
from conntrim.core.rollout.batches import checkable
from conntrim.core.rollout.claim import Claim, claim_of, marks_of
from conntrim.core.rollout.ours import belongs
from conntrim.core.rollout.placing import around, chains, fed_by, misplaced
from conntrim.core.rollout.record import Guard, Journal, Swap
from conntrim.core.rollout.states import State
from conntrim.core.rollout.status import swapped
from conntrim.core.rollout.swap import FLIPPED, Flip, Step, confirming, flip_at, steps

ASKED_NOW = frozenset({"loads", ROOM})
REPAIRING = 60.0
"""Seconds for which rules that are loaded again carry their guard, until they are swapped a moment later."""


def refuse_other_host(plan: Plan, fresh: Freshness) -> None:
    """RefusedError on another host or namespace, or with other rules, addresses or settings than the proofs had."""
    if why := fresh.elsewhere(plan):
        raise RefusedError(f"{why}; make one for it with conntrim plan -o DIR")
    if found := fresh.differences(plan):
        raise RefusedError(f"the plan is stale: {shown(found)}; make it again with conntrim plan -o DIR")


class Rules:
    """The rules of a run's plan in the kernel."""

    def __init__(self, run: Run) -> None:
        self.run, self.ports, self.probes = run, run.ports, Probes(run)
        self._seen: dict[str, dict[str, tuple[str, ...]]] = {}

    def check_trial(self) -> None:
        """Proved, not stale, something to do, and the kernel would take it; RefusedError, HostError."""
        self._check_obligations()
        self.probes.check()
        if not (self.run.plan.trial or self.run.plan.settings or self.run.plan.files):
            raise RefusedError("the plan changes nothing: there is nothing to try")
        self._check_replaced()
        self._check_unclaimed()
        # Read before the rules are compared with the plan's: a change in between shows after the load.
        self._seen = self._chains()
        refuse_other_host(self.run.plan, self.ports.freshness)
        self._check_batches()
        self.run.journal = replace(self.run.journal, tables=self.ports.loader.tables(self.run.programs()))

    def _check_replaced(self) -> None:
        """A plan stands beside the one that it was made beside, and beside no other."""
        earlier, plan = self.run.journal.replaced, self.run.plan
        found = marks_of(earlier.plan) if earlier and earlier.plan else ()
        if plan.replaces != found:
            name = earlier.name if earlier else "any of ours"
            made = f"the rules of {', '.join(plan.replaces)}" if plan.replaces else "rules without any of ours"
            raise RefusedError(f"made beside {made}, not beside {name}; make it again with conntrim plan -o DIR")
        if earlier and not plan.trial:
            raise RefusedError("a plan without rules takes no other's place; conntrim rollback first")

    def _check_unclaimed(self) -> None:
        """Nothing of ours is there but what is replaced, and nothing that would be taken for this plan's."""
        earlier = self.run.journal.replaced.own if self.run.journal.replaced else ()
        marked = self.ports.loader.own(self.ports.loader.installed(), Claim())
        found = [
            *self.ports.loader.own(self.run.programs(), self._to_be),
            *(rule for rule in marked if rule not in earlier),
        ]
        if found:
            raise RefusedError(f"{len(found)} rules with marks of ours are loaded already, the first: {found[0]}")

    def _check_batches(self) -> None:
        """With the second guard where the host takes it, else without: some kernels lack xt_recent."""
        self.run.recent = self.ports.loader.offers_recent()
        try:
            self._check_each()
        except HostError:
            if not self.run.recent:
                raise
            self.run.recent = False
            self._check_each()

    def _check_each(self) -> None:
        for batch in checkable(self.run.plan.trial):
            self.ports.loader.check(batch, self.run.guard)

    def _check_obligations(self) -> None:
        undecided = [o for o in self.run.plan.obligations if o.standing is not ObligationStatus.PROVED]
        # Whether the kernel takes the batches, and has room, is asked right after this, of the kernel itself.
        open_ones = [o for o in undecided if not (o.name in ASKED_NOW and o.standing is ObligationStatus.NOT_DECIDED)]
        refused = [f"{o.name} is {o.standing} ({o.why})" for o in open_ones if o.name not in self.run.journal.accepted]
        if refused:
            raise RefusedError("; ".join(refused))

    def load_trial(self) -> None:
        """All batches, guarded; RefusedError where one of our rules does not stand where it was proved."""
        for at, batch in enumerate(self.run.plan.trial):
            self.ports.loader.load(batch, self.run.guard.staggered(at))
        if self.run.guard.recent and set(self.run.programs()) - {"nft"}:
            self.ports.loader.fill(TRIAL_LIST)
        after = self._chains()
        for program, seen in after.items():
            if why := misplaced(self.run.plan.trial, program, self._seen[program], seen):
                raise RefusedError(why)
        self.run.journal = replace(self.run.journal, own=self.run.look(), around=self._around())

    def _chains(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """The chains that each of the plan's programs lists now."""
        fed, claim, listing = fed_by(self.run.plan.trial), self._to_be, self.ports.persistence.listing
        return {program: chains(program, listing(program), claim, fed) for program in self.run.programs()}

    @property
    def _to_be(self) -> Claim:
        """What of a trial is this plan's, before it is loaded as behind that."""
        return claim_of(replace(self.run.journal, state=State.LOADING, own=()))

    def _around(self) -> dict[str, str]:
        """What is around our rules now, whether or not what they replace stands there."""
        fed, claim, listing = fed_by(self.run.plan.trial), self.run.claim, self.ports.persistence.listing
        earlier = claim_of(self.run.journal.replaced) if self.run.journal.replaced else None
        found = {p: chains(p, listing(p), claim, fed, earlier) for p in self.run.programs()}
        return {name: digest for program, seen in found.items() for name, digest in around(program, seen).items()}

    def moved(self) -> tuple[str, ...]:
        """The chains in which our rules no longer stand as they stood, or that others have changed around them."""
        now, before = self._around(), self.run.journal.around
        return tuple(name for name in before if now.get(name, before[name]) != before[name])

    def _refuse_moved(self) -> None:
        if moved := self.moved():
            why = f"{', '.join(moved)} was changed since the trial began"
            raise RefusedError(f"{why}; conntrim rollback, then conntrim plan -o DIR")

    def check_confirm(self) -> None:
        """The whole was tried, nobody changed what is around its rules, and the kernel would take the kept ones."""
        if clients := self.run.journal.clients:
            raise RefusedError(
                f"on trial for {', '.join(clients)} alone, and the rules for all others have met no packet yet: "
                "conntrim apply PLAN_DIR tries the whole, in the place of this"
            )
        self._refuse_moved()
        if found := self.ports.freshness.around(self.run.plan):
            raise RefusedError(f"not as it was proved: {shown(found)}; conntrim rollback, then conntrim plan -o DIR")
        to_do = steps(self.run.journal)
        pending = to_do[: flip_at(to_do)]
        for batch in (*self.run.plan.confirm, *(step for step in pending if isinstance(step, Batch))):
            self.ports.loader.check(batch, self.run.guard)

    def load_kept(self) -> None:
        """All that falls back with the trial: up to the flip, or the whole swap where there is none."""
        to_do = steps(self.run.journal)
        flip = flip_at(to_do)
        self._go_on(to_do, len(to_do) if flip is None else flip)
        self._refuse_moved()

    def keep(self) -> None:
        """The flip and what follows it. Filled once more where it is filled: a kill may have come amid it."""
        to_do = steps(self.run.journal)
        if FLIPPED in self.run.own():
            self.ports.loader.fill(KEPT_LIST)
        self._go_on(to_do, len(to_do))
        if moved := self.moved():  # the rules are kept: to refuse now would ask for this confirm again and again
            self.run.remark(f"{', '.join(moved)} was changed amid the confirm: conntrim status proves all of it again")

    def retire(self, earlier: Journal) -> None:
        """What is replaced goes, by its own way out; RefusedError where something of it is left."""
        self._take_out(earlier, earlier.plan.rollback_confirmed if earlier.plan else ())

    def reinstate(self, earlier: Journal) -> None:
        """What was replaced stands again beside this plan's rules; where it cannot, the next status says so."""
        programs, claim = programs_of(earlier.plan) if earlier.plan else (), claim_of(earlier)
        if set(self.ports.loader.own(programs, claim)) == set(earlier.own):
            return
        try:
            if moved := self.moved():
                raise RefusedError(f"{', '.join(moved)} was changed since")
            self.ports.loader.sweep(programs, earlier.tables, claim)  # what a kill amid this, or a confirm, has left
            made = [batch for batch in (earlier.plan.trial if earlier.plan else ()) if batch.program == POLICIES]
            for batch in (*made, *self.run.plan.reinstate):
                self.ports.loader.load(batch, self.run.guard)
        except (HostError, RefusedError) as error:
            self.run.remark(f"{earlier.name} does not come back: {error}")

    def _go_on(self, to_do: Sequence[Step], end: int) -> None:
        own = self.run.own()
        for at in range(swapped(self.run.journal, own), end):
            self.run.keep(replace(self.run.journal, swap=Swap(at, own)))
            self._swap(to_do[at], first=at == 0)
            own = self.run.look()

    def _swap(self, step: Step, first: bool) -> None:
        if isinstance(step, Flip):
            self.ports.loader.fill(KEPT_LIST)
            return
        if first:
            self.ports.loader.empty(KEPT_LIST)
        self.ports.loader.load(step, self.run.guard)

    def unmendable(self) -> str:
        """Why what is gone cannot be loaded again as it was; "" where it can."""
        for batch in self.run.plan.trial:
            wanted, left = self._left(batch)
            if left and left != wanted:
                return f"{len(left)} of {len(wanted)} rules are left in one table, the first: {min(left)}"
        found = self.ports.freshness.differences(self.run.plan)
        return f"not as the plan was made for: {shown(found)}" if found else ""

    def _left(self, batch: Batch) -> tuple[set[str], set[str]]:
        """What the batch's table held of ours, and what of it is there."""
        wanted = {own for own in self.run.journal.own if belongs(batch, own)}
        return wanted, wanted.intersection(self.run.own())

    def check_mend(self) -> None:
        """RefusedError where tables are not gone as a whole, or where the rest is not what it was."""
        if why := self.unmendable():
            raise RefusedError(f"{why}; conntrim rollback, then conntrim plan -o DIR")

    def repair(self) -> None:
        """Each table that was made anew without ours gets them again, guarded first: a crash amid it expires."""
        self.check_mend()
        for batch in self.run.plan.trial:
            if not self._left(batch)[1]:
                guard = Guard.starting(self.ports.clock.now(), REPAIRING)
                for loaded in (batch, *confirming(self.run.plan, batch)):
                    self.ports.loader.load(loaded, guard)
        self.run.journal = replace(self.run.journal, own=self.run.look())

    def remove(self) -> None:
        """The plan's own way out, as it was reviewed; then by mark whatever is left, and see that nothing is."""
        self._take_out(self.run.journal, self._way_out())
        self.run.look()

    def _take_out(self, journal: Journal, way_out: Sequence[Batch]) -> None:
        programs = programs_of(journal.plan) if journal.plan else self.ports.loader.installed()
        claim = claim_of(journal)
        for batch in way_out:
            try:
                self.ports.loader.load(batch, self.run.guard)
            except HostError as error:
                self.run.remark(f"taken out by mark: {error}")
        for rule in self.ports.loader.altered(programs, claim):
            self.run.remark(f"left alone, because it is not what was loaded: {rule}")
        self.ports.loader.sweep(programs, journal.tables, claim)
        if left := self.ports.loader.own(programs, claim):
            raise RefusedError(f"{len(left)} rules of ours are still in the kernel, the first: {left[0]}")

    def _way_out(self) -> tuple[Batch, ...]:
        """The plan's batches where they are known to fit; none after a crash in between, or where rules are gone."""
        journal = self.run.journal
        if journal.plan is None or not journal.own or set(journal.own) != set(self.run.own()):
            return ()
        done = 0 if journal.swap is None else journal.swap.steps
        if done == 0:
            return journal.plan.rollback_trial
        return journal.plan.rollback_confirmed if done == len(steps(journal)) else ()
