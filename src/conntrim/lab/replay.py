"""Witnesses on a real kernel: each scene is played as real packets under the rule set before and the one after.

The namespace has the interfaces that the witnesses name; addresses and routes are those of one scene at a time.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from conntrim.core.emit.iptables import restore_text
from conntrim.core.emit.nft import nft_text
from conntrim.core.model.address import Family, format_address
from conntrim.core.model.address_types import LOOPBACK, AddressType
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.replay import Played
from conntrim.core.model.ruleset import Dialect, Notrack, Ruleset, TableFamily
from conntrim.core.model.service import Hook
from conntrim.host.netns import entered
from conntrim.lab.claims import Scene, holds, unplayable
from conntrim.lab.dialogue import format_packet, shots
from conntrim.lab.fill import Entry, expect, fill
from conntrim.lab.oracle import Network, Oracle, Trace, consulting, delivered, story

PROGRAMS = {TableFamily.IP: "iptables-restore", TableFamily.IP6: "ip6tables-restore"}
SOMEBODY = "address add 2001:db8:ffff::1/128 dev lo nodad\naddress add 192.0.0.8/32 dev lo\n"
"""A host without any IPv6 address sends nothing, not even what names its sender; one without
an IPv4 address has none to masquerade with, and drops what it should."""
TAKEN_IN = 77
"""The routing table of what is taken in under an address that is none of the host's own."""
BITS = {Family.IPV4: 32, Family.IPV6: 128}


def batches_of(ruleset: Ruleset) -> tuple[Batch, ...]:
    """A rule set as texts for this kernel's programs, whichever back end its tables came from."""
    tables = tuple(
        table if table.dialect is Dialect.NFTABLES else replace(table, dialect=Dialect.IPTABLES_NFT)
        for table in ruleset.tables
    )
    here = replace(ruleset, tables=tables)
    texts = [Batch(p, restore_text(here, Dialect.IPTABLES_NFT, family)) for family, p in PROGRAMS.items()]
    return tuple(batch for batch in (*texts, Batch("nft", nft_text(here))) if batch.text)


def tracking_all(ruleset: Ruleset) -> Ruleset:
    """The rule set without its NOTRACK rules."""
    tables = []
    for table in ruleset.tables:
        chains = (
            replace(c, rules=tuple(r for r in c.rules if not any(isinstance(s, Notrack) for s in r.statements)))
            for c in table.chains
        )
        tables.append(replace(table, chains=tuple(chains)))
    return replace(ruleset, tables=tuple(tables))


@dataclass(frozen=True, slots=True)
class Stage:
    """A oracle whose network has the interfaces of some scenes and nothing else."""

    oracle: Oracle

    def play(self, before: Sequence[Batch], after: Sequence[Batch], scenes: Sequence[Scene]) -> tuple[Played, ...]:
        """Play all scenes under both rule sets, given as texts. HostError where the kernel refuses one of them."""
        planned = [_told(scene) for scene in scenes]
        able = [scene for scene, one in zip(scenes, planned, strict=True) if not one.missing]
        traces = zip(self._under(before, able, 0), self._under(after, able, 1), strict=True)
        return tuple(
            one if one.missing else _judged(one, scene, *next(traces))
            for scene, one in zip(scenes, planned, strict=True)
        )

    def _under(self, batches: Sequence[Batch], scenes: Iterable[Scene], side: int) -> list[Trace]:
        try:
            self.oracle.load(batches)
            return [self.perform(s.packets, s.known[side], expected=s.expected)[-1] for s in scenes]
        finally:
            self.oracle.unload()

    def perform(self, packets: Sequence[Packet], known: Packet | None = None, *, expected: bool = False) -> list[Trace]:
        """Send some packets from an empty table, or one with the connection that `known` opened, or one in which a
        helper expects the last packet."""
        with self.scenery(packets):
            self.oracle.forget()
            if known is not None:
                fill(self.oracle.host.name, [entry_of(known)])
            if expected:
                expect(self.oracle.host.name, master_of(packets[-1]), entry_of(packets[-1]))
            self.oracle.mark(packets[-1].mark)
            return self.oracle.fire(shots([packets]))

    @contextmanager
    def scenery(self, packets: Sequence[Packet]) -> Iterator[None]:
        """The routes that these packets need, for the time being."""
        foreign = frozenset(filter(None, map(foreign_end, packets)))
        words = list(dict.fromkeys(chain.from_iterable(surroundings(packet, foreign) for packet in packets)))
        words += dict.fromkeys(f"route {text}" for packet in packets for text in self._elsewhere(packet, foreign))
        self._ip("add", words)
        try:
            yield
        finally:
            self._ip("del", reversed(words))

    def _elsewhere(self, packet: Packet, foreign: Collection[int]) -> Iterator[str]:
        """Where an address is that goes round lo and is none of the host's: behind any device, as by a default route.
        Without one it has the type `unreachable`."""
        if packet.oif == "lo":
            away = (address for address in (packet.src, packet.dst) if address in foreign)
            device = next(iter(self.oracle.tuns))
            yield from (f"{format_address(address)}/{BITS[packet.family]} dev {device}" for address in away)

    def _ip(self, verb: str, words: Iterable[str]) -> None:
        said = [word.replace(" ", f" {verb} ", 1) + "\n" for word in words]
        for version, lines in (("-4", [w for w in said if ":" not in w]), ("-6", [w for w in said if ":" in w])):
            if lines:
                self.oracle.host.run("ip", version, "-batch", "-", text="".join(lines))

    @contextmanager
    def listening(self, packet: Packet) -> Iterator[None]:
        """A server behind the port that the packet asks for."""
        family = socket.AF_INET if packet.family is Family.IPV4 else socket.AF_INET6
        with entered(self.oracle.host.name):
            server = socket.create_server(("", packet.dport or 0), family=family)
        with server:
            yield


