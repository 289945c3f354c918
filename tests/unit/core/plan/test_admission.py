"""Each leg keeps the fate its tracked self had: where accepts go, and what is not copied."""

import pytest

from conntrim.core.model.plan import ObligationStatus
from tests.unit.core.plan.planning import CACHE, INBOUND, OUTBOUND, WEB, accepts, filtered, obligation, plan

ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
NEW80 = "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
ACCEPT80 = "-p tcp -m tcp --dport 80 -m conntrack --ctstate UNTRACKED -j ACCEPT"
LO = "-i lo -j ACCEPT"


def test_accept_stands_before_the_rule_that_admits() -> None:
    """The request's accept goes directly before the NEW rule, in that very chain, behind an earlier blacklist."""
    made = plan(WEB, filtered(LO, ESTABLISHED, "-s 203.0.113.9/32 -j DROP", NEW80))
    assert [a for a in accepts(made) if "tcp" in a[1]] == [("INPUT", ACCEPT80, f"-A INPUT {NEW80}")]
    assert ObligationStatus.PROVED is obligation(made, "delivered").standing


def test_rule_without_a_state_needs_nothing() -> None:
    """A port that is open whatever the state stays open; nothing is added for the leg."""
    made = plan(WEB, filtered(LO, ESTABLISHED, "-p tcp -m tcp --dport 80 -j ACCEPT"))
    assert [a for a in accepts(made) if "tcp" in a[1]] == []
    assert ObligationStatus.PROVED is obligation(made, "delivered").standing


def test_source_and_interface_of_the_admitting_rule_stay() -> None:
    """What the operator asked besides the state is asked of the untracked packets too."""
    admitting = "-s 10.0.0.0/8 -i eth1 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
    made = plan(WEB, filtered(LO, ESTABLISHED, admitting))
    rule = next(a[1] for a in accepts(made) if "--dport 80" in a[1])
    assert "-s 10.0.0.0/8" in rule
    assert "-i eth1" in rule
    assert ObligationStatus.PROVED is obligation(made, "delivered").standing


def test_two_admitting_rules_get_two_accepts() -> None:
    """Every rule that admits a part of the leg gets its own accept."""
    one = "-s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
    two = "-s 192.0.2.0/24 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
    made = plan(WEB, filtered(LO, ESTABLISHED, one, two))
    assert [b for _, r, b in accepts(made) if "--dport 80" in r] == [f"-A INPUT {one}", f"-A INPUT {two}"]


def test_refusal_by_state_is_copied_too() -> None:
    """A drop of NEW packets would pass untracked ones by; its twin keeps them out, for opening packets only."""
    blacklist = "-s 203.0.113.9/32 -m conntrack --ctstate NEW -j DROP"
    made = plan(WEB, filtered(LO, ESTABLISHED, blacklist, "-p tcp -m tcp --dport 80 -j ACCEPT"))
    twins = [(r, b) for _, r, b in accepts(made) if "DROP" in r]
    assert [b for _, b in twins] == [f"-A INPUT {blacklist}"]
    assert "203.0.113.9" in twins[0][0]
    assert "UNTRACKED" in twins[0][0]


def test_jump_by_state_is_copied() -> None:
    """A chain that only NEW packets enter is entered by the leg's untracked packets as well."""
    made = plan(
        WEB,
        filtered(LO, ESTABLISHED, "-m conntrack --ctstate NEW -j OPEN", "-A OPEN -p tcp -m tcp --dport 80 -j ACCEPT"),
    )
    assert [r for _, r, _ in accepts(made) if "-j OPEN" in r] == [ACCEPT80.replace("ACCEPT", "OPEN")]
    assert ObligationStatus.PROVED is obligation(made, "delivered").standing


def test_nothing_is_added_for_a_leg_that_is_refused_today() -> None:
    """A plan opens no port: the service stays closed, and the plan says so, and untracks what goes over lo."""
    made = plan(INBOUND.format("tcp", 3306), filtered(LO, ESTABLISHED, NEW80))
    assert [a for a in accepts(made) if "3306" in a[1]] == []
    assert ("inbound tcp/3306",) == made.closed
    assert any("tcp/3306" in r and "let nobody ask" in r for r in made.remarks)
    assert all("-o lo" in c.rule for c in made.changes if "3306" in c.rule)


