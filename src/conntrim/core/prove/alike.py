"""Do the same packets of each connection come to what counts, varies or leaves a trace (watch.py), before and after?

Asked packet by packet of the dialogue, each in the state that it has: NEW or ESTABLISHED before, UNTRACKED after; and
of errors and resets about the policy's flows, RELATED before and INVALID after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.flows import Flow, Steps, turns
from conntrim.core.prove.inputs import Inputs
from conntrim.core.prove.reachability import Reach
from conntrim.core.prove.watch import OF_THE_ENTRY, Sight, Why

HARMLESS = frozenset({Why.LOGS, *OF_THE_ENTRY})
"""What matters of a connection's own packets only."""

Seen = dict[object, tuple[Sight, Set]]
"""By hook and what makes two rules the same there: one of the sights, and all packets."""


@dataclass(frozen=True, slots=True)
class Alike:
    """One family; `found` says which rules meet other packets than before and of what, each with the rule's text."""

    inputs: Inputs
    found: dict[str, str] = field(default_factory=dict)

    def flow(self, flow: Flow) -> None:
        """All packets of a flow's connections, each in the state in which those before it left it."""
        inputs, on = self.inputs, self.inputs.followed(flow)
        ways = {
            "request": (_seen(on.before.there), _seen(on.after.there)),
            "answer": (_seen(on.before.back), _seen(on.after.back)),
        }
        if not any(seen for pair in ways.values() for seen in pair):
            return
        whole = inputs.stateless(on.scope) & ~on.before.translated()
        for *earlier, step in _dialogue(flow):
            known = on.before.behind(tuple(earlier), inputs.loosened)
            scope = whole & inputs.space.sets.either(list(known.values()))
            mine = partial(on.before.among, step=step, tables=known), partial(on.after.among, step=step, tables=known)
            self._compare(flow.label, scope, ways[step[0]], mine)

    def errors(self, direction: Direction) -> None:
        """Errors and resets about the policy's flows; that they are logged harms nobody, nor that they ask."""
        inputs, about, question = self.inputs, self.inputs.about(direction), self.inputs.question(direction)
        ways = question.before, question.after
        old, new = ({k: s for k, s in _seen(r).items() if s[0].item.why not in HARMLESS} for r in ways)
        free = question.after.untracked

        def related(packets: Set) -> Set:
            return self._in(packets, CtState.RELATED)

        def without(packets: Set) -> Set:
            return (self._in(packets, CtState.INVALID) & ~free) | (self._in(packets, CtState.UNTRACKED) & free)

        if Field.MARK in inputs.space.bits:  # the kernel's own packets bear no mark (K145)
            about = about & inputs.space.field(Field.MARK, Intervals.of(0))
        self._compare("errors and resets about the services", inputs.stateless(about), (old, new), (related, without))

    def _compare(self, whose: str, scope: Set, seen: tuple[Seen, ...], mine: tuple[Callable[[Set], Set], ...]) -> None:
        """Of each watched part, whether the same packets come to it; `mine` tells those of these connections."""
        nothing = self.inputs.space.nothing
        for key in dict.fromkeys(key for each in seen for key in each):
            sight = next(each[key][0] for each in seen if key in each)
            was, comes = (
                scope & look(each[key][1]) if key in each else nothing for look, each in zip(mine, seen, strict=True)
            )
            what = f"{sight.rule.where} {sight.item.why.value.format(whose)}"
            if sight.item.why in OF_THE_ENTRY:
                if was != nothing:
                    self.found[f"{what}, which will not exist"] = sight.rule.text
            elif comes & ~was != nothing:
                self.found[f"{what}; untracked, more of them would come to it"] = sight.rule.text
            elif was & ~comes != nothing and sight.item.why is not Why.LOGS:
                self.found[f"{what}; untracked, not all of them would come to it"] = sight.rule.text

    def _in(self, packets: Set, state: CtState) -> Set:
        return self.inputs.stateless(packets & self.inputs.space.state(state))


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
