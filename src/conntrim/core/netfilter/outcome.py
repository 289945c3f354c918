"""What became of a packet, and the steps that led there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Rule
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.memory import Entry, Memory, Zone


class Fate(StrEnum):
    """How a packet ends; `not decided` where it depends on something that the model does not know."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    ANSWERED = "answered"
    """By SYNPROXY: the packet ends here, and the handshake goes on between it and the client."""
    NOT_DECIDED = "not decided"


class StepKind(StrEnum):
    """What happened at a step of the path."""

    RULE = "rule"
    """A rule matched and had an effect."""
    MISSED = "missed"
    """All of a rule but its state matched: worth telling."""
    NEARLY = "nearly"
    """An accept of the packet's port of which all but one condition matched: worth telling where the packet is lost."""
    TURNED = "turned"
    """A NOTRACK rule that would match the packet's answer instead: worth telling."""
    POLICY = "policy"
    CONNTRACK = "conntrack"
    NAT = "nat"
    DEFRAG = "defrag"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a packet's path: where, which rule (with its place and text), the state seen there, and why."""

    kind: StepKind
    hook: Hook
    table: str
    chain: str
    state: CtState | None
    note: str = ""
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Where reassembly took a fragment in, and as what: only what is alike in all of this makes one datagram."""

    hook: Hook
    packet: Packet
    zone: Zone


@dataclass(frozen=True, slots=True)
class Outcome:
    """One packet's way through the hooks.

    `packet` as it came and `left` as it was when it ended (translated, marked). `state` is what the last hook's rules
    saw, None where conntrack is not active (K5). `made` is the entry that this packet left behind, `hit` the one it
    belongs to. `undecided` are the questions on which `verdict`, state or entries hang, `asked` all that came up: where
    they do not matter in the end, `path` is still only one of the possible ones. `answer` is what became of the packet
    that a REJECT sent back. `memory` is the table afterwards. `passed` are the hooks that the packet left alive, with
    its state behind each. `listed` are the sets it was held against whose elements come and go: as listed now.
    `gathered`: a fragment that is put together with others, who must come to the same hook alike.
    """

    packet: Packet
    left: Packet
    verdict: Fate
    state: CtState | None
    path: tuple[Step, ...]
    memory: Memory
    made: Entry | None = None
    hit: Entry | None = None
    undecided: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    answer: Outcome | None = None
    passed: tuple[tuple[Hook, CtState | None], ...] = ()
    listed: tuple[str, ...] = ()
    gathered: Gathered | None = None

    @property
    def handshake_lost(self) -> bool:
        """Whether a SYNPROXY took the packet, and what it sent to the client is dropped here."""
        return self.verdict is Fate.ANSWERED and self.answer is not None and self.answer.verdict is Fate.DROP

    @property
    def by(self) -> Step | None:
        """The step that decided; None where nothing stood in the way."""
        return self.path[-1] if self.path and self.verdict in (Fate.DROP, Fate.REJECT, Fate.ANSWERED) else None
