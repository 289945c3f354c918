"""Dialogues played on a stand, turn by turn: each end answers what it saw, as peers do: translations are followed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conntrim.core.model.address import Family
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.memory import Tuple, tuple_of
from conntrim.lab.entries import Kept
from conntrim.lab.held.stand import PORTS, Arrival, Seen, Shot, Stand
from conntrim.lab.held.talks import DATA_PORTS, HANDSHAKE, Dialogue, Turn, client_data_port
from conntrim.lab.wire import FIRST, MAX_NUMBER, V4_HEADER, Numbers, build

DONE, REFUSED, LOST = "done", "refused", "lost"
"""How a dialogue ends: to its end; an answer says that a packet was refused; a packet, or an answer, never came."""

ROUNDS = 16
"""More than any dialogue has turns, SYNPROXY's own ones among them."""


@dataclass(frozen=True, slots=True)
class Played:
    """What became of one dialogue: how it ended at which turn (behind the last where it is done).

    `hits`: untracking rules that took its packets. `untracked`: turns whose packet conntrack let alone. `came`: where
    and with which addresses each packet arrived; `translated`: one came with others than it was sent with.
    `entries`: what is left in the table; `beside`: of those the ones of a connection of which a packet was untracked: a
    data connection has its own.
    """

    ended: str
    turn: int
    hits: frozenset[int] = frozenset()
    untracked: tuple[int, ...] = ()
    came: tuple[tuple[str, int, int, int, int], ...] = ()
    translated: bool = False
    entries: tuple[Kept, ...] = ()
    beside: tuple[Kept, ...] = ()

    @property
    def opened(self) -> bool:
        """Whether its first packet arrived."""
        return bool(self.came)

    @property
    def fate(self) -> tuple[str, int, tuple[tuple[str, int, int, int, int], ...]]:
        """What a peer notices: the end, and all that came."""
        return self.ended, self.turn, self.came


