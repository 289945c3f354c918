"""What one obligation is made of, and what the deciding of one may say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from conntrim.core.model.plan import ObligationStatus
from conntrim.core.plan.compiled import Compiled
from conntrim.core.prove.inputs import Broken, Inputs

PROVED, BROKEN, OPEN = ObligationStatus.PROVED, ObligationStatus.BROKEN, ObligationStatus.NOT_DECIDED


@dataclass(frozen=True, slots=True)
class Undecided:
    """Why it is not decided, and the rule that stands in the way."""

    why: str
    witness: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """Something that breaks nothing and that the operator must know: what is newly admitted, what a fall back loses."""

    words: str


Said = Broken | Undecided | Listed
"""What packet sets say of one family."""

Judgement = tuple[ObligationStatus, str, str]
"""A status, why, and a witness: what is said of a plan as a whole."""


@dataclass(frozen=True, slots=True)
class Spec:
    """An obligation by its name in the manual; `fine` is why it is proved.

    `by_sets` asks the sets of packets of one family, `by_plan` what else the plan is made of; either may be missing.
    Nothing said is a proof.
    """

    name: str
    fine: str
    by_sets: Callable[[Inputs], Iterator[Said]] | None = None
    by_plan: Callable[[Compiled], Iterator[Judgement]] | None = None
