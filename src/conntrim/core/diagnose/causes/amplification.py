"""UDP amplification: forged questions, so that answers flood somebody else.

What it says:
    Many inbound entries of a UDP service whose answers are larger than the
    questions, from a few outside addresses, or from ports that no client
    uses.

Why it matters:
    The addresses are the victims', not the askers'. This host is the weapon,
    and its table fills with the questions.

What to do:
    Close the service to the outside, or answer less: rate limits (DNS RRL,
    NTP noquery), no open recursion. Drop its questions in raw PREROUTING
    meanwhile.

Caveats:
    A resolver whose clients come through one address translation looks alike.
"""

from __future__ import annotations

from conntrim.core.census.membership import Mask
from conntrim.core.diagnose.case import Case
from conntrim.core.diagnose.causes.claim import Claim, Habit
from conntrim.core.diagnose.causes.cures import Cures
from conntrim.core.diagnose.view import View
from conntrim.core.diagnose.wording import number
from conntrim.core.model.address_types import PRIVATE

CODE, NAME, HABIT = "CT039", "amplification", Habit.WRONG

AMPLIFIERS: dict[int, str] = {
    17: "qotd", 19: "chargen", 53: "DNS", 111: "rpcbind", 123: "NTP", 137: "NetBIOS", 161: "SNMP", 389: "CLDAP",
    520: "RIP", 1434: "MS-SQL", 1900: "SSDP", 3283: "ARD", 3702: "WS-Discovery", 5093: "Sentinel", 5351: "NAT-PMP",
    5353: "mDNS", 11211: "memcached", 27015: "Steam",
}  # fmt: skip
EACH, SERVER_PORTS = 20, 0.5
"""Entries an address at least; or the share of questions from ports below 1024 other than the service's own."""


def claim(case: Case, view: View, free: Mask) -> Claim | None:
    """Questions to the amplifier that has most of them."""
    asked = free & view.unicast & view.udp & view.inbound
    for top in view.tops(view.port, asked, 5):
        name, theirs = AMPLIFIERS.get(top.value), asked & (view.port == top.value)
        if name is None:
            continue
        victims = [each for each in view.tops(view.client, theirs, 50) if view.address(each.value) not in PRIVATE]
        of_victims = sum(each.entries for each in victims)
        forged = theirs & (view.client_port < 1024) & (view.client_port != top.value)
        few = of_victims >= EACH * len(victims) > 0 and of_victims >= top.entries / 2
        if not few and view.share(forged, theirs) < SERVER_PORTS:
            continue
        cures = Cures(case, view, theirs)
        return Claim(
            theirs,
            f"UDP amplification through {name} (udp/{top.value})",
            (
                f"{view.count(theirs)} questions, {number(of_victims // max(len(victims), 1))} from an address",
                f"the most from {view.names(view.client, theirs)}: more likely victims than askers",
            ),
            ("clients behind one address translation look alike",),
            (
                cures.repair(
                    f"drop the questions before tracking: udp/{top.value} is closed meanwhile",
                    f"iptables -t raw -I PREROUTING -p udp --dport {top.value} -j DROP", works_in="at once",
                ),
                cures.delete(f"udp/{top.value}", "-p", "udp", "--dport", str(top.value)),
                cures.repair(f"close {name} to the outside, or limit its answers"),
            ),
            tuple(view.name(each.value) for each in victims[:3]),
        )  # fmt: skip
    return None
