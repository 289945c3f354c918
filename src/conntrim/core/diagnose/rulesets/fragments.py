"""A NOTRACK rule by ports stands where packets are still in fragments.

What it says:
    The chain of a NOTRACK rule runs before conntrack puts fragments
    together (priority -400), and the rule asks for ports.

Why it matters:
    Only the first fragment has ports. The rule untracks it alone; the others
    wait for it in conntrack's queue, and the datagram is lost (K48).

What to do:
    Give the chain the priority raw (-300): there packets are whole.

Caveats:
    TCP and most UDP never fragment; DNSSEC answers, NFS and tunnels do. What
    this host sends comes to OUTPUT whole. The module option
    raw_before_defrag of old iptables shows in no rule set: not seen here.
"""

from __future__ import annotations

from collections.abc import Iterator

from conntrim.core.diagnose.rulesets import raw
from conntrim.core.diagnose.rulesets.asked import names_field
from conntrim.core.diagnose.rulesets.case import RuleCase
from conntrim.core.diagnose.rulesets.no_effect import bases_of
from conntrim.core.model.fields import Field
from conntrim.core.model.finding import Finding, Severity
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.hooks import DEFRAG

CODE, NAME = "CT112", "fragments"


def check(case: RuleCase) -> Iterator[Finding]:
    """NOTRACK rules by ports in front of reassembly."""
    taking = {id(t.rule) for s in case.sides for t in s.taken}
    for rule in case.notracks:
        ported = names_field(rule, Field.SPORT) or names_field(rule, Field.DPORT)
        early = [b for b in bases_of(case.home(rule)) if b.hook is Hook.PREROUTING and b.priority <= DEFRAG]
        if ported and early and id(rule) in taking:
            yield Finding(
                CODE, Severity.WARNING, "this NOTRACK rule sees fragments, of which only the first has ports",
                (rule.text, f"its chain has priority {early[0].priority}; reassembly comes at {DEFRAG}"), rule.place,
                ("put it into a chain of priority raw (-300)",), edits=raw.moved(case, rule, Hook.PREROUTING),
            )  # fmt: skip
