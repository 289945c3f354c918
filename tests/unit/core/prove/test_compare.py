"""Comparisons: what differs, what does not, and what translation leaves open."""

import json
from fractions import Fraction

import pytest

from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset
from conntrim.core.model.service import Direction
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import Comparison, compare
from conntrim.core.prove.diagram import NotDecided
from conntrim.core.prove.match_encoder import FRAGMENT
from conntrim.core.prove.populations import Population

FILTER = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
DNAT = "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"
WEB = "-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT\n"
SSH = "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n"


def rules(text: str) -> Ruleset:
    """A rule set from text."""
    return read(text, "rules")


def told(found: Comparison) -> list[tuple[Direction, Population, bool, str]]:
    """What a comparison found, in few words."""
    return [(d.direction, d.population, d.admitted, d.regions[0].words) for d in found.differences]


def test_a_new_accept_is_one_box() -> None:
    """One rule more is told as exactly its packets, unsolicited and of connections, from outside and round lo."""
    found = compare(rules(FILTER.format(SSH)), rules(FILTER.format(SSH + WEB)))
    assert told(found) == [
        (Direction.INBOUND, Population.UNSOLICITED, True, "tcp, destination port 80"),
        (Direction.INBOUND, Population.CONNECTIONS, True, "tcp, destination port 80"),
        (Direction.LOOPBACK, Population.UNSOLICITED, True, "tcp, destination port 80"),
        (Direction.LOOPBACK, Population.CONNECTIONS, True, "tcp, destination port 80"),
    ]
    assert all(d.whole for d in found.differences)


@pytest.mark.parametrize(
    "same",
    [
        FILTER.format(SSH + WEB),
        FILTER.format("-A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT\n"),
        FILTER.format(WEB + SSH + "-A INPUT -p udp -j DROP\n"),
        FILTER.replace(":INPUT DROP", ":web - [0:0]\n:INPUT DROP").format(
            f"-A INPUT -p tcp -j web\n-A web -p tcp -m tcp --dport 22 -j ACCEPT\n{WEB}"
        ),
        "*raw\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n" + FILTER.format(WEB + SSH),
    ],
    ids=["itself", "multiport", "order", "own chain", "empty table"],
)  # fmt: skip
def test_other_words_for_the_same(same: str) -> None:
    """Rule sets that treat every packet alike are the same, however they are written."""
    assert compare(rules(FILTER.format(WEB + SSH)), rules(same)).same


def test_translation_elsewhere_is_no_matter() -> None:
    """A DNAT to another address and port does not leave a change of the host's own port open."""
    nat = NAT.format(DNAT)
    dns = "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    found = compare(rules(FILTER.format(SSH) + nat), rules(FILTER.format(SSH + dns) + nat))
    assert ((), False) == (found.undecided, found.same)


def test_translation_into_the_difference_is_followed() -> None:
    """What a DNAT makes is what the two rule sets treat differently: it is told as the packets that come in."""
    nat = NAT.format(DNAT)
    forward = "-A FORWARD -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j ACCEPT\n"
    found = compare(rules(FILTER.format(SSH) + nat), rules(FILTER.format(SSH + forward) + nat))
    assert not found.undecided
    assert [(d.direction, d.to) for d in found.differences if d.population is Population.TRANSLATED] == [
        (Direction.INBOUND, ("172.17.0.2:80",)), (Direction.FORWARDED, ("172.17.0.2:80",)),
    ]  # fmt: skip


