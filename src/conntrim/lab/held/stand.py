"""A stand: one namespace in which one rule set is played, and an observer that says what became of each packet.

As `lab/oracle.py`, but nothing of the model is asked: the observer also tells by which untracking rule a packet was
taken (such rules log themselves) and with which addresses and where it arrived, so that peers answer what they saw.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from conntrim.core.model.address import MAPPED
from conntrim.core.model.errors import HostError
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.core.model.protocol import Protocol
from conntrim.core.netfilter.memory import Tuple
from conntrim.host import programs
from conntrim.host.netns import entered
from conntrim.lab.entries import Kept
from conntrim.lab.held.lookup import Lookup
from conntrim.lab.held.nft_library import NftLibrary
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.nflog import NetfilterLog, forget_connections
from conntrim.lab.oracle import (
    BENCH,
    EARLY,
    END,
    FIRST,
    GROUP,
    LAST,
    LAST_ORDERS,
    OWN_TTL,
    STATES,
    SYSCTLS,
    TABLE,
    await_addresses,
    open_tap,
    open_tun,
    raw_socket,
)  # fmt: skip
from conntrim.lab.script import IPSETS
from conntrim.lab.wire import TTL

HOST = "host"
"""The place of programs on the host; the other places are names of devices."""

SHORT, V4, V6 = 28, 40, 60
"""Bytes logged of a packet on its way, and of one that arrives: with its ports and TCP's numbers."""

ENTERED, HIT = ord("f"), ord("x")
"""First letters of prefixes: a packet begins its way; an untracking rule takes it, two letters more say which."""

PLACES = {ord("A"): HOST, ord("B"): "eth0", ord("C"): "eth1", ord("D"): "bridge"}
"""Prefixes of packets that arrive."""
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

ZONES = (5, 6)
"""The zones of made-up rules."""
PORTS = ("port0", "port1")
"""The ports of the bridge `br0`: its frames meet the rules (`bridge-nf-call-iptables`)."""
SETUP = f"""{BENCH.setup}link add br0 type bridge
link set port0 master br0
link set port1 master br0
link set port0 up
link set port1 up
link set br0 up
"""
MORE_SYSCTLS = (
    ("net.bridge.bridge-nf-call-iptables", 1), ("net.bridge.bridge-nf-call-ip6tables", 1),
    ("net.ipv6.conf.all.hop_limit", OWN_TTL),  # SYNPROXY's, which asks no route
)  # fmt: skip
FRAME = bytes.fromhex("02000000000b02000000000a")
"""Destination and source of every frame."""


def hit_prefix(index: int) -> str:
    """The log prefix of an untracking rule."""
    return f"x{DIGITS[index // 62]}{DIGITS[index % 62]}"


class Arrival(NamedTuple):
    """A packet that got to a program or left by a device; `own` where the kernel made it (REJECT, SYNPROXY).

    Of an echo `sport` is the identifier and `dport` 0; of other ICMP both are 0 and `icmp` says what it is.
    """

    place: str
    src: int
    sport: int
    dst: int
    dport: int
    length: int
    own: bool = False
    icmp: int = 0
    flags: int = 0
    seq: int = 0
    ack: int = 0


@dataclass(slots=True)
class Seen:
    """What became of one packet: its state behind conntrack, the untracking rules that took it, where it arrived."""

    states: list[str] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


Shot = tuple[str, bytes]
"""A place and the packet that is sent from there."""


def observer() -> str:
    """The observer's table, as nft text."""
    ways = ", ".join(f"{name} : jump {name}_" for name in STATES)
    seen = f"ct state vmap {{ {ways} }}"
    end = f"meta l4proto {LAST_ORDERS}"
    last = f'{end} log prefix "f" group {GROUP} snaplen {SHORT} queue-threshold 1\n {end} drop'  # what was logged goes
    begin = f'log prefix "f" group {GROUP} snaplen {SHORT}'
    chains = [f" chain {name}_ {{\n {_logs(name[0], SHORT)}\n }}" for name in STATES]
    places = (
        ("prerouting", FIRST, f"{last}\n {begin}"), ("output", FIRST, begin),
        ("prerouting", EARLY, seen), ("output", EARLY, seen),
        ("input", LAST, f"{_arrives('A')}\n drop"),
        ("postrouting", LAST, "\n ".join(_arrives(letter, f'oifname "{name}" ') for letter, name in
                                         (("B", "eth0"), ("C", "eth1"), ("D", "br0")))),
    )  # fmt: skip
    for number, (hook, priority, rules) in enumerate(places):
        chains.append(f" chain at{number} {{\n type filter hook {hook} priority {priority};\n {rules}\n }}")
    return "\n".join([f"table inet {TABLE} {{", *chains, "}", ""])


