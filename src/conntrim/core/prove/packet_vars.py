"""All packets of one address family as bit vectors: which variables stand for which property.

IPv4 and IPv6 get spaces of their own: a diagram over 32-bit addresses is a fraction of one over 128. Where a packet
goes stands above where it comes from: rule sets serve each destination in its own way and check all senders in one, so
that check stands once below all services. What only few rule sets ask for (marks, lengths, texts nobody understands)
gets its variables when first asked for, at the bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from conntrim.core.model.address import MAPPED, V4_ALL, Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol
from conntrim.core.model.ruleset import BITS, Field
from conntrim.core.prove.diagram import Diagrams, Set
from conntrim.core.prove.names import Names

ADDRESS_BITS = {Family.IPV4: 32, Family.IPV6: 128}
ICMP_OF = {Family.IPV4: (Field.ICMP, Protocol.ICMP), Family.IPV6: (Field.ICMPV6, Protocol.ICMPV6)}
"""Each family's own ICMP; the other one's is nonsense there and never made."""
IIF, OIF = "iif", "oif"

STATES: tuple[CtState, ...] = tuple(CtState)
"""A state's code is its place here."""

Key = Field | str


class PacketVars:
    """The variables of one family. `names` are the interfaces that any rule set of this question tells apart."""

    def __init__(self, family: Family, names: Names, tick: Callable[[], None] = lambda: None) -> None:
        self.family, self.names = family, names
        self.sets = Diagrams(tick)
        self.icmp, self.icmp_protocol = ICMP_OF[family]
        self.bits: dict[Key, tuple[int, ...]] = {}
        wide = ADDRESS_BITS[family]
        for key, count in (
            (Field.DST, wide), (OIF, names.bits), (Field.PROTOCOL, 8), (Field.DPORT, 16), (self.icmp, 16),
            (Field.TCP_FLAGS, 8), (Field.CT_STATE, 3), (IIF, names.bits), (Field.SRC, wide), (Field.SPORT, 16),
        ):  # fmt: skip
            self.bits[key] = self.sets.add(count)
        self.free: dict[str, int] = {}
        self.known: dict[Hashable, tuple[object, Any]] = {}
        """What was found about chains, with what it was found from (chains.py)."""
        self._besides: dict[tuple[Key, int], Set] = {}
        self._bits: dict[Key, list[Set | None]] = {}
        self._made: dict[tuple[Key, Intervals, int | None], Set] = {}
        self.with_ports = self.values(Field.PROTOCOL, Intervals.of(*(int(p) for p in WITH_PORTS)))
        self._needs = {
            Field.SPORT: self.with_ports,
            Field.DPORT: self.with_ports,
            Field.TCP_FLAGS: self.protocol(Protocol.TCP),
            self.icmp: self.protocol(self.icmp_protocol),
        }

    @property
    def nothing(self) -> Set:
        """No packet."""
        return self.sets.nothing

    @property
    def everything(self) -> Set:
        """Every packet."""
        return self.sets.everything

    def protocol(self, number: int) -> Set:
        """The packets of one layer-4 protocol."""
        return self.values(Field.PROTOCOL, Intervals.of(number))

    def variables(self, key: Key) -> tuple[int, ...]:
        """The variables of a property, highest bit first, made if there are none yet."""
        if key not in self.bits and isinstance(key, Field):
            self.bits[key] = self.sets.add(BITS[key])
        return self.bits[key]

    def besides(self, key: Key) -> Set:
        """All variables but those of one property: what a quantifier takes to leave only that."""
        known = key, self.sets.variables
        if known not in self._besides:
            own = set(self.bits[key])
            self._besides[known] = self.sets.literals(*(n for n in range(self.sets.variables) if n not in own))
        return self._besides[known]

    def values(self, key: Key, values: Intervals, mask: int | None = None) -> Set:
        """The vectors whose property `& mask` is one of `values`, whether or not such packets have it."""
        made = self._made.get((key, values, mask))
        if made is None:
            kept = self._sets_of(key)
            if mask is not None:
                kept = [
                    bit if mask >> at & 1 else None for at, bit in zip(range(len(kept) - 1, -1, -1), kept, strict=True)
                ]
            made = self._made[key, values, mask] = self.sets.among(kept, self._own(key, values))
        return made

    def _sets_of(self, key: Key) -> list[Set | None]:
        if key not in self._bits:
            self._bits[key] = [self.sets.var(n) for n in self.variables(key)]
        return self._bits[key]

    def field(self, key: Field, values: Intervals, mask: int | None = None) -> Set:
        """The packets that have this property, with one of these values."""
        if key in (Field.ICMP, Field.ICMPV6) and key is not self.icmp:
            return self.nothing
        found = self.values(key, values, mask)
        return found & self._needs[key] if key in self._needs else found

    def _own(self, key: Key, values: Intervals) -> Intervals:
        if key not in (Field.SRC, Field.DST) or self.family is Family.IPV6:
            return values
        low, high = V4_ALL
        return Intervals.of(*((max(a, low) - MAPPED, min(b, high) - MAPPED) for a, b in values.ranges
                              if a <= high and b >= low))  # fmt: skip

    def whole(self, key: Key, number: int) -> int:
        """A number of this property's variables as the model writes it: addresses are 128 bits there."""
        return number | MAPPED if key in (Field.SRC, Field.DST) and self.family is Family.IPV4 else number

    def interface(self, way: str, codes: Intervals) -> Set:
        """The packets whose incoming (`iif`) or outgoing (`oif`) interface has one of these codes."""
        return self.values(way, codes)

    def state(self, state: CtState) -> Set:
        """The vectors in this ct state."""
        return self.values(Field.CT_STATE, Intervals.of(STATES.index(state)))

    def unknown(self, text: str) -> Set:
        """Where a question that nobody here can answer is answered with yes: one variable for each text."""
        if text not in self.free:
            self.free[text] = self.sets.add(1)[0]
        return self.sets.var(self.free[text])
