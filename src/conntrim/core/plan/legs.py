"""The legs of a policy's services: which packets go untracked, at which hook, and which way they then take.

A service is untracked in full or not at all (K14, K15): its requests at the hook where they enter, its replies at
the hook where they leave, and, since the mark of OUTPUT survives into PREROUTING on `lo` (K16), both of them in
OUTPUT for a server and client on this very host. The reply is the mirror image of the request: addresses and ports
swapped. Replies over TCP are never a bare SYN, so nobody opens a connection *from* a service's port.

This host's end of every leg is an address of its own (K73): what a transparent proxy answers under the address of
somebody else's server was tracked when it came in, and stays so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import LOOPBACK, AddressType
from conntrim.core.model.fields import Field, Fields, Key, mirrored
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES, Untrack
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.service import Direction, Hook
from conntrim.core.model.share import told_by
from conntrim.core.model.tcp_flags import NOT_BARE_SYN

LOCAL_TYPE = Intervals.of(AddressType.LOCAL)


class Way(StrEnum):
    """Client to server, or back."""

    REQUEST = "request"
    REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Leg:
    """One direction of a service in one family: `fields` tell its packets, `hook` is where they are untracked.

    `loopback`: on the interface `lo` only.
    """

    service: Untrack
    family: Family
    way: Way
    hook: Hook
    fields: Fields
    loopback: bool = False

    @property
    def label(self) -> str:
        """`inbound tcp/80 request`: what comments say; the same for both families."""
        return f"{self.service.name} {self.way}" + (" lo" if self.loopback else "")

    @property
    def addresses(self) -> Intervals:
        """All addresses of its family."""
        return ADDRESSES[self.family]

    def route(self) -> tuple[Hook, ...]:
        """The hooks that the leg's packets pass, in order."""
        if self.loopback:
            return Hook.OUTPUT, Hook.POSTROUTING, Hook.PREROUTING, Hook.INPUT
        return (Hook.PREROUTING, Hook.INPUT) if self.hook is Hook.PREROUTING else (Hook.OUTPUT, Hook.POSTROUTING)


def reply_to(request: Leg) -> Leg:
    """The mirror image of a request over `lo`; over TCP never a bare SYN."""
    tcp: dict[Key, Intervals] = {Field.TCP_FLAGS: NOT_BARE_SYN} if request.service.protocol == Protocol.TCP else {}
    return replace(request, way=Way.REPLY, fields=mirrored(request.fields) | tcp)


def _request(service: Untrack, family: Family, local_ports: tuple[int, int]) -> dict[Key, Intervals]:
    """The request's addresses and ports. An outbound one leaves from an ephemeral port: its answers come to one."""
    fields: dict[Key, Intervals] = {Field.DPORT: service.ports}
    peers = service.peers & ADDRESSES[family]
    if service.direction is Direction.OUTBOUND:
        return fields | {Field.DST: peers, Field.SPORT: Intervals.of(local_ports)}
    return fields | ({Field.SRC: peers} if peers else {}) | told_by(service.share, family)


def legs_of(
    service: Untrack, local: Intervals, local_ports: tuple[int, int], clients: Intervals | None = None
) -> Iterator[Leg]:
    """All legs of one service. `local` are this host's addresses: servers among them are reached through `lo`.

    `clients`, if told, are all that the filter admits over the network (clients.py); over `lo` it is whom the policy
    says.
    """
    outbound = service.direction is Direction.OUTBOUND
    for family in service.families():
        common: dict[Key, Intervals] = {
            Field.FAMILY: Intervals.of(family),
            Field.PROTOCOL: Intervals.of(service.protocol),
        }
        here_is = Field.SRC_TYPE if outbound else Field.DST_TYPE
        request = common | _request(service, family, local_ports) | {here_is: LOCAL_TYPE}
        reply = mirrored(request)
        if service.protocol == Protocol.TCP:
            reply[Field.TCP_FLAGS] = NOT_BARE_SYN
        here, there = (Hook.OUTPUT, Hook.PREROUTING) if outbound else (Hook.PREROUTING, Hook.OUTPUT)
        if clients is None or clients:
            yield Leg(service, family, Way.REQUEST, here, request | ({Field.SRC: clients} if clients else {}))
            yield Leg(service, family, Way.REPLY, there, reply | ({Field.DST: clients} if clients else {}))
        if service.keep_lo_tracked:
            continue
        if not outbound:
            yield Leg(service, family, Way.REQUEST, Hook.OUTPUT, request, loopback=True)
            if clients is not None:
                yield Leg(service, family, Way.REPLY, Hook.OUTPUT, reply, loopback=True)
        elif service.peers & (local | LOOPBACK):
            yield Leg(service, family, Way.REPLY, Hook.OUTPUT, reply, loopback=True)


def kept_on_lo(service: Untrack, local: Intervals, local_ports: tuple[int, int]) -> Iterator[Leg]:
    """What would go untracked over `lo`, where it is to stay tracked: in OUTPUT, which decides for `lo` (K16)."""
    if service.keep_lo_tracked:
        for leg in legs_of(replace(service, keep_lo_tracked=False), local, local_ports):
            if leg.way is Way.REQUEST and leg.hook is Hook.OUTPUT:
                request = replace(leg, service=service, loopback=True)
                yield from (request, reply_to(request))
