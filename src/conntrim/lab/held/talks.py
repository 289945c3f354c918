"""Dialogues that are played under a rule set: who asks whom, by which path, and in which turns.

The paths and kinds are those of design section 12. Every dialogue has a client port or echo identifier of its own, so
many share one table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import ONE_WAY
from conntrim.lab.held.stand import HOST, PORTS

SYN, ACK, FIN, RST, PSH = TcpFlag.SYN, TcpFlag.ACK, TcpFlag.FIN, TcpFlag.RST, TcpFlag.PSH


@dataclass(frozen=True, slots=True)
class End:
    """One end: where its packets go in and come out, its address, its port (an echo's identifier)."""

    place: str
    address: int
    port: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One packet of a dialogue, `back`: from the end that was asked.

    `error`: an ICMP error about the last packet that came there. `data`: on the second connection, that FTP's control
    connection announces.  `halves`: sent as two fragments.
    """

    name: str
    back: bool = False
    flags: int | None = None
    payload: bytes = b""
    error: str = ""
    data: bool = False
    halves: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A whole dialogue. `unsolicited`: its one packet belongs to nothing."""

    kind: str
    path: str
    family: Family
    protocol: int
    a: End
    b: End
    turns: tuple[Turn, ...]
    unsolicited: bool = False

    @property
    def entering(self) -> bool:
        """Whether its first packet comes from outside."""
        return self.a.place != HOST

    @property
    def sort(self) -> str:
        """What it is, roughly: path and kind by their first words."""
        kind = "unsolicited" if self.unsolicited else self.kind.partition(",")[0]
        kind += " error" if self.kind.endswith("error") else " fragments" if self.kind.endswith("fragments") else ""
        return f"{SORTS.get(self.path.partition(' ')[0], self.path.partition(' ')[0])}, {kind}"

    def __str__(self) -> str:
        return f"{self.path} {self.kind}"


def _flags(*flags: TcpFlag) -> int:
    return int(sum(flags))


HANDSHAKE = (
    Turn("SYN", flags=_flags(SYN)), Turn("SYN/ACK", back=True, flags=_flags(SYN, ACK)), Turn("ACK", flags=_flags(ACK)),
)  # fmt: skip
TALK = (
    Turn("request", flags=_flags(PSH, ACK), payload=b"request"),
    Turn("answer", back=True, flags=_flags(PSH, ACK), payload=b"answer"),
)
CLOSE = (
    Turn("FIN", flags=_flags(FIN, ACK)), Turn("FIN/ACK", back=True, flags=_flags(FIN, ACK)),
    Turn("last ACK", flags=_flags(ACK)),
)  # fmt: skip
QUERY, REPLY = Turn("query", payload=b"q" * 16), Turn("answer", back=True, payload=b"a" * 16)
FTP = (
    *HANDSHAKE,
    Turn("banner", back=True, flags=_flags(PSH, ACK), payload=b"220 hello\r\n"),
    Turn("USER", flags=_flags(PSH, ACK), payload=b"USER somebody\r\n"),
    Turn("227", back=True, flags=_flags(PSH, ACK), payload=b"227 Entering Passive Mode ({})\r\n"),
    Turn("data SYN", flags=_flags(SYN), data=True),
    Turn("data SYN/ACK", back=True, flags=_flags(SYN, ACK), data=True),
    Turn("data ACK", flags=_flags(ACK), data=True),
)
ACTIVE = (
    *FTP[:5],
    Turn("PORT", flags=_flags(PSH, ACK), payload=b"PORT {}\r\n"),
    Turn("data SYN", back=True, flags=_flags(SYN), data=True),
    Turn("data SYN/ACK", flags=_flags(SYN, ACK), data=True),
    Turn("data ACK", back=True, flags=_flags(ACK), data=True),
)
DATA_PORTS = {"ftp": 50_021, "ftp, active": 20}
"""The server's port of the data connection, by kind: where it awaits it, or from where it opens it."""


def client_data_port(port: int) -> int:
    """The client's port of the data connection, by its port of the control connection."""
    return FIRST_FREE + (port + 10_000) % 60_000


TCP, UDP = int(Protocol.TCP), int(Protocol.UDP)
ECHO = -1
"""Stands for the family's own echo."""

KINDS: dict[str, tuple[int, tuple[Turn, ...]]] = {
    "tcp": (TCP, (*HANDSHAKE, *TALK, *CLOSE)),
    "tcp, closed port": (TCP, (HANDSHAKE[0], Turn("RST", back=True, flags=_flags(RST, ACK)))),
    "tcp, error": (TCP, (*HANDSHAKE, TALK[0], Turn("error", back=True, error="too big"), TALK[1])),
    "tcp, six openers": (TCP, (*(HANDSHAKE[0],) * 6, *HANDSHAKE[1:])),
    "udp": (UDP, (QUERY, REPLY, QUERY, REPLY)),
    "udp, once": (UDP, (QUERY, REPLY)),
    "udp, one way": (UDP, (QUERY, QUERY)),
    "udp, symmetric": (UDP, (QUERY, REPLY, QUERY)),
    "udp, error": (UDP, (QUERY, Turn("error", back=True, error="port"))),
    "udp, fragments": (UDP, (Turn("query", payload=b"f" * 1600, halves=True), REPLY)),
    "echo": (ECHO, (Turn("echo request", payload=b"e" * 16), Turn("echo reply", back=True, payload=b"e" * 16))),
    "echo, error": (ECHO, (Turn("echo request", payload=b"e" * 16), Turn("error", back=True, error="host"))),
    "ftp": (TCP, FTP),
    "ftp, active": (TCP, ACTIVE),
}
"""Kinds of dialogue: protocol and turns."""

LONE: dict[str, tuple[int, Turn]] = {
    "SYN": (TCP, HANDSHAKE[0]), "SYN/ACK": (TCP, Turn("SYN/ACK", flags=_flags(SYN, ACK))),
    "ACK": (TCP, Turn("ACK", flags=_flags(ACK))), "RST": (TCP, Turn("RST", flags=_flags(RST))),
    "FIN/ACK": (TCP, Turn("FIN/ACK", flags=_flags(FIN, ACK))), "datagram": (UDP, QUERY),
    "echo request": (ECHO, Turn("echo request", payload=b"e" * 16)),
    "echo reply": (ECHO, Turn("echo reply", payload=b"e" * 16)),
}  # fmt: skip
"""Unsolicited packets."""

NETS: dict[Family, dict[str, str]] = {
    Family.IPV4: {"host": "192.0.2.1", "inner": "198.51.100.1", "near": "192.0.2.{}", "far": "203.0.113.{}",
                  "nobody": "198.18.77.{}", "behind": "198.51.100.{}", "loop": "127.0.0.1"},
    Family.IPV6: {"host": "2001:db8::1", "inner": "2001:db8:1::1", "near": "2001:db8::{}", "far": "2001:db8:2::{}",
                  "nobody": "2001:db8:7::{}", "behind": "2001:db8:1::{}", "loop": "::1"},
}  # fmt: skip
"""Addresses by where they are; no rule names those of `nobody`."""

PATHS: dict[str, tuple[str, str, str, str]] = {
    "in from near": ("eth0", "near", HOST, "host"),
    "in from far": ("eth0", "far", HOST, "host"),
    "in from nobody": ("eth0", "nobody", HOST, "host"),
    "in from behind": ("eth1", "behind", HOST, "inner"),
    "in from behind to the outer address": ("eth1", "behind", HOST, "host"),
    "out to near": (HOST, "host", "eth0", "near"),
    "out to far": (HOST, "host", "eth0", "far"),
    "out to behind": (HOST, "inner", "eth1", "behind"),
    "through to behind": ("eth0", "far", "eth1", "behind"),
    "through from behind": ("eth1", "behind", "eth0", "far"),
    "loopback": (HOST, "loop", HOST, "loop"),
    "to the own address": (HOST, "host", HOST, "host"),
    "to the other own address": (HOST, "host", HOST, "inner"),
    "over the bridge": (PORTS[0], "far", PORTS[1], "nobody"),
}
"""Paths: the place and the net of both ends."""

SORTS = {"to": "to itself", "loopback": "to itself", "over": "bridged", "through": "forwarded"}
"""Paths by their first words, where those say too little."""

SERVERS = (22, 53, 80, 443, 3306, 11211)
HIGH = 20_000
"""The first client port; each dialogue has the next one."""


@cache
def address(family: Family, net: str, last: int) -> int:
    """One address of a net."""
    return parse_address(NETS[family][net].format(last))


def made(kind: str, path: str, family: Family, *, port: int, client: int = HIGH, last: int = 9) -> Dialogue:
    """One dialogue of a kind by a path; the client's port tells it from all others."""
    protocol, turns = KINDS[kind]
    client = port if "symmetric" in kind else client
    return _between((kind, path), family, protocol, turns, ports=(client, port), last=last)


def alone(kind: str, path: str, family: Family, ports: tuple[int, int], *, last: int = 9) -> Dialogue:
    """One unsolicited packet."""
    protocol, turn = LONE[kind]
    return replace(_between((kind, path), family, protocol, (turn,), ports=ports, last=last), unsolicited=True)


def _between(
    names: tuple[str, str], family: Family, protocol: int, turns: tuple[Turn, ...], *, ports: tuple[int, int], last: int
) -> Dialogue:
    (kind, path), (sport, dport) = names, ports
    one, near, other, far = PATHS[path]
    if protocol == ECHO:
        protocol, dport = int(Protocol.ICMP if family is Family.IPV4 else Protocol.ICMPV6), 0
    ends = (End(one, address(family, near, last), sport), End(other, address(family, far, last), dport))
    return Dialogue(kind, path, family, protocol, *ends, turns)


def choice(random: Random, families: Sequence[Family], count: int, ports: Sequence[int] = SERVERS) -> list[Dialogue]:
    """So many dialogues, every path and kind in turn, and a third as many groups of unsolicited packets."""
    kinds, paths = list(KINDS), list(PATHS)
    random.shuffle(kinds)
    random.shuffle(paths)
    talks = []
    for number in range(count):
        kind, path = kinds[number % len(kinds)], paths[(number + number // len(kinds)) % len(paths)]
        family = families[number % len(families)] if kind not in DATA_PORTS else families[0]
        port = 21 if kind in DATA_PORTS else random.choice(ports)
        if port in ONE_WAY and KINDS[kind][0] == UDP:
            kind = "udp, one way"
        if kind in HALVED and PATHS[path][0] == HOST:
            kind = "udp"  # programs send datagrams whole: fragments are made behind OUTPUT
        last = 10 + number % 200 if kind in SHARING else 9
        ranged = [each for each in ports if FIRST_FREE <= each < HIGH * 3]
        client = (random.choice(ranged) if ranged and number % 4 == 1 else HIGH) + number
        talks.append(made(kind, path, family, port=port, client=client, last=last))
        if kind == CLOSED_PORT:  # says something only where there may be a connection
            talks.append(made("tcp", path, family, port=port, client=client + TWIN, last=last))
    return talks + unsolicited(random, families, count // 3, ports)


CLOSED_PORT, UNANSWERED = "tcp, closed port", "udp, one way"
TWIN = 300
"""How far the client port is of the connection that is not refused: more than there are dialogues."""
HALVED = frozenset({"udp, fragments"})
FIRST_FREE = 1024
"""Ports from there on may be a client's, and those behind a server's one, where rules name a range."""

SHARING = frozenset({"udp, symmetric", "tcp, six openers"})
"""Kinds whose dialogues need addresses of their own: their ports are not, or rules count them by address."""
INWARD = tuple(path for path, (one, _, other, _) in PATHS.items() if one != HOST and other != PORTS[1])
CLOSED = (3306, 40_000, 8443)


def unsolicited(random: Random, families: Sequence[Family], count: int, ports: Sequence[int]) -> list[Dialogue]:
    """Groups of packets from one source to one port: any packet, then openers that say whether the port is open."""
    found: list[Dialogue] = []
    for number in range(count):
        sport = random.choice((*ports, HIGH + 10_000 + number))
        dport = random.choice((*ports, *CLOSED))
        kind, path = random.choice(list(LONE)), random.choice(INWARD)
        found += group_of(kind, path, random.choice(families), (sport, dport), number)
    return found


def group_of(kind: str, path: str, family: Family, ports: tuple[int, int], number: int) -> list[Dialogue]:
    """One unsolicited packet, then the openers from its port and from a high one; `number` makes their source."""
    opener = {TCP: "SYN", UDP: "datagram", ECHO: "echo request"}[LONE[kind][0]]
    high = HIGH + 20_000 + number
    each = dict.fromkeys(((kind, ports[0]), (opener, ports[0]), (opener, high)))
    return [alone(name, path, family, (sport, ports[1]), last=210 + number % 40) for name, sport in each]


def unended(dialogue: Dialogue) -> Dialogue:
    """Without the ACK that ends it."""
    ended = dialogue.turns[-1].name == "last ACK"
    return replace(dialogue, turns=dialogue.turns[:-1]) if ended else dialogue


def group(dialogue: Dialogue) -> tuple[int, ...]:
    """What an opener must have to show that a port is open to a source."""
    return (dialogue.protocol, dialogue.a.address, dialogue.b.address, dialogue.b.port)


def opens(dialogue: Dialogue) -> bool:
    """Whether its first packet may begin something."""
    first = dialogue.turns[0]
    return first.flags == _flags(SYN) if first.flags is not None else first.name != "echo reply"
