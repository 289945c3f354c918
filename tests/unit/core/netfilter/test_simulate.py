"""What single packets and dialogues meet in small rule sets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conntrim.core.model.address import parse_address
from conntrim.core.model.conntrack import CtState
from conntrim.core.model.ct_match import CtIn, CtKey, Way
from conntrim.core.model.errors import InputError
from conntrim.core.model.fields import Field
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.marks import EVERY, MarkOf, SetMark
from conntrim.core.model.nat import Nat, NatKind
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.refusal import Answered, Reject
from conntrim.core.model.ruleset import (
    Base,
    Chain,
    Dialect,
    End,
    In,
    Jump,
    Notrack,
    OpaqueMatch,
    OpaqueStatement,
    Return,
    Ruleset,
    SetZone,
    TableFamily,
    Verdict,
    XtConntrack,
)
from conntrim.core.model.service import Hook
from conntrim.core.netfilter.answers import reply_to
from conntrim.core.netfilter.dialogue import Talk, dialogue, run
from conntrim.core.netfilter.kernel import Kernel
from conntrim.core.netfilter.memory import Zone
from conntrim.core.netfilter.outcome import Fate, Outcome
from conntrim.core.netfilter.simulate import simulate
from tests.unit.core.netfilter.made import (
    ACCEPT,
    ACK,
    DROP,
    FIN,
    REJECT,
    RST,
    SYN,
    THEM,
    US,
    chain,
    dport,
    filtering,
    notrack,
    packet,
    proto,
    raw,
    rule,
    rules,
    sport,
    states,
    table,
    target,
    to_cache,
    web,
)

STATEFUL = rule(states(CtState.ESTABLISHED, CtState.RELATED, CtState.UNTRACKED), ACCEPT)
STATELESS = rule(states(CtState.INVALID), DROP)
INPUT = filtering(STATEFUL, rule(proto("tcp"), dport(80), states(CtState.NEW), ACCEPT), rule(REJECT))


def seen(outcomes: tuple[Outcome, ...]) -> list[tuple[str, str]]:
    """State and verdict of each packet."""
    return [(o.state.name.lower() if o.state is not None else "-", str(o.verdict)) for o in outcomes]


def test_tcp_connection_is_new_then_established() -> None:
    """K7: the SYN is NEW, everything after the SYN/ACK ESTABLISHED; one entry."""
    outcomes = run(rules(INPUT), dialogue(Talk.TCP, web()))
    assert [("new", "accept")] + [("established", "accept")] * 7 == seen(outcomes)
    assert 1 == len(outcomes[-1].memory.entries)
    assert outcomes[0].made == outcomes[0].memory.entries[0]


def test_nothing_is_tracked_without_a_user() -> None:
    """K5: NOTRACK and port matches alone do not switch conntrack on."""
    outcome = simulate(rules(raw((notrack(dport(81)),))), web())
    assert (None, ()) == (outcome.state, outcome.memory.entries)


def test_untracked_on_both_sides_leaves_no_entry() -> None:
    """K14: with both legs untracked every packet is UNTRACKED and the table stays empty."""
    outcomes = run(rules(raw((notrack(dport(80)),), (notrack(sport(80)),)), INPUT), dialogue(Talk.TCP, web()))
    assert [("untracked", "accept")] * 8 == seen(outcomes)
    assert () == outcomes[-1].memory.entries


def test_one_sided_notrack_spares_nothing() -> None:
    """K14: PREROUTING alone: the SYN/ACK is INVALID, then the server's data is picked up as NEW."""
    outcomes = run(rules(raw((notrack(dport(80)),)), INPUT), dialogue(Talk.TCP, web()))
    answers = [o.state for o in outcomes if o.packet.oif]
    assert [CtState.INVALID, CtState.NEW, CtState.NEW] == answers
    assert 1 == len(outcomes[-1].memory.entries)


def test_one_sided_output_rule_breaks_the_connection() -> None:
    """K15: outgoing SYN untracked, its SYN/ACK not: it is INVALID and rejected."""
    outcomes = run(rules(raw((), (notrack(dport(11211)),)), INPUT), dialogue(Talk.TCP, to_cache()), until_lost=True)
    assert [("untracked", "accept"), ("invalid", "reject")] == seen(outcomes)


def test_loopback_keeps_the_mark_of_output() -> None:
    """K16: PREROUTING rules do nothing on lo, an OUTPUT rule decides for the whole way."""
    looped = replace(web(), iif="lo", oif="lo")
    before, after = (
        run(rules(raw(*sides), INPUT), [looped])[0]
        for sides in (((notrack(dport(80)),), ()), ((), (notrack(dport(80)),)))
    )
    assert (CtState.NEW, CtState.UNTRACKED) == (before.state, after.state)


