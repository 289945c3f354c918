"""One entry of a conntrack listing in text, word by word: every era's spelling, and what is wrong with a line.

`[ipv4 2] tcp 6 [431999] [ESTABLISHED] src=.. dst=.. sport=.. dport=.. [packets=.. bytes=..] [UNREPLIED] src=.. ...
[ASSURED] mark=.. zone=.. use=..`: net/netfilter/nf_conntrack_standalone.c, ip_conntrack_standalone.c of 2.6, and
conntrack-tools' own copy of it. An offloaded entry has neither time-out nor state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from zlib import crc32

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.conntrack import DCCP_STATES, NO_STATE, SCTP_STATES, Status, TcpState
from conntrim.core.model.protocol import NUMBERS, Protocol

LONGEST = 40
"""Digits of a number of 128 bits, and one more; Python refuses to read thousands."""
HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,8}")
HEAD = re.compile(rb"[ \t]*(?:(?:ipv4|ipv6)\s+\d+\s+)?[a-z][a-z0-9-]*\s+\d+\s+(?:\d+\s|[a-z]+=|timeout=|[A-Z])")
"""How an entry's first line starts."""

STATES: dict[int, dict[str, int]] = {
    Protocol.TCP: {state.name: state for state in TcpState},
    Protocol.SCTP: {name.upper(): number for number, name in enumerate(SCTP_STATES)},
    Protocol.DCCP: {name.upper(): number for number, name in enumerate(DCCP_STATES)},
}
"""Protocol to state word to the kernel's number."""

FLAGS: dict[str, Status] = {
    "[ASSURED]": Status.ASSURED,
    "[OFFLOAD]": Status.OFFLOAD,
    "[HW_OFFLOAD]": Status.OFFLOAD | Status.HW_OFFLOAD,
}
IGNORED_FLAGS = frozenset({"[UNREPLIED]", "[DYING]", "[UNCONFIRMED]"})

FOREIGN_FLAG = re.compile(r"\[(?!UN|[A-Z0-9_]*LIED)[A-Z][A-Z0-9_]*\]")
"""What vendors' kernels add (`[FASTNAT]`); a damaged `[UNREPLIED]` is none."""

FOREIGN_WORD = re.compile(r"[a-z][a-z0-9_-]*")
"""The same after the second tuple (`swan no_if`)."""

REDACTED = re.compile(r"(?=.*[g-zG-Z*#])[\w.*#:<>\[\]-]{1,64}")
"""A word in an address's place that is no damaged address: `CLIENT_A`, `10.x.x.7`, `[redacted]`."""

SPACED = re.compile(rb"(?<=\s)\[[A-Z][A-Z0-9_]{1,30}( [a-z0-9/._-]{1,40}){1,4}\]")
"""A vendor's flag with blanks inside (`[RTCACHE o33/r11]`)."""

TIMES = re.compile(rb"\[(?:start|stop)=[^]]*\]")
"""What `-o timestamp` adds; it has blanks inside."""


class BadEntryError(ValueError):
    """A line that is no entry; the message says what is missing. `kind` is the message without the line's own words."""

    def __init__(self, kind: str, *words: object) -> None:
        super().__init__(kind.format(*words))
        self.kind = kind


def parse_entry(line: bytes, names: dict[str, int] | None = None) -> dict[str, int]:
    """One entry as column values, addresses as 128-bit numbers. BadEntryError where it is none.

    `names`: words that stand for addresses are taken (a listing that was redacted), and what stands in for each is
    noted there.
    """
    words = SPACED.sub(b"", TIMES.sub(b"", line)).decode("ascii", "replace").split()
    if words and words[0] in ("ipv4", "ipv6"):
        words = words[2:]
    if len(words) < 4 or not words[1].isdigit() or len(words[1]) > LONGEST or int(words[1]) > 255:
        raise BadEntryError("no protocol name and number at its start")
    values = {"protocol": _protocol(words[0], int(words[1])), "state": NO_STATE, "status": int(Status.CONFIRMED)}
    rest = _time_and_state(words[2:], values)
    _details(rest, values, names)
    return _checked(values)


def _protocol(name: str, number: int) -> int:
    """The protocol number; an ICMPv6 entry is `icmpv6 58` in every era."""
    if NUMBERS.get(name, number) != number:
        raise BadEntryError("protocol {} is not number {}", name, number)
    return number


def _time_and_state(words: list[str], values: dict[str, int]) -> list[str]:
    """Read time-out and state, where they are there; the words after them."""
    if words and words[0].isdigit():
        values["timeout"] = _number(words[0], 32)
        words = words[1:]
    if words and "=" not in words[0] and not words[0].startswith("["):
        known = STATES.get(values["protocol"], {})
        if words[0] not in known:
            raise BadEntryError("unknown state {}", words[0])
        values["state"] = known[words[0]]
        words = words[1:]
    return words


