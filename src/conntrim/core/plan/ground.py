"""What placing asks of one family: the rules that a plan's packets can meet, and the traces of those packets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.ruleset import Chain, Ruleset, Table
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import CONNTRACK, Arranged, Kind
from conntrim.core.plan.described import Described
from conntrim.core.plan.passages import Passage
from conntrim.core.prove.bounds import fields_of
from conntrim.core.prove.chains import Trace, Visit, trace
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.names import Names
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.reachability import encoder, packets_of, told_of
from conntrim.core.prove.rule_index import Listed
from conntrim.core.prove.rule_slicing import Sieve

STATELESS = frozenset({Hook.PREROUTING, Hook.OUTPUT})
"""Hooks of which chains at or before conntrack see no state (K1)."""
DIRECTIONS = {"in": Direction.INBOUND, "out": Direction.OUTBOUND}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in front of a rule: chain name and index; `index` one past the end is the chain's end."""

    chain: str
    index: int


@dataclass(frozen=True, slots=True)
class Ground:
    """One family's rules, without those that none of the plan's packets can match; `local` are the host's addresses."""

    ruleset: Ruleset
    space: PacketVars
    arranged: Arranged
    local: Intervals | None
    _tables: dict[tuple[str, str, str], Table] = field(default_factory=dict)
    _indices: dict[tuple[str, str, str, str], dict[int, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, ruleset: Ruleset, family: Family, passages: Iterable[Passage], local: Intervals, listed: Listed
    ) -> Ground:
        """From the rules (which hold nothing of ours) and all packets that may be asked about."""
        boxes = [fields_of(p.later.fields.items(), family) for p in passages if p.family is family]
        arranged, _ = Sieve((ruleset, ruleset), family, listed).arranged(boxes)
        space = PacketVars(family, Names.told(ruleset.tables, listed.interfaces))
        return cls(ruleset, space, arranged, told_of(local, family), {_key(t): t for t in ruleset.tables})

    def chains(self, passage: Passage) -> list[tuple[Table, Chain]]:
        """The base chains that a passage's packets run through with a ct state, as they meet them."""
        stations = (s for group in self.arranged.groups[self.space.family, passage.hook] for s in group)
        hung = [each for s in stations if s.kind is Kind.CHAIN for each in s.chains]
        seen = [(t, c) for t, c in hung if c.base and (passage.hook not in STATELESS or c.base.priority > CONNTRACK)]
        return sorted(seen, key=self._listed_at)

    def _listed_at(self, hung: tuple[Table, Chain]) -> tuple[int, int]:
        """Where a base chain stands in the rule set."""
        table, base = hung
        names = [chain.name for chain in self.whole(table).chains]
        return list(self._tables).index(_key(table)), names.index(base.name)

    def whole(self, table: Table) -> Table:
        """The table with all its rules."""
        return self._tables[_key(table)]

    def spot(self, table: Table, visit: Visit) -> Spot:
        """Where a rule stands in its chain, among all its rules."""
        key = (*_key(table), visit.chain)
        if key not in self._indices:
            chain = self.whole(table).chain(visit.chain)
            self._indices[key] = {id(rule): at for at, rule in enumerate(chain.rules if chain else ())}
        return Spot(visit.chain, self._indices[key][id(visit.rule)])

    def packets(self, passage: Passage, table: Table, told: Described) -> Set:
        """The packets of a passage that these words tell, whatever their state."""
        found = packets_of(self.space, direction_of(passage), self.local) & told.packets(self.view(passage), table)
        return self.space.any_state(found)

    def view(
        self, passage: Passage, state: CtState = CtState.NEW, mark: tuple[Set, ...] | None = None, *, known: bool = True
    ) -> MatchEncoder:
        """What rules see of a passage's packets, all in one state; `known` False: as if nobody knew the addresses."""
        states = dict.fromkeys(CtState, self.space.nothing) | {state: self.space.everything}
        view = encoder(self.space, direction_of(passage), passage.hook, states, self.local if known else None)
        view.mark = list(mark) if mark is not None else None
        return view

    def trace(self, passage: Passage, chain: tuple[Table, Chain], state: CtState, packets: Set) -> Trace:
        """What becomes of packets of a passage in one base chain, all of them in one state."""
        return trace(self.view(passage, state), *chain, packets)


def direction_of(passage: Passage) -> Direction:
    """The way of a passage's packets."""
    ((way, name),) = passage.later.interfaces.items()
    return Direction.LOOPBACK if name == "lo" else DIRECTIONS[way]


def _key(table: Table) -> tuple[str, str, str]:
    return table.dialect, table.family, table.name
