"""`[[timeout]]` of a policy: time-outs of one service's connections."""

from __future__ import annotations

from collections.abc import Sequence

from conntrim.core.model.policy import TIMED, ServiceTimeout
from conntrim.core.model.protocol import protocol_name
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy_reader import Reader
from conntrim.core.parse.toml import Path

DIRECTIONS = {str(each): each for each in (Direction.INBOUND, Direction.OUTBOUND, Direction.FORWARDED)}
PROTOCOLS = {protocol_name(each): int(each) for each in TIMED}
KEYS = ("direction", "protocol", "ports", "seconds", "from", "to", "family", "accept_below_rfc")
NEEDED = ("direction", "protocol", "ports", "seconds")


def timeouts_of(read: Reader, value: object) -> tuple[ServiceTimeout, ...]:
    """All of a file."""
    found = [_timeout(read, ("timeout", n), each) for n, each in enumerate(read.entries("timeout", value))]
    _distinct(read, found)
    return tuple(found)


def _timeout(read: Reader, path: Path, value: object) -> ServiceTimeout:
    given = read.entry(path, value, KEYS, NEEDED)
    protocol: int = read.word((*path, "protocol"), given["protocol"], PROTOCOLS)
    direction: Direction = read.word((*path, "direction"), given["direction"], DIRECTIONS)
    for key, other in (("to", Direction.INBOUND), ("from", Direction.OUTBOUND)):
        if key in given and direction is other:
            read.refuse((*path, key), f"{key} in an {direction} service", "that end is this host")
    found = ServiceTimeout(
        direction,
        protocol,
        read.ports((*path, "ports"), given["ports"]),
        _seconds(read, (*path, "seconds"), given["seconds"], protocol),
        read.addresses_at(path, given, "from"),
        read.addresses_at(path, given, "to"),
        read.truth((*path, "accept_below_rfc"), given.get("accept_below_rfc", False)),
        read.place(path),
        read.family(path, given),
    )
    if not found.families():
        read.refuse(path, "no family has addresses at both ends", "drop family, or addresses")
    return found


def _seconds(read: Reader, path: Path, value: object, protocol: int) -> dict[str, int]:
    """By state; in the kernel's order, whatever the file's."""
    given = read.table(path, value)
    read.known(path, given, tuple(TIMED[protocol]))
    if not given:
        read.refuse(path, "seconds is empty", f"name states: {', '.join(TIMED[protocol])}")
    return {state: read.number((*path, state), given[state]) for state in TIMED[protocol] if state in given}


def _distinct(read: Reader, entries: Sequence[ServiceTimeout]) -> None:
    """Refuse a service that is named twice: the later rule's time-outs would hold."""
    for number, entry in enumerate(entries):
        for earlier in entries[:number]:
            same = (entry.direction, entry.protocol) == (earlier.direction, earlier.protocol)
            pairs = ((entry.clients, earlier.clients), (entry.servers, earlier.servers))
            apart = any(one and other and not one & other for one, other in pairs)
            if same and entry.ports & earlier.ports and not apart and set(entry.families()) & set(earlier.families()):
                read.refuse(("timeout", number), f"{entry.what} overlaps with {earlier.place}", "merge the two")
