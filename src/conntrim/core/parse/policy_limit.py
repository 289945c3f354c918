"""`[[limit]]` of a policy: how much one client may have."""

from __future__ import annotations

import re
from collections.abc import Sequence

from conntrim.core.model.address import Family
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES, ClientLimit, Refusal
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy_reader import Reader
from conntrim.core.parse.toml import Path

DIRECTIONS = {"inbound": Direction.INBOUND, "forwarded": Direction.FORWARDED}
ACTIONS = {str(each): each for each in Refusal}
KEYS = ("direction", "protocol", "ports", "per", "connections", "per_second", "action", "from", "family")

MOST_CONNECTIONS = 1 << 20
MOST_PER_SECOND = 10_000
"""What hashlimit still tells from one more: its clock counts ten-thousandths of a second (xt_hashlimit.c)."""

WIDTHS: dict[Family, int] = {Family.IPV4: 32, Family.IPV6: 128}
PREFIX = re.compile(r"/?(\d{1,3})")


def limits_of(read: Reader, value: object) -> tuple[ClientLimit, ...]:
    """All of a file."""
    found = [_limit(read, ("limit", n), each) for n, each in enumerate(read.entries("limit", value))]
    _distinct(read, found)
    return tuple(found)


def _limit(read: Reader, path: Path, value: object) -> ClientLimit:
    given = read.entry(path, value, KEYS, ("direction",))
    direction: Direction = read.word((*path, "direction"), given["direction"], DIRECTIONS)
    if "ports" in given and "protocol" not in given:
        read.refuse((*path, "ports"), "ports without a protocol", 'add a line protocol = "tcp"')
    if not {"connections", "per_second"} & given.keys():
        read.refuse(path, "this [[limit]] limits nothing", "add a line connections = ... or per_second = ...")
    amounts = {
        key: read.number((*path, key), given[key], 1, most)
        for key, most in (("connections", MOST_CONNECTIONS), ("per_second", MOST_PER_SECOND))
        if key in given
    }
    found = ClientLimit(
        direction,
        read.protocol((*path, "protocol"), given["protocol"]) if "protocol" in given else None,
        read.ports((*path, "ports"), given["ports"]) if "ports" in given else Intervals(),
        _prefix(read, (*path, "per"), given.get("per", "client")),
        amounts.get("connections"),
        amounts.get("per_second"),
        read.word((*path, "action"), given.get("action", "reject"), ACTIONS),
        read.addresses_at(path, given, "from"),
        read.place(path),
        read.family(path, given),
    )
    _of_a_family(read, path, found)
    return found


def _prefix(read: Reader, path: Path, value: object) -> int | None:
    if value == "client":
        return None
    match = PREFIX.fullmatch(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None or not 1 <= int(match[1]) <= WIDTHS[Family.IPV6]:
        read.refuse(path, f"per = {value!r}", '"client", or the length of a prefix, such as "24"')
    return int(match[1])


def _of_a_family(read: Reader, path: Path, found: ClientLimit) -> None:
    """Refuse a prefix that is longer than an address, and clients of no family that is left."""
    if found.family is not None and found.prefix is not None and found.prefix > WIDTHS[found.family]:
        read.refuse((*path, "per"), f"no address of this family has {found.prefix} bits", "name a shorter prefix")
    able = found.families()
    if not able or (found.clients and not any(found.clients & ADDRESSES[f] for f in able)):
        read.refuse((*path, "from"), "no address in from is of this family", "drop family, or the addresses")


def _distinct(read: Reader, entries: Sequence[ClientLimit]) -> None:
    """Refuse two limits of the same clients' same traffic: one of them would be edited and the other would hold."""
    for number, entry in enumerate(entries):
        for earlier in entries[:number]:
            one, other = ((e.direction, e.protocol, e.prefix) for e in (entry, earlier))
            ports = not entry.ports or not earlier.ports or entry.ports & earlier.ports
            apart = entry.clients and earlier.clients and not entry.clients & earlier.clients
            if one == other and ports and not apart and set(entry.families()) & set(earlier.families()):
                read.refuse(("limit", number), f"{entry.what} is limited by {earlier.place} too", "merge the two")
