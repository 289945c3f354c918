"""The kinds of dialogue that are played to see what untracking changes, and what may become of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from conntrim.core.model.address import Family
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import TURNS, Talk, error_about
from conntrim.core.netfilter.icmp import ICMP
from conntrim.core.prove.packet_vars import PacketVars
from conntrim.core.prove.symbolic_connection import STAND_IN


class Harm(StrEnum):
    """What becomes of a dialogue."""

    CUT = "cut"
    """It completes without untracking, and not with it."""
    NO_ERRORS = "errors lost"
    """It completes, and an ICMP error about it no longer comes through."""
    ONE_SIDED = "one-sided"
    """It completes, and leaves an entry although packets of it are untracked."""
    PROXIED = "proxied"
    """A rule answers its SYN itself and opens the connection anew (SYNPROXY): it is not followed."""
    PASSED_BY = "passed by"
    """A rule answers its SYN itself and does not see the ACK that ends the handshake, or later packets are untracked as
    well: nobody opens the connection to the server (K115)."""
    UNFOLLOWED = "not followed"
    """Without untracking a rule translates it, or gives one way of it a zone: sets do not say what becomes of it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One packet of a dialogue: whether it answers, TCP flags; of an ICMP error its type and which packet it quotes;
    its length, where rules ask for one."""

    back: bool
    flags: int | None = None
    error: int = 0
    about: int | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """A kind of dialogue, and the harm where it no longer completes."""

    talk: Talk
    turns: tuple[Turn, ...]
    harm: Harm = Harm.CUT
    one_way: bool = False
    brief: bool = False
    """The first query and its answer, where nothing more may follow."""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.talk}, one way" if self.one_way else str(self.talk)

    @lru_cache(256)  # noqa: B019 - scripts are few and last for ever
    def between(self, first: Packet) -> tuple[Packet, ...]:
        """The packets of the dialogue that this one opens."""
        made: list[Packet] = []
        for turn in self.turns:
            if turn.about is None:
                packet = replace(reply_to(first) if turn.back else first, tcp_flags=turn.flags)
            else:
                packet = replace(error_about(made[turn.about]), icmp=turn.error)
            made.append(packet if turn.length is None else replace(packet, length=turn.length))
        return tuple(made)


HANDSHAKE = Script(Talk.TCP, (Turn(False, int(TcpFlag.SYN)), Turn(False, int(TcpFlag.ACK))), Harm.PASSED_BY)
"""What a client sends to a proxy that answers its SYN."""

PROTOCOLS: dict[Talk, Protocol] = {Talk.TCP: Protocol.TCP, Talk.UDP: Protocol.UDP}


def scripts(family: Family) -> Iterator[Script]:
    """All kinds of dialogue of a family; errors come about the last request or the last answer so far."""
    errors = ICMP[family].too_big, ICMP[family].unreachable << 8 | PORT[family]
    for talk in Talk:
        turns = tuple(Turn(back, None if flags is None else int(flags)) for _, back, flags in TURNS[talk])
        yield Script(talk, turns)
        if talk is Talk.UDP:
            yield Script(talk, tuple(t for t in turns if not t.back), one_way=True)
            yield Script(talk, turns[:2], brief=True)
        request = 3 if talk is Talk.TCP else 0
        for about in (request, request + 1):
            back = not turns[about].back
            for error in errors:
                yield Script(talk, (*turns[: about + 1], Turn(back, None, error, about)), Harm.NO_ERRORS)


PORT: dict[Family, int] = {Family.IPV4: 3, Family.IPV6: 4}
"""The code of *port unreachable* (RFC 792, RFC 4443)."""


def opener(space: PacketVars, talk: Talk) -> Packet:
    """The first packet of the dialogue that stands for all: the tracker sees nothing but who is who."""
    source, target, port = STAND_IN
    if talk is Talk.ECHO:
        echo = ICMP[space.family].echo << 8
        return Packet(space.family, space.icmp_protocol, source, target, icmp=echo, icmp_id=port)
    return Packet(space.family, PROTOCOLS[talk], source, target, port, 80)
