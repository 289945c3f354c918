"""`conntrack -L -o xml` to lines as `conntrack -L` prints them: one `<flow>` each, read with the rest of them.

It holds all that the text does but the type, code and id of ICMP.
"""

from __future__ import annotations

import re

XML = re.compile(rb"[^<]{0,200}(?:<\?xml|<conntrack>|<flow>)")
"""How such a listing starts; a prompt may stand above it."""

FLOW = re.compile(rb"<flow>((?:(?!<flow>).)*?)</flow>\n?", re.S)
"""Events have the same elements, but a type: `<flow type="new">`."""

END = b"</flow>"
META = re.compile(rb'<meta direction="(original|reply|independent)">((?:(?!<meta).)*?)</meta>', re.S)
PROTOCOL = re.compile(rb'<layer4 protonum="(\d{1,3})" protoname="([a-z0-9-]{1,20})"')
VALUE = re.compile(rb"<([a-z-]{1,12})>\s*([^<>\s]{1,64})\s*</\1>")
FRAME = re.compile(rb"<\?xml[^<>]*\?>(?=\s*<(?:conntrack|flow)>)|</?conntrack>")

TUPLE = (b"src", b"dst", b"sport", b"dport", b"packets", b"bytes")


def lines_of(text: bytes) -> bytes:
    """The text with a line in place of each flow; what is no flow stays, but for the document's own frame."""
    return FRAME.sub(b"", FLOW.sub(lambda flow: (_line(flow[1]) or b"<flow>") + b"\n", text))


def _line(flow: bytes) -> bytes:
    """One flow as a line, empty where it has no protocol or no tuple."""
    parts, protocol = dict(META.findall(flow)), PROTOCOL.search(flow)
    if not protocol or len(parts) < 3:
        return b""
    last = parts[b"independent"]
    rest = dict(VALUE.findall(last))
    words = [
        protocol[2].ljust(8) + b" " + protocol[1],
        *(rest[key] for key in (b"timeout", b"state") if key in rest),
        *_tuple(parts[b"original"]),
        *[b"[UNREPLIED]"] * (b"<unreplied/>" in last),
        *_tuple(parts[b"reply"]),
        *[b"[ASSURED]"] * (b"<assured/>" in last),
        *(key + b"=" + rest[key] for key in (b"mark", b"zone", b"use") if key in rest),
    ]
    return b" ".join(words)


def _tuple(meta: bytes) -> list[bytes]:
    """One direction's keys, in the order of the text."""
    values = dict(VALUE.findall(meta))
    return [key + b"=" + values[key] for key in TUPLE if key in values]