def test_a_stranger_comes_in_through_the_hole() -> None:
    """K20: from source port 11211 a stranger reaches a port that is rejected otherwise."""
    hole = rules(raw((notrack(sport(11211)),)), INPUT)
    assert Fate.ACCEPT is simulate(hole, packet(sport=11211, dport=3306, flags=SYN)).verdict
    assert Fate.REJECT is simulate(hole, packet(sport=11212, dport=3306, flags=SYN)).verdict


def test_raw_accept_comes_first() -> None:
    """K9: an ACCEPT before NOTRACK prevents it; NOTRACK itself does not end the chain."""
    accepted = rules(raw((rule(ACCEPT), notrack())), INPUT)
    dropped = rules(raw((notrack(), rule(DROP))), INPUT)
    assert CtState.NEW is simulate(accepted, web()).state
    assert Fate.DROP is simulate(dropped, web()).verdict


@pytest.mark.parametrize(
    ("dialect", "order", "state"),
    [
        (Dialect.IPTABLES_NFT, "zone notrack", CtState.NEW),
        (Dialect.IPTABLES_NFT, "notrack zone", CtState.UNTRACKED),
        (Dialect.NFTABLES, "zone notrack", CtState.NEW),
        (Dialect.NFTABLES, "notrack zone", CtState.NEW),
    ],
)
def test_zone_and_notrack(dialect: Dialect, order: str, state: CtState) -> None:
    """K10: behind a zone NOTRACK does nothing; a zone behind NOTRACK tracks again in nft only."""
    kinds = {"zone": rule(SetZone(5)), "notrack": rule(Notrack())}
    made = table("raw", chain(Hook.PREROUTING, "raw", *(kinds[k] for k in order.split())), dialect=dialect)
    assert state is simulate(rules(made, INPUT), web()).state


def test_late_notrack_only_renames_invalid() -> None:
    """K11: an nft notrack behind conntrack leaves NEW alone and turns INVALID into UNTRACKED."""
    late = table("t", chain(Hook.INPUT, "mangle", rule(Notrack())), dialect=Dialect.NFTABLES)
    assert CtState.NEW is simulate(rules(late, INPUT), web()).state
    assert CtState.UNTRACKED is simulate(rules(late, INPUT), web(SYN | ACK)).state


def test_an_entry_does_not_protect_its_flow() -> None:
    """K12: a known flow's next packet is UNTRACKED once a rule says so; the entry stays as it was."""
    before = run(rules(INPUT), dialogue(Talk.TCP, web())[:3])[-1].memory
    after = simulate(rules(raw((notrack(),)), INPUT), web(ACK), before)
    assert CtState.UNTRACKED is after.state
    assert before.entries == after.memory.entries


def test_live_flows_are_picked_up() -> None:
    """K13: without an entry an ACK is NEW with tcp_loose=1 and INVALID with 0."""
    assert CtState.NEW is simulate(rules(INPUT), web(ACK)).state
    assert CtState.INVALID is simulate(rules(INPUT), web(ACK), kernel=Kernel(tcp_loose=False)).state


def test_a_full_table_drops_what_would_be_new() -> None:
    """K8: the packet is dropped before any filter; untracked packets pass."""
    full = Kernel(full=True)
    assert Fate.DROP is simulate(rules(INPUT), web(), kernel=full).verdict
    assert Fate.ACCEPT is simulate(rules(raw((notrack(),)), INPUT), web(), kernel=full).verdict


def test_a_dropped_packet_leaves_no_entry() -> None:
    """An entry is confirmed only where the packet gets through."""
    assert () == simulate(rules(INPUT), packet(sport=4000, dport=3306, flags=SYN)).memory.entries


def test_refused_connection_forgets_its_entry() -> None:
    """A RST as the first answer deletes the entry."""
    outcomes = run(rules(INPUT), [web(), reply_to(web(RST | ACK))])
    assert (1, 0) == tuple(len(o.memory.entries) for o in outcomes)


def test_icmp_error_about_a_known_flow_is_related() -> None:
    """An ICMP error is RELATED to the flow that it is about, INVALID where that is unknown or untracked."""
    tracked = run(rules(INPUT), dialogue(Talk.TCP, web(), error=True))
    untracked = run(
        rules(raw((notrack(dport(80)),), (notrack(sport(80)),)), INPUT), dialogue(Talk.TCP, web(), error=True)
    )
    assert CtState.RELATED is tracked[2].state
    assert (CtState.INVALID, Fate.REJECT) == (untracked[2].state, untracked[2].verdict)


