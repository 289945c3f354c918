"""The dialogues that run on a host while a plan comes and goes: its service's, all others, strangers' packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.protocol import Protocol
from conntrim.lab.held.stand import PORTS
from conntrim.lab.held.talks import FIRST_FREE, HIGH, SERVERS, Dialogue, choice, made, unsolicited
from conntrim.lab.plans.hosts import PlannedHost, Wish, inner_address

INBOUND = ("in from near", "in from far", "in from nobody", "in from behind", "loopback", "to the own address")
KINDS = {"tcp": ("tcp", "tcp, error", "tcp, closed port"), "udp": ("udp", "udp, error", "udp, fragments")}
OTHERS, UNSOLICITED = 22, 12
"""Dialogues of any kind, and groups of unsolicited packets."""
ACROSS = 12
"""Dialogues that are amid while the rules change."""


@dataclass(frozen=True, slots=True)
class Talks:
    """`whole`: played from beginning to end in each phase. `across`: opened before the trial. `late`: opened while
    untracked. The two latter go on in the phases to come."""

    whole: tuple[Dialogue, ...]
    across: tuple[Dialogue, ...]
    late: tuple[Dialogue, ...]

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.whole) + len(self.across) + len(self.late)


def talks_of(seed: int, index: int, host: PlannedHost) -> Talks:
    """The dialogues of a host; the same numbers, the same dialogues."""
    random = Random(f"talks {seed}:{index}")  # noqa: S311 - made-up packets, no secrets
    ports = (*(wish.port for wish in host.wishes), *random.sample(SERVERS, 2))
    whole = [*_service(host), *_own_port(host)]
    whole += [
        placed for talk in choice(random, host.families, OTHERS, ports)[:OTHERS] if (placed := _settled(host, talk))
    ]
    whole += [talk for talk in unsolicited(random, host.families, UNSOLICITED, ports) if talk.a.place not in PORTS]
    lasting = [talk for talk in _service(host) if len(talk.turns) > 2] + [
        talk for talk in whole if len(talk.turns) > 3 and talk.kind in ("tcp", "udp")
    ]
    random.shuffle(lasting)
    across = [_moved(talk, 5_000) for talk in lasting[:ACROSS]]
    late = [_moved(talk, 7_000) for talk in lasting[ACROSS // 2 :][:ACROSS]]
    return Talks(tuple(dict.fromkeys(whole)), _distinct(across), _distinct(late))


def _distinct(talks: list[Dialogue]) -> tuple[Dialogue, ...]:
    return tuple({(t.family, t.protocol, t.a, t.b): t for t in talks}.values())


def _moved(talk: Dialogue, by: int) -> Dialogue:
    """From another port, so that it is beside its original; from another host where the port matters."""
    if talk.a.port < HIGH:
        if talk.a.place == "host":
            return replace(talk, b=replace(talk.b, address=talk.b.address + 20 + by // 1000))
        return replace(talk, a=replace(talk.a, address=talk.a.address + 20 + by // 1000))
    return replace(talk, a=replace(talk.a, port=talk.a.port + by))


def _service(host: PlannedHost) -> Iterator[Dialogue]:
    """What the plan is for."""
    number = 0
    for wish in host.wishes:
        for family in host.families:
            for path in INBOUND if wish.direction == "inbound" else ("out to far", "out to near"):
                for kind in KINDS[wish.protocol][: 3 if path.endswith("far") else 1]:
                    number += 1
                    talk = made(kind, path, family, port=wish.port, client=HIGH + 1_000 + number)
                    yield _settled(host, talk) or talk
                    if host.uplink and path == "in from far":
                        yield by_the_uplink(talk)


def by_the_uplink(talk: Dialogue) -> Dialogue:
    """The same of a client that comes in by eth1, where no route but a marked one leads back to it."""
    return replace(talk, a=replace(talk.a, place="eth1", port=talk.a.port + 300))


def _own_port(host: PlannedHost) -> Iterator[Dialogue]:
    """What the host, and who is behind it, opens from the service's own port (K44, K74), to that port and another."""
    last = 100
    for wish in host.wishes:
        for family in host.families:
            for path in ("out to far", "out to near", "through from behind"):
                for port in (443, wish.port):
                    last += 1
                    if path != "through from behind" and _held(host, wish):
                        continue
                    talk = made(wish.protocol, path, family, port=port, client=wish.port, last=last)
                    yield _settled(host, talk) or talk


def _held(host: PlannedHost, wish: Wish) -> bool:
    """Whether a program has that port, so that nobody opens from it (K74)."""
    return host.listening and wish.direction == "inbound" and wish.protocol == "tcp"


def _settled(host: PlannedHost, talk: Dialogue) -> Dialogue | None:
    """Who is behind has an address of the network that the host's rules know there. None: a port has a holder."""
    if (
        talk.a.place == "host"
        and talk.a.port < FIRST_FREE
        and any(wish.port == talk.a.port and _held(host, wish) for wish in host.wishes)
        and talk.protocol == Protocol.TCP
    ):
        return None
    if talk.path == "through from behind" and talk.family is Family.IPV4:
        address = inner_address(host, talk.a.port + talk.b.address)
        return replace(talk, a=replace(talk.a, address=address)) if address else talk
    return talk


def server_addresses(wish: Wish) -> frozenset[int]:
    """The pinned servers of an outbound service."""
    return frozenset(map(parse_address, wish.servers))
