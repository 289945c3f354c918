"""What sets do not follow (translations, zones, REJECT's answers) is played one by one, and told as far as it shows."""

import json

import pytest

from conntrim.core.diagnose.rulesets.registry import Checked, check_ruleset
from conntrim.core.model.address import parse_address
from conntrim.core.model.finding import Severity
from conntrim.core.model.intervals import Intervals
from conntrim.core.parse.ruleset import read
from tests.unit.core.diagnose.written import ruleset

OURS = Intervals.of(*map(parse_address, ("192.0.2.1", "198.51.100.1")))
SSH = "-A PREROUTING -i eth0 -p tcp -m tcp --sport 22 -j CT --notrack"


def said(raw: tuple[str, ...] = (), nat: tuple[str, ...] = (), filter_: tuple[str, ...] = (), policy: str = "ACCEPT",
         *, loose: bool = True, edits: bool = False) -> Checked:  # fmt: skip
    """What check says of the rules of three tables, policy of INPUT and FORWARD told."""
    lines = ["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", "*nat"]
    lines += [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    lines += [*nat, "COMMIT", "*filter", f":INPUT {policy} [0:0]", f":FORWARD {policy} [0:0]", ":OUTPUT ACCEPT [0:0]"]
    text = "\n".join([*lines, *filter_, "COMMIT", ""])
    return check_ruleset(read(text, "rules"), OURS, loose=loose, edits=edits)


def codes(found: Checked, *of: str) -> list[tuple[str, Severity]]:
    """Codes with their severity, of these alone."""
    return [(f.code, f.severity) for f in found.findings if f.code in of]


def test_an_answer_that_is_not_translated_back_is_lost() -> None:
    """Answers alone untracked, to an address that SNAT lends: the connection dies, and that is critical."""
    found = said((SSH,), ("-A POSTROUTING -o eth0 -j SNAT --to-source 203.0.113.200",))
    assert [("CT117", Severity.CRITICAL)] == codes(found, "CT117")
    (cut,) = (f for f in found.findings if f.code == "CT117")
    assert any("not translated back is tcp SYN/ACK" in line for line in cut.evidence)


def test_which_address_masquerading_takes_is_noted_where_a_dialogue_depends_on_it() -> None:
    """Nobody told by which of its addresses the host is at eth0: of one it is said what would be lost."""
    other = "-A PREROUTING -d 198.51.100.1/32 -p udp -m udp --sport 53 -j CT --notrack"
    passing = (
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -i eth1 -o eth0 -j ACCEPT",
    )
    found = said((other,), ("-A POSTROUTING -o eth0 -j MASQUERADE",), passing, policy="DROP")
    assert [] == codes(found, "CT117")
    assert any("198.51.100.1 at eth0: rules:4 takes the answers" in remark for remark in found.remarks)


def test_clients_whose_connections_complete_are_played_first() -> None:
    """The filter lets answers to one client pass alone: that client's connections die, others never came about."""
    answers = "-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --sport 22 -j NOTRACK"
    accepts = ("-A FORWARD -i eth1 -o eth0 -j ACCEPT", "-A FORWARD -d 198.51.100.9/32 -j ACCEPT")
    found = said((answers,), ("-A POSTROUTING -o eth0 -j MASQUERADE",), accepts, policy="DROP")
    assert [("CT117", Severity.CRITICAL)] == codes(found, "CT117")


def test_answers_of_what_the_host_redirects_to_itself_go_round_lo() -> None:
    """OUTPUT redirects connections to other hosts; whoever untracks what goes out by lo takes their answers."""
    found = said(("-A OUTPUT -o lo -j CT --notrack",), ("-A OUTPUT -p tcp -j REDIRECT",))
    (cut,) = (f for f in found.findings if f.code == "CT117")
    assert any(line.startswith("cut, outbound: tcp") for line in cut.evidence)


def test_what_a_gateway_masquerades_is_followed() -> None:
    """Its clients' answers come to its own address: whoever untracks them there cuts the clients off."""
    local = "-A PREROUTING -i eth0 -d 192.0.2.1/32 -p udp -m udp --sport 53 -j CT --notrack"
    found = said((local,), ("-A POSTROUTING -o eth0 -j MASQUERADE",))
    cut = [line for f in found.findings if f.code == "CT117" for line in f.evidence]
    assert any(line.startswith("cut, forwarded: udp") for line in cut)


def test_masquerading_hides_no_death_of_the_hosts_own_connections() -> None:
    """Masquerading gives them the address that they have: their untracked answers are reset all the same."""
    raw = (SSH, "-A OUTPUT -o eth0 -p tcp -m tcp --dport 22 -j CT --notrack")
    rules = ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT", "-A INPUT -j REJECT --reject-with tcp-reset")
    found = said(raw, ("-A POSTROUTING -o eth0 -j MASQUERADE",), rules)
    assert Severity.CRITICAL in [severity for _, severity in codes(found, "CT105", "CT117")]


@pytest.mark.parametrize(
    ("accepts", "told"), [((), []), (("-A INPUT -p tcp -m tcp --dport 3306 -j ACCEPT",), ["CT109"])]
)
def test_a_translation_that_leads_nowhere_is_not_missed(accepts: tuple[str, ...], told: list[str]) -> None:
    """A redirect to a port that the filter refuses: untracked or not, nobody gets in."""
    raw = ("-A PREROUTING -p tcp -m tcp --sport 11211 -j CT --notrack",)
    found = said(raw, ("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 3306",), accepts, "DROP")
    assert told == [code for code, _ in codes(found, "CT109")]


def test_a_redirect_to_the_same_port_is_not_missed() -> None:
    """What comes to the host's port 3306 goes there anyway."""
    raw = ("-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 3306 -j CT --notrack",)
    found = said(raw, ("-A PREROUTING -d 192.0.2.1/32 -p tcp -m tcp --dport 3306 -j REDIRECT --to-ports 3306",))
    assert [] == codes(found, "CT109")


def test_a_masqueraded_echo_is_missed_too() -> None:
    """ICMP is translated as well."""
    raw = ("-A PREROUTING -p icmp -j CT --notrack",)
    found = said(raw, ("-A POSTROUTING -s 198.51.100.0/24 -o eth0 -j MASQUERADE",))
    assert [("CT109", Severity.CRITICAL)] == codes(found, "CT109")


def test_no_answer_is_missed_where_the_connection_never_is() -> None:
    """One way is untracked of connections that are translated, and refused then: nothing is left of them."""
    raw = ("-A OUTPUT -p tcp -m tcp --sport 53 -j CT --notrack",)
    nat = ("-A OUTPUT -p tcp -m tcp --syn -j DNAT --to-destination 198.51.100.1:5000-6000",)
    refused = ("-A INPUT -p tcp -m tcp --sport 1024:65535 -j DROP", "-A INPUT -p tcp -m tcp --dport 53 -j DROP")
    assert [] == codes(said(raw, nat, refused), "CT103")


def test_an_answer_that_opens_a_connection_is_translated() -> None:
    """Requests untracked, answers not: these are NEW, and POSTROUTING gives them another source."""
    raw = ("-A PREROUTING -i eth0 -j CT --notrack",)
    rules = ("-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",)
    found = said(raw, ("-A POSTROUTING -o eth0 -j SNAT --to-source 203.0.113.200",), rules, "DROP")
    assert ("CT117", Severity.CRITICAL) in codes(found, "CT117")


@pytest.mark.parametrize("hook", ["INPUT", "FORWARD"])
@pytest.mark.parametrize("answer", ["icmp-port-unreachable", "tcp-reset"])
def test_a_refusal_that_does_not_leave_is_told(hook: str, answer: str) -> None:
    """CT115, K19: REJECT's answer about an untracked packet is INVALID, an ICMP error too, of what is forwarded too."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 3306 -j CT --notrack",)
    rules = (f"-A {hook} -p tcp -j REJECT --reject-with {answer}", "-A OUTPUT -m conntrack --ctstate INVALID -j DROP")
    (found,) = (f for f in said(raw, (), rules).findings if f.code == "CT115")
    assert "untracked by rules:4" in found.evidence
    assert [] == codes(said(raw, (), rules[:1]), "CT115")


OPEN = "-A {} -m conntrack --ctstate RELATED,ESTABLISHED,UNTRACKED -j ACCEPT"


def test_an_accept_of_one_hook_means_no_packets_of_another() -> None:
    """UNTRACKED for the port is accepted in INPUT on purpose; that FORWARD lets it through is a hole."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 443 -j CT --notrack",)
    meant = "-A INPUT -p tcp -m tcp --dport 443 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT"
    assert ("CT102", Severity.CRITICAL) in codes(said(raw, (), (meant, OPEN.format("FORWARD")), "DROP"), "CT102")
    assert [] == codes(said(raw, (), (meant,), "DROP"), "CT102")


