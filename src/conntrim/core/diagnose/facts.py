"""The numbered facts about the kernel as pages: rows of docs/kernel-facts.md, which the program carries along."""

from __future__ import annotations

import re

from conntrim.core.diagnose.manual import Page

_ROW = re.compile(r"^\| (?P<code>K\d+) \| (?P<how>[^|]*) \| (?P<text>.*) \|$")
_SOURCE = re.compile(r" ?\(`tests/[^)]*\)")
"""The test that measures it: of use to who has the tests."""

KNOWN = {"M": "measured", "S": "read in the kernel's source", "R": "reported by others"}
"""How a fact is known, by the letter of its row."""


def fact_page(code: str, facts: str) -> Page | None:
    """The page of a fact, by its number, of the whole text of docs/kernel-facts.md; None where there is none."""
    section = ""
    for line in facts.splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif (row := _ROW.match(line)) and row["code"] == code.upper():
            how = " and ".join(KNOWN[letter] for letter in row["how"].split(", "))
            text = _SOURCE.sub("", row["text"]).replace("\\|", "|")
            return Page(row["code"], section.lower(), f"{text}\n\nHow it is known: {how}.")
    return None
