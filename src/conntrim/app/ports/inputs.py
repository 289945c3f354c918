"""What somebody saved of one host, in files told apart by their content."""

from __future__ import annotations

from dataclasses import dataclass, field

from conntrim.core.model.facts import Counters, Events


@dataclass(frozen=True, slots=True)
class Inputs:
    """The name of the listing (None: there is none), those of logs and rules, and what the other files say.

    `settings` are conntrack's sysctls by their last name, `first_port` and `last_port` the clients' port range.
    """

    listing: str | None = None
    logs: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    settings: dict[str, int] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    events: Events | None = None
