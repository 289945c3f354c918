"""Time-out policies of ctnetlink: what iptables' `CT --timeout` names."""

from __future__ import annotations

from dataclasses import dataclass

from conntrim.core.model.address import Family
from conntrim.core.model.protocol import protocol_name

FAMILY_WORDS = {Family.IPV4: "inet", Family.IPV6: "inet6"}
"""Families in nfct's words."""


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """One policy, of one family and protocol; without `seconds` (by nfct's names of the states) what deletes it.

    As text it is nfct's command line. A policy cannot be deleted while a rule names it (K152).
    """

    name: str
    family: Family = Family.IPV4
    protocol: int = 0
    seconds: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        if not self.seconds:
            return f"nfct delete timeout {self.name}"
        states = " ".join(f"{state} {seconds}" for state, seconds in sorted(self.seconds))
        return f"nfct add timeout {self.name} {FAMILY_WORDS[self.family]} {protocol_name(self.protocol)} {states}"