def test_an_accept_behind_a_refusal_means_nothing() -> None:
    """The port is dropped in front of the accept that names it: only the wide accept lets it in."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 3306 -j CT --notrack",)
    accept = "-A INPUT -p tcp -m tcp --dport 3306 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT"
    rules = (OPEN.format("INPUT"), "-A INPUT -p tcp -m tcp --dport 3306 -j DROP", accept)
    assert ("CT102", Severity.CRITICAL) in codes(said(raw, (), rules, "DROP"), "CT102")


def test_a_rule_is_told_by_the_worst_that_it_opens() -> None:
    """Coming in it is uncertain (a rate), forwarded it is not."""
    raw = ("-A PREROUTING -p tcp -m tcp --sport 443 -j CT --notrack",)
    rules = ("-A INPUT -m conntrack --ctstate UNTRACKED -m statistic --mode random --probability 0.5 -j ACCEPT",
             OPEN.format("FORWARD"))  # fmt: skip
    assert [("CT101", Severity.CRITICAL)] == codes(said(raw, (), rules, "DROP"), "CT101")


def test_what_counts_lets_a_newcomer_through() -> None:
    """connlimit has not counted whom it does not know: that his connection dies is certain."""
    raw = ("-A PREROUTING -i eth0 -p tcp -m tcp --dport 80 -j CT --notrack",)
    rules = ("-A INPUT -p tcp -m tcp --dport 80 -m connlimit --connlimit-above 100 -j DROP",
             "-A INPUT -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT")  # fmt: skip
    found = said(raw, (), rules, "DROP")
    assert Severity.CRITICAL in [severity for _, severity in codes(found, "CT105", "CT117")]


def test_errors_cut_nobodys_connection() -> None:
    """Who untracks ICMP is not told for TCP connections that another rule cuts."""
    raw = ("-A PREROUTING -i eth1 -p tcp -m tcp --sport 22 -j CT --notrack", "-A OUTPUT -p icmp -j CT --notrack")
    found = said(raw, (), ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",), "DROP", loose=False)
    at = {f.place.line for f in found.findings if f.place and any("cut, outbound: tcp" in line for line in f.evidence)}
    assert 5 not in at


def test_an_edit_names_no_set_of_another_table() -> None:
    """nft's tables do not know one another's sets: an accept in the filter cannot name that of raw."""
    objects = [
        *({"table": {"family": "ip", "name": name, "handle": 1}} for name in ("early", "fw")),
        {"set": {"family": "ip", "name": "peers", "table": "early", "type": "ipv4_addr", "handle": 1,
                 "flags": ["interval"], "elem": [{"prefix": {"addr": "192.0.2.0", "len": 28}}]}},
        _chain("early", "pre", "prerouting", -250), _chain("fw", "input", "input", 0),
        _rule("early", "pre", 3, [_match("ip", "saddr", "@peers"), _match("tcp", "dport", 80), {"notrack": None}]),
        _rule("fw", "input", 2, [_match("tcp", "dport", 80), _state("new"), {"accept": None}]),
        _rule("fw", "input", 3, [_state("untracked"), {"accept": None}]),
        _rule("fw", "input", 4, [{"drop": None}]),
    ]  # fmt: skip
    found = check_ruleset(read(json.dumps({"nftables": objects}), "nft"), OURS)
    assert [] == [e.text for f in found.findings for e in f.edits if " fw " in f" {e.table} " and "@peers" in e.text]


def _chain(table: str, name: str, hook: str, priority: int) -> dict[str, object]:
    return {"chain": {"family": "ip", "table": table, "name": name, "handle": 1, "type": "filter", "hook": hook,
                      "prio": priority, "policy": "accept"}}  # fmt: skip


def _rule(table: str, chain: str, handle: int, expressions: list[object]) -> dict[str, object]:
    return {"rule": {"family": "ip", "table": table, "chain": chain, "handle": handle, "expr": expressions}}


def _match(protocol: str, name: str, value: object) -> dict[str, object]:
    return {"match": {"op": "==", "left": {"payload": {"protocol": protocol, "field": name}}, "right": value}}


def _state(name: str) -> dict[str, object]:
    return {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": name}}


def test_a_rule_that_takes_nobody_stops_no_translation() -> None:
    """What comes by the usual way back never meets `rpfilter --invert`: the rule behind it is the one that is told."""
    raw = ("-A PREROUTING ! -s 192.0.2.8/29 -m rpfilter --invert -j CT --notrack", "-A PREROUTING -j CT --notrack")
    found = said(raw, ("-A PREROUTING -s 203.0.113.0/24 -j DNAT --to-destination 198.51.100.1",))
    assert [4 + 1] == [f.place.line for f in found.findings if f.code == "CT109" and f.place]


@pytest.mark.parametrize("rule", ["-A OUTPUT -j CT --notrack", "-A OUTPUT -o lo -j CT --notrack"])
def test_an_answer_to_an_address_of_the_host_leaves_round_lo(rule: str) -> None:
    """INPUT gave its asker an address of the host: a rule of the other interfaces does not take it, one of lo does."""
    snat = "-A INPUT -i eth0 -j SNAT --to-source 198.51.100.1"
    found = said(("-A OUTPUT -o eth+ -j CT --notrack", rule), (snat,))
    cut = {f.place.line: f.evidence for f in found.findings if f.code == "CT117" and f.place}
    assert [5] == [line for line, evidence in cut.items() if any("cut, inbound" in each for each in evidence)]
    assert any("not translated back" in line and line.endswith("round lo") for line in cut[5])


def test_of_connections_in_two_zones_one_is_played_that_is_let_in() -> None:
    """Answers untracked, requests in a zone: the filter lets in port 443 alone, and those leave their entry."""
    raw = ("-A PREROUTING -j CT --zone 5", "-A OUTPUT -p udp -m multiport --sports 80,443 -j NOTRACK")
    accept = "-A INPUT -p udp -m udp --dport 443 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT"
    told = said(raw, (), (accept,), "DROP").findings
    assert [("CT103", 5)] == [(f.code, f.place.line) for f in told if f.place]


def test_round_lo_those_with_one_way_in_a_zone_are_played_apart() -> None:
    """Requests to port 80 in a zone of their own, answers untracked: the ACK is NEW in PREROUTING, and as its entry's
    reply is the first one's, it is dropped. Between two ports that both have the zone nothing dies."""
    raw = ("-A OUTPUT -p tcp -m multiport --dports 80,4000:5000 -j CT --zone-orig 6", "-A OUTPUT -j CT --notrack")
    rules = ruleset(raw, ("-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",))
    assert [("CT116", Severity.CRITICAL)] == codes(check_ruleset(rules, OURS, edits=False), "CT116")