MARKS = "*mangle\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n"
MARK = "-A PREROUTING -d 192.0.2.1/32 -j MARK --set-xmark 0x1/0xffffffff\n"
MARKED = "-A FORWARD -d 172.17.0.2/32 -m mark --mark 0x1 -j ACCEPT\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (MARKS.format(MARK) + FILTER.format(MARKED), MARKS.format(MARK) + FILTER.format("")),
        (MARKS.format(MARK) + FILTER.format(MARKED), MARKS.format("") + FILTER.format(MARKED)),
    ],
    ids=["the rule that asks", "the rule that marks"],
)
def test_what_comes_out_of_a_translation_has_the_mark_of_what_went_in(before: str, after: str) -> None:
    """A mark that goes by the old destination, and a rule that asks for it and the new one: no packet of the wire has
    both, yet what comes in for the old one is lost; without translation it is nothing.
    """
    nat = NAT.format(DNAT)
    found = compare(rules(nat + before), rules(nat + after))
    (lost, *_) = [d for d in found.differences if d.population is Population.TRANSLATED]
    assert (lost.to, lost.admitted, found.undecided) == (("172.17.0.2:80",), False, ())
    assert lost.regions[0].words == "tcp, to 192.0.2.1, destination port 8080, flags SYN, ACK"
    assert not compare(rules(before), rules(after)).differences


def test_a_translation_that_no_stranger_meets_hides_no_difference() -> None:
    """A DNAT for RELATED packets alone takes no unsolicited one, so what such a packet newly may is shown."""
    nat = NAT.format("-A PREROUTING -p udp -m conntrack --ctstate RELATED -j DNAT --to-destination 172.17.0.2:80\n")
    dns = "-A INPUT -p udp -m udp --dport 53 -j ACCEPT\n"
    found = compare(rules(FILTER.format(SSH) + nat), rules(FILTER.format(SSH + dns) + nat))
    assert Population.UNSOLICITED in {d.population for d in found.differences}


def test_errors_about_connections_enter_no_nat_chain() -> None:
    """K4: an ICMP error belongs to a flow that has its entry, so a drop in a nat chain is for others."""
    drop = {"chain": "PREROUTING", "family": "ip", "table": "nat", "expr": [
        {"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "icmp"}}, {"drop": None},
    ]}  # fmt: skip
    chain = {"name": "PREROUTING", "family": "ip", "table": "nat", "type": "nat", "hook": "prerouting", "prio": -100}
    whole = [{"table": {"family": "ip", "name": "nat"}}, {"chain": chain | {"policy": "accept"}}]
    one, other = (read(json.dumps({"nftables": whole + more}), "rules.json") for more in ([], [{"rule": drop}]))
    assert {Population.UNSOLICITED} == {d.population for d in compare(one, other).differences}


def test_another_target_is_a_difference() -> None:
    """Two rule sets that send the same packets to different places are not the same."""
    hosts = ("172.17.0.2", "172.17.0.3")
    one, other = (rules(FILTER.format(SSH) + NAT.format(DNAT.replace(hosts[0], host))) for host in hosts)
    found = compare(one, other)
    assert not found.same
    assert found.others


def test_time_that_is_up_is_not_decided() -> None:
    """A budget that ends is said in words, and is never `same`."""

    def up() -> None:
        raise NotDecided("more than 0 s of work")

    found = compare(rules(FILTER.format(SSH)), rules(FILTER.format(WEB)), tick=up)
    assert (("IPv4: more than 0 s of work",), False) == (found.undecided, found.same)


HOP = "*mangle\n:PREROUTING ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n-A {} -m ttl --ttl-eq {} -j DROP\nCOMMIT\n"


def test_a_forwarded_packet_has_a_hop_less() -> None:
    """K63: the TTL goes down before FORWARD: 63 there is 64 in PREROUTING."""
    empty = HOP.split("-A", maxsplit=1)[0] + "COMMIT\n"
    assert not compare(rules(HOP.format("PREROUTING", 63)), rules(HOP.format("FORWARD", 63))).same
    (found, *_) = compare(rules(empty), rules(HOP.format("FORWARD", 63))).differences
    assert [(Direction.FORWARDED, 64)] == [(found.direction, r.witness.ttl) for r in found.regions]
    assert compare(rules(empty), rules(HOP.format("FORWARD", 0))).same


LONG = "-A INPUT -m length --length {} -j ACCEPT\n"


def test_a_packet_is_as_long_as_its_headers() -> None:
    """Nothing is shorter than an IPv4 header, and a rule for such lengths changes nothing; a SYN has 40 bytes."""
    assert compare(rules(FILTER.format("")), rules(FILTER.format(LONG.format("0:19")))).same
    for most, protocols in ((39, False), (40, True)):
        (found, *_) = compare(rules(FILTER.format("")), rules(FILTER.format(LONG.format(f"0:{most}")))).differences
        assert protocols == any(region.witness.protocol == Protocol.TCP for region in found.regions)


def test_a_share_is_exact() -> None:
    """One rule more for one destination port of 65,536 of one protocol of 255 (all but ICMPv6)."""
    (found, *_) = compare(rules(FILTER.format("")), rules(FILTER.format(WEB))).differences
    assert Fraction(1, 255 * 65_536) == found.share == found.regions[0].share


def test_a_witness_does_not_write_to_itself() -> None:
    """Between two hosts of one network, and the first of each is the same: two different ones are shown."""
    rule = "-A INPUT -s 10.0.0.8/30 -d 10.0.0.8/30 -p tcp -j ACCEPT\n"
    (found, *_) = compare(rules(FILTER.format("")), rules(FILTER.format(rule))).differences
    witness = found.regions[0].witness
    assert witness.src != witness.dst


def test_only_packets_without_an_entry_find_no_mark() -> None:
    """`meta mark set ct mark accept` lets a connection's packets go; those without an entry meet the next rule."""
    chain = {"family": "ip", "table": "f", "chain": "in"}
    state = {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "untracked", "invalid"]}}
    copy = {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}
    base = {"family": "ip", "table": "f", "name": "in", "type": "filter", "hook": "input", "prio": 0}
    head = [{"table": {"family": "ip", "name": "f"}}, {"chain": base | {"policy": "accept"}},
            {"rule": chain | {"expr": [state, copy, {"accept": None}]}}]  # fmt: skip
    texts = [json.dumps({"nftables": [*head, *more]}) for more in ([], [{"rule": chain | {"expr": [{"drop": None}]}}])]
    one, other = (read(text, "rules.json") for text in texts)
    found = compare(one, other).differences
    assert {Population.UNSOLICITED, Population.ERRORS} == {d.population for d in found}
    assert [{}] * len(found) == [region.conditions for d in found for region in d.regions[:1]]


