"""What each statement of a rule does to a packet that the rule matches."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any, assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import FIELDS, Field, TcpFlag
from conntrim.core.model.kinds import SYNPROXY, does, expects
from conntrim.core.model.marks import MarkOf, SetMark
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import Reject
from conntrim.core.model.ruleset import (
    CtTemplate,
    Dialect,
    End,
    Helper,
    Jump,
    NoEffect,
    Notrack,
    OpaqueStatement,
    Return,
    Rule,
    SetZone,
    Statement,
    Table,
    Verdict,
)  # fmt: skip
from conntrim.core.model.service import Hook
from conntrim.core.model.writes import AddToSet, SetField
from conntrim.core.netfilter import nat
from conntrim.core.netfilter.answers import PORT_UNREACHABLE
from conntrim.core.netfilter.ct_expressions import UNKNOWN_MARK, result
from conntrim.core.netfilter.matches import element_of, named_in
from conntrim.core.netfilter.memory import Zone
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.question_text import question, queue, translation
from conntrim.core.netfilter.skb import Attached, Orphan, Skb, Template, Tracked, Untracked

if TYPE_CHECKING:
    from conntrim.core.netfilter.traversal import Traversal


class Unended(Enum):
    """How a chain ends without a verdict."""

    BACK = "back to the calling chain, or to the policy"
    BROKEN = "the rest of the rule is not done: the next rule"


Ending = Fate | Unended | None
"""How a rule or chain ends; None: the next rule."""

VERDICTS: dict[Verdict, Fate] = {
    Verdict.ACCEPT: Fate.ACCEPT,
    Verdict.DROP: Fate.DROP,
    Verdict.REJECT: Fate.REJECT,
    Verdict.QUEUE: Fate.NOT_DECIDED,
}
"""A program in user space decides about a queued packet."""


IDLE = "does nothing"
"""How a note begins about a statement that comes too late."""


def _forget(skb: Skb, field: Field) -> None:
    """Nobody knows what a field holds now."""
    if field is Field.MARK:
        skb.mark_known = False
        return
    unsaid: dict[str, Any] = {FIELDS[field].attribute: None}
    skb.packet = replace(skb.packet, **unsaid)


def _end(on: Traversal, statement: End) -> Fate:
    if statement.verdict is Verdict.REJECT:
        on.answer = on.reject(statement.how if isinstance(statement.how, Reject) else PORT_UNREACHABLE)
    if statement.verdict is Verdict.QUEUE:
        on.skb.answers.ask(f"what the program behind {queue(statement)} says")
    return VERDICTS[statement.verdict]


MOST_JUMPS = 64
"""Nested jumps: the kernel allows 16 levels (nftables) or as many as there are chains (iptables)."""


def _jump(on: Traversal, statement: Jump, table: Table, rule: Rule) -> Ending:
    target, before = table.chain(statement.chain), len(on.path)
    if target is None:
        raise InputError(rule.place.source, f"jump to a missing chain {statement.chain}", line=rule.place.line)
    if on.depth == MOST_JUMPS:
        why = f"{table.family} {table.name} {target.name}: more than {MOST_JUMPS} jumps one in another"
        return Fate.NOT_DECIDED if on.skb.answers.ask(why) else None
    on.depth += 1
    ending = on.chain(table, target)
    on.depth -= 1
    if not isinstance(ending, Fate) and len(on.path) == before:
        on.path.pop()  # nothing of that chain mattered, nor does the jump
    if isinstance(ending, Fate):
        return ending
    return Unended.BACK if statement.goto else None


def _notrack(on: Traversal, table: Table, rule: Rule) -> None:
    if _free_for_notrack(on.skb.attached, table.dialect):
        on.skb.attached = Untracked(rule)
        on.remark("untracked")
    else:
        on.remark(f"{IDLE}: something is attached already (K9)")


def _attach(on: Traversal, table: Table, template: Template) -> None:
    """K10: nft's zone overrides a mark without an entry, iptables' does not; a second template does nothing."""
    nft = table.dialect is Dialect.NFTABLES
    if on.skb.attached is None or (nft and isinstance(on.skb.attached, Untracked | Orphan)):
        on.skb.attached = template
        on.remark("template")
    else:
        on.remark(f"{IDLE}: something is attached already (K10)")


def _templated(on: Traversal, statement: SetZone | CtTemplate | Helper, table: Table) -> None:
    """A template before the tracker runs; nft marks the entry with a helper after it."""
    attached, packet = on.skb.attached, on.skb.packet
    match statement:
        case SetZone(zone, way):
            _attach(on, table, Template(Zone(packet.mark & 0xFFFF if zone is None else zone, way)))
        case CtTemplate():
            _attach(on, table, Template())
        case Helper(name) if table.dialect is not Dialect.NFTABLES:
            _attach(on, table, Template(helper=name))
        case Helper(name, of):
            if isinstance(attached, Tracked) and not attached.confirmed and statement.serves(packet.family):
                on.skb.attached = replace(attached, entry=replace(attached.entry, helper=of or name))
        case _:
            assert_never(statement)


def _mark(on: Traversal, statement: SetMark, table: Table) -> Ending:
    """Without an entry what asks for one does nothing, or nft ends the rule; iptables reads a template's (K10)."""
    attached, packet = on.skb.attached, on.skb.packet
    if statement.of_entry and not isinstance(attached, Tracked):
        if statement.reads_entry and table.dialect is Dialect.NFTABLES:
            return Unended.BROKEN
        if not isinstance(attached, Template) or statement.to is MarkOf.ENTRY:
            return None
    marks = {None: 0, MarkOf.PACKET: packet.mark if on.skb.mark_known else UNKNOWN_MARK,
             MarkOf.ENTRY: attached.entry.mark if isinstance(attached, Tracked) else 0}  # fmt: skip
    mark = result(statement, marks[statement.to], marks[statement.source])
    if statement.to is MarkOf.ENTRY and isinstance(attached, Tracked):
        on.changed(replace(attached.entry, mark=mark))
    else:
        on.skb.packet, on.skb.mark_known = replace(packet, mark=max(mark, 0)), mark != UNKNOWN_MARK
    said = "mark" if not statement.of_entry else f"{'entry' if statement.to is MarkOf.ENTRY else 'packet'} marked"
    on.remark(said + (f" {mark:#x}" if mark >= 0 else ""))
    return None


