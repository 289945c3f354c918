"""Sysctl settings as a file for sysctl.d."""

from __future__ import annotations

from collections.abc import Mapping

HEADER = "# Written by conntrim. The connection-tracking table: see its plan's REPORT.md.\n"


def sysctl_file(settings: Mapping[str, int]) -> str:
    """`key = value` lines. The order stays: max before buckets, as the kernel is fed line by line."""
    return HEADER + "".join(f"{key} = {value}\n" for key, value in settings.items())
