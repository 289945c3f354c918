"""The one door for JSON that somebody else may have written: any fault is a ValueError that says what is wrong."""

from __future__ import annotations

import json
import re
from typing import TypeVar

import msgspec

T = TypeVar("T")

TOO_DEEP = "nested deeper than anything of ours"
_IN_TEXT, _IN_BYTES = re.compile(r"[\ud800-\udfff]|\\u[dD][89a-fA-F]"), re.compile(rb"\\u[dD][89a-fA-F]")
"""A byte that was no UTF-8 is a lone surrogate (PEP 383), in JSON its escape: msgspec takes neither."""


def read_json(data: bytes | str, kind: type[T]) -> T:
    """A value of that type; `object` for any. ValueError for whatever is none, however it is made."""
    try:
        if _IN_TEXT.search(data) if isinstance(data, str) else _IN_BYTES.search(data):
            return msgspec.convert(json.loads(data), kind)
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except (msgspec.MsgspecError, OverflowError) as error:
        raise ValueError(str(error)) from error
