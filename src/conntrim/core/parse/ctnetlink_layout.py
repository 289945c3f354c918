"""Where the fields of one ctnetlink message stand: its attributes walked once, for all messages of the same shape.

The kernel writes a message's attributes at positions that depend only on which attributes there are and how long they
are. Two messages whose attribute headers agree word for word have the same layout, so that each field of all of them
is one strided column. Numbers: include/uapi/linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

BODY = 20
"""Where attributes start: after `struct nlmsghdr` (16 bytes) and `struct nfgenmsg` (4)."""

FAMILY_AT = 16
"""Where `nfgen_family` stands."""

NESTED = frozenset({(), (1,), (1, 1), (1, 2), (2,), (2, 1), (2, 2), (4,), (4, 1), (4, 2), (4, 3), (9,), (10,)})
"""Paths of the attributes that hold attributes: tuples, protocol information, counters."""


class Form(StrEnum):
    """How a field is written, all in network byte order."""

    U8 = "u8"
    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    V4 = "v4"
    V6 = "v6"
    TYPE = "type"
    """An ICMP type: the high half of `dport`."""
    CODE = "code"
    """An ICMP code: the low half of `dport`."""


SIZES = {Form.U8: 1, Form.U16: 2, Form.U32: 4, Form.U64: 8, Form.V4: 4, Form.V6: 16, Form.TYPE: 1, Form.CODE: 1}

_Path = tuple[int, ...]


def _tuple_fields(top: int, prefix: str) -> dict[_Path, tuple[str, Form]]:
    """The fields of CTA_TUPLE_ORIG (1) or CTA_TUPLE_REPLY (2)."""
    ip, proto = (top, 1), (top, 2)
    src, dst, sport, dport = (prefix + name for name in ("src", "dst", "sport", "dport"))
    return {
        (*ip, 1): (src, Form.V4), (*ip, 2): (dst, Form.V4), (*ip, 3): (src, Form.V6), (*ip, 4): (dst, Form.V6),
        (*proto, 2): (sport, Form.U16), (*proto, 3): (dport, Form.U16),
        (*proto, 4): (sport, Form.U16), (*proto, 5): (dport, Form.TYPE), (*proto, 6): (dport, Form.CODE),
        (*proto, 7): (sport, Form.U16), (*proto, 8): (dport, Form.TYPE), (*proto, 9): (dport, Form.CODE),
    }  # fmt: skip


FIELDS: dict[_Path, tuple[str, Form]] = {
    **_tuple_fields(1, ""),
    **_tuple_fields(2, "reply_"),
    (1, 2, 1): ("protocol", Form.U8),
    (1, 3): ("zone", Form.U16), (2, 3): ("zone", Form.U16), (18,): ("zone", Form.U16),
    (3,): ("status", Form.U32), (7,): ("timeout", Form.U32), (8,): ("mark", Form.U32),
    (12,): ("id", Form.U32),
    (4, 1, 1): ("state", Form.U8), (4, 2, 1): ("state", Form.U8), (4, 3, 1): ("state", Form.U8),
    (4, 1, 2): ("scale", Form.U8), (4, 1, 3): ("reply_scale", Form.U8),
    (4, 1, 4): ("tcp_flags", Form.U16), (4, 1, 5): ("reply_tcp_flags", Form.U16),
    (9, 1): ("packets", Form.U64), (9, 2): ("bytes", Form.U64),
    (10, 1): ("reply_packets", Form.U64), (10, 2): ("reply_bytes", Form.U64),
}  # fmt: skip
"""Attribute path to column and form; a zone is in the tuples where it holds for one direction only."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a layout: its column, its form, and its place in the message in bytes."""

    column: str
    form: Form
    at: int


@dataclass(frozen=True, slots=True)
class Layout:
    """One shape of message: `headers` are all its attribute headers as (place, native 32-bit word)."""

    headers: tuple[tuple[int, int], ...]
    fields: tuple[Field, ...]


def layout_of(message: bytes, byteorder: str) -> Layout:
    """The layout of one message, netlink header included. ValueError where its attributes do not add up."""
    order = "little" if byteorder == "little" else "big"
    headers: list[tuple[int, int]] = []
    fields: list[Field] = []
    for path, at, word, size in _walk(message, BODY, len(message), (), order == "little"):
        headers.append((at, word))
        if path in FIELDS:
            column, form = FIELDS[path]
            if size != SIZES[form]:
                raise ValueError(f"attribute {path} of {size} bytes")
            fields.append(Field(column, form, at + 4))
    return Layout(tuple(headers), tuple(fields))


def _walk(message: bytes, start: int, end: int, path: _Path, little: bool) -> Iterator[tuple[_Path, int, int, int]]:
    """Path, place, header word and payload size of every attribute, depth first."""
    at = start
    while at + 4 <= end:
        word = int.from_bytes(message[at : at + 4], "little" if little else "big")
        length, kind = (word & 0xFFFF, word >> 16) if little else (word >> 16, word & 0xFFFF)
        if length < 4 or at + length > end:
            raise ValueError(f"attribute at byte {at} has length {length}")
        here = (*path, kind & 0x3FFF)
        yield here, at, word, length - 4
        if here in NESTED:
            yield from _walk(message, at + 4, at + length, here, little)
        at += (length + 3) & ~3
