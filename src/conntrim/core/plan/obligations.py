"""The properties that a plan must have, each decided by an argument about all packets or left undecided.

*Proved* rests on boxes, on sets of packets (core/prove), and on what the texts are by construction.
"""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.plan import Obligation
from conntrim.core.plan.compiled import BROKEN, OPEN, PROVED, Compiled, Judgement
from conntrim.core.plan.dependence import fragments, helper_kept, nat_kept, no_ct_dependence, two_sided
from conntrim.core.plan.fallback import falls_back, guard_expired, loads
from conntrim.core.plan.passing import answers_leave, delivered, errors_return, no_exposure, no_loss
from conntrim.core.prove.judge import Judgement as Proof
from conntrim.core.prove.judge import doubted
from conntrim.core.prove.judge import judge as judge_all

TABLE: dict[str, Callable[[Compiled], Judgement]] = {
    "two-sided": two_sided,
    "delivered": delivered,
    "no-exposure": no_exposure,
    "no-loss": no_loss,
    "nat-kept": nat_kept,
    "helper-kept": helper_kept,
    "errors-return": errors_return,
    "answers-leave": answers_leave,
    "no-ct-dependence": no_ct_dependence,
    "fragments": fragments,
    "guard-expired": guard_expired,
    "falls-back": falls_back,
    "loads": loads,
}
"""Every obligation, in the order of the manual."""


def proved(c: Compiled) -> Proof:
    """What packet sets say of the change."""
    loose, facts = c.facts.tcp_loose is not False, c.facts
    return judge_all(
        c.before, c.after, c.policy, facts.local, facts.local_ports,
        loose=loose, tick=c.tick, listed=c.listed, listening=facts.listening,
    )  # fmt: skip


def obligations(c: Compiled, proof: Proof) -> tuple[Obligation, ...]:
    """All of them, decided as far as this can: the boxes' word, and the packet sets' where they decide."""
    by_sets = {o.name: o for o in proof.obligations}
    found = (
        _settled(Obligation(name, *decide(c)), by_sets.get(name), bool(proof.assumed)) for name, decide in TABLE.items()
    )
    return tuple(o if o.name == "loads" else doubted(o, c.before.unread) for o in found)


def undecided(proof: Proof) -> frozenset[str]:
    """The obligations that packet sets do not prove."""
    return frozenset(o.name for o in proof.obligations if o.standing is not PROVED)


WORST = (BROKEN, OPEN, PROVED)
BOTH = ("helper-kept", "no-ct-dependence")
"""Where boxes and sets look at different things: helpers are also known by their ports, sets do not ask for entries."""


def _settled(by_boxes: Obligation, by_sets: Obligation | None, assuming: bool) -> Obligation:
    """Two arguments about one property. Sets are exact where no match is taken to answer as it did before: one that
    counts packets would see more of an untracked connection (no-ct-dependence says so)."""
    if by_sets is None or by_sets.standing is by_boxes.standing:
        return by_boxes
    if by_sets.standing is OPEN or by_sets.name in BOTH or (assuming and by_sets.standing is PROVED):
        return min(by_boxes, by_sets, key=lambda o: WORST.index(o.standing))
    return by_sets
