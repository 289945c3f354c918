"""What the routes do with a packet whose addresses, mark or service class changed on its way (K54)."""

from __future__ import annotations

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import LOOPBACK
from conntrim.core.model.fields import FIELDS, ChangedBy
from conntrim.core.model.packet import Packet
from conntrim.core.model.ruleset import Base, Dialect, Table
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.kernel import Kernel


def is_ours(kernel: Kernel, address: int) -> bool:
    """Whether this is an address of the host, or of the loopback."""
    return address in LOOPBACK or address in kernel.local


def strays(packet: Packet) -> bool:
    """Whether the packet comes from outside to ::1, where it is not taken in."""
    return packet.family is Family.IPV6 and packet.iif != "lo" and packet.dst in LOOPBACK


def stays(kernel: Kernel, packet: Packet) -> bool:
    """Whether a translated packet is for this host."""
    return is_ours(kernel, packet.dst) and not strays(packet)


def device(kernel: Kernel, packet: Packet) -> str:
    """Where a translated packet leaves, "" where nobody told."""
    if strays(packet):
        return ""  # the routes that were told do not say
    route = kernel.route(packet.dst)
    return route.device if route else kernel.way


def refused(kernel: Kernel, hook: Hook, packet: Packet, asked: int) -> bool:
    """Whether a packet that was for `asked` has no route to where it is translated to.

    IPv4 packets of the loopback that OUTPUT sends elsewhere have none, nor has what came by lo from an address of ours
    or to 127.0.0.1. Over IPv6 a packet from ::1 is forwarded only by the device whose address it was for.
    """
    elsewhere = not is_ours(kernel, packet.dst)
    if hook is Hook.OUTPUT:
        return elsewhere and _is_bound(packet)
    if hook is not Hook.PREROUTING:
        return False
    if packet.family is Family.IPV6:
        return packet.src in LOOPBACK and elsewhere and not _returns(kernel, packet, asked)
    martian = elsewhere or is_ours(kernel, packet.src) or packet.dst in LOOPBACK
    return packet.iif == "lo" and martian


def _is_bound(packet: Packet) -> bool:
    """Whether it is of the IPv4 loopback, from where no route leads elsewhere."""
    return packet.family is Family.IPV4 and packet.src in LOOPBACK


def _returns(kernel: Kernel, packet: Packet, asked: int) -> bool:
    """Whether it leaves by the device that has the address `asked`: for the kernel it came in there, so it thinks of a
    redirect to send and does not look at the source.
    """
    route = kernel.route(packet.dst)
    return route is not None and kernel.own(route.device, packet.family) == asked


def routes_anew(table: Table, base: Base) -> bool:
    """Whether a packet that this chain changes is routed once more: iptables' mangle and nft's route chains do that."""
    mangle = table.dialect is not Dialect.NFTABLES and table.name == "mangle"
    return base.hook is Hook.OUTPUT and (mangle or base.type == "route")


ROUTED_BY = ("src", "dst", *(spec.attribute for spec in FIELDS.values() if spec.changed is ChangedBy.RULES))
"""What of a packet makes the kernel route it anew where a chain changed it."""


def stuck(kernel: Kernel, before: Packet, after: Packet) -> bool:
    """Whether a packet that was changed so finds no route when it is routed once more."""
    changed = any(getattr(before, name) != getattr(after, name) for name in ROUTED_BY)
    return changed and _is_bound(after) and not is_ours(kernel, after.dst)
