"""Inputs that no program prints: seeds broken as bytes, as words and as JSON."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

WORDS = (
    b"\x1b[2J",
    b"\x00",
    b"\xff\xfe",
    b"\xe9",
    b"\n",
    b" ",
    b'"',
    b"-1",
    b"4294967296",
    b"1" * 5000,
    b"65536",
    b"0x",
    b"!",
    b"--ctstatus NONSENSE",
    b"-m conntrack --ctorigsrc 1.2.3.4/99",
    b"--ctorigsrcport 99999",
    b"--ctreplsrc ::1",
    b"--ctrepldstport 5:1",
    b"--ctexpire -1:99999999999",
    b"--ctdir SIDEWAYS",
    b"--ctproto 999",
    b"--dport 70000",
    b"--dports 1,2,99999",
    b"--tcp-flags ALL",
    b"-p 300",
    b"--icmp-type 999/999",
    b"--mark 0x1ffffffff/0x",
    b"-s 1.2.3.4/33",
    b"-j CT --zone 99999",
    b"-m set --match-set x",
    b"--ctstate NEW,OLD",
    b"-m u32 --u32 0",
    b"-A",
    b"COMMIT",
    b"*raw",
    b"[[",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"sport=99999",
    b"src=::ffff:1.2.3.4",
    b"timeout -1",
    b"hash:ip,port",
    b"range 1-0",
)
VALUES: tuple[Any, ...] = (
    None,
    -1,
    1 << 70,
    1.5,
    1e300,
    "",
    "\udce9",
    "\x1b[2J",
    "a\nb",
    [],
    {},
    [[]],
    True,
    "65536",
    "4000000000",
    {"range": [9, 1]},
    {"prefix": {"addr": "1.2.3.4", "len": 99}},
    {"set": []},
    "@x",
    "*",
    {"elem": {"val": 1}},
)


def as_bytes(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """A span taken out, doubled, overwritten, filled with a word, or taken from another seed."""
    at, length = chance.randrange(len(data) + 1), chance.choice((0, 1, 1, 4, 40, 400))
    middle = chance.choice((b"", data[at : at + length] * 2, chance.choice(WORDS), bytes([chance.randrange(256)])))
    if chance.random() < 0.1 and other:
        start = chance.randrange(len(other))
        middle = other[start : start + 400]
    return data[:at] + middle + data[at + length :]


def as_words(data: bytes, _: bytes, chance: random.Random) -> bytes:
    """One word of a line replaced, and another one put beside it."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    words = lines[at].split(b" ")
    words[chance.randrange(len(words))] = chance.choice(WORDS)
    words.insert(chance.randrange(len(words) + 1), chance.choice((*WORDS, *words)))
    return b"\n".join([*lines[:at], b" ".join(words), *lines[at + 1 :]])


def as_json(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One value of a document replaced, taken out or put elsewhere; bytes, where it is no JSON."""
    try:
        document = json.loads(data)
        places = list(_places(document))
    except (ValueError, RecursionError):
        return as_words(data, other, chance)
    if not places:
        return data
    holder, key = chance.choice(places)
    from_holder, from_key = chance.choice(places)
    holder[key] = chance.choice((*VALUES, from_holder[from_key]) if chance.random() < 0.9 else (holder,))
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):  # it holds itself
        return b'{"nftables":' * 5000


def _places(value: Any) -> Any:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def as_text(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """One text of a document broken as words, so that the document keeps its shape."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return as_words(data, other, chance)
    texts = [(holder, key) for holder, key in _places(document) if isinstance(holder[key], str)]
    if texts:
        holder, key = chance.choice(texts)
        broken = as_words(holder[key].encode("utf-8", "replace"), b"", chance)
        holder[key] = broken.decode("utf-8", "replace")
    return json.dumps(document).encode()


How = Callable[[bytes, bytes, random.Random], bytes]
HOWS: tuple[How, ...] = (as_bytes, as_words, as_json)
SHAPELY: tuple[How, ...] = (as_text, as_text, as_text, as_json)
"""What leaves most documents readable."""


def mutated(data: bytes, other: bytes, chance: random.Random, hows: tuple[How, ...] = HOWS) -> bytes:
    """Broken in one to four places."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(hows)(data or b" ", other, chance)
    return data