def test_reply_is_pinned_and_never_opens() -> None:
    """The answers of a pinned server: its address, its port, our ephemeral ports, no bare SYN."""
    made = plan(CACHE, filtered(LO, ESTABLISHED))
    expected = (
        "-s 192.168.0.17/32 -p tcp -m tcp --sport 11211 --dport 32768:60999 ! --tcp-flags FIN,SYN,RST,ACK SYN "
        "-m conntrack --ctstate UNTRACKED -j ACCEPT"
    )
    assert [r for _, r, _ in accepts(made) if "11211" in r] == [expected]


def test_errors_come_before_the_invalid_drop() -> None:
    """ICMP errors, RELATED before, are INVALID now: their accepts go in front of what drops INVALID."""
    drop = "-m conntrack --ctstate INVALID -j DROP"
    made = plan(WEB, filtered(LO, drop, ESTABLISHED, NEW80))
    errors = [(r, b) for _, r, b in accepts(made) if "icmp" in r]
    assert [b for _, b in errors] == [f"-A INPUT {drop}"] * 3
    assert [f"--icmp-type {t} " in r for (r, _), t in zip(errors, (3, 11, 12), strict=True)] == [True] * 3
    assert ObligationStatus.PROVED is obligation(made, "errors-return").standing


def test_answers_leave_through_an_invalid_drop() -> None:
    """Where OUTPUT drops INVALID, the resets of REJECT and ICMP errors get their accepts (K19)."""
    made = plan(WEB, filtered(LO, ESTABLISHED, NEW80, output=("-m conntrack --ctstate INVALID -j DROP",)))
    out = [r for chain, r, _ in accepts(made) if chain == "OUTPUT"]
    assert (
        "-p tcp -m tcp --sport 80 --tcp-flags RST RST -m addrtype --src-type LOCAL -m conntrack --ctstate INVALID "
        "-j ACCEPT"
    ) in out
    assert sum("icmp" in r for r in out) == 3
    assert ObligationStatus.PROVED is obligation(made, "answers-leave").standing


def test_hoisted_accept_takes_earlier_refusals_along() -> None:
    """If an accept must move before a rule, a refusal that stood between them moves with it, in front of it."""
    odd = "-m conntrack ! --ctstate NEW,RELATED,ESTABLISHED -j DROP"
    blacklist = "-s 203.0.113.9/32 -j DROP"
    made = plan(WEB, filtered(LO, odd, blacklist, ESTABLISHED, NEW80))
    first = [r for _, r, b in accepts(made) if b == f"-A INPUT {odd}" and "--dport 80" in r]
    assert ["203.0.113.9" in r for r in first] == [True, False]
    assert ["DROP" in r for r in first] == [True, False]


def test_refusals_behind_a_jump_by_state_still_refuse() -> None:
    """A chain for NEW packets that refuses some is entered by untracked ones too, though the policy would accept."""
    rules = ["-m conntrack --ctstate NEW -j USER", "-A USER -s 203.0.113.9/32 -j DROP"]
    made = plan(WEB, filtered(*rules, policy="ACCEPT"))
    assert any("UNTRACKED" in r and r.endswith("-j USER") for _, r, _ in accepts(made))


def test_closed_by_state_stays_closed() -> None:
    """Where every NEW packet is dropped and the policy accepts, the leg's untracked packets are dropped too."""
    made = plan(WEB, filtered("-m conntrack --ctstate NEW -j DROP", policy="ACCEPT"))
    assert any("--dport 80" in r and "UNTRACKED" in r and r.endswith("-j DROP") for _, r, _ in accepts(made))


LIMITED = [
    "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m limit --limit 10/sec -j ACCEPT",
    "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m recent --name web --set -j ACCEPT",
    "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW --ctexpire 1:90 -j ACCEPT",
    "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m connlimit --connlimit-upto 5 -j ACCEPT",
]


@pytest.mark.parametrize("admitting", LIMITED)
def test_counting_rules_are_not_copied(admitting: str) -> None:
    """A rule that counts or asks the entry is not copied blindly: the plan is not ready, and names it."""
    made = plan(WEB, filtered(LO, ESTABLISHED, admitting))
    assert [a for a in accepts(made) if "--dport 80" in a[1]] == []
    found = obligation(made, "delivered")
    assert ObligationStatus.NOT_DECIDED is found.standing
    assert any("is not copied" in r and admitting in r for r in made.remarks)


