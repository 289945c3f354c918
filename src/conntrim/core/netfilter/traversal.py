"""One packet's passage through a rule set: hook by hook, chain by chain, with the reasons.

More than 400 lines, and one class: hooks, stations and chains call one another and move the same packet, down to the
answer that a REJECT sends on a passage of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState, TcpState
from conntrim.core.model.fields import Field
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import Reject
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    End,
    Match,
    NoEffect,
    Notrack,
    OpaqueMatch,
    Rule,
    Table,
    Verdict,
    asked_fields,
)  # fmt: skip
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter import nat, routing
from conntrim.core.netfilter.answers import answer_to, handshake, opening, reply_to, tied
from conntrim.core.netfilter.conntrack import track
from conntrim.core.netfilter.hooks import CONFIRMING, Arranged, Kind, Station, direction_of, in_ranks
from conntrim.core.netfilter.matches import about_state, holds, named
from conntrim.core.netfilter.memory import NO_ZONE, Entry, Memory
from conntrim.core.netfilter.outcome import Fate, Gathered, Outcome, Step, StepKind
from conntrim.core.netfilter.question_text import condition, hangs, question
from conntrim.core.netfilter.skb import Attached, Skb, Template, Tracked, Untracked
from conntrim.core.netfilter.statements import VERDICTS, Ending, Unended, carry_out

RESOLVED = frozenset({Protocol.UDP, Protocol.UDPLITE})
"""Protocols whose clashing entries live beside each other (`allow_clash` in net/netfilter/nf_conntrack_proto_*.c)."""


@dataclass(slots=True)
class Traversal:
    """The state of one passage; thrown away at its end."""

    arranged: Arranged
    memory: Memory
    came: Packet
    skb: Skb
    path: list[Step] = field(default_factory=list)
    hook: Hook = Hook.PREROUTING
    made: Entry | None = None
    answer: Outcome | None = None
    passed: list[tuple[Hook, CtState | None]] = field(default_factory=list)
    bound: bool = False
    """Whether a nat statement of this hook has set up the entry: no other one is asked then."""
    gathered: Gathered | None = None
    depth: int = 0
    """How many jumps one in another led here."""
    moved: bool = False
    """Whether the entry gave the packet another destination in PREROUTING."""
    answers: tuple[Packet, ...] = ()
    """The packets of SYNPROXY that led to this one, itself the last."""
    explained: bool = True
    """Whether rules that nearly had their way are told of as well: nobody asks that of thousands of packets."""

    def outcome(self) -> Outcome:
        """Walk all hooks."""
        self.skb.added = self.memory.added
        fate = self._travel()
        attached = self.skb.attached
        hit = attached.entry if isinstance(attached, Tracked) and attached.confirmed and not self.made else None
        return Outcome(
            self.came, self.skb.packet, fate, self._state(), tuple(self.path), self.memory, self.made, hit,
            answer=self.answer,
            passed=tuple(self.passed), listed=tuple(self.skb.answers.listed), gathered=self.gathered,
        )  # fmt: skip

    # --- hooks --------------------------------------------------------------------------------------------------

    @property
    def _active(self) -> bool:
        given = self.skb.kernel.active
        return self.arranged.active[self.came.family] if given is None else given

    def _state(self) -> CtState | None:
        return self.skb.state if self._active or isinstance(self.skb.attached, Untracked) else None

    def _travel(self) -> Fate:
        for hook in self._hooks():
            if hook is Hook.INGRESS and not self.arranged.groups[self.came.family, hook]:
                continue  # most hosts have no chain there
            self.hook = hook
            self.skb.iif, self.skb.oif = self._interfaces()
            if hook is Hook.INPUT and self.came.family is Family.IPV4:
                self._reassemble()  # by the host itself, before INPUT (K117); of IPv6 it does so behind it (K119)
            for station in self._stations():
                if (fate := self._station(station)) is not None:
                    return fate
            if self.hook in CONFIRMING and (fate := self._confirm()) is not None:
                return fate
            self.passed.append((hook, self._state()))
        return Fate.ACCEPT

    def _hooks(self) -> Iterator[Hook]:
        """The journey of `hooks.JOURNEYS`, unless a translation changes the destination."""
        direction = direction_of(self.came)
        if direction in (Direction.OUTBOUND, Direction.LOOPBACK):
            if direction is Direction.LOOPBACK:
                self.skb.packet = replace(self.came, iif="", oif="lo")
            yield Hook.OUTPUT
            if routing.is_ours(self.skb.kernel, self.skb.packet.dst):
                self.skb.packet = replace(self.skb.packet, oif="lo")
            elif self.skb.packet.dst != self.came.dst:
                self.skb.packet = replace(self.skb.packet, oif=routing.device(self.skb.kernel, self.skb.packet))
            yield Hook.POSTROUTING
            if self.skb.packet.oif != "lo":
                return
            self.skb.packet = replace(self.skb.packet, iif="lo", oif="")
            self._part_again()
        yield Hook.INGRESS
        yield Hook.PREROUTING
        if self.skb.packet.dst != self.came.dst and not self._routed:
            way = "" if self._stays() else routing.device(self.skb.kernel, self.skb.packet) or self.came.oif
            self.skb.packet = replace(self.skb.packet, oif=way)
        if routing.strays(self.skb.packet):
            self.skb.answers.ask("the way of a packet from outside to ::1")
        if self._is_forwarded():
            if self.skb.packet.ttl:
                self.skb.packet = replace(self.skb.packet, ttl=self.skb.packet.ttl - 1)
            yield Hook.FORWARD
            yield Hook.POSTROUTING
        else:
            yield Hook.INPUT

    def _stays(self) -> bool:
        return routing.stays(self.skb.kernel, self.skb.packet)

    @property
    def _routed(self) -> bool:
        """What came round lo has its route since OUTPUT; only NAT takes it away, not a rule that writes the address."""
        return self.skb.packet.iif == "lo" and not self.moved

    def _is_forwarded(self) -> bool:
        packet = self.skb.packet
        if self._routed:
            return False
        return bool(packet.oif) if packet.dst == self.came.dst else not self._stays()

    def _interfaces(self) -> tuple[str | None, str | None]:
        """The incoming and outgoing interface that a rule sees at this hook; None: nobody knows."""
        packet = self.skb.packet
        if self.hook in (Hook.INGRESS, Hook.PREROUTING, Hook.INPUT):
            return packet.iif, ""
        out = packet.oif or None
        return (packet.iif if out != "lo" else "", out) if self.hook is not Hook.OUTPUT else ("", out)

    def _stations(self) -> Iterator[Station]:
        """K2: what shares a priority runs in an order that no listing shows."""
        for group in self.arranged.groups[self.came.family, self.hook]:
            alive = [s for s in group if self._alive(s)]
            if len(alive) > 1 and self.arranged.latest_first:
                # The kernel's own stations were there before, but NAT's comes with the first nat chain of any hook.
                chains = [s for s in reversed(alive) if s.kind is Kind.CHAIN]
                nat = [s for s in alive if s.kind is Kind.NAT]
                own = [s for s in alive if s.kind not in (Kind.CHAIN, Kind.NAT)]
                late = [s for s in chains if s.late or not nat]
                alive = [*late, *nat, *(s for s in chains if nat and not s.late), *own]
            elif len(alive) > 1 and self.skb.answers.ask(_tie(self.hook, alive)):
                alive.reverse()
            yield from alive

    def _ranked(self, station: Station) -> Iterator[tuple[Table, Chain]]:
        """The nat chains of a hook in their order."""
        for rank in in_ranks(station.chains):
            names = [Station(station.priority, Kind.NAT, (each,)) for each in rank]
            if len(rank) > 1 and (self.arranged.latest_first or self.skb.answers.ask(_tie(self.hook, names))):
                rank.reverse()
            yield from rank

    def _alive(self, station: Station) -> bool:
        if station.kind is Kind.NAT:
            return self.arranged.nat[self.came.family]
        if self.hook is Hook.INGRESS:
            return all(self._at_device(base) for _, chain in station.chains if (base := chain.base))
        if station.kind is Kind.DEFRAG:
            return self._active or self.arranged.gathers[self.came.family]
        return station.kind is Kind.CHAIN or self._active

    def _at_device(self, base: Base) -> bool:
        """Whether an ingress chain hangs at the device that the packet comes in by."""
        if not base.devices:
            return self.skb.answers.ask(hangs(base, str(self.skb.iif)))
        return any(named(self.skb.iif or "", name) for name in base.devices)

    def _station(self, station: Station) -> Fate | None:
        return {
            Kind.DEFRAG: self._defrag, Kind.CONNTRACK: self._conntrack, Kind.NAT: self._nat, Kind.CHAIN: self._base,
        }[station.kind](station)  # fmt: skip

    # --- the kernel's own stations --------------------------------------------------------------------------------

    def _step(self, kind: StepKind, note: str, table: str = "", chain: str = "", rule: Rule | None = None) -> None:
        self.path.append(Step(kind, self.hook, table, chain, self._state(), note, rule))

    def _defrag(self, station: Station) -> None:
        """K6, K158: with conntrack or a transparent proxy in use rules see whole packets, but for what was untracked in
        front (K117) and, over IPv6, what has its entry (K106)."""
        attached, v6 = self.skb.attached, self.came.family is Family.IPV6
        if not isinstance(attached, Untracked) and not (v6 and isinstance(attached, Tracked)):
            self._reassemble()

    def _reassemble(self) -> None:
        packet, attached = self.skb.packet, self.skb.attached
        if packet.fragment or packet.first:
            self.gathered = Gathered(self.hook, packet, attached.zone if isinstance(attached, Template) else NO_ZONE)
            self.skb.packet = replace(packet, fragment=False, first=False, length=None)
            self._step(StepKind.DEFRAG, "reassembled: the rules see the whole packet")

    def _part_again(self) -> None:
        """K106: what came in fragments goes on in fragments."""
        if self.gathered is not None:
            came = self.gathered.packet
            self.skb.packet = replace(self.skb.packet, fragment=came.fragment, first=came.first, length=came.length)
            self._step(StepKind.DEFRAG, "sent on in fragments again")

    def _conntrack(self, station: Station) -> Fate | None:
        seen = track(self.skb, self.memory)
        self.memory, self.skb.attached = seen.memory, seen.attached
        self._step(StepKind.CONNTRACK, seen.why)
        return Fate.DROP if seen.dropped else None

    def _nat(self, station: Station) -> Fate | None:
        """K4: nat chains see the first packet of a tracked flow; what they set up holds for the others.

        REJECT's RST to a packet whose entry is not in the table yet goes through those that it has not met (K118).
        """
        attached = self.skb.attached
        if not isinstance(attached, Tracked):
            return None
        self.bound = False
        destination = self.hook in nat.DST_HOOKS
        reset = attached.pending and attached.state is CtState.RELATED and self.skb.packet.protocol == Protocol.TCP
        if (reset or not attached.confirmed) and destination not in attached.bound:
            for table, chain in self._ranked(station):
                if (fate := self._base_chain(table, chain)) is not None:
                    return fate
                if self.bound:
                    break
        now = self.skb.attached
        assert isinstance(now, Tracked), "no nat chain takes the entry away"
        if not (now.confirmed or self.bound) and self.hook in CONFIRMING and self.memory.taken(now.entry):
            now = self.skb.attached = replace(now, entry=nat.evaded(now.entry))
        if not now.confirmed or now.pending:
            now = self.skb.attached = replace(now, bound=now.bound | {destination})
        before = self.skb.packet.dst
        self.skb.packet = nat.rewritten(self.skb.packet, now.entry, now.reply, self.hook)
        if self.skb.packet.dst == before:
            return None
        self.moved = self.moved or self.hook is Hook.PREROUTING
        lost = routing.refused(self.skb.kernel, self.hook, self.skb.packet, before)
        return self._unroutable() if lost else None

    def _unroutable(self) -> Fate:
        self._step(StepKind.NAT, "no route: what is on the loopback cannot leave the host")
        return Fate.DROP

    def _confirm(self) -> Fate | None:
        attached = self.skb.attached
        if isinstance(attached, Tracked) and attached.unconfirmed:
            if attached.entry.original.protocol not in RESOLVED and self.memory.clashes(attached.entry):
                self._step(StepKind.CONNTRACK, "another entry has a tuple of this one's: dropped (insert_failed)")
                return Fate.DROP
            self.memory, self.made = self.memory.having(attached.entry), attached.entry
            self.skb.attached = replace(attached, confirmed=True, pending=False)
        return None

    # --- chains -------------------------------------------------------------------------------------------------

    def _base(self, station: Station) -> Fate | None:
        ((table, chain),) = station.chains
        return self._base_chain(table, chain)

    def _base_chain(self, table: Table, chain: Chain) -> Fate | None:
        """K3: accept ends only this base chain."""
        assert chain.base is not None, "only base chains hang at hooks"
        before = self.skb.packet
        fate = self.chain(table, chain)
        if not isinstance(fate, Fate):
            fate = VERDICTS[chain.base.policy]
            if chain.rules or fate is not Fate.ACCEPT:
                self._step(StepKind.POLICY, f"policy {fate}", table.name, chain.name)
        if fate is not Fate.ACCEPT:
            return fate
        anew = routing.routes_anew(table, chain.base)
        return self._unroutable() if anew and routing.stuck(self.skb.kernel, before, self.skb.packet) else None

    def chain(self, table: Table, chain: Chain) -> Ending:
        """Its rules one after the other, up to the first that ends it."""
        for rule in chain.rules:
            if self._matches(table, chain, rule) and (ending := self._do(table, chain, rule)) is not None:
                return ending
        return None

    def _matches(self, table: Table, chain: Chain, rule: Rule) -> bool:
        """Whether all matches hold; open ones are asked for only if the rule has an effect."""
        open_, state_failed = [], False
        for match in rule.matches:
            answer = holds(match, self.skb, table)
            if answer is None:
                open_.append(match)
            elif not answer and about_state(match):
                state_failed = True
            elif not answer:
                if self.explained:
                    self._turned(table, chain, rule)
                    self._nearly(table, chain, rule, match)
                return False
        if state_failed:
            self._step(StepKind.MISSED, "the state does not match", table.name, chain.name, rule)
            return False
        if not open_ or all(isinstance(s, NoEffect) for s in rule.statements):
            return True
        return all([self.skb.answers.ask(question(match)) is not _inverted(match) for match in open_])

    def _turned(self, table: Table, chain: Chain, rule: Rule) -> None:
        """Tell of a NOTRACK rule that names the right ports in the wrong direction."""
        if any(isinstance(s, Notrack) for s in rule.statements):
            turned = replace(self.skb, packet=reply_to(self.skb.packet))
            if all(holds(match, turned, table) for match in rule.matches):
                self._step(StepKind.TURNED, "would fit the other direction", table.name, chain.name, rule)

    def _nearly(self, table: Table, chain: Chain, rule: Rule, failed: Match) -> None:
        """Tell of an accept of the packet's port, or ICMP type, that only one condition keeps from it."""
        if accepts_service(rule, failed) and all(
            holds(match, self.skb, table) for match in rule.matches if match is not failed
        ):
            self._step(StepKind.NEARLY, condition(failed), table.name, chain.name, rule)

    def _do(self, table: Table, chain: Chain, rule: Rule) -> Ending:
        """Carry out a matching rule's statements; the step is told if one of them had an effect."""
        if all(isinstance(s, NoEffect) for s in rule.statements):
            return None
        self._step(StepKind.RULE, "", table.name, chain.name, rule)
        for statement in rule.statements:
            if (ending := carry_out(self, statement, table, rule)) is not None:
                return None if ending is Unended.BROKEN else ending
        return None

    def changed(self, entry: Entry) -> None:
        """The packet's entry is another one now."""
        attached = self.skb.attached
        assert isinstance(attached, Tracked), "only a packet of an entry changes it"
        if attached.confirmed and attached.entry in self.memory.entries:
            self.memory = self.memory.having(entry, attached.entry)
        self.skb.attached = replace(attached, entry=entry)

    def remark(self, note: str) -> None:
        """Say more about the step just taken, with the state as it is now."""
        self.path[-1] = replace(self.path[-1], note=note, state=self._state())

    # --- REJECT ---------------------------------------------------------------------------------------------------

    def reject(self, how: Reject) -> Outcome | None:
        """Send REJECT's answer and see what becomes of it; None where it sends none."""
        routed = self.hook is not Hook.PREROUTING or self.skb.packet.iif == "lo"
        packet = answer_to(self.skb.packet, how, self.skb.kernel, routed)
        if packet is None:
            return None
        if packet.protocol == Protocol.TCP:
            self._set_closing()
        return self._sent(packet, tied(self.skb.attached))  # which may end the connection, as a RST of its own way does

    def answered(self) -> Outcome:
        """SYNPROXY's SYN/ACK and what becomes of it: without an entry where the SYN has none."""
        packet, attached = handshake(self.skb.packet, self.skb.kernel), self.skb.attached
        if isinstance(attached, Tracked):
            pending = attached.pending or not attached.confirmed
            attached = replace(attached, state=CtState.ESTABLISHED, reply=True, confirmed=True, pending=pending)
        else:
            attached = None
        return self._sent(packet, attached, (*self.answers, packet))

    def answers_itself(self) -> bool:
        """Whether SYNPROXY's SYN/ACK to this packet is one that led to it."""
        return handshake(self.skb.packet, self.skb.kernel) in self.answers

    def opened(self) -> Outcome:
        """SYNPROXY's SYN to the server and what becomes of it: under a template, so that no rule untracks it (K115)."""
        return self._sent(opening(self.skb.packet, self.skb.kernel), Template())

    def _sent(self, packet: Packet, attached: Attached, answers: tuple[Packet, ...] = ()) -> Outcome:
        """What becomes of a packet that the host sends because of this one, with the same table."""
        skb = Skb(packet, self.skb.kernel, self.skb.answers, attached)
        way = Traversal(self.arranged, self.memory, packet, skb, answers=answers, explained=self.explained)
        outcome = way.outcome()
        self.memory = outcome.memory
        return outcome

    def _set_closing(self) -> None:
        """REJECT's RST takes the connection's entry to CLOSE at once, if it is confirmed (nf_ct_set_closing())."""
        attached = self.skb.attached
        if isinstance(attached, Tracked) and attached.confirmed:
            self.changed(replace(attached.entry, tcp=TcpState.CLOSE))


SERVICE = frozenset({Field.DPORT, Field.ICMP, Field.ICMPV6})
"""By what a rule means one service."""

KINDS_OF_PACKET = SERVICE | {Field.PROTOCOL, Field.FAMILY, Field.SPORT}
"""Whoever fails in one of these is about another service."""


def accepts_service(rule: Rule, failed: Match) -> bool:
    """Whether a rule accepts what has a service's port, and the match that failed is about something else."""
    accepts = any(isinstance(done, End) and done.verdict is Verdict.ACCEPT for done in rule.statements)
    if not accepts or KINDS_OF_PACKET.intersection(asked_fields(failed)):
        return False
    return any(SERVICE.intersection(asked_fields(match)) for match in rule.matches)


def _inverted(match: Match) -> bool:
    """Whether a match holds where the answer to its question is no."""
    return isinstance(match, OpaqueMatch) and bool(match.asked)


def _tie(hook: Hook, stations: list[Station]) -> str:
    names = ", ".join(s.name for s in stations)
    return f"{hook} at priority {stations[0].priority}: {names} run in the opposite order"
