"""Options that several verbs share, so that they are spelt and explained in one way."""

from __future__ import annotations

import click

netns = click.option("--netns", metavar="NAME", help="Look at this network namespace (`ip netns`) instead of ours.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
