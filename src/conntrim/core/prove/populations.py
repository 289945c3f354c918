"""Both rule sets of a pair for one direction, walked once: what each lets through of unsolicited packets, of packets of
established connections, of ICMP errors about them.
"""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import assert_never

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import BROADCAST, MULTICAST
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.fields import Field, TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.model.tcp_flags import BARE_SYN, flags_where
from conntrim.core.netfilter.hooks import FAMILIES
from conntrim.core.netfilter.icmp import ICMP, any_code
from conntrim.core.netfilter.states import CHECKED, SANE
from conntrim.core.prove.affected_set import along, region
from conntrim.core.prove.diagram import Set
from conntrim.core.prove.match_encoder import MatchEncoder
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.pair import Pair
from conntrim.core.prove.reachability import Reach, existing, left_in_parts, packets_of, reach
from conntrim.core.prove.states import known, settled, unsolicited
from conntrim.core.prove.translation import by_kind, marked, met
from conntrim.core.prove.watch import Watch

CARRIED = flags_where(lambda flags: bool(flags & (TcpFlag.ACK | TcpFlag.RST)) and flags & CHECKED in SANE)
"""Flags of packets that an established connection carries."""


class Population(StrEnum):
    """Whose packets."""

    UNSOLICITED = "unsolicited packets"
    """Packets that belong to no connection that conntrack knows."""
    CONNECTIONS = "packets of connections"
    """Packets of established connections: ESTABLISHED, or UNTRACKED where raw rules say so."""
    ERRORS = "errors about connections"
    """ICMP errors about established connections: RELATED, or UNTRACKED."""
    EXPECTED = "expected connections"
    """The first packets of connections that a helper expects: RELATED, or UNTRACKED."""
    TRANSLATED = "unsolicited packets that a rule translates"
    """Unsolicited packets told as they came, with what they are translated to."""
    WHOLE = "connections as a whole"
    """Connections packet by packet, told by their requests: of these some are untracked."""


PACKETS = (Population.UNSOLICITED, Population.CONNECTIONS, Population.ERRORS, Population.EXPECTED)
"""Those that are told by the packet alone."""

DIRECTIONS = (Direction.INBOUND, Direction.FORWARDED, Direction.OUTBOUND)


def families_of(before: Ruleset, after: Ruleset) -> tuple[Family, ...]:
    """The families that any table is about."""
    seen = {f for r in (before, after) for t in r.tables for f in FAMILIES.get(t.family, ())}
    return tuple(f for f in Family if f in seen)


class Question:
    """Both rule sets for one family and direction."""

    def __init__(
        self, space: PacketVars, direction: Direction, pair: Pair, local: Intervals | None, loose: bool,
        *, more: Set | None = None, watch: Watch | None = None, translated: bool = True,
    ) -> None:  # fmt: skip
        """`more`: packets to follow although nothing that changed can meet them; `watch` as for `reach`,
        `translated` as for `Pair.along`."""
        self.space, self.loose, self.direction = space, loose, direction
        self.all = packets_of(space, direction, local)
        differing = region(space, direction, along(pair.changed, direction), local)
        arranged = pair.along(direction, translated=translated)
        if any(left_in_parts(a, space.family) for a in arranged):
            differing = differing | region(space, direction, along(pair.changed, direction), local, later=True)
        self.scope = self.all & (differing | (more or space.nothing))
        self.view = MatchEncoder(space)
        self.before, self.after = (reach(space, a, direction, self.scope, local=local, watch=watch) for a in arranged)
        self.doubts = self.before.doubts + self.after.doubts
        self.early = self.before.early + self.after.early
        self._met = partial(met, space, pair.whole(), arranged, direction, self.scope, local=local)
        self._marked = partial(marked, space, direction, self.before, self.after)

    @property
    def others(self) -> list[str]:
        """What differs of translated packets, where nobody follows them."""
        return self._marked()

    @property
    def undecided(self) -> list[str]:
        """What may come out of a translation, where nobody follows it."""
        return self._met()

    def translated(self) -> Set:
        """Unsolicited packets that either rule set sends elsewhere."""
        ways = []
        for way in (self.before, self.after):
            new = unsolicited(self.view, way.untracked, self.loose)[CtState.NEW]
            ways.append(by_kind(self.space, way, new))
        return self.space.sets.either([found for way in ways for found in way.values()])

    def admitted(self, way: Reach, population: Population) -> Set:
        """The packets of a population that a rule set lets through."""
        match population:
            case Population.UNSOLICITED | Population.TRANSLATED:
                states = unsolicited(self.view, way.untracked, self.loose)
            case Population.CONNECTIONS | Population.WHOLE:
                states = known(self.view, way.untracked, CtState.ESTABLISHED)
            case Population.ERRORS | Population.EXPECTED:
                states = known(self.view, way.untracked, CtState.RELATED)
            case _:
                assert_never(population)
        return settled(self.space, way.arrived, states)

    def universe(self, population: Population) -> Set:
        """All packets of a population."""
        space = self.space
        stateless = space.any_state(self.all) & existing(space, self.direction)
        tcp, icmp = space.protocol(Protocol.TCP), space.protocol(space.icmp_protocol)
        match population:
            case Population.UNSOLICITED | Population.TRANSLATED:
                return stateless
            case Population.WHOLE:  # nobody holds a connection with a group of hosts
                many = MULTICAST | BROADCAST
                return stateless & ~space.field(Field.DST, many) & ~space.field(Field.SRC, many)
            case Population.ERRORS:
                return stateless & space.field(space.icmp, any_code(ICMP[space.family].defined))
            case Population.CONNECTIONS:
                carried = ~tcp | space.field(Field.TCP_FLAGS, CARRIED)
                return (
                    stateless
                    & carried
                    & (~icmp | space.field(space.icmp, any_code(Intervals.of(*ICMP[space.family].answers))))
                )
            case Population.EXPECTED:
                return stateless & space.with_ports & (~tcp | space.field(Field.TCP_FLAGS, BARE_SYN))
            case _:
                assert_never(population)
