"""The same questions asked of z3: what a rule set lets through, as a formula over one packet's bits.

It shares the model's values with conntrim and nothing of `core/netfilter` or `core/prove`: hooks, first match, jumps,
states, marks and nat chains are written down a second time here. Translated packets go on as they came; `moved` says
which they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import z3

from bench.peer_z3_bits import Bits, Ends, Way, bare, either
from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    CtTemplate,
    Dialect,
    End,
    Helper,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Ruleset,
    SetZone,
    Statement,
    Table,
    TableFamily,
    Verdict,
)
from conntrim.core.model.service import Direction, Hook

HOOKS: dict[Direction, tuple[Hook, ...]] = {
    Direction.INBOUND: (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT),
    Direction.OUTBOUND: (Hook.OUTPUT, Hook.POSTROUTING),
    Direction.FORWARDED: (Hook.INGRESS, Hook.PREROUTING, Hook.FORWARD, Hook.POSTROUTING),
}
TRACKER = -200
TRANSLATORS = {Hook.PREROUTING: -99.5, Hook.OUTPUT: -99.5, Hook.INPUT: 100.5, Hook.POSTROUTING: 100.5}
"""Where a hook's nat chains run, whatever priority they were given, which only says their order: behind what shares
the kernel's."""
SEEN_BY = {
    Family.IPV4: (TableFamily.IP, TableFamily.INET, TableFamily.NETDEV),
    Family.IPV6: (TableFamily.IP6, TableFamily.INET, TableFamily.NETDEV),
}

PASSES = (
    "TCPMSS", "CLASSIFY", "CHECKSUM", "TTL", "HL", "DSCP", "TOS", "ECN", "AUDIT", "LED", "RATEEST", "SECMARK", "TEE",
    "TRACE", "NFLOG", "ULOG", "LOG", "IDLETIMER", "SET", "CONNSECMARK", "counter", "log", "quota", "meta priority",
    "dup", "tcp option", "ip dscp", "ip6 dscp", "ip ttl", "ip6 hoplimit", "ct mark", "ct label", "ct event",
)  # fmt: skip
"""Targets that let the packet go on."""


REMARKS = ("CONNMARK", "meta mark")
"""Targets that give the packet a mark that may be any: shifted on its way, or computed."""


@dataclass(slots=True)
class Sink:
    """Where packets that enter a chain end, while the chain is being read."""

    accepted: list[z3.BoolRef] = field(default_factory=list)
    dropped: list[z3.BoolRef] = field(default_factory=list)
    left: list[z3.BoolRef] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Walked:
    """What becomes of packets: those that pass all hooks, those that NOTRACK took, those whose destination is new."""

    alive: z3.BoolRef
    untracked: z3.BoolRef
    moved: z3.BoolRef


