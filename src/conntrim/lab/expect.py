"""What the model says the observer will see: the same observer's chains, walked by the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from conntrim.core.model.address import parse_address
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Base, Chain, Dialect, Rule, Ruleset, SetMark, Table, TableFamily
from conntrim.core.netfilter.hooks import CONFIRMING, Arranged, Kind, Station, arrange
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.matches import LOOPBACK
from conntrim.core.netfilter.memory import Memory
from conntrim.core.netfilter.outcome import Fate, Outcome, StepKind
from conntrim.core.netfilter.walk import walk
from conntrim.core.parse.ruleset import read
from conntrim.lab.entries import Kept, remembered
from conntrim.lab.judge import FIRST, PLACES, TABLE, Sighting, Trace

LOCAL = Intervals.of(*(parse_address(a) for a in ("192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:1::1")))
"""The judge's own addresses."""

KERNEL = Kernel(LOCAL, tcp_loose=True, active=True)
"""The judge's namespace: its observer switches conntrack on (K5)."""

_SEEN = Rule((), (SetMark(0, 0),), Place("observer"), "seen")
"""Changes nothing, but leaves a step in the path: the packet was here, in this state."""

OBSERVER = Table(
    Dialect.NFTABLES,
    TableFamily.INET,
    TABLE,
    tuple(
        Chain(f"at{i}", (_SEEN,), Base("filter", hook, priority))
        for i, (hook, priority, _) in enumerate(PLACES)
        if priority != FIRST
    ),
)
"""The judge's observer in the model."""

FAMILIES = {"iptables-restore": TableFamily.IP, "ip6tables-restore": TableFamily.IP6}


def ruleset_of(batches: Sequence[Batch], listing: str = "") -> Ruleset:
    """The model of loaded texts: iptables' as they are, nft's from the kernel's `listing` of it."""
    parts = [read(b.text, b.program, FAMILIES[b.program]) for b in batches if b.program in FAMILIES]
    if listing:
        parts.append(read(listing, "nft"))
    tables = chain.from_iterable(part.tables for part in parts)
    return Ruleset(tuple(t for t in tables if t.name != TABLE))


def observed(ruleset: Ruleset) -> Arranged:
    """The rule set with the observer, in the judge's own order: what was registered last runs first (K2)."""
    arranged = arrange(Ruleset((*ruleset.tables, OBSERVER)))
    groups = {
        key: tuple((station,) for group in found for station in _latest_first(group))
        for key, found in arranged.groups.items()
    }
    return replace(arranged, groups=groups)


def _latest_first(group: tuple[Station, ...]) -> list[Station]:
    """The kernel's own stations are there first, so they run behind chains of their priority."""
    return [*reversed([s for s in group if s.kind is Kind.CHAIN]), *(s for s in group if s.kind is not Kind.CHAIN)]


@dataclass(frozen=True, slots=True)
class Believed:
    """What the model says of one dialogue: the trace of each packet up to the first that it does not decide.

    `entries` are what the table holds of it at the end, None where a packet was not decided: `doubt` says why.
    """

    traces: tuple[Trace, ...]
    entries: tuple[Kept, ...] | None
    doubt: str = ""


def expected(arranged: Arranged, packets: Sequence[Packet], kernel: Kernel = KERNEL) -> Believed:
    """What the model says of one dialogue that begins with an empty table."""
    memory, traces = Memory(), list[Trace]()
    for packet in packets:
        outcome = walk(arranged, packet, memory, kernel)
        if outcome.asked or _lost(outcome):
            doubt = "; ".join(outcome.asked) or "the way of an answer's answer to a stranger"
            return Believed(tuple(traces), None, doubt)
        traces.append((*_sightings(outcome, answer=False),))
        memory = outcome.memory
    return Believed(tuple(traces), tuple(sorted(map(remembered, memory.entries))))


def _lost(outcome: Outcome) -> bool:
    """An answer that is itself rejected, and not from the host's own address: only the routes know where that goes."""
    answer = outcome.answer
    if answer is None:
        return False
    stranger = answer.packet.src not in LOCAL and answer.packet.src not in LOOPBACK
    return (answer.answer is not None and stranger) or _lost(answer)


def _sightings(outcome: Outcome, answer: bool) -> list[Sighting]:
    ours = [
        Sighting(step.hook, step.state, answer)
        for step in outcome.path
        if step.kind is StepKind.RULE and step.table == TABLE and step.state is not None
    ]
    last = outcome.path[-1] if outcome.path else None
    if outcome.verdict is Fate.DROP and last and last.kind is StepKind.CONNTRACK and last.hook in CONFIRMING:
        ours.pop()  # dropped when its entry was confirmed, which is before the observer looks
    return ours + (_sightings(outcome.answer, answer=True) if outcome.answer else [])
