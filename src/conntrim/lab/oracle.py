"""The kernel as oracle: packets go into a namespace's TUN devices and raw sockets, and what became of each comes back.

An observer of its own, in one nft table, logs each packet before every rule, right behind conntrack (-199) and behind
all rules. It looks at `ct state`, so conntrack is active whatever the judged rules say (K5); its chains accept, so they
change no verdict (K3). A packet that would reach a local program ends at the observer, behind conntrack's own
last step, so no program and no stack answers: every packet of a dialogue is the lab's, or made by a REJECT.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from conntrim.core.model.address import Family
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.errors import HostError
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.core.model.service import Hook
from conntrim.core.parse.nft.devices import ARGV, lacks_devices, with_devices
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.nflog import HOOKS, SNAP, NetfilterLog, forget_connections, records
from conntrim.lab.wire import MAX_NUMBER, TTL, Numbers, build

TABLE = "conntrim_judge"
"""The observer's nft table."""
GROUP = 7
"""Its NFLOG group."""
OWN_TTL = TTL + 100
"""The kernel's own packets carry this, so they are told from the injected ones."""
STATES = {
    "invalid": CtState.INVALID,
    "established": CtState.ESTABLISHED,
    "related": CtState.RELATED,
    "new": CtState.NEW,
    "untracked": CtState.UNTRACKED,
}
ENTERED = ord("f")
"""The log prefix of a packet that came in: no state's first letter."""
BY_LETTER = {ord(name[0]): state for name, state in STATES.items()}

FIRST, LAST = -(1 << 31), (1 << 31) - 1
"""The priorities before and behind all others. Conntrack's own last step is at LAST too and runs before a chain that
was registered earlier (K2): the observer must be loaded before anything makes conntrack active."""

EARLY = -199
"""Just behind conntrack (-200, K1)."""

LAST_ORDERS = 253
"""A protocol number for experiments (RFC 3692): such a packet marks the end of a batch and goes no further."""

FORSAKEN = "icmp type time-exceeded icmp code 1 drop\n icmpv6 type time-exceeded icmpv6 code 1 drop\n "
"""What the kernel says, long after, of a fragment whose others never came."""

PLACES: tuple[tuple[Hook, int, str], ...] = (
    (
        Hook.PREROUTING,
        FIRST,
        f'log prefix "{chr(ENTERED)}" group {GROUP} snaplen {SNAP}\n meta l4proto {LAST_ORDERS} drop',
    ),
    (Hook.OUTPUT, FIRST, f'{FORSAKEN}log prefix "{chr(ENTERED)}" group {GROUP} snaplen {SNAP}'),
    (Hook.PREROUTING, EARLY, "{seen}"),
    (Hook.OUTPUT, EARLY, "{seen}"),
    (Hook.INPUT, LAST, "{seen}\n drop"),
    (Hook.FORWARD, LAST, "{seen}"),
    (Hook.POSTROUTING, LAST, "{seen}"),
)
"""The observer's base chains: hook, priority, rules."""

NETWORK = """\
link set eth0 up
link set eth1 up
address add 192.0.2.1/24 dev eth0
address add 198.51.100.1/24 dev eth1
address add 2001:db8::1/64 dev eth0 nodad
address add 2001:db8:1::1/64 dev eth1 nodad
route add default dev eth0
route add ::/0 dev eth0
"""
"""The oracle's host: eth0 faces the world, eth1 a network behind it; addresses of RFC 5737 and RFC 3849."""

SYSCTLS: tuple[tuple[str, int | str], ...] = (
    ("net.ipv4.ip_forward", 1),
    ("net.ipv6.conf.all.forwarding", 1),
    ("net.ipv4.conf.all.rp_filter", 0),
    ("net.ipv4.conf.default.rp_filter", 0),
    ("net.ipv4.conf.default.accept_local", 1),
    ("net.ipv4.conf.all.send_redirects", 0),
    ("net.ipv4.conf.default.send_redirects", 0),
    ("net.ipv4.ip_default_ttl", OWN_TTL),
    ("net.ipv6.conf.default.hop_limit", OWN_TTL),
    ("net.ipv6.conf.lo.hop_limit", OWN_TTL),
    ("net.ipv6.conf.all.hop_limit", OWN_TTL),
    ("net.ipv6.conf.default.router_solicitations", 0),
    # Without link-local addresses there are no ICMPv6 redirects, of which the kernel sends a few and then fewer.
    ("net.ipv6.conf.default.addr_gen_mode", 1),
    # The model knows no sequence numbers: they decide nothing here.
    ("net.netfilter.nf_conntrack_tcp_be_liberal", 1),
    ("net.netfilter.nf_conntrack_tcp_ignore_invalid_rst", 1),
    # A REJECT's answer must not fall victim to a rate limit.
    ("net.ipv4.icmp_ratemask", 0),
    ("net.ipv6.icmp.ratemask", "\n"),
    # Fragments whose others never come are to be gone before their number comes again.
    ("net.ipv4.ipfrag_time", 5),
    ("net.ipv6.ip6frag_time", 5),
)


