"""Do the same packets of each connection come to what counts, varies or leaves a trace (watch.py), before and after?

Asked packet by packet of the dialogue, each in the state that it has: NEW or ESTABLISHED before, UNTRACKED after; and
of errors and resets about the policy's flows, RELATED before and INVALID after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import VARYING
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Field
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import BACK, Flow, Steps, turns
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Arrangements, Pair
from conntrim.core.prove.reachability import Reach, reach
from conntrim.core.prove.symbolic_connection import Conversations
from conntrim.core.prove.watch import Item, Sight, Watch, Why

Seen = dict[object, tuple[Sight, Set]]
"""By hook and what makes two rules the same there: one of the sights, and all packets."""


@dataclass(slots=True)
class Alike:
    """One family; `found` says which rules meet other packets than before, and of what."""

    space: PacketVars
    pair: Pair
    local: Intervals | None
    found: dict[str, None] = field(default_factory=dict)
    varying: set[str] = field(default_factory=set)
    _known: dict[int, tuple[Item, ...]] = field(default_factory=dict)

    def flow(self, flow: Flow, scope: Set, before: Conversations, after: Conversations) -> None:
        """All packets of a flow's connections; `before` and `after` say in which state each is."""
        lo, back = flow.direction is Direction.LOOPBACK, BACK[flow.direction]
        there, here = self.pair.along(flow.direction), self.pair.along(back, answers=lo)
        watch = Watch.of((*there, *here), self._known)
        if not watch.items:
            return
        ways = {
            "request": self._walked(there, flow.direction, scope, watch),
            "answer": self._walked(here, back, scope, watch, mirrored=True),
        }
        self.varying |= watch.texts
        whole = self._without(scope, Field.CT_STATE) & ~before.translated()
        for *earlier, step in _dialogue(flow):
            known = before.behind(tuple(earlier), self.loosened)
            scope = whole & self.space.sets.either(list(known.values()))
            mine = partial(before.among, step=step, tables=known), partial(after.among, step=step, tables=known)
            self._compare(flow.label, scope, tuple(map(_seen, ways[step[0]])), mine)

    def errors(self, direction: Direction, about: Set) -> None:
        """Errors and resets about the policy's flows; that they are logged harms nobody."""
        arranged = self.pair.along(direction)
        watch = Watch.of(arranged, self._known)
        if not watch.items:
            return
        ways = self._walked(arranged, direction, about, watch)
        old, new = ({k: s for k, s in _seen(r).items() if s[0].item.why is not Why.LOGS} for r in ways)
        free = ways[1].untracked

        def related(packets: Set) -> Set:
            return self._in(packets, CtState.RELATED)

        def without(packets: Set) -> Set:
            return (self._in(packets, CtState.INVALID) & ~free) | (self._in(packets, CtState.UNTRACKED) & free)

        scope = self._without(about, Field.CT_STATE)
        self._compare("errors and resets about the services", scope, (old, new), (related, without))

    def _compare(self, whose: str, scope: Set, seen: tuple[Seen, ...], mine: tuple[Callable[[Set], Set], ...]) -> None:
        """Of each watched part, whether the same packets come to it; `mine` tells those of these connections."""
        nothing = self.space.nothing
        for key in dict.fromkeys(key for each in seen for key in each):
            sight = next(each[key][0] for each in seen if key in each)
            was, comes = (
                scope & look(each[key][1]) if key in each else nothing for look, each in zip(mine, seen, strict=True)
            )
            what = f"{sight.rule.where} {sight.item.why.value.format(whose)}"
            if comes & ~was != nothing:
                self.found[f"{what}; untracked, more of them would come to it"] = None
            elif was & ~comes != nothing and sight.item.why is not Why.LOGS:
                self.found[f"{what}; untracked, not all of them would come to it"] = None

    def _walked(
        self, pair: Arrangements, way: Direction, scope: Set, watch: Watch, *, mirrored: bool = False
    ) -> tuple[Reach, Reach]:
        one, other = (reach(self.space, a, way, scope, mirrored=mirrored, local=self.local, watch=watch) for a in pair)
        return one, other

    def loosened(self, found: Set) -> Set:
        """Without what varies between the packets of a connection, or from one moment to the next."""
        space = self.space
        free = [space.free[text] for text in sorted(self.varying) if text in space.free]
        return found.exists(space.sets.literals(*free, *(n for f in VARYING for n in space.bits.get(f, ()))))

    def _in(self, packets: Set, state: CtState) -> Set:
        return self._without(packets & self.space.state(state), Field.CT_STATE)

    def _without(self, found: Set, key: Field) -> Set:
        return found.exists(self.space.sets.literals(*self.space.bits[key]))


def _seen(way: Reach) -> Seen:
    """What came to each watched part, by whichever chain."""
    found: Seen = {}
    for hook, sight in way.sights:
        key = hook, sight.key
        first, packets = found.get(key, (sight, sight.packets))
        found[key] = first, packets | sight.packets
    return found


def _dialogue(flow: Flow) -> Iterator[Steps]:
    """The packets to ask about, each with those before it."""
    if flow.protocol != Protocol.TCP:
        query, answer = ("request", 0), ("answer", 0)
        yield from ((query,), (query, answer), (query, answer, query))
        return
    for name, ways in zip(("request", "answer"), flow.flags(), strict=True):
        for flags in ways:
            yield turns(flow, name, flags)