def test_rule_sets_that_were_not_read_in_full_are_not_the_same() -> None:
    """Equal as far as they were read: that is no answer."""
    listed = {"family": "ip", "table": "filter", "chain": "INPUT", "handle": 1, "expr": [{"xt": {"name": "conntrack"}}]}
    chain = {"family": "ip", "table": "filter", "name": "INPUT", "type": "filter", "hook": "input", "prio": 0}
    hidden = read(json.dumps({"nftables": [{"chain": chain}, {"rule": listed}]}), "rules.json")
    assert not compare(hidden, hidden).same


MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DSCP --set-dscp 10\nCOMMIT\n"
CLASS = "-A INPUT -p tcp -m dscp --dscp 10 -j ACCEPT\n"


def test_what_a_rule_writes_is_not_read_as_it_came() -> None:
    """A match on a class that an earlier rule set is a question, not the class that the packet came with."""
    found = compare(rules(MANGLE + FILTER.format(CLASS)), rules(MANGLE + FILTER.format("")))
    conditions = [region.conditions for difference in found.differences for region in difference.regions]
    assert conditions
    assert all(text.startswith("DSCP: ") and " gives bit " in text for told in conditions for text in told)
    assert all(region.words.startswith("tcp; where") for d in found.differences for region in d.regions)


def test_a_rule_that_writes_elsewhere_leaves_a_field_as_it_came() -> None:
    """What a rule wrote in TCP is known of UDP."""
    udp = CLASS.replace("tcp", "udp")
    found = compare(rules(MANGLE + FILTER.format(udp)), rules(MANGLE + FILTER.format("")))
    assert {region.words for d in found.differences for region in d.regions} == {"udp, dscp 10"}


