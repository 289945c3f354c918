"""Which packet is in which ct state: the readable evaluator's own table, read for all packets at once."""

from __future__ import annotations

from conntrim.core.model.conntrack import CtState
from conntrim.core.netfilter.states import FRESH, Need
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.packet_vars import STATES, PacketVars

ByState = dict[CtState, Set]


def in_front(space: PacketVars) -> ByState:
    """The state in front of conntrack, where no rule untracked packets yet: without an entry they are INVALID."""
    return dict.fromkeys(CtState, space.nothing) | {CtState.INVALID: space.everything}


def unsolicited(view: MatchEncoder, untracked: Set, loose: bool = True) -> ByState:
    """The state of packets that belong to no connection; `untracked` are those that raw rules marked."""
    space = view.space
    found = dict.fromkeys(CtState, space.nothing) | {CtState.UNTRACKED: untracked}
    rest = ~untracked
    for row in FRESH:
        here = rest
        for match in row.when:
            here = here & view.field(match.field, match.values, match.mask)
        rest = rest & ~here
        state = row.state
        if row.need is Need.INNER or (row.need is Need.LOOSE and not loose):
            state = CtState.INVALID
        if row.need is Need.CHUNK:
            opens = space.unknown(row.fact)
            found[CtState.INVALID] = found[CtState.INVALID] | (here & ~opens)
            here = here & opens
        found[state] = found[state] | here
    return found


def known(view: MatchEncoder, untracked: Set, state: CtState) -> ByState:
    """The state of packets of a known connection, or of errors about one: `state`, unless untracked."""
    by_kernel = _kernel_untracked(view)
    free = untracked | by_kernel
    return dict.fromkeys(CtState, view.space.nothing) | {state: ~free, CtState.UNTRACKED: free}


def _kernel_untracked(view: MatchEncoder) -> Set:
    found = view.space.nothing
    for row in FRESH:
        if row.state is CtState.UNTRACKED:
            here = view.space.everything
            for match in row.when:
                here = here & view.field(match.field, match.values, match.mask)
            found = found | here
    return found


def settled(space: PacketVars, arrived: Set, states: ByState) -> Set:
    """The packets that arrive when each is in the state given: the state is no variable any more."""
    parts = []
    for state in STATES:
        if states[state] != space.nothing:
            parts.append(space.any_state(arrived & space.state(state)) & states[state])
    return space.sets.either(parts)
