"""Between a trial's load and its answer: services answer through its rules, and the operator's session stays."""

from __future__ import annotations

from conntrim.app.rollout_run import RefusedError, Run
from conntrim.core.model.address import parse_address
from conntrim.core.rollout.probe import Probe, met, service_of, unproved


class Probes:
    """What a run was asked to try. Where nobody looks (`--yes`), only what proves something about the plan counts."""

    def __init__(self, run: Run) -> None:
        self.run, self.ports = run, run.ports
        self._addresses: dict[Probe, str] = {}

    @property
    def asked(self) -> tuple[Probe, ...]:
        """The probes that were named."""
        return self.run.request.probes if self.run.request else ()

    @property
    def _unattended(self) -> bool:
        return self.run.request is not None and self.run.request.unattended

    def check(self) -> None:
        """Before anything is loaded: RefusedError for a probe that would prove nothing, where nobody looks."""
        own = self.ports.prober.own() if self.asked else None
        for probe in self.asked:
            self._addresses[probe] = "" if probe.argv else self.ports.prober.address(probe)
            if own is not None and (why := unproved(probe, self.run.plan, self._addresses[probe], own)):
                self._doubt(f"the probe of {probe} proves nothing: {why}")

    def run_all(self) -> None:
        """While the guard runs; RefusedError takes the trial back."""
        self._session()
        for probe in self.asked:
            self._ask(probe)

    def _session(self) -> None:
        session = self.ports.prober.session()
        if session is None:
            return
        fate = self.ports.prober.fate(session)
        if fate.lost:
            raise RefusedError(fate.lost)
        if fate.doubt:
            self._doubt(fate.doubt)

    def _ask(self, probe: Probe) -> None:
        before = self._counted()
        address = self._addresses.get(probe) or ("" if probe.argv else self.ports.prober.address(probe))
        if why := self.ports.prober.ask(probe, address):
            raise RefusedError(f"the probe of {probe} failed: {why}")
        after = self._counted()
        if before is None or after is None:
            self.run.remark(f"the probe of {probe} answered; nft's rules do not count what they untrack")
            return
        service = None if probe.argv else service_of(probe, self.run.plan, parse_address(address))
        if probe.argv or service:
            count = met(service, before, after)
            if not count:
                self._doubt(f"no packet of {probe} was counted by the rules that untrack {service or 'a service'}")
            else:
                self.run.remark(f"{count} packets of the probe of {probe} were counted by the rules that untrack")

    def _counted(self) -> dict[str, int] | None:
        return self.ports.loader.counted(self.run.programs(), self.run.claim)

    def _doubt(self, why: str) -> None:
        """Enough to refuse where nobody looks; else the operator is told."""
        if self._unattended:
            raise RefusedError(why)
        self.run.remark(why)
