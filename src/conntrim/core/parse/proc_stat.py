"""/proc/net/stat/nf_conntrack and ip_conntrack: a header line, then a row of hexadecimal numbers for each CPU (K33)."""

from __future__ import annotations

from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters

SAME_IN_EVERY_ROW = frozenset({"entries"})
"""Repeated by each CPU, so a sum would be a multiple of the truth (K33)."""

RENAMED = {"chainlength": "chaintoolong", "clashres": "clash_resolve"}
"""Column name in /proc to the kernel's own name of the counter, which ctnetlink and conntrack(8) show too."""


def proc_stat(text: str, source: str) -> Counters:
    """Each counter summed over the CPUs, by header name. InputError with the line where a row does not fit."""
    header, *rows = text.splitlines() or [""]
    names = header.split()
    if "found" not in names or "drop" not in names:
        raise InputError(source, "no conntrack statistics: the first line has to name the columns", line=1)
    sums = {RENAMED.get(name, name): 0 for name in names if name not in SAME_IN_EVERY_ROW}
    for number, row in enumerate(rows, 2):
        try:
            values = [int(word, 16) for word in row.split()]
        except ValueError as error:
            raise InputError(source, str(error), line=number) from None
        if len(values) != len(names):
            raise InputError(source, f"{len(values)} numbers below {len(names)} names", line=number)
        for name, value in zip(names, values, strict=True):
            if name not in SAME_IN_EVERY_ROW:
                sums[RENAMED.get(name, name)] += value
    return Counters(sums, source)