HOST = ""
"""Where a packet comes from that a program on the host sends; all others come from the device named."""


@dataclass(frozen=True, slots=True)
class Network:
    """The oracle's network: TUN devices, and `ip -batch` words. `answers`: what local programs say to packets that
    reach them is let out; else such packets end at the observer."""

    devices: tuple[str, ...] = ("eth0", "eth1")
    setup: str = NETWORK
    answers: bool = False


BENCH = Network()
"""The network that dialogues are made for."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """The packet was seen at this hook, in this state; `answer` where it is not the packet but the kernel's REJECT."""

    hook: Hook
    state: CtState
    answer: bool = False


Trace = tuple[Sighting, ...]
"""All sightings of one packet and of its answers, in order."""


def delivered(trace: Trace) -> bool:
    """Whether the packet got to a local program or left by a device."""
    ours = [s.hook for s in trace if not s.answer]
    return bool(ours) and (ours[-1] is Hook.INPUT or ours[-1] is Hook.POSTROUTING)


def story(trace: Trace) -> str:
    """One line: `prerouting new, input new`; an answer's sightings are marked with `^`."""
    return ", ".join(f"{'^' * s.answer}{s.hook} {s.state.name.lower()}" for s in trace)


def observer(answers: bool = False) -> str:
    """The observer's table as nft text; `answers`: packets go on to local programs."""
    vmap = ", ".join(f"{name} : jump {name}_" for name in STATES)
    lines = [f"table inet {TABLE} {{"]
    for name in STATES:
        lines.append(f' chain {name}_ {{\n log prefix "{name[0]}" group {GROUP} snaplen {SNAP}\n }}')
    for index, (hook, priority, rules) in enumerate(PLACES):
        body = rules.format(seen=f"ct state vmap {{ {vmap} }}")
        body = body.removesuffix("drop") if answers and hook is Hook.INPUT else body
        lines.append(f" chain at{index} {{\n type filter hook {hook} priority {priority};\n {body}\n }}")
    return "\n".join([*lines, "}", ""])


PATIENCE = 10
"""Seconds; a loaded machine needs a few milliseconds."""


def await_addresses(host: LabHost, setup: str) -> None:
    """Wait for the local routes of IPv6 addresses: a work queue of the kernel makes them a moment later."""
    added = (line.split()[2].partition("/")[0] for line in setup.splitlines() if line.startswith("address add"))
    wanted = {address for address in added if ":" in address}
    deadline = time.monotonic() + PATIENCE
    while wanted - set(host.run("ip", "-6", "route", "show", "table", "local").split()):
        if time.monotonic() > deadline:
            raise HostError("lab", f"{', '.join(sorted(wanted))} got no local route within {PATIENCE} s")
        time.sleep(0.005)


ARGUMENTS = {"nft": ("-f", "-"), "ipset": ("restore",)}
"""What a program wants to be told to read its input."""