@pytest.mark.parametrize(
    ("match", "attribute", "value"),
    [
        ("-m ecn --ecn-ip-ect 3", "ecn", 3),
        ("-m ecn ! --ecn-ip-ect 0", "ecn", None),
        ("-m dscp --dscp 46", "dscp", 46),
        ("-m ttl --ttl-eq 5", "ttl", 5),
    ],
)
def test_a_witness_carries_what_the_rule_asks_for(match: str, attribute: str, value: int | None) -> None:
    """The packet that shows a difference has the header that the rule is about, and the words name it."""
    found = compare(rules(FILTER.format(SSH)), rules(FILTER.format(f"-A INPUT {match} -j ACCEPT\n" + SSH)))
    regions = [region for difference in found.differences for region in difference.regions]
    assert regions
    for region in regions:
        carried = getattr(region.witness, attribute)
        assert carried == value if value is not None else carried in (1, 2, 3)
        assert attribute in region.words


LO = "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
STATES = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
DNS = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
SOURCE = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -s 10.9.0.0/16 -o eth0 {}\nCOMMIT\n"
GUESSERS = (
    "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m recent{} --name guess --mask 255.255.255.255"
    " --rsource{}\n"
)


def test_loopback_is_a_path() -> None:
    """What only cuts 127.0.0.1 is a difference, and is told as one round lo."""
    found = compare(rules(LO.format("-A INPUT -i lo -j ACCEPT\n")), rules(LO.format("")))
    assert {(d.direction, d.admitted) for d in found.differences} == {(Direction.LOOPBACK, False)}


@pytest.mark.parametrize("raw", ["-A OUTPUT -p udp -m udp --dport 53 -j CT --notrack\n"], ids=["untracked query"])
def test_a_connection_is_judged_whole(raw: str) -> None:
    """A query that goes untracked has its answer refused, though each packet by itself is let through as before."""
    accepts = LO.format(STATES)
    found = compare(rules(DNS.format("") + accepts), rules(DNS.format(raw) + accepts))
    (whole,) = (d for d in found.differences if (d.direction, d.population) == (Direction.OUTBOUND, Population.WHOLE))
    assert not whole.admitted
    (region, *_) = whole.regions
    assert (region.witness.sport, len(region.earlier)) == (53, 1)


DATA = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "{}-A FORWARD -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"
    "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{}COMMIT\n"
)
RELATED = "-A FORWARD -m conntrack --ctstate RELATED -j ACCEPT\n"


@pytest.mark.parametrize(
    ("nat", "decided"),
    [("-A POSTROUTING -o eth0 -j MASQUERADE\n", True),
     ("-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.9\n", False)],
    ids=["another source", "another destination"],
)  # fmt: skip
def test_expected_connections_get_another_source_behind_the_filter(nat: str, decided: bool) -> None:
    """Which rules an expected connection's packets meet is open only where a rule may send it elsewhere."""
    found = compare(rules(DATA.format(RELATED, nat)), rules(DATA.format("", nat)))
    told = [d for d in found.differences if d.population is Population.EXPECTED and d.direction is Direction.FORWARDED]
    assert told
    assert decided is (found.undecided == ())


