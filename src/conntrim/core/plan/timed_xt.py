"""Time-outs of services in iptables' own words: `CT --timeout` in raw, and the policies of ctnetlink that it names.

For hosts without nft. In raw nobody knows yet which way a packet goes and what it is translated to: what comes in is
told apart by the kind of its destination, which leaves out multicast and broadcast, and on a host that translates
destinations nothing is decided. The target gives a template to each packet of the service; only one that opens a
connection hands its time-outs on (K151).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conntrim.core.model.address import Family
from conntrim.core.model.address_types import AddressType
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import SLOTS, Purpose
from conntrim.core.model.policy import ServiceTimeout
from conntrim.core.model.ruleset import CtTemplate, Dialect, Interface, Return, Rule
from conntrim.core.model.service import Direction, Hook
from conntrim.core.plan.changes import FAMILY_TABLES, Own, policy_name
from conntrim.core.plan.described import Described
from conntrim.core.plan.spelling import PLACE, spell
from conntrim.core.plan.timed import Timed, opened_by

HOOKS: dict[Direction, tuple[Hook, AddressType | None]] = {
    Direction.INBOUND: (Hook.PREROUTING, AddressType.LOCAL), Direction.OUTBOUND: (Hook.OUTPUT, None),
    Direction.FORWARDED: (Hook.PREROUTING, AddressType.UNICAST),
}  # fmt: skip
"""Where raw meets the packets that open connections, and what kind their destination is."""
NFCT_NAMES = {"unack": "unacknowledged"}
"""States that nfct calls otherwise than nft."""


def timeout_chains_xt(timeouts: Sequence[Timed], dialect: Dialect) -> tuple[Own, ...]:
    """The own chains with the rules of each family, and the policies that they name."""
    found = []
    for family in Family:
        mine = [(n, each) for n, each in enumerate(timeouts, 1) if family in each[0].families()]
        rules = {hook: tuple(_rules(mine, hook, family, dialect)) for hook in (Hook.PREROUTING, Hook.OUTPUT)}
        hooked = {hook: said for hook, said in rules.items() if said}
        names = tuple((template(n, family), template(n, family, SLOTS[1])) for n, _ in mine)
        lines = tuple(str(_policy(n, family, *each)) for n, each in mine)
        if mine:
            table = FAMILY_TABLES[family]
            found.append(Own(dialect, table, hooked, purpose=Purpose.TIMEOUT, templates=names, objects=lines))
    return tuple(found)


def template(number: int, family: Family, slot: int = SLOTS[0]) -> CtTemplate:
    """What the rules of the n-th service do."""
    return CtTemplate(f"--timeout {policy_name(number, family, slot)}")


def _policy(number: int, family: Family, timeout: ServiceTimeout, seconds: dict[str, int]) -> TimeoutPolicy:
    told = tuple(sorted((NFCT_NAMES.get(state, state), each) for state, each in seconds.items()))
    return TimeoutPolicy(policy_name(number, family), family, timeout.protocol, told)


def _rules(timeouts: Sequence[tuple[int, Timed]], hook: Hook, family: Family, dialect: Dialect) -> Iterator[Rule]:
    """The rules at one hook; what goes over `lo` has its entry already, or is nobody's from outside."""
    mine = [(n, each) for n, (each, _) in timeouts if HOOKS[each.direction][0] is hook]
    if mine:
        way = "in" if hook is Hook.PREROUTING else "out"
        yield Rule((Interface(way, ("lo",)),), (Return(),), PLACE, "", "timeout lo")
    for number, timeout in mine:
        to = HOOKS[timeout.direction][1]
        fields = dict(opened_by(timeout, family))
        if to is not None:
            fields[Field.DST_TYPE] = Intervals.of(to)
        yield from spell(
            Described(fields, CtState.NEW, {}), template(number, family), f"timeout {number}", dialect,
            FAMILY_TABLES[family], tracked=False,
        )  # fmt: skip