def test_what_hangs_on_an_unknown_match_is_no_certain_death() -> None:
    """An accept in front of the untracking that nobody understands: whatever it says, the answer passes, translated
    back or not. Both are played, and what one of them alone shows is a warning."""
    nat = ("-A POSTROUTING -o eth0 -j SNAT --to-source 203.0.113.200",)
    unknown = "-A PREROUTING -m u32 --u32 0>>22&0x3C@4=0x29 -j ACCEPT"
    assert [("CT117", Severity.CRITICAL)] == codes(said((SSH,), nat), "CT117")
    found = said((unknown, SSH), nat)
    assert [("CT117", Severity.WARNING)] == codes(found, "CT117")
    (cut,) = (f for f in found.findings if f.code == "CT117")
    assert any("not translated back is tcp SYN/ACK" in line for line in cut.evidence)


@pytest.mark.parametrize(("passed_on", "told"), [("ACCEPT", [("CT109", Severity.CRITICAL)]), ("DROP", [])])
def test_a_translation_that_ends_at_a_refusal_is_missed_by_nobody(
    passed_on: str, told: list[tuple[str, Severity]]
) -> None:
    """What the host opened was sent to itself, and refused there."""
    raw = ("-A OUTPUT -o eth0 -p udp -m udp --dport 3306 -j CT --notrack",)
    nat = ("-A OUTPUT -o eth0 -p udp -m udp --dport 3306 -j REDIRECT --to-ports 3307",)
    found = said(raw, nat, (f"-A INPUT -i lo -p udp -m udp --dport 3307 -j {passed_on}",))
    assert told == codes(found, "CT109")


