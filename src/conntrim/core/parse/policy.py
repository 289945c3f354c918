"""The operator's policy: TOML to a Policy, or one error that names the line and says what to write instead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from conntrim.core.model.address import Family, format_range, parse_prefix
from conntrim.core.model.conntrack import OTHER_TIMEOUTS, TCP_TIMEOUTS
from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES, Policy, Untrack
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, protocol_name
from conntrim.core.model.service import Direction
from conntrim.core.parse.toml import Path, line_of, locate

LARGEST_FILE, MOST_SERVICES = 1 << 20, 1000
"""Bytes of a policy, and its [[untrack]] entries: each costs rules and proofs, and a person has to review them."""
WIDEST_RANGE = 1024
"""Ports in one entry. A wider one covers ports that nobody meant, as 10240:65000 once did."""
WIDEST_PEERS: dict[Family, int] = {Family.IPV4: 1 << 16, Family.IPV6: 1 << 80}
"""Addresses in one `to`: a /16 and a /48, one site. Servers of an outbound service are to be named."""
LARGEST = 1 << 31
"""nf_conntrack_max and the time-outs are signed 32-bit numbers in the kernel."""

DIRECTIONS = {"inbound": Direction.INBOUND, "outbound": Direction.OUTBOUND}
FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
PROTOCOLS = {protocol_name(p): int(p) for p in sorted(WITH_PORTS)}
TIMEOUT_KEYS = frozenset(t.key for t in (*TCP_TIMEOUTS.values(), *OTHER_TIMEOUTS.values()))

TOP_KEYS = ("untrack", "table", "timeouts", "own_addresses")
MOST_OWN = 256
"""Addresses in one entry of `own_addresses`: a host has single ones."""
UNTRACK_KEYS = ("direction", "protocol", "ports", "to", "from", "family", "keep_lo_tracked")
TABLE_KEYS = ("max", "buckets")

TOO_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){16}""")
"""A key of so many parts; reading one, tomllib takes memory by the square of their number: 40 GB for 200 KB."""
PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
AT_LINE = re.compile(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class _Reader:
    """A file's name and the lines of its keys, so that every refusal names its place."""

    source: str
    lines: dict[Path, int]

    def refuse(self, path: Path, message: str, advice: str = "") -> NoReturn:
        raise InputError(self.source, message, line=line_of(self.lines, path), advice=advice)

    def known(self, path: Path, given: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Refuse a key that means nothing here."""
        for key in given:
            if key not in keys:
                self.refuse((*path, key), f"unknown key {key!r}", f"known here: {', '.join(keys)}")

    def table(self, path: Path, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(path, f"{path[-1]} must be a table", f"write [{path[-1]}] on a line of its own")
        return value

    def word(self, path: Path, value: object, words: Mapping[str, Any]) -> Any:
        """One of a few words, as what it stands for."""
        if not isinstance(value, str) or value not in words:
            self.refuse(path, f"{path[-1]} = {value!r}", f"one of: {', '.join(words)}")
        return words[value]

    def truth(self, path: Path, value: object) -> bool:
        if not isinstance(value, bool):
            self.refuse(path, f"{path[-1]} = {value!r}", "true or false")
        return value

    def number(self, path: Path, value: object, low: int = 1) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < LARGEST:
            self.refuse(path, f"{path[-1]} = {value!r}", f"a whole number from {low} to {LARGEST - 1}")
        return value

    def listed(self, path: Path, value: object) -> list[object]:
        """One value or a list of them; never an empty list."""
        listed = value if isinstance(value, list) else [value]
        if not listed:
            self.refuse(path, f"{path[-1]} is empty", "an empty list selects nothing; name what you mean")
        return listed

    def ports(self, path: Path, value: object) -> Intervals:
        found = Intervals()
        for index, item in enumerate(self.listed(path, value)):
            found |= self._port(path if not isinstance(value, list) else (*path, index), item)
        if found.size > WIDEST_RANGE:
            self.refuse(path, f"{found.size} ports in one entry", f"at most {WIDEST_RANGE}; name the service's own")
        return found

    def _port(self, path: Path, item: object) -> Intervals:
        match = PORTS.fullmatch(str(item)) if isinstance(item, int | str) and not isinstance(item, bool) else None
        if match is None:
            self.refuse(path, f"{item!r} is no port", 'a number like 80, or a range like "8000-8010"')
        low, high = int(match[1]), int(match[2] or match[1])
        if not 1 <= low <= high <= 0xFFFF:
            self.refuse(path, f"{item!r} is no port range", "ports go from 1 to 65535, the smaller one first")
        if high - low >= WIDEST_RANGE:
            self.refuse(path, f"{item!r} is {high - low + 1} ports wide", f"at most {WIDEST_RANGE} in one range")
        return Intervals.of((low, high))

    def addresses(self, path: Path, value: object) -> Intervals:
        found = Intervals()
        for index, item in enumerate(self.listed(path, value)):
            where = path if not isinstance(value, list) else (*path, index)
            try:
                low, high = parse_prefix(item) if isinstance(item, str) else (1, 0)
            except ValueError:
                low, high = 1, 0
            if low > high:
                self.refuse(where, f"{item!r} is no address", "write 192.168.0.17, 10.0.0.0/24 or 2001:db8::/64")
            self._narrow(where, low, high)
            found |= Intervals.of((low, high))
        return found

    def _narrow(self, path: Path, low: int, high: int) -> None:
        """A wide `to` would untrack answers of servers that are not ours; `from` may be as wide as it likes."""
        family = next(f for f, all_of in ADDRESSES.items() if low in all_of)
        if "to" in path and high - low >= WIDEST_PEERS[family]:
            advice = "name the servers; whoever is in `to` may send untracked packets from the service's port"
            self.refuse(path, f"to = {format_range(low, high)} is too wide", advice)
        if "own_addresses" in path and high - low >= MOST_OWN:
            self.refuse(
                path, f"{format_range(low, high)} is too wide", "name the addresses that this host has at times"
            )


def _untrack(read: _Reader, path: Path, value: object) -> Untrack:
    given = read.table(path, value)
    read.known(path, given, UNTRACK_KEYS)
    for key in ("direction", "protocol", "ports"):
        if key not in given:
            read.refuse(path, f"{key} is missing in this [[untrack]]", f"add a line {key} = ...")
    direction: Direction = read.word((*path, "direction"), given["direction"], DIRECTIONS)
    protocol: int = _protocol(read, (*path, "protocol"), given["protocol"])
    wanted, other = ("to", "from") if direction is Direction.OUTBOUND else ("from", "to")
    if other in given:
        read.refuse((*path, other), f"{other} in an {direction} service", f"write {wanted}")
    if wanted == "to" and wanted not in given:
        read.refuse(path, "an outbound service without to", 'name its servers: to = ["192.168.0.17"]')
    peers = read.addresses((*path, wanted), given[wanted]) if wanted in given else Intervals()
    family: Family | None = read.word((*path, "family"), given["family"], FAMILIES) if "family" in given else None
    found = Untrack(
        direction, protocol, read.ports((*path, "ports"), given["ports"]), peers,
        Place(read.source, line_of(read.lines, path)), family,
        read.truth((*path, "keep_lo_tracked"), given.get("keep_lo_tracked", False)),
    )  # fmt: skip
    if not found.families():
        read.refuse((*path, "family"), f"no address in {wanted} is of this family", "drop family, or the addresses")
    return found


def _protocol(read: _Reader, path: Path, value: object) -> int:
    if isinstance(value, str) and NUMBERS.get(value, 0) and value not in PROTOCOLS:
        read.refuse(
            path, f"{value} has no ports, and a service is named by its port", f"one of: {', '.join(PROTOCOLS)}"
        )
    number: int = read.word(path, value, PROTOCOLS)
    return number


def _distinct(read: _Reader, entries: Sequence[Untrack]) -> None:
    """Refuse a service that is named twice: one of the two would be edited and the other would still hold."""
    for number, entry in enumerate(entries):
        for earlier in entries[:number]:
            same = (entry.direction, entry.protocol) == (earlier.direction, earlier.protocol)
            apart = entry.peers and earlier.peers and not entry.peers & earlier.peers
            families = set(entry.families()) & set(earlier.families())
            if same and entry.ports & earlier.ports and not apart and families:
                read.refuse(("untrack", number), f"{entry} overlaps with {earlier.place}", "merge the two")


def _toml(text: str, source: str) -> dict[str, Any]:
    if found := TOO_DOTTED.search(text):
        raise InputError(source, "no policy has keys that deep", line=text.count("\n", 0, found.start()) + 1)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = AT_LINE.match(str(error))
        line = int(match[2] or text.count("\n") + 1) if match else 0
        message = match[1] if match else str(error)
        raise InputError(source, f"no valid TOML: {message}", line=line) from error
    except (RecursionError, ValueError, OverflowError) as error:  # nested without end, a number of 5,000 digits
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(source, f"no valid TOML: {why}") from error


def parse_policy(data: bytes, source: str) -> Policy:
    """A policy file's content. InputError with the line for anything that is not a policy of ours."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(source, "not UTF-8", line=line, advice="save it as UTF-8 text") from error
    given = _toml(text, source)
    read = _Reader(source, locate(text))
    read.known((), given, TOP_KEYS)
    entries = given.get("untrack", [])
    if not isinstance(entries, list):
        read.refuse(("untrack",), "untrack must be a list of tables", "write [[untrack]], with two brackets")
    if len(entries) > MOST_SERVICES:
        read.refuse(("untrack",), f"{len(entries):,} services", f"at most {MOST_SERVICES:,}")
    untrack = [_untrack(read, ("untrack", i), e) for i, e in enumerate(entries)]
    _distinct(read, untrack)
    own = read.addresses(("own_addresses",), given["own_addresses"]) if "own_addresses" in given else Intervals()
    table = read.table(("table",), given.get("table", {}))
    read.known(("table",), table, TABLE_KEYS)
    timeouts = read.table(("timeouts",), given.get("timeouts", {}))
    read.known(("timeouts",), timeouts, sorted(TIMEOUT_KEYS))
    sizes = {key: read.number(("table", key), value) for key, value in table.items()}
    seconds = {key: read.number(("timeouts", key), value) for key, value in sorted(timeouts.items())}
    if not untrack and not sizes and not seconds:
        raise InputError(source, "this policy asks for nothing", advice="add an [[untrack]] or a [table]")
    return Policy(tuple(untrack), sizes.get("max"), sizes.get("buckets"), seconds, own)
