"""The files that an operator names for one host, told apart by their content and read."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from conntrim.app.ports.inputs import Inputs
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Counters
from conntrim.core.parse.host_text import Form, counters_of, events_of, form_of, settings_of
from conntrim.core.parse.proc_stat import proc_stat
from conntrim.host.sources import opened, read_whole

HEAD = 1 << 16
LARGEST = 64 << 20
"""Bytes of anything but a listing or a log, which are read in pieces."""


def read_inputs(paths: Sequence[str]) -> Inputs:
    """Each file by its content. A pipe, and standard input, are listings. InputError where two listings are named."""
    found: dict[Form, list[str]] = {form: [] for form in Form}
    for path in paths:
        found[_form(path)].append(path)
    if len(found[Form.LISTING]) > 1:
        raise InputError(found[Form.LISTING][1], "a second listing", advice="name one, or put them into one file")
    counters = Counters()
    for path in found[Form.COUNTERS]:
        counters = counters_of(_text(path, "counters"), path)
    for path in found[Form.PROC_STAT]:
        counters = proc_stat(_text(path, "counters"), path)
    settings: dict[str, int] = {}
    for path in found[Form.SETTINGS]:
        settings |= settings_of(_text(path, "settings"))
    events = None
    for path in found[Form.EVENTS]:
        with opened(path) as stream:
            events = events_of(stream)
    return Inputs(
        listing=next(iter(found[Form.LISTING]), None), logs=tuple(found[Form.LOG]), rules=tuple(found[Form.RULES]),
        settings=settings, counters=counters, events=events,
    )  # fmt: skip


def _form(path: str) -> Form:
    try:
        regular = path != "-" and stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        regular = False
    if not regular:
        return Form.LISTING
    with opened(path) as stream:
        return form_of(stream.read1(HEAD))


def _text(path: str, what: str) -> str:
    return read_whole(path, LARGEST, what).decode("utf-8", "replace")