@dataclass(slots=True)
class Actor:
    """One dialogue while it is played. Views are (own address, own port, peer's address, peer's port), by channel."""

    dialogue: Dialogue
    views: dict[tuple[bool, bool], tuple[int, int, int, int]] = field(default_factory=dict)
    place: str = ""
    turn: int = 0
    ended: str = ""
    hits: set[int] = field(default_factory=set)
    untracked: list[int] = field(default_factory=list)
    came: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    translated: bool = False
    numbers: dict[tuple[bool, bool], int] = field(default_factory=dict)
    last: dict[bool, Packet] = field(default_factory=dict)
    tuples: dict[Tuple, bool] = field(default_factory=dict)
    proxy: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        a, b = self.dialogue.a, self.dialogue.b
        self.views[False, False] = (a.address, a.port, b.address, b.port)
        self.views[True, False] = (a.address, client_data_port(a.port), b.address, self.data_port)

    @property
    def data_port(self) -> int:
        """The server's port of the data connection."""
        return DATA_PORTS.get(self.dialogue.kind, 0)

    # --- sending ---

    def shots(self, number: int) -> list[Shot]:
        """The packet of this turn, or its two halves."""
        turn = self._turn()
        packet = self._packet(turn)
        if not turn.error:
            self.tuples[tuple_of(packet)] = turn.data
        seq, ack = (self.proxy[-1].ack, self.proxy[-1].seq + 1) if self.proxy else self._counters(turn)
        if len(self.proxy) == 2:  # the server's number is its own
            seq = FIRST
        data = build(packet, Numbers(number, seq, ack, self._payload(turn)))
        place = (self.place or self.dialogue.b.place) if turn.back else self.dialogue.a.place
        return [(place, part) for part in (halves(data) if turn.halves else (data,))]

    def _turn(self) -> Turn:
        """What is sent next; to SYNPROXY the client's acknowledgement, then the server's answer to its SYN."""
        if not self.proxy:
            return self.dialogue.turns[self.turn]
        return HANDSHAKE[2] if len(self.proxy) == 1 else HANDSHAKE[1]

    def _packet(self, turn: Turn) -> Packet:
        if turn.data and (True, turn.back) not in self.views:  # the server opens the data connection
            here, _, there, _ = self.views[False, True]
            self.views[True, True] = (here, self.data_port, there, client_data_port(self.dialogue.a.port))
        own, port, peer, far = self.views[turn.data, turn.back]
        family, protocol = self.dialogue.family, self.dialogue.protocol
        if turn.error:
            protocol, icmp = ERRORS[family, turn.error]
            return Packet(family, protocol, own, peer, icmp=icmp, inner=self.last[turn.back])
        if protocol in (Protocol.ICMP, Protocol.ICMPV6):
            return Packet(family, protocol, own, peer, icmp=ECHOES[protocol, turn.name], icmp_id=max(port, far))
        return Packet(family, protocol, own, peer, port, far, tcp_flags=turn.flags)

    def _payload(self, turn: Turn) -> bytes:
        if b"{}" not in turn.payload:
            return turn.payload or (b"p" * 12 if turn.flags is None and not turn.error else b"")
        own = self.views[False, turn.back][0] & 0xFFFFFFFF
        port = self.data_port if turn.back else client_data_port(self.dialogue.a.port)
        numbers = [*own.to_bytes(4, "big"), port >> 8, port & 255]
        return turn.payload.replace(b"{}", ",".join(map(str, numbers)).encode())

    def _counters(self, turn: Turn) -> tuple[int, int]:
        if turn.flags is None:
            return 0, 0
        mine, theirs = (turn.data, turn.back), (turn.data, not turn.back)
        seq = self.numbers.setdefault(mine, FIRST)
        one = bool(turn.flags & (TcpFlag.SYN | TcpFlag.FIN))
        if turn.flags != SYN or self.dialogue.turns[self.turn + 1 : self.turn + 2] != (turn,):  # said once more
            self.numbers[mine] = seq + one + len(self._payload(turn))
        return seq, self.numbers.get(theirs, FIRST) if turn.flags & TcpFlag.ACK else 0

    # --- hearing ---

    def heard(self, seen: Seen) -> None:
        """Take in what became of this turn's packet."""
        turn = self._turn()
        self.hits.update(seen.hits)
        if "u" in seen.states and not turn.error:
            self.untracked.append(self.turn)
        if self.proxy or turn.flags == int(TcpFlag.SYN):
            if self._proxied(seen):
                return
            if self.proxy:
                self.ended = LOST
                return
        arrived = self._arrived(turn, seen)
        if arrived is None:
            self.ended = REFUSED if self._refused(turn, seen) else LOST
            return
        self._learn(turn, arrived)
        self._step((arrived.place, arrived.src, arrived.sport, arrived.dst, arrived.dport))

    def _proxied(self, seen: Seen) -> bool:
        """SYNPROXY's handshake: it answers the SYN, asks the server once that was acknowledged, and joins both."""
        own = [each for each in seen.arrivals if each.own]
        if len(self.proxy) == 2:
            return self._joined(own)
        wanted = SYN if self.proxy else SYN_ACK
        made = next((e for e in own if e.flags & SYN_ACK == wanted), None)
        if made is None or (not self.proxy and made.place != self.dialogue.a.place):
            return False
        a, b, turns = self.dialogue.a, self.dialogue.b, self.dialogue.turns
        if self.proxy:
            self.proxy.append(made)
            self._learn(turns[0], made)
        elif any(turn.back for turn in turns[self.turn + 1 : self.turn + 2]):
            self.proxy.append(made)
        else:
            self._step((b.place, a.address, a.port, b.address, b.port))
        return True

    def _joined(self, own: Sequence[Arrival]) -> bool:
        """Whether SYNPROXY acknowledges the server's answer; client and server then talk to each other."""
        if not any(e.place == self.place and e.flags & SYN_ACK == ACK for e in own):
            return False
        answer, asked = self.proxy
        self.numbers = {(False, False): asked.seq + 1, (False, True): FIRST + 1}
        self.proxy.clear()
        for each in (asked, answer):
            self._step((each.place, each.src, each.sport, each.dst, each.dport))
        return True

    def _step(self, came: tuple[str, int, int, int, int]) -> None:
        """One turn is done. A source port that the kernel picked is another one each time: any."""
        place, src, sport, dst, dport = came
        picked = not self.dialogue.turns[self.turn].back and sport not in (
            self.dialogue.a.port,
            client_data_port(self.dialogue.a.port),
        )
        self.came.append((place, src, ANY if picked else sport, dst, dport))
        self.turn += 1
        if self.turn == len(self.dialogue.turns):
            self.ended = DONE

    def _arrived(self, turn: Turn, seen: Seen) -> Arrival | None:
        """The arrival of the packet at the end that awaits it, with the addresses that it awaits."""
        arrivals = [each for each in seen.arrivals if not each.own]
        if not arrivals:
            return None
        last = arrivals[-1]
        if turn.halves and last.length < WHOLE:  # forwarded as it came: the first fragment says the ports
            last = arrivals[0]
            if sum(each.length for each in arrivals if each.place == last.place) < WHOLE:
                return None
        if last.place == "bridge":
            last = last._replace(place=PORTS[not turn.back])
        place = self.dialogue.a.place if turn.back else self.place
        view = self.views.get((turn.data, not turn.back))
        if place and last.place != place:
            return None
        return last if view is None or self._fits(turn, last, view) else None  # whoever gets the first one is asked

    def _fits(self, turn: Turn, came: Arrival, view: tuple[int, int, int, int]) -> bool:
        own, port, peer, far = view
        if turn.error:
            return came.dst == own
        if self.dialogue.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            return (came.src, came.dst, came.sport) == (peer, own, max(port, far))
        return (came.src, came.sport, came.dst, came.dport) == (peer, far, own, port)

    def _refused(self, turn: Turn, seen: Seen) -> bool:
        """Whether the kernel's own answer came to the sender."""
        place = (self.place or self.dialogue.b.place) if turn.back else self.dialogue.a.place
        own, _, _, _ = self.views[turn.data, turn.back]
        back = PORTS if place in PORTS else (place,)
        return any(each.own and (each.place in back or each.place == "bridge") and each.dst == own
                   for each in seen.arrivals)  # fmt: skip

    def _learn(self, turn: Turn, arrived: Arrival) -> None:
        own, port, peer, far = self.views[turn.data, turn.back]
        if self.dialogue.protocol in (Protocol.ICMP, Protocol.ICMPV6):
            sent = (own, max(port, far), peer, 0)
        else:
            sent = (own, port, peer, far)
        came = (arrived.src, arrived.sport, arrived.dst, arrived.dport)
        if not turn.error:
            self.translated |= came != sent
            self.last[not turn.back] = self._as_seen(turn, arrived)
        if not turn.back and not turn.error:
            self.place = self.place or arrived.place
            self.views.setdefault((turn.data, True), (arrived.dst, arrived.dport, arrived.src, arrived.sport))

    def _as_seen(self, turn: Turn, arrived: Arrival) -> Packet:
        """The packet with the addresses with which it came."""
        family, protocol = self.dialogue.family, self.dialogue.protocol
        if protocol in (Protocol.ICMP, Protocol.ICMPV6):
            icmp = ECHOES[protocol, turn.name]
            return Packet(family, protocol, arrived.src, arrived.dst, icmp=icmp, icmp_id=arrived.sport)
        return Packet(family, protocol, arrived.src, arrived.dst, arrived.sport, arrived.dport, tcp_flags=turn.flags)

    def played(self, found: Mapping[Tuple, Kept | None]) -> Played:
        """The outcome, by what is in the table."""
        freed = {self.dialogue.turns[number].data for number in self.untracked}
        entries, beside = (
            dict.fromkeys(kept for t, data in self.tuples.items() if data in channels and (kept := found.get(t)))
            for channels in ({False, True}, freed)
        )
        return Played(
            self.ended, self.turn, frozenset(self.hits), tuple(self.untracked), tuple(self.came), self.translated,
            tuple(entries), tuple(beside),
        )  # fmt: skip


