"""A case file: a rule set, a dialogue, and what the kernel said to each packet. Readable, and replayed for ever.

```
# why this is kept
== iptables-restore
*raw
...
== packets
eth0> tcp 192.0.2.9 4000 > 192.0.2.1 80 S
    prerouting new, input new
== entries
tcp 192.0.2.9 4000 > 192.0.2.1 80, back 192.0.2.1 80 > 192.0.2.9 4000, syn_sent, unreplied
```

The entries are what the table holds afterwards. A rule set in nft's own text has the kernel's listing of it in a part
`listing`: the model reads that one.
"""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.errors import InputError
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import Batch
from conntrim.lab.dialogue import format_packet, parse_packet

MARK = "== "
PROGRAMS = ("ipset", "iptables-restore", "ip6tables-restore", "nft")


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `stories` are the kernel's traces as `oracle.story` writes them, one for each packet.

    `entries` is what the table holds in the end, as `entries.Kept` is written.
    """

    why: str
    batches: tuple[Batch, ...]
    listing: str
    packets: tuple[Packet, ...]
    stories: tuple[str, ...]
    entries: tuple[str, ...] = ()


def format_case(case: Case) -> str:
    """The case as text."""
    parts = [f"# {line}\n" for line in case.why.splitlines()]
    parts += [f"{MARK}{batch.program}\n{batch.text}" for batch in case.batches]
    parts += [f"{MARK}listing\n{case.listing.strip()}\n"] if case.listing else []
    said = zip(case.packets, case.stories, strict=True)
    lines = [f"{format_packet(packet)}\n    {story or 'nothing'}\n" for packet, story in said]
    held = [f"{MARK}entries\n", *(f"{entry}\n" for entry in case.entries)]
    return "".join([*parts, f"{MARK}packets\n", *lines, *held])


def parse_case(text: str, source: str) -> Case:
    """The opposite of `format_case`; InputError with the line where it is none."""
    parts: dict[str, list[str]] = {"": []}
    current, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(MARK):
            current, start = line.removeprefix(MARK).strip(), number
            parts[current] = []
        else:
            parts[current].append(line)
    packets, stories = _said(parts.get("packets", []), source, start)
    return Case(
        "\n".join(line.removeprefix("# ") for line in parts[""]),
        tuple(Batch(name, "\n".join([*lines, ""])) for name, lines in parts.items() if name in PROGRAMS),
        "\n".join(parts.get("listing", [])),
        packets,
        stories,
        tuple(parts.get("entries", ())),
    )


def _said(lines: list[str], source: str, start: int) -> tuple[tuple[Packet, ...], tuple[str, ...]]:
    packets: list[Packet] = []
    stories: list[str] = []
    for number, line in enumerate(lines, start + 1):
        if not line.startswith("    "):
            packets.append(parse_packet(line, source, number))
            stories.append("")
        elif packets:
            stories[-1] = "" if line.strip() == "nothing" else line.strip()
    if not packets:
        raise InputError(source, "no packets in it", line=start, advice="a case ends with a part `== packets`")
    return tuple(packets), tuple(stories)
