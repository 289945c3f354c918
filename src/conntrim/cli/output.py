"""The two ways to the operator: standard output, and one line on standard error. Nothing else here prints."""

from __future__ import annotations

import io
import os
import sys

import click

from conntrim.core.model.printable import one_line, shown

LONGEST = 300
"""Characters of an error: it may quote a line of a file, and such a line may be the whole file."""


def say(text: str) -> None:
    """Text whose lines are ready; what would steer a terminal is spelt out, whoever made it."""
    click.echo("\n".join(map(shown, text.split("\n"))), nl=False)


def complain(text: str) -> None:
    """What went wrong, and whose fault it is: one line."""
    click.echo(f"conntrim: {one_line(text, LONGEST)}", err=True)


def terminal_columns() -> int | None:
    """The width of the terminal that standard output is; None where it is none, or does not tell."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError):
        return None


def speak_always() -> None:
    """A locale that lacks a character gets its escape, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