def _logs(prefix: str, bytes_: int) -> str:
    return f'log prefix "{prefix}" group {GROUP} snaplen {bytes_}'


def _arrives(letter: str, where: str = "") -> str:
    return f"{where}meta nfproto ipv4 {_logs(letter, V4)}\n {where}meta nfproto ipv6 {_logs(letter, V6)}"


class Stand:
    """One namespace; `load` a rule set, `shoot` packets, `unload` it."""

    def __init__(self, host: LabHost) -> None:
        self.host = host
        for key, value in SYSCTLS:
            host.sysctl(key, value)
        with entered(host.name):
            self.descriptors = {name: open_tun(name) for name in BENCH.devices}
            self.descriptors |= {name: open_tap(name) for name in PORTS}
            host.run("ip", "-batch", "-", text=SETUP)
            await_addresses(host, SETUP)
            self.raw = {4: raw_socket(socket.AF_INET), 6: raw_socket(socket.AF_INET6)}
            self.log = NetfilterLog(GROUP)
            self.nft = NftLibrary()
        self.table = Lookup(host.name)
        self.zones: tuple[int, ...] = (0,)
        for key, value in MORE_SYSCTLS:
            host.sysctl(key, value)
        host.run("ipset", "restore", text=IPSETS)
        self.nft.run(observer())
        self.strict = False

    def close(self) -> None:
        """Give the devices and sockets back; the namespace is its owner's."""
        for descriptor in self.descriptors.values():
            os.close(descriptor)
        for channel in self.raw.values():
            channel.close()
        self.log.close()
        self.nft.close()
        self.table.close()

    def load(self, batches: Iterable[Batch], strict: bool = False) -> None:
        """Load rule texts; HostError where one is refused. `strict`: `nf_conntrack_tcp_loose` is 0.

        The ipsets are there already.
        """
        if strict != self.strict:
            self.host.sysctl("net.netfilter.nf_conntrack_tcp_loose", int(not strict))
            self.strict = strict
        batches = tuple(batches)
        self.zones = (0, *ZONES) if any("zone" in batch.text for batch in batches) else (0,)
        for batch in batches:
            if batch.program == "nft":
                self.nft.run(batch.text)
            elif batch.program != "ipset":
                self._restore(batch)

    def _restore(self, batch: Batch) -> None:
        """Without `programs.run`: its care for a killed parent costs a fork of all our pages."""
        program = programs.find(batch.program)
        if program is None:
            raise HostError(batch.program, "this program is not installed")
        with entered(self.host.name):
            done = subprocess.run(
                [program], input=batch.text, capture_output=True, text=True, check=False, timeout=60,
                env=programs.environment(),
            )  # fmt: skip
        if done.returncode:
            raise HostError(batch.program, done.stderr.strip())

    def listing(self) -> list[dict[str, dict[str, object]]]:
        """The kernel's own listing of the nft tables, but the observer's."""
        listed = self.nft.listing()
        return [o for o in listed if TABLE not in (next(iter(o.values())).get(key) for key in ("table", "name"))]

    def unload(self) -> None:
        """Delete every table but the observer's, and all entries."""
        listed = [line.split()[1:] for line in self.nft.run("list tables").splitlines()]
        others = "".join(f"delete table {family} {name}\n" for family, name in listed if name != TABLE)
        if others:
            self.nft.run(others)
        self.forget()

    def forget(self, tuples: Sequence[Tuple] = ()) -> None:
        """Delete all conntrack entries: these ones, which is quick, and whatever else is there."""
        if tuples and self.table.count():
            for zone in self.zones:
                self.table.delete(tuples, zone)
        if self.table.count():
            with entered(self.host.name):
                forget_connections()

    def entries(self, tuples: Sequence[Tuple]) -> list[Kept | None]:
        """The conntrack entry of each tuple, if there is one."""
        found: list[Kept | None] = [None] * len(tuples)
        if self.table.count():
            for zone in self.zones:
                asked = self.table.find(tuples, zone)
                found = [one or other for one, other in zip(found, asked, strict=True)]
        return found

    def shoot(self, shots: Sequence[Shot], count: int) -> list[Seen]:
        """Send packets one after the other; what became of each of the `count` that they carry numbers of, from 1."""
        for place, data in shots:
            if place == HOST:
                self._send(data)
            elif place in PORTS:
                os.write(self.descriptors[place], FRAME + (b"\x08\x00" if data[0] < 0x60 else b"\x86\xdd") + data)
            else:
                os.write(self.descriptors[place], data)
        os.write(self.descriptors["eth0"], END)
        return sorted_out(self.log.read(), count)

    def _send(self, data: bytes) -> None:
        v4 = data[0] < 0x60
        target = (
            (socket.inet_ntop(socket.AF_INET, data[16:20]), 0)
            if v4
            else (socket.inet_ntop(socket.AF_INET6, data[24:40]), 0, 0, 0)
        )
        try:
            self.raw[4 if v4 else 6].sendto(data, target)
        except OSError as error:
            if error.errno not in NOT_SENT:
                raise