def test_rejects_answer() -> None:
    """K19: REJECT's answer is RELATED for a tracked packet, INVALID for an untracked one whatever raw OUTPUT says."""
    refuse = rule(End(Verdict.REJECT, Reject(Answered.ICMP, 3)))
    all_untracked = rule(Notrack())
    silence = rule(states(CtState.INVALID), DROP)
    tracked = simulate(rules(filtering(refuse, rule(states(CtState.NEW)), output=(silence,))), web())
    untracked = simulate(rules(raw((all_untracked,), (all_untracked,)), filtering(refuse, output=(silence,))), web())
    assert tracked.answer is not None
    assert untracked.answer is not None
    assert (CtState.RELATED, Fate.ACCEPT) == (tracked.answer.state, tracked.answer.verdict)
    assert (CtState.INVALID, Fate.DROP) == (untracked.answer.state, untracked.answer.verdict)


ADDRESSES = ((THEM, US), ("2001:db8::9", "2001:db8::1"))
ICMPX = (
    (0, 3 << 8 | 0, 1 << 8 | 0), (1, 3 << 8 | 3, 1 << 8 | 4), (2, 3 << 8 | 1, 1 << 8 | 3), (3, 3 << 8 | 13, 1 << 8 | 1),
)  # fmt: skip


@pytest.mark.parametrize(("code", "v4", "v6"), ICMPX)
def test_icmpx_is_of_the_packets_family(code: int, v4: int, v6: int) -> None:
    """`reject with icmpx host-unreachable` is ICMP 3/1, and over IPv6 1/3; likewise the other three."""
    refuse = filtering(rule(End(Verdict.REJECT, Reject(Answered.ICMPX, code))))
    inet = Ruleset((replace(refuse, dialect=Dialect.NFTABLES, family=TableFamily.INET),))
    answers = [simulate(inet, packet(src=src, dst=dst, dport=80, flags=SYN)).answer for src, dst in ADDRESSES]
    assert [v4, v6] == [answer and answer.packet.icmp for answer in answers]


def to(address: str) -> CtIn:
    """`--ctorigdst address`."""
    return CtIn(CtKey.DST, Intervals.of(parse_address(address)), way=Way.ORIGINAL)


def test_options_beside_ctstate_are_ignored_without_an_entry() -> None:
    """K21: `--ctstate UNTRACKED --ctorigdst 9.9.9.9` matches an untracked packet, no `--ctstate` never does."""
    both = rule(XtConntrack(Intervals.of(CtState.UNTRACKED), others=(to("9.9.9.9"),)), ACCEPT)
    alone = rule(XtConntrack(None, others=(replace(to("9.9.9.9"), negated=True),)), ACCEPT)
    fates = [simulate(rules(raw((notrack(),)), filtering(r, rule(DROP))), web()).verdict for r in (both, alone)]
    assert [Fate.ACCEPT, Fate.DROP] == fates


def test_options_are_read_from_the_entry() -> None:
    """With an entry the options of `-m conntrack` decide."""
    not_81 = CtIn(CtKey.DPORT, Intervals.of(81), None, True, Way.ORIGINAL)
    to_us = rule(XtConntrack(None, others=(to(US), not_81)), ACCEPT)
    assert Fate.ACCEPT is simulate(rules(filtering(to_us, rule(DROP))), web()).verdict


def test_equal_priorities_are_tried_in_both_orders() -> None:
    """K2: two chains of one priority of which the first one's effect decides: order-dependent."""
    marks = chain(Hook.PREROUTING, "raw", rule(SetZone(1)))
    unmarks = chain(Hook.PREROUTING, "raw", rule(Notrack()))
    tied = rules(table("a", marks), table("b", unmarks), filtering(STATEFUL, rule(DROP)))
    outcome = simulate(tied, web())
    assert Fate.NOT_DECIDED is outcome.verdict
    assert "prerouting at priority -300" in outcome.undecided[0]


def test_an_opaque_match_that_does_not_matter_is_no_question() -> None:
    """Both answers to an unknown match lead to the same end: the packet is decided."""
    unknown = OpaqueMatch("recent", "-m recent --rcheck")
    assert Fate.DROP is simulate(rules(filtering(rule(unknown, DROP), rule(DROP))), web()).verdict


