"""The directory that `conntrim plan -o` writes, read back."""

from __future__ import annotations

import os

from conntrim.core.model.errors import InputError
from conntrim.core.model.plan import Plan
from conntrim.core.parse.plan import parse_plan


def read_plan(directory: str) -> Plan:
    """The plan of a directory, or of its plan.json named itself. InputError where there is none."""
    path = os.path.join(directory, "plan.json") if os.path.isdir(directory) else directory
    try:
        with open(path, "rb") as file:
            return parse_plan(file.read(), path)
    except OSError as error:
        advice = "name the directory that conntrim plan -o wrote"
        raise InputError(path, error.strerror or str(error), advice=advice) from error