ANY = -1
SYN, ACK = int(TcpFlag.SYN), int(TcpFlag.ACK)
SYN_ACK = SYN | ACK
WHOLE = 1500
"""No fragment of ours has so many bytes; the datagram has."""

ERRORS: dict[tuple[Family, str], tuple[int, int]] = {
    (Family.IPV4, "too big"): (Protocol.ICMP, 3 << 8 | 4), (Family.IPV4, "port"): (Protocol.ICMP, 3 << 8 | 3),
    (Family.IPV4, "host"): (Protocol.ICMP, 3 << 8 | 1), (Family.IPV6, "too big"): (Protocol.ICMPV6, 2 << 8),
    (Family.IPV6, "port"): (Protocol.ICMPV6, 1 << 8 | 4), (Family.IPV6, "host"): (Protocol.ICMPV6, 1 << 8 | 3),
}  # fmt: skip
ECHOES: dict[tuple[int, str], int] = {
    (Protocol.ICMP, "echo request"): 8 << 8, (Protocol.ICMP, "echo reply"): 0,
    (Protocol.ICMPV6, "echo request"): 128 << 8, (Protocol.ICMPV6, "echo reply"): 129 << 8,
}  # fmt: skip


def halves(data: bytes) -> tuple[bytes, bytes]:
    """A packet as two fragments, both with its number (RFC 791; RFC 8200 section 4.5)."""
    first = 800
    if data[0] < 0x60:
        head, body = data[:V4_HEADER], data[V4_HEADER:]
        return _v4_half(head, body[:first], 0, more=True), _v4_half(head, body[first:], first, more=False)
    head, body = data[:40], data[40:]
    identity = head[2:4] * 2
    parts = []
    for at, part in ((0, body[:first]), (first, body[first:])):
        extension = struct.pack(">BBH", head[6], 0, at | (at == 0)) + identity
        length = (len(part) + 8).to_bytes(2, "big")
        parts.append(head[:4] + length + bytes([44, head[7]]) + head[8:] + extension + part)
    return parts[0], parts[1]