def test_what_a_translation_sent_into_a_refusal_gets_in_without_it() -> None:
    """Redirected to a closed port, whatever came to 443 was refused; untracked it is passed on."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 443 -j CT --notrack",)
    nat = ("-A PREROUTING -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 3306",)
    found = said(raw, nat, ("-A INPUT -p tcp -m tcp --dport 3306 -j DROP",))
    assert [("CT109", Severity.CRITICAL)] == codes(found, "CT109")


def test_a_pattern_says_on_what_it_hangs() -> None:
    """One way untracked does harm only where a program takes what TPROXY hands on: else nobody gets in."""
    raw = ("-A PREROUTING -p tcp -m tcp --dport 22 -j CT --notrack",)
    mangle = (
        "*mangle\n:PREROUTING DROP [0:0]\n-A PREROUTING -p tcp --dport 22 -j TPROXY --on-port 50 --tproxy-mark 0x1\n"
    )
    lines = "\n".join(("*raw", ":PREROUTING ACCEPT [0:0]", *raw, "COMMIT", f"{mangle}COMMIT", ""))
    filtering = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT\n"
    found = check_ruleset(read(lines + filtering, "rules"), OURS, edits=False)
    (one_way,) = (f for f in found.findings if f.code == "CT103")
    assert any("a program listens there` matches" in line for line in one_way.evidence)


def test_answers_that_a_rule_takes_once_translated_are_apart_from_requests_that_it_takes() -> None:
    """POSTROUTING gives what goes round lo another source: answers to it die, requests to it are never translated."""
    found = said(("-A OUTPUT -d 192.0.2.1/32 -j CT --notrack",), ("-A POSTROUTING -j SNAT --to-source 192.0.2.1",))
    cut = [line for f in found.findings if f.code in ("CT116", "CT117") for line in f.evidence]
    assert any(line.startswith("cut: tcp, from 127.") for line in cut), cut


def test_of_datagrams_one_way_it_is_the_same_which_address_masquerading_takes() -> None:
    """No answer comes to it: of what is untracked nothing is missed, and no entry is left."""
    raw = ("-A OUTPUT -o eth0 -p udp -m udp --dport 514 -j CT --notrack",)
    found = said(raw, ("-A POSTROUTING -s 198.51.100.0/24 -o eth0 -j MASQUERADE",))
    assert [] == codes(found, "CT103", "CT117")
