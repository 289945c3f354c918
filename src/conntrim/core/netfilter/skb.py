"""A packet on its way through the hooks, with what is attached to it; and questions that the model cannot answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conntrim.core.model.conntrack import CtState
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Rule
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import NO_ZONE, Element, Entry, Zone


@dataclass(frozen=True, slots=True)
class Template:
    """A zone or helper that a rule attached before conntrack saw the packet (K10); what `ct state` reads until then is
    NEW, in an answer of REJECT's RELATED (K62).
    """

    zone: Zone = NO_ZONE
    helper: str = ""
    state: CtState = CtState.NEW


@dataclass(frozen=True, slots=True)
class Untracked:
    """The mark of NOTRACK; `by` None: the kernel itself set it (neighbour discovery)."""

    by: Rule | None = None


@dataclass(frozen=True, slots=True)
class Tracked:
    """An entry, and how this packet belongs to it. An entry not `confirmed` is lost where the packet is dropped.

    An answer of REJECT's to a packet whose entry was not confirmed has it as `pending`: on its way in the reply
    direction it never confirms it, an answer to that answer does. `bound` says of an entry that
    is not in the table yet whether its destination (True) and its source (False) have been through the nat chains.
    """

    entry: Entry
    state: CtState
    reply: bool
    confirmed: bool
    pending: bool = False
    bound: frozenset[bool] = frozenset()

    @property
    def unconfirmed(self) -> bool:
        """Whether the last hook puts the entry into the table; only a packet of the original direction does."""
        return not self.confirmed or (self.pending and not self.reply)


@dataclass(frozen=True, slots=True)
class Orphan:
    """REJECT's answer to an untracked packet: marked as related to nothing, so that NOTRACK passes it by (K19)."""


Attached = Template | Untracked | Tracked | Orphan | None
"""What is attached to a packet; None: nothing, it is INVALID."""


@dataclass(slots=True)
class Answers:
    """The answers assumed for questions that the model cannot decide; `asked` collects those that came up.

    The same text is the same question: it gets the same answer all along one way through the hooks.
    """

    assumed: Mapping[str, bool]
    asked: dict[str, bool] = field(default_factory=dict)
    listed: dict[str, None] = field(default_factory=dict)
    """Sets that were looked into though their elements come and go."""

    def ask(self, question: str) -> bool:
        """The assumed answer; no, where none was assumed."""
        answer = self.asked[question] = self.assumed.get(question, False)
        return answer


@dataclass(slots=True)
class Skb:
    """The packet as it is now, at a hook that sees the interfaces `iif` and `oif` (None: not known)."""

    packet: Packet
    kernel: Kernel
    answers: Answers
    attached: Attached = None
    iif: str | None = ""
    oif: str | None = ""
    mark_known: bool = True
    added: frozenset[Element] = frozenset()

    @property
    def state(self) -> CtState:
        """The state that a rule sees."""
        told = self.attached
        return told.state if isinstance(told, (Tracked, Template)) else _STATES[type(told)]

    @property
    def entry(self) -> Entry | None:
        """The entry that the packet belongs to."""
        return self.attached.entry if isinstance(self.attached, Tracked) else None


_STATES: dict[type, CtState] = {
    type(None): CtState.INVALID,
    Orphan: CtState.INVALID,
    Untracked: CtState.UNTRACKED,
}
"""What `ct state` reads where there is no entry (K21, K22)."""