def test_an_opaque_match_that_matters_is_not_decided() -> None:
    """An unknown match between accept and drop leaves the packet open, and is named; an assumption settles it."""
    unknown = OpaqueMatch("recent", "-m recent --rcheck")
    made = rules(filtering(rule(unknown, ACCEPT), rule(DROP)))
    outcome = simulate(made, web())
    assert (Fate.NOT_DECIDED, ("recent: -m recent --rcheck",)) == (outcome.verdict, outcome.undecided)
    assert Fate.ACCEPT is simulate(made, web(), assume={outcome.undecided[0]: True}).verdict


def test_ct_keys_without_an_entry_never_match() -> None:
    """K21, K23: connmark and nft's ct keys do not match an untracked packet, so they are decided."""
    mark = OpaqueMatch("connmark", "-m connmark ! --mark 5")
    made = rules(raw((notrack(),)), filtering(rule(mark, ACCEPT), rule(DROP)))
    assert Fate.DROP is simulate(made, web()).verdict


def test_accept_ends_one_base_chain_only() -> None:
    """K3: a later base chain still drops what an earlier one accepted."""
    late = table("late", Chain("LATE", (rule(DROP),), Base("filter", Hook.INPUT, 10)))
    assert Fate.DROP is simulate(rules(filtering(rule(ACCEPT)), late), web()).verdict


def test_jump_return_goto() -> None:
    """RETURN comes back behind the jump; the end of a goto's chain ends the calling chain too."""
    inner = Chain("inner", (rule(dport(80), Return()), rule(DROP)))
    hop = Chain("hop", (rule(Jump("inner", goto=True)), rule(DROP)))
    base = chain(Hook.INPUT, "filter", rule(Jump("hop")), rule(ACCEPT), policy=Verdict.DROP)
    made = rules(table("filter", base, inner, hop))
    assert Fate.ACCEPT is simulate(made, web()).verdict
    assert Fate.DROP is simulate(made, packet(sport=4000, dport=81, flags=SYN)).verdict


def test_jump_to_a_missing_chain_names_the_line() -> None:
    """A rule set that no parser looked at fails with its place, not with a traceback."""
    with pytest.raises(InputError, match="rules:1: jump to a missing chain nowhere"):
        simulate(rules(filtering(rule(Jump("nowhere")))), web())


def test_destination_nat_forwards_and_comes_back() -> None:
    """A translated connection goes on to the inner server, and the answer leaves with our address."""
    inner = packet(dst="10.0.0.2").dst
    moved = Nat(NatKind.DNAT, (inner, inner), (8080, 8080))
    dnat = chain(Hook.PREROUTING, "nat", rule(proto("tcp"), dport(80), moved))
    client = replace(web(), oif="")
    outcomes = run(rules(table("nat", dnat)), [client, replace(reply_to(client), iif="eth1", oif="eth0")])
    went, came = outcomes
    assert (inner, 8080) == (went.left.dst, went.left.dport)
    assert (CtState.ESTABLISHED, client.dst, 80) == (came.state, came.left.src, came.left.sport)
    assert 10 == came.packet.src >> 24 & 0xFF


def test_untracked_packets_are_not_translated() -> None:
    """K4: a NAT rule counts nothing for a packet that NOTRACK has marked."""
    redirect = table(
        "nat", chain(Hook.PREROUTING, "nat", rule(proto("tcp"), Nat(NatKind.REDIRECT, ports=(8080, 8080))))
    )
    assert 80 == simulate(rules(redirect, raw((notrack(),))), web()).left.dport
    assert 8080 == simulate(rules(redirect), web()).left.dport


def test_fragments_are_whole_where_conntrack_is_active() -> None:
    """K6: without conntrack a later fragment has no port in raw; with it the rules see the whole packet."""
    later = replace(web(), fragment=True)
    by_port = table("raw", chain(Hook.PREROUTING, "raw", rule(proto("tcp"), dport(80), ACCEPT), rule(DROP)))
    assert Fate.DROP is simulate(rules(by_port), later).verdict
    assert Fate.ACCEPT is simulate(rules(by_port), later, kernel=Kernel(active=True)).verdict


def test_the_host_puts_together_what_is_for_it() -> None:
    """K6, K117: whoever tracks it or not, INPUT sees the whole packet; FORWARD sees a fragment."""
    later = replace(web(), fragment=True)
    by_port = (rule(proto("tcp"), dport(80), ACCEPT), rule(DROP))
    assert Fate.ACCEPT is simulate(rules(filtering(*by_port)), later).verdict
    forward = table("filter", chain(Hook.FORWARD, "filter", *by_port))
    assert Fate.DROP is simulate(rules(forward), replace(later, oif="eth1")).verdict