class Peer(Bits):
    """Rule sets as formulas over the packets of one family."""

    # --- questions ------------------------------------------------------------------------------------------------

    def admitted(self, ruleset: Ruleset, direction: Direction, state: z3.BitVecRef | None = None) -> z3.BoolRef:
        """The packets that pass all hooks of a direction; `state`: what conntrack says of those it tracks."""
        return self.walked(ruleset, direction, state).alive

    def strangers(self, ruleset: Ruleset, direction: Direction, loose: bool = True) -> z3.BoolRef:
        """The packets that pass all hooks though they belong to no connection."""
        return self.admitted(ruleset, direction, self.fresh(loose))

    def untracked(self, ruleset: Ruleset, direction: Direction) -> z3.BoolRef:
        """The packets of a direction that conntrack never sees."""
        return self.walked(ruleset, direction, None).untracked

    def walked(self, ruleset: Ruleset, direction: Direction, state: z3.BitVecRef | None) -> Walked:
        """What becomes of a direction's packets."""
        here = direction is not Direction.OUTBOUND
        way = Way(z3.BitVecVal(CtState.INVALID, 3), z3.BitVecVal(0, 32) if here else self.mark, direction)
        alive, untracked = z3.BoolVal(True), z3.BoolVal(False)
        moved: list[z3.BoolRef] = []
        for hook in HOOKS[direction]:
            way.has_in = here and hook is not Hook.OUTPUT
            way.has_out = hook not in (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT)
            way.hops = int(direction is Direction.FORWARDED and way.has_out)
            way.ends = {}
            way.moved = []
            for priority, table, chain in self._stations(ruleset, hook):
                if hook is not Hook.INGRESS and priority > TRACKER and way.early:
                    way.early, untracked = False, way.state == CtState.UNTRACKED
                    given = self.state if state is None else state
                    way.becomes(z3.If(untracked, way.state, given))
                if priority > TRANSLATORS.get(hook, 0):
                    self._untaken(ruleset, hook, way)
                if table is None or chain is None or chain.base is None:
                    continue
                nat = chain.base.type == "nat"
                sees = z3.And(self._opening(way), z3.Not(either(way.moved))) if nat else self._at(chain.base, way)
                ends = self._rules(table, chain, z3.And(alive, sees), way)
                past = either([ends.accepted, ends.left]) if chain.base.policy is Verdict.ACCEPT else ends.accepted
                alive = either([z3.And(alive, z3.Not(sees)), past]) if nat or chain.base.devices else past
            self._untaken(ruleset, hook, way)
            moved += way.moved if hook in (Hook.PREROUTING, Hook.OUTPUT) else ()
        return Walked(alive, untracked, either(moved))

    def _untaken(self, ruleset: Ruleset, hook: Hook, way: Way) -> None:
        """Behind the rules that translate destinations first packets that none took keep theirs; a target that is
        unknown may translate, too."""
        if hook not in (Hook.PREROUTING, Hook.OUTPUT) or way.direct is not None:
            return
        tables = [t for _, t, c in self._stations(ruleset, hook) if t and c and c.base and c.base.type == "nat"]
        rules = [rule for table in tables for rule in table.rules()]
        if not any(isinstance(s, OpaqueStatement) for rule in rules for s in rule.statements):
            way.direct, way.ends = z3.And(way.state == CtState.NEW, z3.Not(either(way.moved))), {}

    def _at(self, base: Base, way: Way) -> z3.BoolRef:
        """The packets that an ingress chain sees: those of its devices."""
        return self._interface("in", base.devices, way) if base.devices else z3.BoolVal(True)

    def _opening(self, way: Way) -> z3.BoolRef:
        """First packets of connections: what nat chains see. An ICMP error is about one that has its entry."""
        ported = z3.Not(z3.Or(*(self.fields[Field.PROTOCOL] == int(p) for p in (Protocol.ICMP, Protocol.ICMPV6))))
        return z3.Or(way.state == CtState.NEW, z3.And(way.state == CtState.RELATED, ported))

    # --- chains ---------------------------------------------------------------------------------------------------

    def _stations(self, ruleset: Ruleset, hook: Hook) -> list[tuple[float, Table | None, Chain | None]]:
        """The chains of a hook in the order in which packets meet them, and where conntrack stands."""
        found: list[tuple[float, int, Table | None, Chain | None]] = []
        if hook is not Hook.INGRESS:
            found.append((TRACKER + 1, 0, None, None))
        for table in ruleset.tables:
            if table.family in SEEN_BY[self.family] and not table.dormant:
                for chain in table.chains:
                    if chain.base and chain.base.hook is hook:
                        priority, nat = chain.base.priority, chain.base.type == "nat"
                        found.append((TRANSLATORS[hook] if nat else priority, priority if nat else 0, table, chain))
        return [(at, table, chain) for at, _, table, chain in sorted(found, key=lambda each: each[:2])]

    def _rules(self, table: Table, chain: Chain, live: z3.BoolRef, way: Way) -> Ends:
        """First match: a rule sees what no rule before it ended."""
        ends = Sink()
        for rule in chain.rules:
            if all(isinstance(s, NoEffect) for s in rule.statements):
                continue
            holds = z3.And(*(self._match(m, table, way) for m in rule.matches))
            on = z3.And(live, holds)
            past = z3.And(live, z3.Not(holds))
            for statement in rule.statements:
                if _reads_entry(table, statement):  # without one nft goes on with the next rule
                    without = z3.BoolVal(True) if way.early else bare(way)
                    past, on = z3.Or(past, z3.And(on, without)), z3.And(on, z3.Not(without))
                on = self._statement(table, statement, on, way, ends)
            live = past if z3.is_false(on) else z3.Or(past, on)
        return Ends(either(ends.accepted), either(ends.dropped), either([*ends.left, live]))

    def _statement(self, table: Table, statement: Statement, on: z3.BoolRef, way: Way, ends: Sink) -> z3.BoolRef:
        """The packets that go on to the next statement."""
        match statement:
            case Nat():
                way.moved.append(on)
                ends.accepted.append(on)
            case End(verdict=Verdict.ACCEPT):
                ends.accepted.append(on)
            case End(verdict=Verdict.QUEUE):
                self._either_way(on, self.unknown(f"queue {statement.how}"), ends)
            case End():
                ends.dropped.append(on)
            case Return():
                ends.left.append(on)
            case Jump():
                inner = self._chain(table, statement.chain, on, way)
                ends.accepted.append(inner.accepted)
                ends.dropped.append(inner.dropped)
                if not statement.goto:
                    return inner.left
                ends.left.append(inner.left)
            case OpaqueStatement() if statement.kind not in PASSES:
                return self._opaque_end(statement, on, way, ends)
            case _:
                self._effect(table, statement, on, way)
                return on
        return z3.BoolVal(False)

    def _chain(self, table: Table, name: str, on: z3.BoolRef, way: Way) -> Ends:
        """A user's chain: one formula for all who jump there, unless it changes what later rules see."""
        chain = table.chain(name)
        if chain is None:
            return Ends(z3.BoolVal(False), z3.BoolVal(False), on)
        if not _plain(table, chain, 0):
            return self._rules(table, chain, on, way)
        key = id(table), name
        if key not in way.ends:
            way.ends[key] = self._rules(table, chain, z3.BoolVal(True), way)
        found = way.ends[key]
        return Ends(z3.And(on, found.accepted), z3.And(on, found.dropped), z3.And(on, found.left))

    def _effect(self, table: Table, statement: Statement, on: z3.BoolRef, way: Way) -> None:
        """What is attached to the packets from here on."""
        fresh = way.state == CtState.INVALID
        match statement:
            case Notrack():
                way.becomes(z3.If(z3.And(on, fresh), z3.BitVecVal(CtState.UNTRACKED, 3), way.state))
            case SetZone() | CtTemplate() | Helper() if way.early:
                nft = isinstance(statement, SetZone) and table.dialect is Dialect.NFTABLES
                took = z3.Or(fresh, way.state == CtState.UNTRACKED) if nft else fresh
                way.becomes(z3.If(z3.And(on, took), z3.BitVecVal(CtState.NEW, 3), way.state))
            case SetMark(to=MarkOf.PACKET):
                new = (way.mark & (~statement.mask & 0xFFFFFFFF)) ^ (statement.value & 0xFFFFFFFF)
                if statement.source is MarkOf.ENTRY:  # only what has an entry gets a mark from it, and it may be any
                    new = new ^ (z3.BitVec(f"? {statement}", 32) & statement.kept)
                    on = z3.And(on, z3.Not(bare(way)))
                way.mark = z3.If(on, new, way.mark)
                way.ends = {}

    def _opaque_end(self, statement: OpaqueStatement, on: z3.BoolRef, way: Way, ends: Sink) -> z3.BoolRef:
        if statement.kind in REMARKS:  # only what has an entry gets a mark from it
            some = z3.BitVec(f"? {statement.text}", 32)
            having = z3.Not(bare(way)) if statement.kind == "CONNMARK" else z3.BoolVal(True)
            way.mark = z3.If(z3.And(on, having), some, way.mark)
            way.ends = {}
            return on
        text = f"{statement.kind}: {statement.text}"
        stops = self.unknown(text)
        self._either_way(z3.And(on, stops), self.unknown(f"{text} accepts"), ends)
        return z3.And(on, z3.Not(stops))

    def _either_way(self, on: z3.BoolRef, accepts: z3.BoolRef, ends: Sink) -> None:
        ends.accepted.append(z3.And(on, accepts))
        ends.dropped.append(z3.And(on, z3.Not(accepts)))


def _reads_entry(table: Table, statement: Statement) -> bool:
    """nft's `ct mark` as a value."""
    return table.dialect is Dialect.NFTABLES and isinstance(statement, SetMark) and statement.reads_entry


def _plain(table: Table, chain: Chain, depth: int) -> bool:
    """Whether nothing in the chain changes state or mark."""
    return depth < 64 and all(_harmless(table, s, depth) for rule in chain.rules for s in rule.statements)


def _harmless(table: Table, statement: Statement, depth: int) -> bool:
    if isinstance(statement, Jump):
        target = table.chain(statement.chain)
        return target is None or _plain(table, target, depth + 1)
    computed = isinstance(statement, OpaqueStatement) and statement.kind in REMARKS
    return not computed and not isinstance(statement, Notrack | SetMark | SetZone | CtTemplate | Helper | Nat)