LEFT = {
    "one-sided zone": (
        DNS.format("") + LO.format(STATES), DNS.format("-A PREROUTING -j CT --zone 5\n") + LO.format(STATES)
    ),
    "masquerading deleted": (SOURCE.format("-j MASQUERADE"), "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"),
    "masquerading narrowed": (SOURCE.format("-j MASQUERADE"), SOURCE.format("-p tcp -j MASQUERADE")),
    "another source": (SOURCE.format("-j MASQUERADE"), SOURCE.format("-j SNAT --to-source 192.0.2.7")),
    "a list that is filled no more": (
        LO.format(GUESSERS.format(" --set", "") + GUESSERS.format(" --update --seconds 60 --hitcount 4", " -j DROP")),
        LO.format(GUESSERS.format(" --update --seconds 60 --hitcount 4", " -j DROP")),
    ),
    "another mark": (
        "*mangle\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -p udp -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n",
        "*mangle\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -p udp -j MARK --set-xmark 0x2/0xffffffff\nCOMMIT\n",
    ),
}  # fmt: skip
"""Pairs whose difference no packet by itself shows."""


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_behind_is_never_the_same(name: str) -> None:
    """Where other packets meet zones, source translations, marks or what counts them, *the same* is not said."""
    one, other = map(rules, LEFT[name])
    assert compare(one, one).same
    assert not compare(one, other).same
    assert not compare(other, one).same


ASKS_DNAT = "-A {} -m conntrack --ctstate DNAT -m state --state NEW -j ACCEPT\n"


@pytest.mark.parametrize(
    ("nat", "lost"),
    [
        (NAT.format(DNAT), False),
        (NAT.format(""), False),
        ("", False),
        (NAT.format("-A PREROUTING -p tcp -j FULLCONENAT\n"), True),
    ],
    ids=["another port", "empty", "none", "an unknown target"],
)
def test_a_first_packet_that_no_rule_translates_is_not_dnat(nat: str, lost: bool) -> None:
    """K4: behind the nat chains `--ctstate DNAT` is false of an unsolicited packet that none of their rules took,
    unless a target there is unknown; what a rule did translate is such."""
    before, after = (rules(FILTER.format(SSH + part) + nat) for part in (ASKS_DNAT.format("INPUT"), ""))
    found = compare(before, after)
    assert lost is ((Direction.INBOUND, Population.UNSOLICITED) in {(d.direction, d.population) for d in
                                                                     found.differences})  # fmt: skip
    translated = any(d.population is Population.TRANSLATED for d in found.differences)
    assert (bool(nat and not lost and DNAT in nat), ()) == (translated, found.undecided)


def test_in_front_of_the_nat_chains_a_flow_may_be_translated_already() -> None:
    """A second packet of an unanswered flow is NEW, too, and DNAT already where mangle asks: so that is not decided."""
    mangle = "*mangle\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n"
    drop = "-A PREROUTING -m conntrack --ctstate DNAT -j DROP\n"
    before, after = (rules(mangle.format(part) + NAT.format(DNAT)) for part in ("", drop))
    assert Population.UNSOLICITED in {d.population for d in compare(before, after).differences}


def test_fields_that_only_answers_are_asked_for() -> None:
    """Where answers of untracked connections meet a match on fields that no request is asked for, the connections
    that lose a packet are told by them."""
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n{}COMMIT\n"
    answer = "-s 192.0.2.1 -d 192.0.2.9 -p tcp -m tcp --sport 80 --dport 40000 -m conntrack --ctstate INVALID"
    fields = "-m mark --mark 0x12345678 -m length --length 100 -m ttl --ttl-eq 7 -m dscp --dscp 5"
    both = FILTER.format(f"{WEB}-A OUTPUT {answer} {fields} -j DROP\n")
    found = compare(rules(both), rules(both + raw.format("-A PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack\n")))
    whole = [r for d in found.differences if d.population is Population.WHOLE for r in d.regions]
    assert (0x12345678, 100, 7, 5) in {(w.mark, w.length, w.ttl, w.dscp) for w in (r.witness for r in whole)}


TRACKING = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j ACCEPT\nCOMMIT\n"
"""Conntrack is in use: fragments are put together (K6)."""


