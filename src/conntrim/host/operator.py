"""Who is at work, as far as the kernel and sudo say."""

from __future__ import annotations

import os
import pwd
from contextlib import suppress

UNSET = 4294967295
"""`loginuid` of what no login began: a unit, a cron job."""
LONGEST = 32
"""Characters of a name: useradd's own limit."""


def operator() -> str:
    """The user who logged in, whatever sudo or su made of them since; else whoever called sudo; else whose process it
    is."""
    with suppress(OSError, ValueError, KeyError), open("/proc/self/loginuid", encoding="ascii") as file:
        if (number := int(file.read())) != UNSET:
            return _shown(pwd.getpwuid(number).pw_name)
    with suppress(KeyError):
        return _shown(os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name)
    return str(os.getuid())


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() and not c.isspace() else "?" for c in name[:LONGEST])