NOT_SENT = (errno.EPERM, errno.EINVAL, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES)
"""What a program is told whose packet OUTPUT drops, or translates to where it cannot go. The log has the rest."""


def sorted_out(reads: Iterable[bytes], count: int) -> list[Seen]:
    """Records to one value a packet: sending is synchronous, so what follows a packet's first record is about it."""
    every = [Seen() for _ in range(count)]
    current = Seen()
    for data in reads:
        at, size = 0, len(data)
        while at < size:
            length = int.from_bytes(data[at : at + 4], "little")
            following = at + length
            if data[at + 5] == ULOG:
                letter = data[at + 32]
                if letter in PLACES:
                    current.arrivals += arrival(PLACES[letter], data, following)
                else:
                    head = data[following - SHORT : following]
                    v4 = head[0] < 0x60
                    ttl = head[8 if v4 else 7]
                    if letter == ENTERED and ttl <= TTL:
                        if v4 and head[9] == LAST_ORDERS:
                            return every
                        number = head[4] << 8 | head[5] if v4 else head[2] << 8 | head[3]
                        current = every[number - 1] if 0 < number <= count else Seen()
                    elif letter == HIT and ttl <= TTL:
                        current.hits.append(DIGITS.index(chr(data[at + 33])) * 62 + DIGITS.index(chr(data[at + 34])))
                    elif letter != ENTERED and ttl <= TTL:
                        current.states.append(chr(letter))
            at = (following + 3) & ~3
    return every


FRAGMENT = 44
"""IPv6's header of fragments."""

ULOG = 4
"""nfnetlink's subsystem. No packet of ours has a higher hop count than `TTL`, the kernel's own begin with more."""


def arrival(place: str, data: bytes, end: int) -> Iterator[Arrival]:
    """What a logged head says; nothing for packets that are neither ours nor made about ours."""
    v4 = data[end - V4 - 4] == V4 + 4 and data[end - V4] >> 4 == 4
    head = data[end - V4 : end] if v4 else data[end - V6 : end]
    if v4:
        size, ttl, protocol = head[2] << 8 | head[3], head[8], head[9]
        src, dst = (MAPPED | int.from_bytes(head[i : i + 4], "big") for i in (12, 16))
        rest = head[20:]
    else:
        size, ttl, protocol = (head[4] << 8 | head[5]) + 40, head[7], head[6]
        src, dst = (int.from_bytes(head[i : i + 16], "big") for i in (8, 24))
        rest = head[40:]
        if protocol == FRAGMENT:
            protocol, rest = rest[0], rest[8:] + bytes(8)
    own = OWN_TTL - 1 <= ttl <= OWN_TTL
    if not own and ttl > TTL:
        return  # neighbour discovery and the like
    if protocol in (Protocol.ICMP, Protocol.ICMPV6):
        kind = rest[0] << 8 | rest[1]
        echo = rest[0] in ((8, 0) if v4 else (128, 129))
        yield Arrival(place, src, rest[4] << 8 | rest[5] if echo else 0, dst, 0, size, own, kind)
        return
    sport, dport = rest[0] << 8 | rest[1], rest[2] << 8 | rest[3]
    if protocol != Protocol.TCP:
        yield Arrival(place, src, sport, dst, dport, size, own)
        return
    seq, ack = int.from_bytes(rest[4:8], "big"), int.from_bytes(rest[8:12], "big")
    yield Arrival(place, src, sport, dst, dport, size, own, 0, rest[13], seq, ack)


def of_packet(packet: Packet) -> tuple[int, int]:
    """The ports of a packet as an arrival has them."""
    return (packet.icmp_id, 0) if packet.icmp is not None else (packet.sport or 0, packet.dport or 0)


@contextmanager
def stand(label: str) -> Iterator[Stand]:
    """A stand in a fresh namespace; both are gone at the end."""
    with lab_host(label) as host:
        made = Stand(host)
        try:
            yield made
        finally:
            made.close()
