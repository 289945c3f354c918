"""Outcomes in words: what each packet met, the answer in one sentence, and the mistake that lies behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.model.address import format_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.explanation import Explanation, Line, Told
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import WITH_PORTS, protocol_name
from conntrim.core.model.ruleset import In, Notrack, Rule
from conntrim.core.model.service import Direction, Hook
from conntrim.core.netfilter.hooks import Arranged, direction_of
from conntrim.core.netfilter.matches import about_state
from conntrim.core.netfilter.outcome import Fate, Outcome, Step, StepKind
from conntrim.core.netfilter.statements import ENDLESS


def tell(
    arranged: Arranged, outcomes: Sequence[Outcome], names: Sequence[str], remarks: tuple[str, ...]
) -> Explanation:
    """The story of a dialogue that was walked up to its end or its first loss; `names` are all its packets' parts."""
    last = outcomes[-1]
    return Explanation(
        str(Fate.DROP if _passed_by(outcomes) else last.verdict), answer(names, outcomes),
        tuple(dict.fromkeys(because(arranged, outcomes, names))),
        tuple(story_of(*each) for each in zip(names, outcomes, strict=False)), len(last.memory.entries), remarks,
    )  # fmt: skip


# --- one packet in words ------------------------------------------------------------------------------------------

FLAG_NAMES: tuple[tuple[int, str], ...] = (
    (TcpFlag.SYN, "SYN"), (TcpFlag.FIN, "FIN"), (TcpFlag.RST, "RST"), (TcpFlag.ACK, "ACK"),
)  # fmt: skip


def name_of(packet: Packet) -> str:
    """`SYN/ACK`, `icmp 3/13`, `udp`."""
    if packet.icmp is not None:
        return f"{protocol_name(packet.protocol)} {packet.icmp >> 8}/{packet.icmp & 0xFF}"
    if packet.tcp_flags is None:
        return protocol_name(packet.protocol)
    return "/".join(name for bit, name in FLAG_NAMES if packet.tcp_flags & bit) or "TCP without flags"


def _end(address: int, port: int | None) -> str:
    text = format_address(address)
    return text if port is None else f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


WAYS: dict[Direction, str] = {
    Direction.INBOUND: "in {iif}",
    Direction.OUTBOUND: "out {oif}",
    Direction.FORWARDED: "from {iif} to {oif}",
    Direction.LOOPBACK: "round lo",
}


def describe(packet: Packet) -> str:
    """`192.0.2.9:40000 > 192.0.2.1:80, in eth0`."""
    ports = packet.protocol in WITH_PORTS
    ends = (_end(a, p if ports else None) for a, p in ((packet.src, packet.sport), (packet.dst, packet.dport)))
    return " > ".join(ends) + ", " + WAYS[direction_of(packet)].format(iif=packet.iif, oif=packet.oif)


def _state(state: CtState | None) -> str:
    return state.name if state is not None else "not tracked"


def story_of(name: str, outcome: Outcome) -> Told:
    """One packet's story."""
    answer = outcome.answer
    return Told(
        name, describe(outcome.packet), str(outcome.verdict), _state(outcome.state),
        tuple(_line(step) for step in outcome.path if step.kind is not StepKind.NEARLY), outcome.undecided,
        () if answer is None else (story_of(name_of(answer.packet), answer),),
    )  # fmt: skip


def _line(step: Step) -> Line:
    rule = step.rule
    why = step.note
    if step.kind is StepKind.MISSED:
        why = f"not matched: the packet is {_state(step.state)}"
    elif step.kind is StepKind.TURNED:
        why = "not matched: it would fit the packets of the other direction"
    elif step.kind is StepKind.CONNTRACK:
        why = f"{_state(step.state)}: {step.note}"
    return Line(
        str(step.hook), step.table, step.chain, str(rule.place) if rule else "", rule.text if rule else "",
        _state(step.state), step.kind not in (StepKind.MISSED, StepKind.TURNED), why,
    )  # fmt: skip


