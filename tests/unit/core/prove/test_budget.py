"""Questions that are too large, or that nobody can answer: an end in bounded work, and words that say so."""

from __future__ import annotations

from collections.abc import Callable

from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan
from conntrim.core.plan.obligations.decide import decide
from conntrim.core.plan.obligations.registry import BY_SETS
from conntrim.core.prove.compare import compare
from conntrim.core.prove.diagram import Diagrams, NotDecided, deciding
from tests.unit.core.plan.planning import facts

HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"


def rules(*lines: str) -> Ruleset:
    """A filter table with these rules."""
    return read(HEAD + "".join(f"{line}\n" for line in lines) + "COMMIT\n", "rules")


def counted(limit: int) -> Callable[[], None]:
    """A clock that is up after so many looks at it."""
    left = iter(range(limit))

    def tick() -> None:
        if next(left, None) is None:
            raise NotDecided(f"more than {limit} steps of work")

    return tick


def test_a_full_node_store_is_not_decided() -> None:
    """A set with no room left in its diagram is an answer in words, not a crash."""
    sets, said = Diagrams(nodes=64), ""
    bits = [sets.var(n) for n in sets.add(40)]
    try:
        with deciding():
            made = sets.nothing
            for one, other in zip(bits[:20], bits[20:], strict=True):
                made = made | (one & other)
    except NotDecided as why:
        said = str(why)
    assert "diagram nodes" in said


def test_opaque_matches_everywhere_stay_exact_where_they_are_the_same() -> None:
    """Three hundred rules that depend on matches nobody understands: one text is one answer."""
    lines = [f"-A INPUT -p tcp -m tcp --dport {port} -m recent --rcheck --name r{port} --rsource -j ACCEPT"
             for port in range(1000, 1300)]  # fmt: skip
    before = rules(*lines)
    assert compare(before, rules(*lines)).same
    found = compare(before, rules(*lines[:-1], lines[-1].replace("r1299", "other")))
    assert {True, False} == {d.admitted for d in found.differences}
    assert all("recent" in " ".join(r.conditions) for d in found.differences for r in d.regions)


def test_thousands_of_interfaces_are_told_apart() -> None:
    """Two thousand interfaces, one of them newly let in: exactly that one is named."""
    lines = [f"-A INPUT -i tap{n} -p tcp -m tcp --dport {n % 60000 + 1} -j ACCEPT" for n in range(2000)]
    found = compare(rules(*lines), rules(*lines, "-A INPUT -i tap1234 -p udp -m udp --dport 53 -j ACCEPT"))
    assert {"udp, in by tap1234, destination port 53"} == {r.words for d in found.differences for r in d.regions}


def masked(bit: int) -> str:
    """An accept of packets whose source and destination both have this bit: 32 of them take 2**32 nodes."""
    address = ".".join(str(1 << bit >> at & 255) for at in (24, 16, 8, 0))
    return f"-A INPUT -s {address}/{address} -d {address}/{address} -j ACCEPT"


def test_sets_that_blow_up_end_in_words() -> None:
    """Sources and destinations tied bit by bit have no small diagram: not the same, not a crash, not decided."""
    lines = [masked(bit) for bit in range(32)]
    found = compare(rules(*lines), rules(*lines[::-1], "-A INPUT -p tcp -j ACCEPT"))
    assert (False, ()) == (found.same, found.differences)
    assert all("diagram nodes" in why for why in found.undecided)
    assert found.undecided


def test_a_proof_out_of_time_proves_nothing() -> None:
    """Every obligation that is asked by sets says that its time was up, none says proved."""
    before = rules("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT")
    policy = parse_policy(b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n', "policy")
    found = decide(before, before, policy, Intervals(), (32768, 60999), tick=counted(3))
    assert {(ObligationStatus.NOT_DECIDED, "more than 3 steps of work")} == {
        (o.standing, o.why) for o in found.obligations
    }


def test_a_plan_out_of_time_is_not_ready() -> None:
    """What only packet sets decide says that its time was up; the plan is not proved."""
    before = rules("-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT")
    policy = parse_policy(b'[[untrack]]\ndirection = "inbound"\nprotocol = "tcp"\nports = [80]\n', "policy")
    plan = compile_plan(Request(policy, before, facts("192.0.2.1"), tick=counted(3)))
    why = {o.name: o.why for o in plan.obligations if o.standing is ObligationStatus.NOT_DECIDED}
    assert {"more than 3 steps of work"} == {why[name] for name in (s.name for s in BY_SETS)}
    assert ObligationStatus.NOT_DECIDED is plan.status()
