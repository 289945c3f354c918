"""The operator's policy: TOML to a Policy, or one error that names the line and says what to write instead."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from conntrim.core.model.conntrack import OTHER_TIMEOUTS, TCP_TIMEOUTS
from conntrim.core.model.errors import InputError
from conntrim.core.model.policy import Policy, Untrack
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy_limit import limits_of
from conntrim.core.parse.policy_reader import ANY, OWN, SITE, Reader
from conntrim.core.parse.policy_timeout import timeouts_of
from conntrim.core.parse.toml import Path, locate

LARGEST_FILE = 1 << 20
"""Bytes of a policy."""

DIRECTIONS = {"inbound": Direction.INBOUND, "outbound": Direction.OUTBOUND}
TIMEOUT_KEYS = frozenset(t.key for t in (*TCP_TIMEOUTS.values(), *OTHER_TIMEOUTS.values()))

TOP_KEYS = ("untrack", "timeout", "limit", "table", "timeouts", "own_addresses")
UNTRACK_KEYS = ("direction", "protocol", "ports", "to", "from", "family", "keep_lo_tracked")
TABLE_KEYS = ("max", "buckets")

TOO_DOTTED = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){16}""")
"""A key of so many parts; reading one, tomllib takes memory by the square of their number: 40 GB for 200 KB."""
AT_LINE = re.compile(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$")


def _untrack(read: Reader, path: Path, value: object) -> Untrack:
    given = read.entry(path, value, UNTRACK_KEYS, ("direction", "protocol", "ports"))
    direction: Direction = read.word((*path, "direction"), given["direction"], DIRECTIONS)
    protocol = read.protocol((*path, "protocol"), given["protocol"])
    wanted, other = ("to", "from") if direction is Direction.OUTBOUND else ("from", "to")
    if other in given:
        read.refuse((*path, other), f"{other} in an {direction} service", f"write {wanted}")
    if wanted == "to" and wanted not in given:
        read.refuse(path, "an outbound service without to", 'name its servers: to = ["192.168.0.17"]')
    peers = read.addresses_at(path, given, wanted, SITE if wanted == "to" else ANY)
    found = Untrack(
        direction, protocol, read.ports((*path, "ports"), given["ports"]), peers, read.place(path),
        read.family(path, given), read.truth((*path, "keep_lo_tracked"), given.get("keep_lo_tracked", False)),
    )  # fmt: skip
    if not found.families():
        read.refuse((*path, "family"), f"no address in {wanted} is of this family", "drop family, or the addresses")
    return found


def _distinct(read: Reader, entries: Sequence[Untrack]) -> None:
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
    read = Reader(source, locate(text))
    read.known((), given, TOP_KEYS)
    untrack = [
        _untrack(read, ("untrack", i), e) for i, e in enumerate(read.entries("untrack", given.get("untrack", [])))
    ]
    _distinct(read, untrack)
    limits, waits = limits_of(read, given.get("limit", [])), timeouts_of(read, given.get("timeout", []))
    own = read.addresses_at((), given, "own_addresses", OWN)
    table = read.table(("table",), given.get("table", {}))
    read.known(("table",), table, TABLE_KEYS)
    timeouts = read.table(("timeouts",), given.get("timeouts", {}))
    read.known(("timeouts",), timeouts, sorted(TIMEOUT_KEYS))
    sizes = {key: read.number(("table", key), value) for key, value in table.items()}
    seconds = {key: read.number(("timeouts", key), value) for key, value in sorted(timeouts.items())}
    found = Policy(tuple(untrack), sizes.get("max"), sizes.get("buckets"), seconds, own, limits, waits)
    if not found.cures and not sizes and not seconds:
        advice = "add an [[untrack]], a [[timeout]], a [[limit]] or a [table]"
        raise InputError(source, "this policy asks for nothing", advice=advice)
    return found