class Oracle:
    """One namespace that packets are shot into."""

    def __init__(self, host: LabHost, network: Network = BENCH) -> None:
        self.host = host
        self.sets = False
        self.shot = 0
        for key, value in SYSCTLS:
            host.sysctl(key, value)
        with entered(host.name):
            self.tuns = {name: open_tun(name) for name in network.devices}
            host.run("ip", "-batch", "-", text=network.setup)
            await_addresses(host, network.setup)
            self.raw = {4: raw_socket(socket.AF_INET), 6: raw_socket(socket.AF_INET6)}
            self.log = NetfilterLog(GROUP)
        host.run("nft", "-f", "-", text=observer(network.answers))

    def close(self) -> None:
        """Give the devices and sockets back; the namespace is its owner's."""
        for descriptor in self.tuns.values():
            os.close(descriptor)
        for channel in self.raw.values():
            channel.close()
        self.log.close()

    def load(self, batches: Iterable[Batch]) -> None:
        """Load rule texts, each by its own program; HostError where one is refused."""
        for batch in batches:
            self.sets |= batch.program == "ipset"
            self.host.run(batch.program, *ARGUMENTS.get(batch.program, ()), text=batch.text)

    def listing(self) -> str:
        """The kernel's own listing of the judged nft tables, an object a line."""
        objects = json.loads(self.host.run("nft", "-j", "list", "ruleset"))["nftables"]
        ours = [o for o in objects if TABLE not in (next(iter(o.values())).get(key) for key in ("table", "name"))]
        listing = '{"nftables": [\n' + ",\n".join(map(json.dumps, ours)) + "\n]}\n"
        return with_devices(listing, self.host.run(*ARGV)) if lacks_devices(listing) else listing

    def unload(self) -> None:
        """Delete every table but the observer's, and all ipsets."""
        listed = [line.split()[1:] for line in self.host.run("nft", "list", "tables").splitlines()]
        others = [f"delete table {family} {name}\n" for family, name in listed if name != TABLE]
        if others:
            self.host.run("nft", "-f", "-", text="".join(others))
        if self.sets:
            self.host.run("ipset", "destroy")
            self.sets = False

    def forget(self) -> None:
        """Delete all conntrack entries."""
        with entered(self.host.name):
            forget_connections()

    def start(self, count: int) -> int:
        """Where the numbers of so many packets begin: none comes again soon, since fragments may lie about."""
        start = self.shot if self.shot + count < MAX_NUMBER else 0
        self.shot = start + count + 1
        return start

    def fire(self, shots: Sequence[tuple[str, bytes]], start: int = 0) -> list[Trace]:
        """Send the packets one after the other; shot i must carry the number `start` + i + 1. What became of each."""
        for way, data in shots:
            if way == HOST:
                self._send(data)
            else:
                os.write(self.tuns[way], data)
        os.write(next(iter(self.tuns.values())), END)
        return sort_out(self.log.read(), len(shots), start)

    def mark(self, number: int) -> None:
        """What the host's own packets carry from here on."""
        for channel in self.raw.values():
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, number)

    def _send(self, data: bytes) -> None:
        version = data[0] >> 4
        target = (
            (socket.inet_ntop(socket.AF_INET, data[16:20]), 0)
            if version == 4
            else (socket.inet_ntop(socket.AF_INET6, data[24:40]), 0, 0, 0)
        )
        # EPERM: an OUTPUT chain dropped it; else it was translated, or marked, to where no route leads. The log has
        # it; a packet that had no route to begin with leaves an empty one, which nobody takes for what was claimed.
        try:
            self.raw[version].sendto(data, target)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EINVAL, errno.ENETUNREACH):
                raise


def sort_out(reads: Iterable[bytes], count: int, start: int = 0) -> list[Trace]:
    """Records to one trace a packet: what follows a packet's first record, up to the next packet's, is about it.
    A later IPv4 fragment has the number of the first one, which went before it.

    Sending is synchronous: when a write returns the packet has run its whole way, its REJECT's answer included.
    """
    traces: list[list[Sighting]] = [[] for _ in range(count)]
    current = traces[0] if traces else []
    for prefix, hook, head in chain.from_iterable(map(records, reads)):
        v4 = head[0] < 0x60
        ttl = head[8 if v4 else 7]
        answer = OWN_TTL - 1 <= ttl <= OWN_TTL  # one less once it was forwarded
        if not answer:
            if ttl > TTL or ttl < TTL - 1:
                continue  # Neighbour discovery and the like: the host's own business, sent with 255 or 1.
            if prefix == ENTERED:
                if v4 and head[9] == LAST_ORDERS:
                    break
                number = (head[4] << 8 | head[5]) + bool((head[6] & 0x1F) | head[7]) if v4 else head[2] << 8 | head[3]
                current = traces[number - 1 - start]
        if prefix != ENTERED:
            current.append(_SIGHTINGS[prefix, hook, answer])
    return [tuple(t) for t in traces]


_SIGHTINGS = {
    (letter, number, answer): Sighting(hook, state, answer)
    for letter, state in BY_LETTER.items()
    for number, hook in enumerate(HOOKS)
    for answer in (False, True)
}
"""All possible sightings, made once."""

END = build(Packet(Family.IPV4, LAST_ORDERS, 0xFFFFC0000209, 0xFFFFC0000201), Numbers(number=MAX_NUMBER))
"""The packet that ends a batch, from 192.0.2.9 to 192.0.2.1."""


def open_tun(name: str) -> int:
    """A new TUN device in the current namespace; closing the descriptor deletes it."""
    return _tunnel(name, 0x1)


def open_tap(name: str) -> int:
    """A new TAP device, which takes Ethernet frames: a port for a bridge."""
    return _tunnel(name, 0x2)


def _tunnel(name: str, kind: int) -> int:
    tunsetiff, iff_no_pi = 0x400454CA, 0x1000
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, tunsetiff, struct.pack("16sH22x", name.encode(), kind | iff_no_pi))
    return descriptor


def raw_socket(family: int) -> socket.socket:
    """A socket that takes whole packets with their network header, in the current namespace."""
    channel = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    ipv6_hdrincl = 36
    if family == socket.AF_INET6:
        channel.setsockopt(socket.IPPROTO_IPV6, ipv6_hdrincl, 1)
    return channel


@contextmanager
def consulting(label: str = "oracle", network: Network = BENCH) -> Iterator[Oracle]:
    """A oracle in a fresh namespace; both are gone at the end."""
    with lab_host(label) as host:
        oracle = Oracle(host, network)
        try:
            yield oracle
        finally:
            oracle.close()
