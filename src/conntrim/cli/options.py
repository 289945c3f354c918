"""Options that several verbs share, so that they are spelt and explained in one way."""

from __future__ import annotations

from pathlib import Path

import click

netns = click.option("--netns", metavar="NAME", help="Look at this network namespace (`ip netns`) instead of ours.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")

NUMBER = click.IntRange(1)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
