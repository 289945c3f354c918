"""`HOST:PORT`, with a scheme in front and a path or query behind it where they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORM = re.compile(
    r"(?:(tcp|udp|http)://)?(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s/?@]+)):(\d{1,5})(/[!-~]*|\?[!-~]*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Its parts; `scheme` and `rest` are "" where they are not given."""

    scheme: str
    host: str
    port: int
    rest: str


def endpoint_of(text: str) -> Endpoint | None:
    """None where it has another form, or the port is none."""
    found = _FORM.fullmatch(text)
    if found is None or not 0 < int(found[4]) < 65536:
        return None
    return Endpoint(found[1] or "", found[2] or found[3], int(found[4]), found[5] or "")
