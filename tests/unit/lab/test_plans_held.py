"""Hosts, dialogues and kept courses of the oracle of plans, without a kernel."""

from __future__ import annotations

from conntrim.lab.held.kept import OPEN
from conntrim.lab.layouts.registry import LAYOUTS
from conntrim.lab.plans.hosts import host
from conntrim.lab.plans.kept import KeptCourse, format_course, parse_course
from conntrim.lab.plans.talks import talks_of

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
