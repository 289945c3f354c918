"""A saved host and other files of it: what a file says stands in the place of what the host was saved with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from conntrim.app.diagnose import ports_of, timeouts_of
from conntrim.app.ports.inputs import Inputs
from conntrim.app.ports.kernel_log import KernelLog, LogExtract, joined
from conntrim.app.ports.saved import SavedHost
from conntrim.core.model.errors import InputError
from conntrim.core.model.facts import Era, HostFacts, Reading
from conntrim.core.model.intervals import Intervals


@dataclass(frozen=True, slots=True)
class Amended:
    """The ports `Facts` and `KernelLog` of a saved host and of files about it; `log` reads those that are logs.

    `local` and `era` are what the operator says of the host.
    """

    host: SavedHost
    inputs: Inputs
    log: KernelLog
    local: Intervals = Intervals()
    era: Era | None = None

    def read(self, netns: str | None) -> HostFacts:
        """The host's facts, but for settings, counters and events that files tell."""
        if self.inputs.listing is not None:
            what = "no settings, counters, events, log or rules; a table is in the record or collection already"
            raise InputError(self.inputs.listing, what, advice="leave it out")
        facts, settings = self.host.read(netns), self.inputs.settings
        loose = settings.get("nf_conntrack_tcp_loose")
        return replace(
            facts,
            local=self.local or facts.local,
            era=self.era or facts.era,
            max=settings.get("nf_conntrack_max", facts.max),
            buckets=settings.get("nf_conntrack_buckets", facts.buckets),
            timeouts=facts.timeouts | timeouts_of(self.inputs),
            tcp_loose=facts.tcp_loose if loose is None else bool(loose),
            local_ports=ports_of(self.inputs) if "first_port" in settings else facts.local_ports,
            counters=self.inputs.counters if self.inputs.counters.values else facts.counters,
            events=self.inputs.events or facts.events,
        )

    def reading(self, netns: str | None, not_before: float) -> Reading:
        """The changing numbers later, as the host was saved."""
        return self.host.reading(netns, not_before)

    def overflows(self, source: str | None) -> LogExtract:
        """The lines of the logs that were named, else those that the host was saved with."""
        named = (*self.inputs.logs, *((source,) if source is not None else ()))
        return joined([self.log.overflows(each) for each in named]) if named else self.host.overflows(None)
