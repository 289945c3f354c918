"""The parts of the claims' oracle that need no kernel."""

import pytest

from conntrim.core.model.address import Family
from conntrim.core.model.change import FlushChain, TableKey
from conntrim.core.model.finding import Edit, Finding, How, Place, Severity
from conntrim.core.model.held import Example, Held
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Dialect, TableFamily
from conntrim.core.netfilter.memory import Tuple
from conntrim.lab.dialogue import parse_packet
from conntrim.lab.entries import Kept
from conntrim.lab.held.court import Wanted, exhibit
from conntrim.lab.held.editing import edited
from conntrim.lab.held.judge import Both, Fault, holes, paired
from conntrim.lab.held.kept import KeptTrial, format_kept, parse_kept
from conntrim.lab.held.mutation import Change, Mutation
from conntrim.lab.held.play import DONE, LOST, REFUSED, Actor, Played, halves
from conntrim.lab.held.stand import hit_prefix
from conntrim.lab.held.talks import alone, group_of, made
from conntrim.lab.held.trial import changed
from conntrim.lab.held.untracking import count, inert, lines_of, telling, without
from conntrim.lab.held.verbs import told_xt
from conntrim.lab.held.witness import dialogues_of
from conntrim.lab.script import Block, Line, Script, Sheet

WEB, ANSWERS = Line(("-p tcp", "--dport 80"), "-j CT --notrack"), Line(("-p tcp", "--sport 80"), "-j NOTRACK")
XT = Script(
    "iptables-restore",
    (
        Sheet(
            "ip",
            "raw",
            (
                Block("PREROUTING", "ACCEPT", (Line(("-i lo",), "-j ACCEPT"), WEB)),
                Block("OUTPUT", "ACCEPT", (ANSWERS,)),
            ),
        ),
    ),
)
NFT = Script("nft", (Sheet("inet", "t", (Block("c", "", (Line(("tcp dport 80",), "counter notrack accept"),)),)),))


def test_inert_rules_keep_what_else_they_do() -> None:
    """NOTRACK of both spellings becomes a rule without a target, nft's rule keeps its counter and its verdict."""
    assert ["-i lo -j ACCEPT", "-p tcp --dport 80", "-p tcp --sport 80"] == [str(x) for x in lines_of(inert(XT))]
    assert ["tcp dport 80 counter accept"] == [str(line) for line in lines_of(inert(NFT))]
    assert [0, 1] == [count(inert(XT)), count(inert(XT, 0))]


def test_telling_rules_log_with_their_number_and_untrack_as_before() -> None:
    """iptables has a rule more before each, nft logs in the rule; nothing else changes."""
    told = [str(line) for line in lines_of(telling(XT))]
    assert [f"--nflog-prefix {hit_prefix(i)}" in told[at] for i, at in ((0, 1), (1, 3))] == [True, True]
    assert [str(WEB), str(ANSWERS)] == [told[2], told[4]]
    assert "log prefix" in str(next(lines_of(telling(NFT))))
    assert str(next(lines_of(telling(NFT)))).endswith("notrack accept")


def test_places_of_untracking_rules_are_their_lines() -> None:
    """Rule 0 is on line 5 and rule 1 on line 6 of the text; a finding at 5 is about rule 0 and not about line 55."""
    told = told_xt(XT)
    assert ("iptables-restore:5", "iptables-restore:6") == told.places
    here, there = (Finding("CT103", Severity.WARNING, "", place=Place("iptables-restore", n)) for n in (5, 55))
    assert [[0], []] == [sorted(told.rules_of(each)) for each in (here, there)]


RAW = TableKey(Dialect.IPTABLES_NFT, TableFamily.IP, "raw")


def test_edits_of_lines_go_where_they_belong() -> None:
    """Before, in place of, behind a line, and away with it."""
    batch = Batch("iptables-restore", "a\nb\nc\n")

    def edit(how: How, line: int, text: str = "") -> Edit:
        return Edit(how, Place("iptables-restore", line), text, RAW, FlushChain("PREROUTING"))

    edits = [edit(How.BEFORE, 1, "0"), edit(How.REPLACE, 2, "B"), edit(How.AFTER, 2, "2"), edit(How.REMOVE, 3)]
    assert "0\na\nB\n2\n" == edited([batch], edits)[0].text


def test_a_mutation_is_found_again_in_a_smaller_script() -> None:
    """It names its rule, not its number, so shrinking keeps it; where the rule is gone it does not apply."""
    delete = Mutation(Change.DELETE, ("ip", "raw"), "PREROUTING", WEB)
    swap = Mutation(Change.SWAP, ("ip", "raw"), "PREROUTING", WEB, Line(("-i lo",), "-j ACCEPT"))
    assert without(XT, range(1, 2)) == delete(XT)
    assert delete(without(XT, range(1, 2))) is None
    swapped = swap(XT)
    assert swapped is not None
    assert [str(WEB), "-i lo -j ACCEPT"] == [str(line) for line in swapped.sheets[0].blocks[0].lines]


def test_a_port_that_is_open_anyway_has_no_hole() -> None:
    """An ACK that gets in is no hole where R0 lets a SYN of the same source in, and one where it does not."""
    ack, same, high = group_of("ACK", "in from far", Family.IPV4, (80, 3306), 1)
    gone, came = Played(LOST, 0), Played(DONE, 1, frozenset({0}), came=(("host", 1, 2, 3, 4),))
    opened = Played(DONE, 1, came=(("host", 1, 2, 3, 4),))
    open_port = paired([ack, same, high], [came, opened, opened], [gone, opened, opened])
    closed = paired([ack, same, high], [came, gone, gone], [gone, gone, gone])
    assert ([], [ack]) == (list(holes(open_port)), [each.dialogue for each in holes(closed)])


