"""Where, beside its rules, a plan was made: the host, its namespace, and the settings that proofs rest on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from conntrim.core.model.address import Family, format_range, parse_address, parse_prefix
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.intervals import Intervals

PORT_RANGE = "net.ipv4.ip_local_port_range"
TCP_LOOSE = "net.netfilter.nf_conntrack_tcp_loose"

PROOFS_USE: tuple[str, ...] = (
    # Outbound legs are pinned to these ports, and no inbound range may lie among them.
    PORT_RANGE,
    # What an acknowledgement without an entry is: NEW or INVALID (K13).
    TCP_LOOSE,
    # Whether packets out of an entry's window are INVALID.
    "net.netfilter.nf_conntrack_tcp_be_liberal",
    # Whether bridged packets meet the rules at all.
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
)
"""The sysctls that decide what rules do to packets; another value is another proof."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`host` tells hosts apart and outlives a restart, "" where nothing is known, as of a plan made from files.

    `host_name` is for readers. `namespace` is the network namespace's name, "" the host's own. `addresses` are the
    host's own ones but loopback and link-local, which come and go with every virtual cable; `interfaces` those present,
    in a plan only those that rules name; `settings` the sysctls of `PROOFS_USE`, "" where the kernel has no such key.
    `link_local` are those that were there: no change of them makes a plan stale, but its words may name them.
    `listening` are the TCP ports, as `IPV4 tcp/80`, at which a program listens on all addresses (K74), in a plan only
    those of its services.
    """

    host: str = ""
    host_name: str = ""
    namespace: str = ""
    addresses: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    link_local: tuple[str, ...] = ()
    listening: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """The host and its namespace, in words."""
        return f"{f'namespace {self.namespace}' if self.namespace else 'the first namespace'} of host {self.host_name}"


LINK_LOCAL = Intervals.of(parse_prefix("fe80::/10"))
PASSING = LOOPBACK | LINK_LOCAL
"""Loopback is there always, link-local comes with each virtual cable of a container: neither is a host's own."""


def nameable(local: Intervals) -> tuple[str, ...]:
    """A host's own addresses as texts, without those that say nothing of it."""
    return tuple(format_range(*each) for each in (local - PASSING).ranges)


def link_local(local: Intervals) -> tuple[str, ...]:
    """The link-local ones of a host's own addresses as texts."""
    return tuple(format_range(*each) for each in (local & LINK_LOCAL).ranges)


def with_link_local(local: Intervals, texts: Iterable[str]) -> Intervals:
    """A host's own addresses with these link-local ones instead of its own."""
    return local - LINK_LOCAL | addresses_of(texts) & LINK_LOCAL


def listeners(listening: Mapping[Family, Intervals]) -> tuple[str, ...]:
    """The ports that programs listen at, by family, as texts."""
    return tuple(f"{family.name} tcp/{port}" for family, ports in listening.items() for port in ports)


def addresses_of(texts: Iterable[str]) -> Intervals:
    """The opposite of `nameable`."""
    return Intervals.union_of([_range(text) for text in texts])


def _range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    return (parse_address(low), parse_address(high)) if dash else parse_prefix(text)
