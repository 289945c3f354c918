"""Options that several verbs share, so that they are spelt and explained in one way."""

from __future__ import annotations

from pathlib import Path

import click

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.errors import InputError

netns = click.option("--netns", metavar="NAME", help="Look at this network namespace (`ip netns`) instead of ours.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
stated = click.option(
    "--state", metavar="DIR", help="Keep the journal here instead of /var/lib/conntrim or $CONNTRIM_STATE."
)

NUMBER = click.IntRange(1)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)


def local_ranges(text: str | None) -> list[tuple[int, int]]:
    """`192.0.2.1,2001:db8::/64` as inclusive ranges."""
    return prefixes("--local", text or "")


def prefixes(option: str, text: str) -> list[tuple[int, int]]:
    """Addresses and prefixes of an option as inclusive ranges."""
    ranges = []
    for part in text.split(","):
        if not part.strip():
            continue
        try:
            ranges.append(parse_prefix(part.strip()))
        except ValueError as error:
            raise InputError(option, f"{part.strip()} is no address or prefix") from error
    return ranges
