"""`ipset list` as `ipset save` would say it, line for line."""

from __future__ import annotations

import re
from dataclasses import dataclass

from conntrim.core.model.errors import InputError

ADVICE = "give me the whole output of `ipset list`, or `ipset save`"

_FIELD = re.compile(r"(Name|Type|Revision|Header|Size in memory|References|Number of entries|Members): ?(.*)")


@dataclass(slots=True)
class _Set:
    """A set being read: the line where it begins, how many members it says it has, and how many stood there."""

    name: str
    line: int
    kind: str = ""
    header: str = ""
    entries: int = 0
    members: int = -1

    def lacks(self) -> str:
        """What is missing of it, if anything; members that have timed out are counted, and not listed."""
        if self.members < 0:
            return "none of its members"
        few = self.members < self.entries and " timeout " not in f" {self.header} "
        return f"{self.members} of its {self.entries} members" if few else ""


def as_saved(text: str, source: str) -> str:
    """The same sets; InputError, with the line, where members are left out: what they match would be a guess."""
    saved: list[str] = []
    sets: list[_Set] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        saved.append(line if line.startswith("#") else "")
        field = _FIELD.fullmatch(line)
        if field is not None and field[1] == "Name":
            sets.append(_Set(field[2], number))
        elif sets and sets[-1].members >= 0 and line:
            sets[-1].members += 1
            saved[-1] = f"add {sets[-1].name} {line}"
        elif field is not None and sets:
            saved[-1] = _told(sets[-1], field[1], field[2])
        elif line and line[0] != "#":
            raise InputError(source, f"{line[:40]!r} is no line of `ipset list`", line=number, advice=ADVICE)
    for each in sets:
        if lacks := each.lacks():
            raise InputError(source, f"set {each.name} shows {lacks}", line=each.line, advice=ADVICE)
    return "\n".join(saved)


def _told(of: _Set, field: str, value: str) -> str:
    """One field of a set; the line that creates it, once all is known that it needs."""
    match field:
        case "Type":
            of.kind = value
        case "Header":
            of.header = value
            return f"create {of.name} {of.kind} {value}"
        case "Number of entries" if value.isdecimal():
            of.entries = int(value)
        case "Members":
            of.members = 0
    return ""
