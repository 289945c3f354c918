"""What falling back costs: which connections, opened while untracked, do not go on under the rules before."""

import pytest

from conntrim.core.model.facts import Era
from conntrim.core.model.plan import ObligationStatus
from tests.unit.core.plan.planning import CACHE, INBOUND, OUTBOUND, WEB, facts, filtered, obligation, plan

LO, ESTABLISHED = "-i lo -j ACCEPT", "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
NEW80 = "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
NOT_SYN = "-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP"
WEB4, CACHE4 = (
    "inbound tcp/80 (IPv4): connections opened while untracked",
    "outbound tcp/11211 to 192.168.0.17 (IPv4): ",
)
CACHE4 += "connections opened while untracked"
CLIENT_LATE, SERVER_LATE = (
    f"{WEB4} that the client closes next end late",
    f"{CACHE4} that the server closes next end late",
)
SERVER_STALLS = f"{CACHE4} whose server speaks next stall until this host sends"
QUIET = filtered(LO, ESTABLISHED, NEW80, "-j ACCEPT", policy="ACCEPT")


def kinds(costs: tuple[str, ...]) -> set[str]:
    """Without the rule that refuses."""
    return {cost.split(" (rules")[0].split(" (chain")[0] for cost in costs}


SHAPES = {
    "usual": (filtered(LO, ESTABLISHED, NEW80), {CLIENT_LATE, SERVER_STALLS, SERVER_LATE}),
    "everything passes": (QUIET, set()),
    "new ones without a SYN are dropped": (
        filtered(LO, NOT_SYN, ESTABLISHED, NEW80),
        {
            f"{WEB4} whose client speaks next stall until this host sends", CLIENT_LATE, SERVER_STALLS, SERVER_LATE,
        },
    ),
    "they are dropped on both sides": (
        filtered(LO, NOT_SYN, ESTABLISHED, NEW80, output=(NOT_SYN,)),
        {f"{WEB4} are cut", f"{CACHE4} are cut", f"{WEB4} are cut".replace("(IPv4)", "(IPv4) on lo")},
    ),
    "answers leave only by their entry": (
        filtered(LO, ESTABLISHED, NEW80, output=(ESTABLISHED, "-p tcp -m tcp --dport 11211 -j ACCEPT", "-j DROP")),
        {
            f"{WEB4} whose server speaks next stall until the client sends", CLIENT_LATE, SERVER_STALLS, SERVER_LATE,
            f"{WEB4} that the server closes next end late",
        },
    ),
    "refused by a reset": (
        filtered(LO, ESTABLISHED, NEW80, "-p tcp -j REJECT --reject-with tcp-reset"),
        {CLIENT_LATE, f"{CACHE4} whose server speaks next are cut", SERVER_LATE},
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_lost_is_listed_by_who_speaks_next(shape: str) -> None:
    """For each shape of filter: exactly what stalls, is cut or ends late, and the plan is proved for all that."""
    rules, expected = SHAPES[shape]
    made = plan(WEB + CACHE, rules)
    assert expected == kinds(made.costs)
    assert ObligationStatus.PROVED is obligation(made, "falls-back").standing


def test_the_rule_that_refuses_is_named() -> None:
    """The operator reads which of the rules it is."""
    (cost, *_) = plan(WEB, filtered(LO, NOT_SYN, ESTABLISHED, NEW80)).costs
    assert cost.endswith(f" (rules:6 refuses it: -A INPUT {NOT_SYN})")


def test_with_loose_0_nothing_is_picked_up() -> None:
    """K13: both ends' packets are INVALID, and a filter that wants a state refuses them."""
    rules = filtered(LO, ESTABLISHED, NEW80, output=(ESTABLISHED, "-j DROP"))
    made = plan(WEB, rules, facts("192.168.0.18", loose=False))
    assert {f"{WEB4} are cut"} == kinds(made.costs)


def test_answers_under_way_are_lost_over_udp() -> None:
    """A resolver's client: the server's answer to an untracked question has no entry."""
    made = plan(OUTBOUND.format("udp", 53, "192.168.0.5"), filtered(LO, ESTABLISHED))
    (cost,) = kinds(made.costs)
    assert cost.startswith("outbound udp/53 to 192.168.0.5 (IPv4): answers under way are lost")
    assert () == plan(INBOUND.format("udp", 53), filtered(LO, ESTABLISHED, "-p udp -m udp --dport 53 -j ACCEPT")).costs


def test_where_the_model_cannot_tell_it_does_not_list() -> None:
    """A match that is unknown to the model is told as the condition of what it decides."""
    made = plan(WEB, filtered(LO, ESTABLISHED, f"-m unknown --sort 3 {NOT_SYN}", NEW80))
    (stalled,) = (cost for cost in made.costs if "stall" in cost)
    assert "`unknown: --sort 3, asked of a packet in state NEW` matches" in stalled


def test_kernels_without_a_guard_are_asked_alike() -> None:
    """The 2.6 era has no trial, but its rules are undone as well."""
    made = plan(WEB, filtered(LO, ESTABLISHED, NEW80), facts("192.168.0.18", era=Era.IP))
    assert {CLIENT_LATE} == kinds(made.costs)
