"""conntrim's own cure of the incident, with the commands that an operator types: diagnose, plan, apply, confirm."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from conntrim.core.model.errors import HostError
from conntrim.core.model.plan import Plan
from conntrim.host import programs
from conntrim.lab.netns import LabHost
from conntrim.store.plans import read_plan


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered: its exit code and its JSON object."""

    code: int
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cure:
    """conntrim at work on one host of the lab; plan and journal live in `place`."""

    host: LabHost
    place: str

    def diagnose(self) -> Answer:
        """The doctor's report on the table as it stands."""
        return self._ask("diagnose")

    def plan(self) -> Plan:
        """A plan for the services that the table shows.

        HostError where it wants more than rules: sizes and files belong to the machine that the lab runs on.
        """
        self._ask("plan", "-o", f"{self.place}/plan")
        plan = read_plan(f"{self.place}/plan")
        if plan.settings or plan.files:
            raise HostError("conntrim plan", "proposes sizes or files: the lab would change this machine's own")
        return plan

    def apply(self, accepted: list[str]) -> Answer:
        """The plan on trial; obligations that are not decided have to be accepted by name."""
        names = [word for name in accepted for word in ("--accept", name)]
        return self._ask("apply", f"{self.place}/plan", "--trial", "60s", *names, *self._journal)

    def confirm(self) -> Answer:
        """Keep what is on trial."""
        return self._ask("confirm", "--root", self.place, *self._journal)

    @property
    def _journal(self) -> tuple[str, str]:
        return "--state", f"{self.place}/state"

    def _ask(self, *arguments: str) -> Answer:
        command = [sys.executable, "-m", "conntrim", *arguments, "--netns", self.host.name, "--json"]
        ended = programs.attempt(command)
        if not ended.output:
            raise HostError(f"conntrim {arguments[0]}", ended.errors.strip())
        return Answer(ended.code, json.loads(ended.output))


@contextmanager
def cure(host: LabHost) -> Iterator[Cure]:
    """conntrim at work on a host of the lab, with a directory of its own for the time being."""
    with tempfile.TemporaryDirectory(prefix="conntrim-cure-") as place:
        yield Cure(host, place)
