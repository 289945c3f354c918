"""The array decoder against a slow reference that walks the same bytes attribute by attribute."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from conntrim.core.model.address import MAPPED
from conntrim.core.model.conntrack import NO_STATE
from conntrim.core.model.flows import ALL_COLUMNS, SHAPES
from conntrim.core.parse.ctnetlink import CT_NEW, NLMSG_DONE, Decoded, Decoder
from conntrim.core.parse.ctnetlink_layout import FIELDS, NESTED, Form
from conntrim.host.netlink import HEADER, attributes

SEQ = 0x5EED5EED


def attr(kind: int, payload: bytes) -> bytes:
    """One attribute."""
    return struct.pack("=HH", len(payload) + 4, kind) + payload + b"\0" * (-len(payload) % 4)


def message(family: int, body: bytes, kind: int = CT_NEW, flags: int = 2) -> bytes:
    """One netlink message with its `struct nfgenmsg`."""
    return HEADER.pack(HEADER.size + 4 + len(body), kind, flags, SEQ, 77) + struct.pack("=BBH", family, 0, 0) + body


def some_tuple(chance: random.Random, family: int, protocol: int) -> bytes:
    """A tuple of either family with whatever that protocol has."""
    size, first = (4, 1) if family == 2 else (16, 3)
    ip = attr(first, chance.randbytes(size)) + attr(first + 1, chance.randbytes(size))
    proto = attr(1, bytes([protocol]))
    if protocol in (1, 58):
        base = 4 if protocol == 1 else 7
        proto += (
            attr(base, chance.randbytes(2)) + attr(base + 1, chance.randbytes(1)) + attr(base + 2, chance.randbytes(1))
        )
    elif protocol != 99:
        proto += attr(2, chance.randbytes(2)) + attr(3, chance.randbytes(2))
    zone = attr(3, chance.randbytes(2)) if chance.random() < 0.1 else b""
    return attr(1 | 0x8000, ip) + attr(2 | 0x8000, proto) + zone


OPTIONAL: tuple[tuple[int, int], ...] = ((8, 4), (12, 4), (11, 4), (18, 2), (20, 24), (22, 16), (19, 28))
"""Attributes that may be there, with sizes: mark, id, use, zone, timestamps, labels, security context."""


def some_entry(chance: random.Random) -> bytes:
    """An entry with a random choice of everything that ctnetlink may send."""
    family, protocol = chance.choice((2, 10)), chance.choice((1, 6, 6, 6, 17, 17, 33, 47, 58, 99, 132))
    body = attr(1 | 0x8000, some_tuple(chance, family, protocol)) + attr(
        2 | 0x8000, some_tuple(chance, family, protocol)
    )
    body += attr(3, chance.randbytes(4)) + attr(7, chance.randbytes(4))
    if protocol in (6, 33, 132):
        nested = {6: 1, 33: 2, 132: 3}[protocol]
        body += attr(4 | 0x8000, attr(nested | 0x8000, attr(1, chance.randbytes(1)) + attr(2, chance.randbytes(1))))
    for counters in (9, 10) if chance.random() < 0.5 else ():
        body += attr(counters | 0x8000, attr(1, chance.randbytes(8)) + attr(2, chance.randbytes(8)))
    for kind, size in OPTIONAL:
        if chance.random() < 0.3:
            # Payloads that contain the sequence number must not be taken for messages.
            body += attr(kind, (struct.pack("=I", SEQ) * 8)[:size] if chance.random() < 0.2 else chance.randbytes(size))
    return message(family, body)


def reference(block: bytes) -> Iterator[dict[str, Any]]:
    """Slow and plain: every message, every attribute, one at a time."""
    at = 0
    while at < len(block):
        length = struct.unpack_from("=I", block, at)[0]
        row: dict[str, Any] = {name: (0, 0) if SHAPES[name][1] == 2 else 0 for name in SHAPES} | {"state": NO_STATE}
        row["family"] = block[at + 16]
        walk(block[at + 20 : at + length], (), row)
        yield row
        at += (length + 3) & ~3


def walk(payload: bytes, path: tuple[int, ...], row: dict[str, Any]) -> None:
    """Fill `row` from one level of attributes."""
    for kind, value in attributes(payload).items():
        here = (*path, kind)
        if here in NESTED:
            walk(value, here, row)
        if here not in FIELDS:
            continue
        column, form = FIELDS[here]
        number = int.from_bytes(value, "big") | (MAPPED if form is Form.V4 else 0)
        if form in (Form.V4, Form.V6):
            row[column] = divmod(number, 1 << 64)
        elif form in (Form.TYPE, Form.CODE):
            row[column] |= number << 8 if form is Form.TYPE else number
        else:
            row[column] = number


def rows_of(decoded: Decoded) -> list[tuple[Any, ...]]:
    """The entries of a decoded block, sorted."""
    rows = []
    for table in decoded.tables:
        columns = [getattr(table, name).tolist() for name in SHAPES]
        rows += [tuple(tuple(v) if isinstance(v, list) else v for v in row) for row in zip(*columns, strict=True)]
    return sorted(rows)


def decode(block: bytes) -> Decoded:
    """One block by a fresh decoder."""
    return Decoder(ALL_COLUMNS, SEQ).decode(np.frombuffer(block, np.uint8))


def test_mixed_messages_decode_as_the_reference_reads_them() -> None:
    """Both families, seven protocols, every optional attribute or none: entry by entry the same."""
    chance = random.Random(7)
    block = b"".join(some_entry(chance) for _ in range(3000))
    expected = sorted(tuple(row[name] for name in SHAPES) for row in reference(block))
    assert rows_of(decode(block)) == expected


def test_messages_of_one_layout_decode_as_the_reference_reads_them() -> None:
    """A block without gaps takes the path that copies nothing."""
    chance = random.Random(8)
    bodies = [attr(1, some_tuple(random.Random(1), 2, 6)) + attr(7, chance.randbytes(4)) for _ in range(100)]
    block = b"".join(message(2, body) for body in bodies)
    expected = sorted(tuple(row[name] for name in SHAPES) for row in reference(block))
    assert rows_of(decode(block)) == expected


def test_the_sequence_number_in_a_payload_is_no_message() -> None:
    """The chain of lengths decides, not the number."""
    block = message(2, attr(22, struct.pack("=I", SEQ) * 4)) * 3
    assert [len(t) for t in decode(block).tables] == [3]


def test_the_kernel_s_own_words_are_noticed() -> None:
    """The end of the dump, an interruption, an error at the end."""
    entry = message(2, attr(7, bytes(4)))
    done = HEADER.pack(20, NLMSG_DONE, 2, SEQ, 77) + struct.pack("=i", 0)
    failed = HEADER.pack(20, 2, 0, SEQ, 77) + struct.pack("=i", -105)
    assert (decode(entry + done).done, decode(entry).done) == (True, False)
    assert decode(message(2, b"", flags=2 | 0x10)).interrupted
    assert decode(failed).error == 105


def test_a_malformed_message_is_counted_and_the_others_are_used() -> None:
    """An attribute that is longer than its message."""
    broken = message(2, struct.pack("=HH", 400, 7) + bytes(4))
    decoded = decode(message(2, attr(7, bytes(4))) + broken)
    assert (decoded.malformed, sum(map(len, decoded.tables))) == (1, 1)