def _v4_half(head: bytes, body: bytes, at: int, *, more: bool) -> bytes:
    start = head[:2] + (V4_HEADER + len(body)).to_bytes(2, "big") + head[4:6]
    bare = start + (more << 13 | at >> 3).to_bytes(2, "big") + head[8:10] + b"\0\0" + head[12:]
    total = 0xFFFF - int.from_bytes(bare, "big") % 0xFFFF
    return bare[:10] + total.to_bytes(2, "big") + bare[12:] + body


def play(stand: Stand, dialogues: Sequence[Dialogue]) -> list[Played]:
    """Play all dialogues at once, turn by turn, from an empty table, and leave an empty one behind."""
    actors = [Actor(dialogue) for dialogue in dialogues]
    for _ in range(ROUNDS):
        left = [actor for actor in actors if not actor.ended]
        if not left:
            break
        if len(left) >= MAX_NUMBER:
            raise ValueError("more dialogues than packets have numbers")
        shots = [shot for number, actor in enumerate(left, 1) for shot in actor.shots(number)]
        for actor, seen in zip(left, stand.shoot(shots, len(left)), strict=True):
            actor.heard(seen)
    tuples = [tuple_ for actor in actors for tuple_ in actor.tuples]
    found = dict(zip(tuples, stand.entries(tuples), strict=True))
    stand.forget(tuples)
    return [actor.played(found) for actor in actors]
