"""Between a trial's load and its answer: services answer through its rules, and the operator's session stays."""

from __future__ import annotations

from conntrim.app.rollout_run import RefusedError, Run
from conntrim.core.model.address import parse_address
from conntrim.core.model.policy import Untrack
from conntrim.core.rollout.counts import met
from conntrim.core.rollout.probe import Probe, service_of, unproved


class Probes:
    """What a run was asked to try. Where nobody looks (`--yes`), only what proves something about the plan counts."""

    def __init__(self, run: Run) -> None:
        self.run, self.ports = run, run.ports
        self._addresses: dict[Probe, str] = {}
        self._touched: set[str] = set()

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
        self._untouched()

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
        service = None if probe.argv else service_of(probe, self.run.plan, parse_address(address))
        if service or probe.argv:
            self._note(probe, service, met(self.run.plan.policy.untrack, before, self._counted()))

    def _note(self, probe: Probe, service: Untrack | None, counted: dict[str, int]) -> None:
        """Whose rules its packets met; those of its own service, where it is a connection of one."""
        mine = {name: n for name, n in counted.items() if service is None or name in ("", service.name)}
        self._touched |= mine.keys()
        if not mine:
            self._doubt(f"no packet of {probe} was counted by the rules that untrack {service or 'a service'}")
            return
        said = ", ".join(f"{n} by those of {name or 'the services'}" for name, n in mine.items())
        self.run.remark(f"packets of the probe of {probe} counted by the rules that untrack: {said}")

    def _untouched(self) -> None:
        """Planned services that no probe says anything about."""
        names = dict.fromkeys(service.name for service in self.run.plan.policy.untrack)
        if self._touched and "" not in self._touched and (left := [n for n in names if n not in self._touched]):
            self.run.remark(f"no probe has tried {', '.join(left)}")

    def _counted(self) -> dict[str, int]:
        return self.ports.loader.counted(self.run.programs(), self.run.claim)

    def _doubt(self, why: str) -> None:
        """Enough to refuse where nobody looks; else the operator is told."""
        if self._unattended:
            raise RefusedError(why)
        self.run.remark(why)
