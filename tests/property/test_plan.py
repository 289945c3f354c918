"""What a plan proves by sets, asked of the packet evaluator: random filters, real dialogues, unsolicited packets."""

from __future__ import annotations

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conntrim.core.model.address import MAPPED, Family
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.packet import Packet
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.netfilter.dialogue import Talk, dialogue, run
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.compile import Request, compiled
from conntrim.core.plan.compiled import Compiled
from conntrim.core.plan.obligations.decide import obligations, proved
from tests.unit.core.plan.planning import CACHE, WEB, facts, filtered, rules

HOST, SERVER, OTHER, CLIENT = (MAPPED | (192 << 24 | 168 << 16 | n) for n in (18, 17, 16, 66))
KERNEL = Kernel(local=facts("192.168.0.18").local)

STATES = ["", "NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,ESTABLISHED", "UNTRACKED", "NEW,UNTRACKED"]
state = st.sampled_from(STATES).flatmap(
    lambda names: st.sampled_from(["", "! "]).map(lambda no: f"-m conntrack {no}--ctstate {names}" if names else "")
)
port = st.sampled_from(["", "--dport 80", "--dport 3306", "--sport 11211", "--dport 1024:65535", "--syn", "! --syn"])
source = st.sampled_from(["", "-s 192.168.0.66/32", "-s 192.168.0.0/24", "! -s 192.168.0.17/32", "-i lo", "-i eth0"])
target = st.sampled_from(["ACCEPT", "ACCEPT", "DROP", "REJECT --reject-with tcp-reset", "RETURN", "USER"])


def line(from_: str, tcp: str, ct: str, to: str) -> str:
    """One rule behind `-A CHAIN`."""
    protocol = f"-p tcp -m tcp {tcp}" if tcp or "tcp-reset" in to else ""
    return " ".join(w for w in (from_, protocol, ct, f"-j {to}") if w)


rule = st.builds(line, source, port, state, target)
user_rule = st.builds(line, source, port, state, target.filter(lambda t: t != "USER"))
out_rule = st.builds(line, st.just(""), port, state, target.filter(lambda t: t not in ("USER", "REJECT")))


@st.composite
def filters(draw: st.DrawFn) -> str:
    """A filter table with INPUT, OUTPUT and one user chain."""
    user = [f"-A USER {r}" for r in draw(st.lists(user_rule, max_size=3))] or ["-A USER -j RETURN"]
    lines = [*draw(st.lists(rule, min_size=1, max_size=6)), *user]
    out = tuple(draw(st.lists(out_rule, max_size=2)))
    return filtered(*lines, policy=draw(st.sampled_from(["ACCEPT", "DROP"])), output=out)


def made(text: str) -> Compiled:
    """The web host's plan on a filter."""
    return compiled(Request(parse_policy((WEB + CACHE).encode(), "p"), rules(text), facts("192.168.0.18")))


def statuses(plan: Compiled) -> dict[str, ObligationStatus]:
    """Every obligation's status."""
    return {o.name: o.standing for o in obligations(plan, proved(plan))}


TCP = 6
OPENERS = [
    Packet(Family.IPV4, TCP, CLIENT, HOST, 40_000, 80, iif="eth0"),
    Packet(Family.IPV4, TCP, SERVER, HOST, 40_000, 80, iif="eth0"),
    Packet(Family.IPV4, TCP, HOST, SERVER, 40_000, 11211, oif="eth0"),
    Packet(Family.IPV4, TCP, HOST, HOST, 40_000, 80, oif="lo", iif="lo"),
]
OUTSIDE = [
    Packet(Family.IPV4, TCP, source, HOST, sport, dport, iif="eth0", tcp_flags=flags)
    for source in (CLIENT, SERVER, OTHER)
    for sport, dport in ((11211, 3306), (80, 3306), (80, 40_000), (11211, 22), (40_000, 443))
    for flags in (TcpFlag.SYN, TcpFlag.ACK)
]


def fates(ruleset: Ruleset, opener: Packet, *, error: bool = False) -> list[Fate]:
    """What becomes of each packet of a dialogue."""
    packets = dialogue(Talk.TCP, opener, error=error)
    return [o.verdict for o in run(ruleset, packets, kernel=KERNEL)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(filters())
def test_proved_means_delivered(text: str) -> None:
    """Where `delivered` is proved, every dialogue that went through before goes through after, and leaves no entry."""
    plan = made(text)
    assume(statuses(plan)["delivered"] is ObligationStatus.PROVED)
    delivered = [opener for opener in OPENERS if set(fates(plan.before, opener)) == {Fate.ACCEPT}]
    assume(delivered)
    for opener in delivered:
        assert {Fate.ACCEPT} == set(fates(plan.after, opener))
        last = run(plan.after, dialogue(Talk.TCP, opener), kernel=KERNEL)[-1]
        assert not last.memory.entries


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(filters())
def test_what_is_outside_is_treated_as_before(text: str) -> None:
    """Packets outside the legs are treated the same after the plan, proved or not: nothing is let in, none is lost."""
    plan = made(text)
    for packet in OUTSIDE:
        before, after = (run(r, [packet], kernel=KERNEL)[0].verdict for r in (plan.before, plan.after))
        assert before == after


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(filters())
def test_proved_means_no_door_opens(text: str) -> None:
    """Where `no-exposure` is proved, a SYN to a leg's port that was refused stays refused."""
    plan = made(text)
    assume(statuses(plan)["no-exposure"] is ObligationStatus.PROVED)
    refused = [opener for opener in OPENERS[:2] if fates(plan.before, opener)[0] is not Fate.ACCEPT]
    assume(refused)
    assert Fate.ACCEPT not in {fates(plan.after, opener)[0] for opener in refused}