ENDINGS: dict[Fate, str] = {
    Fate.ACCEPT: "accepted",
    Fate.DROP: "dropped",
    Fate.REJECT: "rejected",
    Fate.ANSWERED: "answered by SYNPROXY, whose handshake with the client goes on",
    Fate.NOT_DECIDED: "not decided",
}


def answer(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """The first line: how it ends, and where."""
    last, number, count = outcomes[-1], len(outcomes), len(names)
    where = _where(last)
    if last.handshake_lost:
        return f"not opened: SYNPROXY answers the SYN{where}, and its SYN/ACK is dropped"
    if count == 1:
        return f"{ENDINGS[last.verdict]}{where}"
    if _passed_by(outcomes):
        return f"not opened: SYNPROXY answers the SYN, and the ACK passes it by as {_state(last.state)}"
    if last.verdict is Fate.ACCEPT:
        return f"accepted: all {count} packets get through, {_entries(last)}"
    return f"{ENDINGS[last.verdict]}: packet {number} of {count}, the {names[number - 1]},{where}"


def _entries(outcome: Outcome) -> str:
    count = len(outcome.memory.entries)
    return "no entry is made" if not count else f"{count} {'entry' if count == 1 else 'entries'}"


def _where(outcome: Outcome) -> str:
    if outcome.verdict is Fate.NOT_DECIDED:
        return f": it depends on {outcome.undecided[0]}" if outcome.undecided else ""
    step = outcome.by or next((s for s in reversed(outcome.path) if s.kind is StepKind.RULE), None)
    if step is None:
        return ", no rule is against it"
    return f" in {step.hook} by {step.rule.place}" if step.rule else f" in {step.hook}: {step.note}"


# --- what lies behind it ------------------------------------------------------------------------------------------


def because(arranged: Arranged, outcomes: Sequence[Outcome], names: Sequence[str]) -> Iterator[str]:
    """The known mistakes that explain the outcome."""
    if _passed_by(outcomes):
        yield (
            "SYNPROXY opens the connection to the server only where it sees the ACK that ends its handshake (K115):"
            " with nf_conntrack_tcp_loose 1 conntrack takes it for the middle of a connection. Set it to 0."
        )
    if endless(outcomes[-1]):
        yield (
            "nft's synproxy takes its own SYN/ACK for a SYN, since it comes to the rule round lo, and answers it, and"
            " that answer again, without end (K159). Give the rule the port of the service: `tcp dport`."
        )
    yield from _one_sided(outcomes, names)
    yield from _turned(outcomes)
    yield from _wide(outcomes)
    yield from _nearly(outcomes[-1])
    if outcomes[-1].state is None and not arranged.active[outcomes[-1].packet.family]:
        yield "Nothing in this rule set uses conntrack, so no packet of it is tracked (K5)."


def endless(outcome: Outcome) -> bool:
    """Whether a SYNPROXY answers its own answers."""
    answered = outcome.answer
    return any(step.note == ENDLESS for step in outcome.path) or (answered is not None and endless(answered))


def _passed_by(outcomes: Sequence[Outcome]) -> bool:
    """Whether a SYNPROXY answered the SYN, and the ACK that follows went on to a server that knows nothing of it."""
    return len(outcomes) == 2 and outcomes[0].verdict is Fate.ANSWERED and outcomes[1].verdict is Fate.ACCEPT


def _untracked_by(outcome: Outcome) -> Rule | None:
    """The NOTRACK rule that took effect on this packet."""
    hits = (s.rule for s in outcome.path if s.state is CtState.UNTRACKED and s.rule is not None)
    return next((rule for rule in hits if any(isinstance(x, Notrack) for x in rule.statements)), None)


def _one_sided(outcomes: Sequence[Outcome], names: Sequence[str]) -> Iterator[str]:
    """K14, K15: one direction untracked, the other not."""
    opener = outcomes[0]
    rule = _untracked_by(opener)
    if opener.verdict is Fate.ANSWERED:
        return
    for outcome, name in list(zip(outcomes, names, strict=False))[1:]:
        answers = outcome.packet.src == opener.left.dst
        if rule is not None and answers and outcome.state is not CtState.UNTRACKED:
            twin = _twin(opener, outcome)
            yield (
                f"The {names[0]} goes untracked by {rule.place}, so there is no entry that the {name} could belong to:"
                f" it is {_state(outcome.state)}. The rule needs its twin for the answers: {twin}"
            )
            return
        if rule is None and answers and outcome.state is CtState.UNTRACKED:
            by = _untracked_by(outcome)
            yield (
                f"The {names[0]} is tracked, but its answer goes untracked by {by.place if by else 'the kernel'}: the"
                " entry never sees a reply. Both directions must be untracked, or none."
            )
            return


def _twin(opener: Outcome, answer: Outcome) -> str:
    """The rule that would untrack the answers, in no dialect's words."""
    packet = opener.packet
    hook = Hook.OUTPUT if direction_of(answer.packet) in (Direction.OUTBOUND, Direction.LOOPBACK) else Hook.PREROUTING
    port = "" if packet.dport is None else f" with source port {packet.dport}"
    return f"NOTRACK at {hook} for {protocol_name(packet.protocol)}{port}"


def _turned(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """NOTRACK rules that name the right port in the wrong direction, where nothing else untracked the packet."""
    tracked = (outcome for outcome in outcomes if _untracked_by(outcome) is None)
    steps = (step for outcome in tracked for step in outcome.path if step.kind is StepKind.TURNED)
    useful = {s.rule.place for outcome in outcomes for s in outcome.path if s.kind is StepKind.RULE and s.rule}
    found = {s.rule.place for s in steps if s.rule and s.rule.place not in useful}
    places = sorted(found, key=lambda p: (p.source, p.line, p.within))
    if places:
        names = " and ".join(map(str, places))
        yield (
            f"{names} never match{'es' * (len(places) == 1)} this connection: the port stands on the wrong side, as"
            " if this host were the other end. The packets of their hook have it the other way round."
        )


def _wide(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """K20: a packet that is let in for being untracked alone, by a NOTRACK rule that does not bind its port."""
    opener = outcomes[0]
    source = _untracked_by(opener)
    ports = _ports_of(source) if source is not None else 0
    if source is None or opener.verdict is not Fate.ACCEPT or ports <= FEW:
        return
    for step in opener.path:
        lets_in = step.kind is StepKind.RULE and step.hook in (Hook.INPUT, Hook.FORWARD)
        if lets_in and step.rule is not None and _only_state(step.rule):
            whom = "every port" if ports > 65_535 else f"{ports:,} ports"
            yield (
                f"This is a hole: {step.rule.place} accepts whatever is UNTRACKED, and {source.place} untracks packets"
                f" to {whom}, whoever sent them (K20)."
            )


MOST_NEAR = 3
"""So many accepts that nearly fit are told."""


def _nearly(lost: Outcome) -> Iterator[str]:
    """Accepts that one condition kept from the packet that was lost."""
    if lost.verdict not in (Fate.DROP, Fate.REJECT) or lost.by is None:
        return
    near = {str(s.rule.place): s for s in lost.path if s.kind is StepKind.NEARLY and s.rule and s.hook is lost.by.hook}
    for place, step in list(near.items())[:MOST_NEAR]:
        yield f"{place} would accept it, but for {step.note}: {step.rule.text if step.rule else ''}"


FEW = 100
"""A rule that untracks more server ports than this does not speak of services any more."""


def _ports_of(rule: Rule) -> int:
    """How many destination ports a rule covers."""
    named = [m.values.size for m in rule.matches if isinstance(m, In) and m.field is Field.DPORT]
    return min(named, default=65_536)


def _binds(rule: Rule, *fields: Field) -> bool:
    return any(isinstance(m, In) and m.field in fields for m in rule.matches)


def _only_state(rule: Rule) -> bool:
    return any(about_state(m) for m in rule.matches) and not _binds(
        rule, Field.DPORT, Field.SPORT, Field.SRC, Field.DST
    )