def test_a_packet_that_lacks_the_field_does_not_match() -> None:
    """A port match never fits an ICMP packet, negated neither."""
    not_80 = In(Field.DPORT, Intervals.of((0, 79), (81, 65535)))
    echo = packet("icmp", icmp=8 << 8)
    assert Protocol.ICMP == echo.protocol
    assert Fate.ACCEPT is simulate(rules(filtering(rule(not_80, DROP))), echo).verdict


def test_closing_and_opening_again() -> None:
    """A SYN for a connection that was closed deletes the old entry and opens a new one."""
    closed = run(rules(INPUT), dialogue(Talk.TCP, web()))[-1].memory
    again = simulate(rules(INPUT), web(), closed)
    assert CtState.NEW is again.state
    assert 1 == len(again.memory.entries)
    assert CtState.INVALID is simulate(rules(INPUT), web(FIN), closed).state


def test_an_unknown_mark_is_not_decided_until_it_is_set() -> None:
    """Behind a mark from a map a mark match is open; a rule that sets the mark settles it."""
    mapped = target("meta mark", "meta mark set tcp dport map @marks")
    marked = rule(In(Field.MARK, Intervals.of(5)), DROP)
    assert Fate.NOT_DECIDED is simulate(rules(filtering(STATELESS, mapped, marked)), web()).verdict
    assert Fate.DROP is simulate(rules(filtering(STATELESS, mapped, rule(SetMark(5)), marked)), web()).verdict


def test_a_mark_is_saved_and_restored() -> None:
    """What CONNMARK saves in the entry it restores to later packets; one without an entry keeps its own (K24)."""
    save = rule(SetMark(0, EVERY, MarkOf.ENTRY, MarkOf.PACKET, EVERY))
    restore = rule(SetMark(0, EVERY, MarkOf.PACKET, MarkOf.ENTRY, EVERY))
    marked = rule(In(Field.MARK, Intervals.of(5)), DROP)
    known = simulate(rules(filtering(STATELESS, rule(SetMark(5)), save)), web()).memory
    assert [5] == [entry.mark for entry in known.entries]
    both = rules(filtering(STATELESS, restore, marked))
    assert (Fate.DROP, Fate.ACCEPT) == (simulate(both, web(), known).verdict, simulate(both, web()).verdict)
    assert Fate.ACCEPT is simulate(rules(raw((notrack(),)), filtering(restore, marked)), web(), known).verdict


def test_a_rule_ends_where_a_map_has_nothing() -> None:
    """nft ends a rule at a look-up that finds nothing, so what stands behind it is open."""
    mapped = rule(OpaqueStatement("meta mark", "meta mark set tcp dport map @marks", may_break=True), DROP)
    assert Fate.NOT_DECIDED is simulate(rules(filtering(STATELESS, mapped)), web()).verdict


def test_only_nft_ends_a_rule_that_reads_a_mark_of_no_entry() -> None:
    """K53: behind `ct mark set ct mark | 1` an untracked packet meets nothing more of nft's rule; iptables goes on."""
    marks = filtering(rule(SetMark(1, 1, MarkOf.ENTRY), DROP))
    untracked = raw((notrack(),))
    nft = replace(marks, dialect=Dialect.NFTABLES)
    assert [Fate.ACCEPT, Fate.DROP] == [simulate(rules(untracked, each), web()).verdict for each in (nft, marks)]


def test_a_zone_may_be_the_mark() -> None:
    """`CT --zone-orig mark` puts the flow into the zone that the packet's mark names, for its own direction."""
    before = table("mangle", replace(chain(Hook.PREROUTING, "mangle", rule(SetMark(7))), base=EARLY))
    zoned = simulate(rules(before, raw((rule(SetZone(None, "original")),)), INPUT), web())
    assert [Zone(7, "original")] == [entry.zone for entry in zoned.memory.entries]


EARLY = Base("filter", Hook.PREROUTING, -310)


def test_an_unknown_target_is_not_decided() -> None:
    """TPROXY may take the packet or not: open before an accept, and named."""
    outcome = simulate(rules(filtering(target("TPROXY", "--on-port 81"))), web())
    assert (Fate.NOT_DECIDED, ("TPROXY: --on-port 81: a program listens there",)) == (
        outcome.verdict,
        outcome.undecided,
    )
