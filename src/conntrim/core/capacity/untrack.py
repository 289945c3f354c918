"""Which services may go untracked, and the entries that are left when they do, from a census."""

from __future__ import annotations

from collections.abc import Collection

from conntrim.core.model.address_types import PRIVATE
from conntrim.core.model.census import Census, ServiceCount
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.protocol import WITH_PORTS, Protocol, protocol_name
from conntrim.core.model.service import Direction, Service

HELPER_PORTS: dict[tuple[int, int], str] = {
    (Protocol.TCP, 21): "ftp", (Protocol.UDP, 69): "tftp", (Protocol.TCP, 5060): "sip", (Protocol.UDP, 5060): "sip",
    (Protocol.TCP, 1720): "h323", (Protocol.TCP, 1723): "pptp", (Protocol.TCP, 6667): "irc",
    (Protocol.UDP, 161): "snmp",
    (Protocol.UDP, 137): "netbios-ns", (Protocol.UDP, 10080): "amanda", (Protocol.TCP, 6566): "sane",
}  # fmt: skip
"""Ports on which the kernel's helpers look for further connections (nf_conntrack_*.c)."""


LARGE_SHARE = 0.05
"""A service below 5 % of the table is not worth rules of its own."""

MOST_SERVICES = 8
"""Services of a policy that is proposed."""


def largest(census: Census) -> list[ServiceCount]:
    """The services that rules may be worth it for, whether or not they can go untracked."""
    return [c for c in census.services if c.entries / max(census.total, 1) >= LARGE_SHARE][:MOST_SERVICES]


def obstacle(count: ServiceCount) -> str:
    """Why a service cannot go untracked; empty where nothing speaks against it."""
    service = count.service
    if service.direction is Direction.FORWARDED:
        return "forwarded flows belong to other hosts"
    if service.protocol not in WITH_PORTS:
        return f"{protocol_name(service.protocol)} has no ports to name it by"
    if count.translated:
        return f"{count.translated:,} of its entries are translated (NAT)"
    if helper := HELPER_PORTS.get((service.protocol, service.port)):
        return f"the {helper} helper follows its data connections"
    if service.direction is not Direction.OUTBOUND:
        return ""
    if not pinned(count):
        return f"its {count.addresses:,} servers are too many to name"
    if count.odd_ports * 2 > count.entries:
        return f"{count.odd_ports:,} of its entries have client ports outside net.ipv4.ip_local_port_range"
    return ""


def pinned(count: ServiceCount) -> Intervals:
    """The servers that an outbound service may be pinned to; empty where those are too many to name.

    Few have a name in the census already. A site's own stay who they are, so hundreds may be named, never one that was
    not seen. Those of the internet are others tomorrow.
    """
    return count.service.servers or (count.servers if count.servers <= PRIVATE else Intervals())


def scaled(census: Census, entries: int) -> int:
    """A number of census rows as entries of the whole table: a sample stands for its population."""
    sample = census.sample
    return entries if sample is None or not sample.rows else round(entries * sample.population / sample.rows)


def entries_total(census: Census) -> int:
    """Entries of the whole table, a sample's population included."""
    return scaled(census, census.total)


def entries_without(census: Census, services: Collection[Service]) -> int:
    """Entries left once these services go untracked and their stale entries are gone; the rest stays as it is, and so
    does what comes from ports that no rule is for.
    """
    gone = sum(count.entries - count.odd_ports for count in census.services if count.service in services)
    return entries_total(census) - scaled(census, gone)