def _details(words: list[str], values: dict[str, int], names: dict[str, int] | None) -> None:
    """Read `key=value` words and flags; the second `src` starts the reply's tuple."""
    prefix, replied = "", True
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            replied &= word != "[UNREPLIED]"
            values["status"] |= _flag(word, last="reply_dst" in values)
            continue
        if key == "src" and "src" in values:
            if prefix:
                raise BadEntryError("more than two tuples")
            prefix = "reply_"
        if key in KEYS:
            column, read = KEYS[key]
            named = names is not None and key in ("src", "dst") and REDACTED.fullmatch(value)
            number = _stand_in(value, names) if named and names is not None else read(value)
            _set(values, prefix + column if key in PER_TUPLE else column, key, number)
    if replied:
        values["status"] |= Status.SEEN_REPLY


def _flag(word: str, *, last: bool) -> int:
    """What a word without a value says; `last`: both tuples came before it."""
    known = word in FLAGS or word in IGNORED_FLAGS or FOREIGN_FLAG.fullmatch(word)
    if not known and not (last and FOREIGN_WORD.fullmatch(word)):
        raise BadEntryError("unknown word {}", word)
    return FLAGS.get(word, 0)


def _set(values: dict[str, int], column: str, key: str, value: int) -> None:
    """One value; an ICMP type and code share a column, and a second `id=` is `-o id`, not the ICMP id."""
    if key in ("type", "code"):
        values[column] = values.get(column, 0) | (value << 8 if key == "type" else value)
    elif key != "id" or column not in values:
        values[column] = value


def _number(text: str, bits: int) -> int:
    if not text.isdigit() or len(text) > LONGEST or int(text) >> bits:
        raise BadEntryError(f"{{}} is no number of {bits} bits", text[:LONGEST])
    return int(text)


def _decimal(bits: int) -> Callable[[str], int]:
    return lambda text: _number(text, bits)


def _mark(text: str) -> int:
    """Some programs print it in hexadecimal."""
    if not HEXADECIMAL.fullmatch(text):
        return _number(text, 32)
    return int(text, 16)


def _key(text: str) -> int:
    try:
        return int(text, 16) & 0xFFFF
    except ValueError as error:
        raise BadEntryError("{} is no GRE key", text) from error


def _address(text: str) -> int:
    try:
        return parse_address(text)
    except ValueError as error:
        raise BadEntryError("{} is no address", text) from error


def _stand_in(name: str, names: dict[str, int]) -> int:
    """An address of 240.0.0.0/4, which nobody has, for a word that stands for one; always the same for a word."""
    return names.setdefault(name, parse_address("240.0.0.0") + (crc32(name.encode()) & 0x0FFFFFFF))


def _icmp_id(text: str) -> int:
    # `-o id` appends id=N of 32 bits to every entry; it is dropped in `_set` unless it comes first.
    return _number(text, 32) & 0xFFFF


KEYS: dict[str, tuple[str, Callable[[str], int]]] = {
    "src": ("src", _address), "dst": ("dst", _address),
    "sport": ("sport", _decimal(16)), "dport": ("dport", _decimal(16)),
    "srckey": ("sport", _key), "dstkey": ("dport", _key),
    "id": ("sport", _icmp_id), "type": ("dport", _decimal(8)), "code": ("dport", _decimal(8)),
    "packets": ("packets", _decimal(64)), "bytes": ("bytes", _decimal(64)),
    "mark": ("mark", _mark), "zone": ("zone", _decimal(16)),
    "zone-orig": ("zone", _decimal(16)), "zone-reply": ("zone", _decimal(16)),
}  # fmt: skip
"""Key to column and reader; other keys (use, secctx, labels, delta-time, ...) are of no interest."""

PER_TUPLE = frozenset(
    {"src", "dst", "sport", "dport", "srckey", "dstkey", "id", "type", "code", "packets", "bytes"},
)


def _checked(values: dict[str, int]) -> dict[str, int]:
    """Complete the entry by its family and by what the two tuples say about NAT."""
    missing = [name for name in ("src", "dst", "reply_src", "reply_dst") if name not in values]
    if missing:
        raise BadEntryError(f"no {missing[0].replace('reply_', 'second ')}=")
    values["family"] = Family.IPV6 if values["src"] >> 32 != 0xFFFF else Family.IPV4
    ports = values["protocol"] not in (Protocol.ICMP, Protocol.ICMPV6)
    if values["reply_src"] != values["dst"] or (ports and values.get("reply_sport") != values.get("dport")):
        values["status"] |= Status.DST_NAT
    if values["reply_dst"] != values["src"] or (ports and values.get("reply_dport") != values.get("sport")):
        values["status"] |= Status.SRC_NAT
    return values