def _translate(on: Traversal, statement: Nat) -> Ending:
    attached = on.skb.attached
    unfound = statement.elsewhere is not None and statement.elsewhere.looks_up
    if unfound and on.skb.answers.ask(f"{translation(statement)}: nothing is found"):
        return Unended.BROKEN
    if isinstance(attached, Tracked):
        target = nat.target_of(statement, on.skb.packet, on.skb.kernel, on.hook)
        vague = not target.certain and statement.kind is NatKind.DNAT
        if vague and on.skb.answers.ask(f"{translation(statement)}: where to"):
            return Fate.NOT_DECIDED
        on.skb.attached = replace(attached, entry=nat.translated(attached.entry, target, on.hook, on.memory))
        on.bound = True
        certain = "" if target.certain else " (one of several: the kernel picks it)"
        on.remark(f"translated by {statement.kind}{certain}")
    return Fate.ACCEPT


def _proxied(on: Traversal, statement: OpaqueStatement) -> Ending:
    """SYNPROXY answers a SYN, takes the ACK that its answer earned, and lets other packets go on (K138)."""
    if on.skb.packet.protocol != Protocol.TCP:
        return Unended.BROKEN
    flags, nft = on.skb.packet.tcp_flags or 0, statement.kind == "synproxy"
    if nft and on.skb.packet.family is Family.IPV6 and not on.skb.answers.ask(f"{question(statement)}: {VERIFIED}"):
        return Fate.DROP
    others = TcpFlag.FIN | TcpFlag.RST
    if flags & TcpFlag.SYN and (nft or not flags & (others | TcpFlag.ACK)):
        if on.answers_itself():
            on.remark(ENDLESS)
            return Fate.DROP
        on.answer = on.answered()
        return Fate.DROP if flags & TcpFlag.ACK else Fate.ANSWERED
    if flags & TcpFlag.ACK and (nft or not flags & (others | TcpFlag.SYN)):
        if not on.skb.answers.ask(earned(statement)):
            return Fate.DROP
        on.answer = on.opened()
        return Fate.ANSWERED if on.answer.verdict is Fate.ACCEPT else Fate.DROP
    return None


VERIFIED = "the device has verified the packet's checksum"
"""Else nft's synproxy takes a right checksum of IPv6 for a wrong one (K138)."""

