"""Edits of a rule set as a reader carries them out: lines of a file, or commands of nft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote

from conntrim.core.model.change import anchor_of
from conntrim.core.model.finding import Edit, How, Place

HOWS: dict[How, str] = {
    How.REPLACE: "replace {} by", How.BEFORE: "put before {}", How.AFTER: "put after {}", How.REMOVE: "remove {}",
}  # fmt: skip
"""What is said of lines; what makes chains is nft's alone."""

COMMANDS: dict[How, tuple[str, ...]] = {
    How.REPLACE: ("insert rule {place} {text}", "delete rule {place}"), How.BEFORE: ("insert rule {place} {text}",),
    How.AFTER: ("add rule {place} {text}",), How.REMOVE: ("delete rule {place}",),
    How.APPEND: ("add rule {place} {text}",), How.CHAIN: ("add chain {place} {text}",),
}  # fmt: skip
"""nft's commands; `replace rule` makes nft 1.0.6 abort on some sets (K49), and so do both in one batch."""


def is_command(edit: Edit) -> bool:
    """Whether nft does it: to a chain, or to a rule whose handle the listing tells."""
    anchor = anchor_of(edit.operation)
    return bool(edit.place.within) and (anchor is None or anchor.handle > 0)


def commands(edit: Edit) -> tuple[str, ...]:
    """What to give to nft, one argument each."""
    return tuple(form.format(place=edit.place.within, text=edit.text).strip() for form in COMMANDS[edit.how])


def instructions(edits: Sequence[Edit]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What to do, and the lines that go there; commands stand for themselves."""
    shown: dict[tuple[How, Place], list[str]] = {}
    for edit in (e for e in edits if not is_command(e)):
        shown.setdefault((edit.how, edit.place), []).append(edit.text)
    for (how, place), texts in shown.items():
        yield HOWS[how].format(place), tuple(filter(None, texts))
    if told := tuple(dict.fromkeys(f"nft {quote(c)}" for e in edits if is_command(e) for c in commands(e))):
        yield "run", told
