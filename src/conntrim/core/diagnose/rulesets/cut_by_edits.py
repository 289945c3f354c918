"""Whether edits cut dialogues of which rules untrack packets, before and after: `compare` follows those whole of which
edits untrack other packets than before, and looks at packets with entries where they untrack none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from conntrim.core.diagnose.rulesets.case import UNKNOWN, Known, Side, case_of
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.hooks import arrange
from conntrim.core.prove.diagram import Set, deciding
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.reachability import reach
from conntrim.core.prove.scripts import Harm
from conntrim.core.prove.states import settled, unsolicited
from conntrim.core.prove.untracking import Difference

CUT = frozenset({Harm.CUT, Harm.NO_ERRORS})


def cuts(
    before: Ruleset,
    after: Ruleset,
    local: Intervals | None,
    tick: Callable[[], None],
    *,
    loose: bool = True,
    known: Known = UNKNOWN,
) -> bool:
    """Whether a dialogue completes, or an error about it comes through, before and not after, for certain, although
    its first packet passes still: who may open what is another question. NotDecided."""
    with deciding():
        sides = case_of(after, local, tick, loose=loose, known=known).sides
        every = [replace(side, inert=arrange(before)) for side in sides]
        return any(d.harm in CUT and not d.conditional and _opened(s, d) for s in every for d in s.differences())


def _opened(side: Side, difference: Difference) -> bool:
    """Whether the packet that opens some of the dialogues passes."""
    return difference.openers & _passing(side, difference) != side.space.nothing


def _passing(side: Side, difference: Difference) -> Set:
    """Connections whose first packet passes, with any flags."""
    space, direction = side.space, difference.direction
    scope = side.universe(direction) & difference.openers & (side.opening() | side.echoes())
    way = reach(space, side.full, direction, scope, local=side.local)
    states = unsolicited(MatchEncoder(space), way.untracked, side.loose)
    return side.flagless(settled(space, way.arrived, states) & scope)