def dropping(*chains: tuple[int, str, str]) -> Ruleset:
    """Chains of PREROUTING at these priorities, each with a rule that drops what has this value in this field."""
    objects: list[object] = [{"table": {"family": "ip", "name": "t"}}]
    for number, (priority, key, value) in enumerate(chains):
        chain = {"family": "ip", "table": "t", "name": f"c{number}"}
        hung = {"type": "filter", "hook": "prerouting", "prio": priority, "policy": "accept"}
        left: object = {"payload": {"protocol": key.split()[0], "field": key.split()[1]}}
        left = {"meta": {"key": "length"}} if key == "meta length" else left
        drop = [{"match": {"op": "==", "left": left, "right": value}}, {"drop": None}]
        rule = {"family": "ip", "table": "t", "chain": f"c{number}", "expr": drop}
        objects += [{"chain": {**chain, **hung}}, {"rule": rule}]
    return read(json.dumps({"nftables": objects}), "nft") + read(TRACKING, "rules")


@pytest.mark.parametrize(
    ("before", "after", "parted"),
    [([(-450, "udp dport", 53)], [(-300, "udp dport", 53)], True),
     ([(-400, "udp dport", 53)], [(-399, "udp dport", 53)], True),
     ([(-450, "meta length", 900)], [(-300, "meta length", 900)], True),
     ([(-450, "ip saddr", "192.0.2.7")], [(-300, "ip saddr", "192.0.2.7")], False),
     ([(-450, "udp dport", 53), (-300, "udp dport", 53)], [(-450, "udp dport", 53)], False)],
    ids=["ports", "in front of reassembly or behind", "lengths", "addresses", "twice"],
)  # fmt: skip
def test_a_drop_in_front_of_reassembly_meets_fragments(
    before: list[tuple[int, str, str]], after: list[tuple[int, str, str]], parted: bool
) -> None:
    """K122: there nft drops a later fragment by what it happens to carry, and the datagram with it; a drop of the first
    fragment is one of all."""
    found = compare(dropping(*before), dropping(*after))
    regions = [region for difference in found.differences for region in difference.regions]
    assert parted is not found.same
    assert all(FRAGMENT in region.conditions for region in regions)


