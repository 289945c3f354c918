"""Whether a change of the rules takes their translation from connections, by untracking them or their answers."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.prove.diagram import deciding
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.nat_preservation import Kept
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Change
from conntrim.core.prove.populations import families_of
from conntrim.core.prove.reachability import told_of


def cuts_translations(
    before: Ruleset, after: Ruleset, local: Intervals | None, loose: bool, tick: Callable[[], None]
) -> bool:
    """Whether it does so to more than some that are given just such a port by chance. `local` are the host's addresses
    where they are known. NotDecided."""
    change = Change.of(before, after)
    for family in families_of(before, after):
        with deciding():
            space, pair = PacketVars(family, change.names, tick), change.pair(family)
            inputs = Inputs(space, pair, [], told_of(local, family) or Intervals(), loose)
            kept = Kept(space, pair.whole(), inputs.unheld(), inputs.local or None, inputs.from_services())
            if any(not cut.seldom for cut in kept.cuts()):
                return True
    return False
