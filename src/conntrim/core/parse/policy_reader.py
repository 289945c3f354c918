"""What every table of a policy file is read with: values of the few kinds there are, each refusal with its line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from conntrim.core.model.address import Family, format_range, parse_prefix
from conntrim.core.model.errors import InputError
from conntrim.core.model.finding import Place
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.policy import ADDRESSES
from conntrim.core.model.protocol import NUMBERS, WITH_PORTS, protocol_name
from conntrim.core.parse.toml import Path, line_of

MOST_SERVICES = 1000
"""Entries of one kind in a policy: each costs rules and proofs, and a person has to review them."""
WIDEST_RANGE = 1024
"""Ports in one entry. A wider one covers ports that nobody meant, as 10240:65000 once did."""
LARGEST = 1 << 31
"""nf_conntrack_max and the time-outs are signed 32-bit numbers in the kernel."""
FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
PROTOCOLS = {protocol_name(p): int(p) for p in sorted(WITH_PORTS)}
PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Widest:
    """How many addresses one prefix of a key may be, by family, and why no more."""

    most: Mapping[Family, int]
    why: str


ANY = Widest({}, "")
SITE = Widest(
    {Family.IPV4: 1 << 16, Family.IPV6: 1 << 80},
    "name the servers; whoever is in `to` may send untracked packets from the service's port",
)
"""Servers of an outbound service that goes untracked: a /16 and a /48, one site."""
OWN = Widest({Family.IPV4: 256, Family.IPV6: 256}, "name the addresses that this host has at times")
"""Addresses of a host's own: it has single ones."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A file's name and the lines of its keys, so that every refusal names its place."""

    source: str
    lines: dict[Path, int]

    def refuse(self, path: Path, message: str, advice: str = "") -> NoReturn:
        """InputError with the line of a key."""
        raise InputError(self.source, message, line=line_of(self.lines, path), advice=advice)

    def known(self, path: Path, given: Mapping[str, Any], keys: Sequence[str]) -> None:
        """Refuse a key that means nothing here."""
        for key in given:
            if key not in keys:
                self.refuse((*path, key), f"unknown key {key!r}", f"known here: {', '.join(keys)}")

    def table(self, path: Path, value: object) -> dict[str, Any]:
        """A table."""
        if not isinstance(value, dict):
            self.refuse(path, f"{path[-1]} must be a table", f"write [{path[-1]}] on a line of its own")
        return value

    def word(self, path: Path, value: object, words: Mapping[str, Any]) -> Any:
        """One of a few words, as what it stands for."""
        if not isinstance(value, str) or value not in words:
            self.refuse(path, f"{path[-1]} = {value!r}", f"one of: {', '.join(words)}")
        return words[value]

    def truth(self, path: Path, value: object) -> bool:
        """true or false."""
        if not isinstance(value, bool):
            self.refuse(path, f"{path[-1]} = {value!r}", "true or false")
        return value

    def number(self, path: Path, value: object, low: int = 1, high: int = LARGEST - 1) -> int:
        """A whole number within bounds."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(path, f"{path[-1]} = {value!r}", f"a whole number from {low} to {high}")
        return value

    def entries(self, name: str, value: object) -> list[object]:
        """The tables of `[[name]]`."""
        if not isinstance(value, list):
            self.refuse((name,), f"{name} must be a list of tables", f"write [[{name}]], with two brackets")
        if len(value) > MOST_SERVICES:
            self.refuse((name,), f"{len(value):,} entries", f"at most {MOST_SERVICES:,}")
        return value

    def entry(self, path: Path, value: object, keys: Sequence[str], needed: Sequence[str]) -> dict[str, Any]:
        """One such table, with keys that mean something and those that it cannot do without."""
        given = self.table(path, value)
        self.known(path, given, keys)
        for key in needed:
            if key not in given:
                self.refuse(path, f"{key} is missing in this [[{path[0]}]]", f"add a line {key} = ...")
        return given

    def place(self, path: Path) -> Place:
        """Where an entry stands."""
        return Place(self.source, line_of(self.lines, path))

    def protocol(self, path: Path, value: object) -> int:
        """One that has ports, by name."""
        if isinstance(value, str) and NUMBERS.get(value, 0) and value not in PROTOCOLS:
            self.refuse(
                path, f"{value} has no ports, and a service is named by its port", f"one of: {', '.join(PROTOCOLS)}"
            )
        number: int = self.word(path, value, PROTOCOLS)
        return number

    def family(self, path: Path, given: Mapping[str, Any]) -> Family | None:
        """The family that an entry is pinned to."""
        found: Family | None = self.word((*path, "family"), given["family"], FAMILIES) if "family" in given else None
        return found

    def listed(self, path: Path, value: object) -> list[object]:
        """One value or a list of them; never an empty list."""
        listed = value if isinstance(value, list) else [value]
        if not listed:
            self.refuse(path, f"{path[-1]} is empty", "an empty list selects nothing; name what you mean")
        return listed

    def ports(self, path: Path, value: object) -> Intervals:
        """Ports and ranges of them."""
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

    def addresses_at(self, path: Path, given: Mapping[str, object], key: str, widest: Widest = ANY) -> Intervals:
        """Those under a key of an entry; none where it is missing."""
        return self.addresses((*path, key), given[key], widest) if key in given else Intervals()

    def addresses(self, path: Path, value: object, widest: Widest = ANY) -> Intervals:
        """Addresses and prefixes, none of them wider than the key may have."""
        found = Intervals()
        for index, item in enumerate(self.listed(path, value)):
            where = path if not isinstance(value, list) else (*path, index)
            try:
                low, high = parse_prefix(item) if isinstance(item, str) else (1, 0)
            except ValueError:
                low, high = 1, 0
            if low > high:
                self.refuse(where, f"{item!r} is no address", "write 192.168.0.17, 10.0.0.0/24 or 2001:db8::/64")
            family = next(f for f, all_of in ADDRESSES.items() if low in all_of)
            if high - low >= widest.most.get(family, high + 1):
                self.refuse(where, f"{path[-1]} = {format_range(low, high)} is too wide", widest.why)
            found |= Intervals.of((low, high))
        return found