def _told(scene: Scene) -> Played:
    missing = next(filter(None, map(unplayable, scene.packets)), "")
    if len({packet.mark for packet in scene.packets}) > 1:
        missing = missing or "its packets carry different marks"
    packets = tuple(map(format_packet, scene.packets))
    return Played(scene.words, scene.claim.value, packets, missing=missing)


def _judged(played: Played, scene: Scene, before: Trace, after: Trace) -> Played:
    confirmed = holds(scene.claim, scene.witness, before, after)
    return replace(played, before=story(before), after=story(after), confirmed=confirmed)


def answered(trace: Trace) -> bool:
    """Whether a local program got the packet, and its answer left the host."""
    return delivered(trace) and trace[-1].answer and trace[-1].hook is Hook.POSTROUTING


def foreign_end(packet: Packet) -> int | None:
    """The address under which the host takes this packet in or sends it, where that is to be none of its own: rules
    ask for the address's type, and the packet has another than the host's own addresses (K73)."""
    if packet.iif and packet.oif not in ("", "lo"):
        return None
    end, kind = (packet.src, packet.src_type) if packet.oif else (packet.dst, packet.dst_type)
    return end if kind is AddressType.UNICAST else None


def surroundings(packet: Packet, foreign: Collection[int] = ()) -> Iterator[str]:
    """What a packet needs to go its way, in `ip`'s words without the verb: `route 192.0.2.9/32 dev eth0`.

    What makes an address the host's own is its local route. An IPv6 address gets that from a work queue, some time
    later; the route alone is there at once. Packets to a foreign address stay here by a rule for those that come in,
    as a transparent proxy has it: to whoever asks for its type the address is elsewhere (K123).
    """
    bits = BITS[packet.family]
    src, dst = (f"{format_address(a)}/{bits}" for a in (packet.src, packet.dst))
    if "lo" in (packet.iif, packet.oif):
        ends = (src, packet.src), (dst, packet.dst)
        ours = (text for text, number in ends if number not in LOOPBACK and number not in foreign)
        yield from (f"route local {text} dev lo table local" for text in ours)
    elif not packet.oif and packet.dst in foreign:
        yield f"rule iif {packet.iif} to {dst} lookup {TAKEN_IN}"
        yield f"route local {dst} dev lo table {TAKEN_IN}"
        yield f"route {dst} dev {packet.iif}"
        yield f"route {src} dev {packet.iif}"
    elif not packet.oif:
        yield f"route local {dst} dev lo table local"
        yield f"route {src} dev {packet.iif}"
    elif not packet.iif:
        yield f"route local {src} dev lo table local" if packet.src not in foreign else f"route {src} dev {packet.oif}"
        yield f"route {dst} dev {packet.oif}"
    else:
        yield f"route {dst} dev {packet.oif}"
        yield f"route {src} dev {packet.iif}"


def entry_of(opener: Packet) -> Entry:
    """The entry of an established connection that this packet opened."""
    ports = (opener.icmp_id, opener.icmp) if opener.icmp is not None else (opener.sport or 0, opener.dport or 0)
    return Entry(opener.protocol, format_address(opener.src), format_address(opener.dst), *ports)


def master_of(packet: Packet) -> Entry:
    """An FTP control connection by which the packet's receiver asked its sender to open another (K124)."""
    ends = format_address(packet.dst), format_address(packet.src)
    return Entry(int(Protocol.TCP), *ends, 34_567, 21, helper="ftp")


def interfaces(scenes: Iterable[Scene]) -> tuple[str, ...]:
    """All devices that the scenes' packets come in by or leave by; at least one."""
    packets = (packet for scene in scenes for packet in scene.packets)
    found = dict.fromkeys(name for p in packets for name in (p.iif, p.oif))
    return tuple(name for name in found if name not in ("", "lo") and len(name) <= 15) or ("eth0",)


@contextmanager
def stage(devices: Sequence[str], *, answers: bool = False) -> Iterator[Stage]:
    """A stage with these interfaces; `answers`: programs on it may answer."""
    setup = "".join(f"link set {name} up\n" for name in devices) + SOMEBODY
    with consulting("replay", Network(tuple(devices), setup, answers)) as oracle:
        yield Stage(oracle)


def replay(before: Ruleset, after: Ruleset, scenes: Sequence[Scene]) -> tuple[Played, ...]:
    """Play scenes on a stage of their own."""
    with stage(interfaces(scenes)) as made:
        return made.play(batches_of(before), batches_of(after), scenes)
