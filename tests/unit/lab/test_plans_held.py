"""Hosts, dialogues and kept courses of the oracle of plans, without a kernel."""

from __future__ import annotations

from conntrim.core.model.address import Family
from conntrim.lab.held.kept import OPEN, script_of
from conntrim.lab.held.play import DONE, LOST, Played
from conntrim.lab.held.talks import HIGH
from conntrim.lab.held.talks import made as talk
from conntrim.lab.layouts.registry import LAYOUTS
from conntrim.lab.plans.company import amid
from conntrim.lab.plans.hosts import PlannedHost, host
from conntrim.lab.plans.judge import Listed, Pair, Phase, PlanFault, judged
from conntrim.lab.plans.kept import KeptCourse, format_course, parse_course
from conntrim.lab.plans.talks import talks_of
from tests.fakes.plans import fake_plan

MANY = 150


def test_a_kept_course_is_read_as_it_was_written() -> None:
    """Host, service and dialogues come back from the file."""
    for index in range(30):
        made = host(1, index)
        kept = KeptCourse("a kind", OPEN, made, talks_of(1, index, made), ("words",))
        back = parse_course(format_course(kept), "test")
        assert (kept.host.wishes, kept.talks, kept.words) == (back.host.wishes, back.talks, back.words)
        assert [b.text for b in kept.host.batches] == [b.text for b in back.host.batches]
        assert format_course(kept) == format_course(back)


def test_hosts_are_of_every_layout_and_back_end() -> None:
    """A few hundred hosts have all layouts, the three back ends, nft beside iptables, expiry and confirm, both ways."""
    made = [host(1, index) for index in range(MANY)]
    names = {each.name.partition(",")[0] for each in made}
    assert len(LAYOUTS) <= len(names)
    assert {"made up", "made up, untracking"} & {each.name for each in made}
    backs = {each.dialects for each in made}
    assert {"nft", "iptables-nft", "iptables-legacy", "iptables-nft + nft"} <= backs
    assert {(True, True), (True, False), (False, True)} <= {(each.keeps, each.listening) for each in made}
    assert {"inbound", "outbound"} == {wish.direction for each in made for wish in each.wishes}


def test_strangers_and_the_own_port_are_among_the_dialogues() -> None:
    """Each host has unsolicited packets, and what is opened from the service's port, by it or from behind."""
    for index in range(20):
        made = host(2, index)
        talks = talks_of(2, index, made)
        ports = {wish.port for wish in made.wishes}
        assert any(talk.unsolicited for talk in talks.whole)
        assert any(talk.a.port in ports and talk.path == "through from behind" for talk in talks.whole)
        assert talks.across or talks.late


def test_a_rate_excuses_an_opener_whose_like_was_let_in() -> None:
    """Host and twin need not let in the same of many pings at one a second; what the twin never lets in is a hole."""
    ping, other = (talk("echo", "in from nobody", Family.IPV4, port=0, client=HIGH + n) for n in (1, 2))
    let_in, refused = Played(DONE, 2, came=(("host", 1, 2, 3, 4),)), Played(LOST, 0)
    rated, plain = "-p icmp -m limit --limit 1/sec", "-p icmp"
    for words, twin_before, holes in ((rated, let_in, 0), (rated, refused, 1), (plain, let_in, 1)):
        script = script_of([("iptables-restore", f"*filter\n:INPUT DROP\n-A INPUT {words} -j ACCEPT\nCOMMIT\n")])
        listed = Listed(PlannedHost("metered", (script,), ()), fake_plan())
        list(judged([Pair(other, twin_before, twin_before)], Phase.BEFORE, listed))
        found = list(judged([Pair(ping, let_in, refused)], Phase.BEFORE, listed))
        assert [PlanFault.HOLE] * holes == [each.fault for each in found]


def test_an_error_comes_at_once() -> None:
    """No dialogue stops between a packet and the error about it: both meet the rules of one moment."""
    for share in (0.2, 0.4, 0.45, 0.7):
        for client in range(HIGH, HIGH + 3):
            made = talk("tcp, error", "in from far", Family.IPV4, port=22, client=client)
            assert not made.turns[amid(share)(made)].error