def front(priority: int, saddr: str, *behind: str) -> Ruleset:
    """A chain that untracks an address at this priority, and FORWARD behind it."""
    raw = {"type": "filter", "hook": "prerouting", "prio": priority, "policy": "accept"}
    left = {"payload": {"protocol": "ip", "field": "saddr"}}
    expr = [{"match": {"op": "==", "left": left, "right": saddr}}, {"notrack": None}]
    chain = {"family": "ip", "table": "t", "name": "c"}
    objects = [
        {"table": {"family": "ip", "name": "t"}},
        {"chain": {**chain, **raw}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": expr}},
    ]
    accepts = "".join(f"-A FORWARD {rule} -j ACCEPT\n" for rule in behind)
    forward = TRACKING.replace("-A INPUT", f":FORWARD DROP [0:0]\n{accepts}-A INPUT")
    return read(json.dumps({"nftables": objects}), "nft") + read(forward, "rules")


BY_ONE = "198.51.100.8"
QUERY = "-p udp --dport 53"
ALONE = "forwarded: later fragments of these datagrams are newly {}: {}, from 198.51.100.{}"


@pytest.mark.parametrize(
    ("before", "after", "datagrams", "alone"),
    [((-450, BY_ONE, QUERY, "-f"), (-450, BY_ONE, QUERY), True, (ALONE.format("dropped", "any but udp", 8),)),
     ((-450, BY_ONE), (-450, BY_ONE, "-f"), False, (ALONE.format("let through", "any protocol", 8),)),
     ((-450, BY_ONE, QUERY), (-300, BY_ONE, QUERY), True, ()),
     ((-450, BY_ONE, QUERY, "-f"), (-300, BY_ONE, QUERY, "-f"), False, (ALONE.format("dropped", "any but udp", 8),)),
     ((-399, BY_ONE, QUERY), (-300, BY_ONE, QUERY), False, ())],
    ids=["a rule of later ones is gone", "later ones of what is dropped", "put together or not", "let through too",
         "behind reassembly"],
)  # fmt: skip
def test_fragments_that_stay_such_are_walked_by_themselves(
    before: tuple[int, str, *tuple[str, ...]],
    after: tuple[int, str, *tuple[str, ...]],
    datagrams: bool,
    alone: tuple[str, ...],
) -> None:
    """K117: what is untracked in front of reassembly is forwarded in parts, of which later ones have no port: the
    datagram arrives where all of them pass, and a later one may pass alone."""
    found = compare(front(*before), front(*after))
    regions = [r for d in found.differences for r in d.regions]
    assert datagrams is (bool(regions) and all(FRAGMENT in r.conditions for r in regions))
    assert (alone, ()) == (found.others, found.undecided)


def untracking_port(priority: int) -> Ruleset:
    """A chain at this priority that untracks what goes to a port; behind it a chain at -300 that drops another port."""
    left = {"payload": {"protocol": "udp", "field": "dport"}}
    objects: list[object] = [{"table": {"family": "ip", "name": "t"}}]
    for name, prio, port, verdict in (("c", priority, 53, "notrack"), ("d", -300, 9, "drop")):
        chain = {"family": "ip", "table": "t", "name": name}
        hung = {"type": "filter", "hook": "prerouting", "prio": prio, "policy": "accept"}
        expr: list[object] = [{"match": {"op": "==", "left": left, "right": port}}, {verdict: None}]
        rule = {"family": "ip", "table": "t", "chain": name, "expr": expr}
        objects += [{"chain": {**chain, **hung}}, {"rule": rule}]
    return read(json.dumps({"nftables": objects}), "nft") + read(TRACKING, "rules")


def test_datagrams_of_which_a_part_is_untracked_are_lost() -> None:
    """K48: in front of reassembly the first fragment alone has the port; one of such a datagram, tracked, waits for it
    in vain. Where the untracking stands behind reassembly, all arrive."""
    found = compare(untracking_port(-450), untracking_port(-299))
    regions = [r for d in found.differences if d.admitted for r in d.regions]
    assert any(FRAGMENT in r.conditions and r.witness.dport == 53 for r in regions)
    assert not any("otherwise" in why for why in found.undecided)
    same = compare(untracking_port(-450), untracking_port(-450))
    assert (same.same, same.undecided) == (True, ())


PASSING = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD {} [0:0]\n{}COMMIT\n"
PORT = "-A FORWARD -p udp -m udp --dport 53 -j ACCEPT\n"
HANDED = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 99 -j TPROXY --on-port 1\nCOMMIT\n"
LATER = "forwarded: later fragments of these datagrams are newly {}: {}"


@pytest.mark.parametrize(
    ("before", "after", "others"),
    [(("ACCEPT", "", ""), ("ACCEPT", "-A FORWARD -f -j DROP\n", ""), (LATER.format("dropped", "any protocol"),)),
     (("DROP", PORT, ""), ("DROP", f"{PORT}-A FORWARD -f -j ACCEPT\n", ""),
      (LATER.format("let through", "any protocol"),)),
     (("ACCEPT", "", TRACKING), ("ACCEPT", "-A FORWARD -f -j DROP\n", TRACKING), ()),
     (("ACCEPT", "", HANDED), ("ACCEPT", "-A FORWARD -f -j DROP\n", HANDED), ()),
     (("DROP", PORT, ""), ("DROP", PORT, TRACKING), (LATER.format("let through", "udp, destination port 53"),)),
     (("DROP", PORT, ""), ("DROP", PORT.replace("53", "54"), ""), ())],
    ids=["a drop of fragments", "an accept of fragments", "with conntrack", "with a proxy", "conntrack put into use",
         "a port, which no later fragment has"],
)  # fmt: skip
def test_without_conntrack_fragments_are_forwarded_as_such(
    before: tuple[str, str, str], after: tuple[str, str, str], others: tuple[str, ...]
) -> None:
    """K158: nothing puts them together, so a rule for fragments matters, and later ones have no port."""
    old, new = (rules(PASSING.format(policy, text) + more) for policy, text, more in (before, after))
    found = compare(old, new)
    assert others == found.others