def test_a_dialogue_is_cut_only_where_it_lived() -> None:
    """Done in R0 and lost in R; an unsolicited packet is never cut."""
    talk, packet = made("udp", "out to far", Family.IPV4, port=53), alone("SYN", "in from far", Family.IPV4, (1, 2))
    done, lost = Played(DONE, 4), Played(LOST, 1)
    cut = [Both(talk, lost, done).cut, Both(talk, lost, lost).cut, Both(packet, lost, done).cut]
    assert [True, False, False] == cut


def test_who_asked_for_nothing_misses_no_refusal() -> None:
    """A SYN's refusal that does not come back is missed, an echo reply's is not."""
    refused, lost = Played(REFUSED, 0), Played(LOST, 0)
    lone = [alone(kind, "in from far", Family.IPV4, (80, 3306)) for kind in ("SYN", "echo reply")]
    assert [True, False] == [Both(each, lost, refused).unrefused for each in lone]


def test_edits_leave_dead_only_what_could_be() -> None:
    """A connection that is refused counts where the same one to an open port came about without untracking."""
    refused, whole = (made(kind, "in from far", Family.IPV4, port=80) for kind in ("tcp, closed port", "tcp"))
    done, lost = Played(DONE, 2), Played(LOST, 0)
    for there, kinds in ((done, [(refused, whole), (whole,)]), (lost, [])):
        both = paired([refused, whole], [lost, lost], [done, there])
        found = list(changed(both, [lost, lost], (), whole=True))
        assert kinds == [each.dialogues for each in found]
        assert all(each.fault is Fault.EDITS_LEAVE for each in found)


def test_an_entry_counts_where_its_own_connection_was_untracked() -> None:
    """A data connection that nothing untracks has its entry by right."""
    actor = Actor(made("ftp, active", "in from near", Family.IPV4, port=21))
    control, data = Tuple(6, 1, 2, 3, 21), Tuple(6, 2, 1, 20, 4)
    kept = Kept(data, data, (0, 0))
    actor.tuples, actor.untracked = {control: False, data: True}, [0]
    played = actor.played({control: None, data: kept})
    assert ((kept,), ()) == (played.entries, played.beside)
    actor.untracked.append(next(n for n, turn in enumerate(actor.dialogue.turns) if turn.data))
    assert (kept,) == actor.played({control: None, data: kept}).beside


def test_fragments_together_are_the_datagram() -> None:
    """Two halves of an IPv4 packet: both with its number, more to come in the first, offset 800 in the second."""
    data = bytes.fromhex("45000000000700004011000000000000 00000000".replace(" ", "")) + bytes(1600)
    one, other = halves(data)
    assert (data[4:6], 0x2000, 100) == (one[4:6], int.from_bytes(one[6:8], "big"), int.from_bytes(other[6:8], "big"))
    assert 1600 == len(one) + len(other) - 40


def test_a_witness_is_played_in_every_role() -> None:
    """A SYN/ACK that comes in: alone, as its sender's opener, and as the answer to a connection of this host."""
    packet = parse_packet("eth0> tcp 203.0.113.7 443 > 192.0.2.1 40000 SA")
    ends = {(talk.kind, talk.a.place) for talk in dialogues_of(packet, ())}
    assert {("witness", "eth0"), ("tcp", "eth0"), ("tcp", "host"), ("tcp, error", "host")} <= ends
    assert [] == dialogues_of(parse_packet("tun0> tcp 203.0.113.7 443 > 192.0.2.1 40000 SA"), ())


def test_slices_are_all_of_it_once() -> None:
    """Four slices of ten rule sets from the third: each number once; the same number makes the same exhibit."""
    parts = [Wanted(10, 1, 3, (i, 4)).numbers for i in (1, 2, 3, 4)]
    assert list(range(3, 13)) == sorted(n for part in parts for n in part)
    assert exhibit(1, 7) == exhibit(1, 7)


def test_results_add_up_and_keep_the_smaller_example() -> None:
    """Counts are summed, runs are named, of two examples of one kind the shorter rules stay."""
    one = Held(("a",), 2, disagreements={"k": 1}, examples=(Example("k", 1, 1, "long rules"),))
    other = Held(("b",), 3, disagreements={"k": 2}, examples=(Example("k", 1, 2, "short"),))
    both = one + other
    assert (("a", "b"), 5, {"k": 3}, "short") == (both.runs, both.rulesets, both.disagreements, both.examples[0].text)


def test_results_add_up_without_examples() -> None:
    """A file may have left examples out: the counts are summed all the same."""
    both = Held(("a",), 1, disagreements={"k": 1}) + Held(("b",), 1, disagreements={"k": 1, "l": 1})
    assert ({"k": 2, "l": 1}, ()) == (both.disagreements, both.examples)


@pytest.mark.parametrize("number", range(8))
def test_a_kept_trial_reads_back(number: int) -> None:
    """Rules of both dialects, dialogues, change and strictness: text, exhibit and text again are the same."""
    shown = exhibit(3, number)
    text = format_kept(KeptTrial("k", "open", shown, ("why",)))
    back = parse_kept(text, "kept")
    assert text == format_kept(back)
    assert (shown.dialogues, shown.strict) == (back.exhibit.dialogues, back.exhibit.strict)
    assert [str(x) for x in lines_of(shown.script)] == [str(x) for x in lines_of(back.exhibit.script)]
    assert count(shown.script) == count(back.exhibit.script)