ENDLESS = "synproxy answers its own answers, without end"
"""K159: nft's answers whatever has a SYN, round lo its own SYN/ACK too."""

EARNED = "the ACK is for its own SYN/ACK"
"""What SYNPROXY tells by the cookie in the ACK's number."""


def earned(statement: OpaqueStatement) -> str:
    """The question whether an ACK ends the handshake that this proxy began."""
    return f"{question(statement)}: {EARNED}"


def _opaque(on: Traversal, statement: OpaqueStatement) -> Ending:
    if expects(statement):
        return _expected(on)
    if statement.kind in SYNPROXY:
        return _proxied(on, statement)
    if statement.may_break and on.skb.answers.ask(f"{question(statement)}: nothing is found"):
        return Unended.BROKEN
    done = does(statement)
    for field in done.writes:
        _forget(on.skb, field)
    if done.entry_mark and isinstance(on.skb.attached, Tracked):
        on.skb.attached = replace(on.skb.attached, entry=replace(on.skb.attached.entry, mark=UNKNOWN_MARK))
    if done.takes:  # an ACCEPT of this chain, and of no other (K3)
        return Fate.ACCEPT if on.skb.answers.ask(f"{question(statement)}: a program listens there") else Fate.DROP
    return Fate.NOT_DECIDED if not done.goes_on and on.skb.answers.ask(question(statement)) else None


def _written(on: Traversal, statement: SetField) -> Ending:
    """A header field written; a fragment has no ports to write to."""
    if on.skb.packet.fragment and statement.field in FIELDS and FIELDS[statement.field].protocols:
        return Unended.BROKEN
    if statement.readdresses and on.hook is Hook.OUTPUT:  # its route is chosen already
        on.skb.answers.ask(f"{statement.text}: the way of the packet")
    value: dict[str, Any] = {FIELDS[statement.field].attribute: statement.value}
    on.skb.packet = replace(on.skb.packet, **value)
    on.remark("the packet's header is written")
    return None


def _added(on: Traversal, statement: AddToSet, table: Table) -> Ending:
    """K135: later look-ups find the element, this packet's own among them."""
    found, element = table.set(statement.set_name), element_of(statement.fields, on.skb)
    if found is not None and found.full and on.skb.answers.ask(f"{statement.text}: the set is full"):
        return Unended.BROKEN if table.dialect is Dialect.NFTABLES else None
    if element is None:
        on.skb.answers.ask(f"{statement.text}: what is added")
        return None
    on.skb.added |= {(named_in(table, statement.set_name), element)}
    on.memory = replace(on.memory, added=on.skb.added)
    on.remark(f"now in the set {statement.set_name}")
    return None


def _write(on: Traversal, statement: SetMark | SetField | AddToSet, table: Table) -> Ending:
    match statement:
        case SetMark():
            return _mark(on, statement, table)
        case SetField():
            return _written(on, statement)
        case AddToSet():
            return _added(on, statement, table)
    assert_never(statement)


def _expected(on: Traversal) -> Ending:
    """nft's `ct expectation set` ends the rule for what has no new entry (K136).

    REJECT's answer to what has one has that entry, in front of conntrack too.
    """
    attached = on.skb.attached
    fresh = isinstance(attached, Tracked) and (attached.pending or not attached.confirmed)
    return None if fresh else Unended.BROKEN


def _free_for_notrack(attached: Attached, dialect: Dialect) -> bool:
    """K9: only where nothing is attached yet; nft alone does not see REJECT's own mark."""
    return attached is None or (
        dialect is Dialect.NFTABLES and not isinstance(attached, Tracked | Template | Untracked)
    )


def carry_out(on: Traversal, statement: Statement, table: Table, rule: Rule) -> Ending:
    """One statement of a rule that matches; how it ends the rule or chain."""
    match statement:
        case End():
            return _end(on, statement)
        case Jump():
            return _jump(on, statement, table, rule)
        case Return():
            return Unended.BACK
        case Notrack():
            _notrack(on, table, rule)
            return None
        case SetZone() | CtTemplate() | Helper():
            _templated(on, statement, table)
            return None
        case SetMark() | SetField() | AddToSet():
            return _write(on, statement, table)
        case Nat():
            return _translate(on, statement)
        case NoEffect():
            return None
        case OpaqueStatement():
            return _opaque(on, statement)
    assert_never(statement)
