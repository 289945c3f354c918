"""A disagreement about a plan kept as a small file: host, service, dialogues, and what was wrong.

```
# a dialogue is lost
kind: a dialogue is lost | on trial | in, tcp
status: open
host: gateway
wish: inbound tcp 80
back end: iptables-nft
inner: 10.9.0.1/24
is: listening, keeps
talk: tcp / in from far / IPV4 / eth0 203.0.113.9 21000 / host 192.0.2.1 80
== iptables-restore
*filter
...
```

`across` and `late` are dialogues that were under way. `status` is `open` until it is `mended`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from conntrim.core.model.errors import InputError
from conntrim.core.model.ruleset import Dialect
from conntrim.lab.case import MARK
from conntrim.lab.held.kept import parse_talk, script_of, talk_text
from conntrim.lab.plans.hosts import PlannedHost, Wish
from conntrim.lab.plans.talks import Talks
from conntrim.lab.script import Script

IS = ("listening", "strict", "keeps")
PARTS = ("whole", "across", "late")


@dataclass(frozen=True, slots=True)
class KeptCourse:
    """One file."""

    kind: str
    status: str
    host: PlannedHost
    talks: Talks
    words: tuple[str, ...] = ()


def format_course(kept: KeptCourse) -> str:
    """The file's text."""
    host = kept.host
    lines = [f"# {line}" for word in kept.words for line in word.splitlines()]
    lines += [f"kind: {kept.kind}", f"status: {kept.status}", f"host: {host.name}"]
    lines += [f"wish: {wish}" for wish in host.wishes]
    lines += [f"back end: {host.back_end}", f"inner: {host.inner}", f"uplink: {host.uplink}"]
    lines += [f"is: {', '.join(word for word in IS if getattr(host, word))}"]
    lines += [f"{part}: {talk_text(talk)}" for part in PARTS for talk in getattr(kept.talks, part)]
    texts = [
        f"{MARK}{b.program}\n{b.text}" for script in host.scripts for b in script.batches() if b.program != "ipset"
    ]
    return "\n".join([*lines, *texts])


def parse_course(text: str, source: str) -> KeptCourse:
    """The opposite of `format_course`; InputError where it is none."""
    head, *parts = text.split(f"\n{MARK}")
    said = [line.partition(": ") for line in head.splitlines() if line and not line.startswith("#")]
    values = {name.rstrip(":"): value for name, _, value in said}
    try:
        facts = {word: word in values["is"].split(", ") for word in IS}
        host = PlannedHost(
            values["host"],
            _scripts([(program, body) for program, _, body in (part.partition("\n") for part in parts)]),
            tuple(Wish.parsed(value) for name, _, value in said if name == "wish"),
            Dialect(values["back end"]),
            values["inner"],
            int(values.get("uplink", 0)),
            **facts,
        )
        talks = [tuple(parse_talk(value) for name, _, value in said if name == part) for part in PARTS]
        words = tuple(line.removeprefix("# ") for line in head.splitlines() if line.startswith("#"))
        return KeptCourse(values["kind"], values["status"], host, Talks(*talks), words)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(source, f"no kept course: {error}") from error


def _scripts(parts: list[tuple[str, str]]) -> tuple[Script, ...]:
    """One of iptables' texts and one of nft's, in the order in which they stand."""
    if not parts:
        return ()
    groups: list[list[tuple[str, str]]] = [[parts[0]]]
    for part in parts[1:]:
        if (part[0] == "nft") == (groups[-1][0][0] == "nft") and part[0] != "nft":
            groups[-1].append(part)
        else:
            groups.append([part])
    return tuple(script_of(group) for group in groups)


def without_talks(talks: Talks, kept: frozenset[object]) -> Talks:
    """Only those dialogues."""
    return replace(talks, **{part: tuple(t for t in getattr(talks, part) if t in kept) for part in PARTS})
