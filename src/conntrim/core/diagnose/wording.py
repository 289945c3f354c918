"""Numbers in words, alike in every finding."""

from __future__ import annotations

STEPS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
"""Units of time, and from how many of their own on they are used."""


def number(value: int) -> str:
    """1,234,567."""
    return f"{value:,}"


def many(value: int, noun: str) -> str:
    """`1 client`, `1,234 clients`, `2 addresses`."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number(value)} {noun}{plural * (value != 1)}"


def percent(part: float, whole: float) -> str:
    """`61.9 %`; a part that is not nothing is never shown as 0."""
    share = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"


def per_second(value: float) -> str:
    """`91/s`, small rates with a digit behind the point."""
    return f"{value:,.0f}/s" if abs(value) >= 10 or value == int(value) else f"{value:,.1f}/s"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.1 d`: as exact as such a forecast deserves."""
    for size, unit in STEPS:
        if seconds >= 2 * size:
            amount = seconds / size
            return f"{amount:.0f} {unit}" if amount >= 10 else f"{amount:.1f} {unit}"
    return f"{seconds:.0f} s"


def size(bytes_: int) -> str:
    """`20.5 MB` in powers of 1,024, as free(1) counts."""
    for unit, power in (("GB", 30), ("MB", 20)):
        if bytes_ >= 1 << power:
            return f"{bytes_ / (1 << power):.1f} {unit}"
    return f"{bytes_ / 1024:.0f} KB"
