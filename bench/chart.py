"""The measured seconds as a bar chart in SVG."""

from __future__ import annotations

from html import escape
from typing import Any

ROW, LEFT, BAR, RIGHT = 24, 270, 380, 70
CUT = 3


def chart(run: dict[str, Any]) -> str:
    """One bar a work, seconds of the wall clock; ours in another colour. The slowest is cut off where it dwarfs the
    others.
    """
    works = run["works"]
    *_, second, slowest = sorted(got["seconds"] for got in works.values())
    longest = slowest if slowest < CUT * second else second
    height = ROW * (len(works) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + BAR + RIGHT}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="100%" height="100%" fill="white"/><text x="8" y="{ROW - 6}">'
        f"Seconds to read a table of {run['entries']:,} entries</text>",
    ]
    for i, (name, got) in enumerate(works.items(), 1):
        y, wide = ROW * i + 6, min(max(BAR * got["seconds"] / longest, 1), BAR)
        colour = "#2a6f97" if "conntrim" in name or "census" in name else "#a9a9a9"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{wide:.1f}" height="{ROW - 8}" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + wide + 6:.1f}" y="{y + 14}">{got["seconds"]:.3f}</text>')
    return "\n".join([*parts, "</svg>", ""])