def test_all_but_opening_packets_are_kept_from_what_counts() -> None:
    """A stateless rate limit saw one packet a connection: the rest is accepted in front of it, and it goes on so."""
    limit = "-p tcp -m tcp --dport 80 -m hashlimit --hashlimit-above 10/sec --hashlimit-name x -j DROP"
    made = plan(WEB, filtered(LO, ESTABLISHED, limit, NEW80))
    rest = ACCEPT80.replace("-m conntrack", "! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack")
    assert [b for _, r, b in accepts(made) if r == rest] == [f"-A INPUT {limit}"]
    assert {"loads"} == {o.name for o in made.obligations if o.standing is not ObligationStatus.PROVED}


def test_queries_cannot_be_told_from_an_opening_one() -> None:
    """Over UDP nothing tells the packet that opens a flow: a rate limit behind ESTABLISHED leaves the plan open."""
    limit = "-p udp -m udp --dport 53 -m limit --limit 10/sec -j ACCEPT"
    made = plan(INBOUND.format("udp", 53), filtered(LO, ESTABLISHED, limit))
    assert ObligationStatus.NOT_DECIDED is obligation(made, "no-ct-dependence").standing


def test_operators_wide_accept_of_untracked_is_an_exposure() -> None:
    """Where UNTRACKED is accepted from anywhere and the service is only open by one interface, the plan is broken;
    where it is open to some addresses, nobody else's packets go untracked."""
    wide = "-m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT"
    for some, standing in (("-i eth1", ObligationStatus.BROKEN), ("-s 10.0.0.0/8", ObligationStatus.PROVED)):
        accept = f"{some} -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT"
        made = plan(WEB, filtered(LO, wide, accept))
        assert standing is obligation(made, "no-exposure").standing


def test_both_families_of_ports_and_servers_are_split() -> None:
    """iptables takes one prefix a rule and fifteen ports a match: a wider service becomes several rules."""
    ports = ", ".join(str(p) for p in range(1000, 1040, 2))
    made = plan(OUTBOUND.format("udp", ports, '192.168.0.16", "192.168.0.33'), filtered(LO, ESTABLISHED))
    assert len([r for _, r, _ in accepts(made) if "-p udp" in r]) == 4


def test_flags_that_were_always_limited_are_no_news() -> None:
    """Resets dropped in front of every state match were dropped of tracked connections too: nothing has to move."""
    resets = "-p tcp -m tcp --tcp-flags RST RST -j DROP"
    made = plan(WEB, filtered(LO, resets, ESTABLISHED, NEW80))
    assert [resets in before for _, _, before in accepts(made)].count(True) == 0
    assert {"loads"} == {o.name for o in made.obligations if o.standing is not ObligationStatus.PROVED}


def test_flags_that_only_new_packets_met_are_news() -> None:
    """Behind the accept of ESTABLISHED the same rule would now meet every packet: the twins move in front of it."""
    resets = "-p tcp -m tcp --tcp-flags RST RST -j DROP"
    made = plan(WEB, filtered(LO, ESTABLISHED, resets, NEW80))
    assert any("--dport 80" in rule and resets in before for _, rule, before in accepts(made))
    assert ObligationStatus.PROVED is obligation(made, "delivered").standing


def test_guard_and_state_are_asked_before_what_is_copied() -> None:
    """A module that a twin copies is asked of nobody once the guard has expired, nor of packets in another state."""
    owned = "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT"
    text = "".join(b.text for b in plan(WEB, filtered(LO, ESTABLISHED, owned)).trial)
    line = next(row for row in text.splitlines() if "--mac-source" in row)
    order = [line.index(word) for word in ("--datestop", "--ctstate UNTRACKED", "--mac-source")]
    assert order == sorted(order)


def test_a_rule_that_leaves_a_trace_is_not_copied() -> None:
    """A rule that marks as well as decides by state: its copy would mark every packet. It is named, not copied."""
    text = "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -m recent --set --name seen --rsource -j USER"
    made = plan(WEB, filtered(LO, ESTABLISHED, text, "-A USER -j ACCEPT"))
    assert [r for _, r, _ in accepts(made) if "recent" in r] == []
    assert ObligationStatus.NOT_DECIDED is obligation(made, "no-ct-dependence").standing
