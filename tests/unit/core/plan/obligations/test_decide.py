"""The obligations by packet sets: a change made by hand that keeps them all, and what breaks each."""

from dataclasses import replace

import pytest

from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.fields import TcpFlag
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.netfilter.dialogue import run
from conntrim.core.netfilter.outcome import Fate
from conntrim.core.netfilter.simulate import simulate
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.obligations.decide import Proof, decide
from conntrim.core.plan.obligations.registry import BY_SETS

LOCAL = Intervals.of(parse_address("192.168.0.18"))
PORTS = (32768, 60999)
POLICY = b"""
[[untrack]]
direction = "inbound"
protocol = "tcp"
ports = [80]

[[untrack]]
direction = "outbound"
protocol = "tcp"
ports = [11211]
to = ["192.168.0.17"]
"""

FILTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
{accepts}-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""
RAW = (
    "-A PREROUTING -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -j CT --notrack",
    "-A PREROUTING -s 192.168.0.17/32 -p tcp -m tcp --sport 11211 --dport 32768:60999 ! --syn "
    "-m addrtype --dst-type LOCAL -j CT --notrack",
    "-A OUTPUT -d 10.0.0.0/8 -p tcp -m tcp --sport 80 ! --syn -m addrtype --src-type LOCAL -j CT --notrack",
    "-A OUTPUT -d 192.168.0.17/32 -p tcp -m tcp --sport 32768:60999 --dport 11211 -m addrtype --src-type LOCAL "
    "-j CT --notrack",
    "-A OUTPUT -o lo -p tcp -m tcp --dport 80 -j CT --notrack",
    "-A OUTPUT -o lo -p tcp -m tcp --sport 80 ! --syn -j CT --notrack",
)
WIDE = (RAW[0].replace("-s 10.0.0.0/8 ", ""), *RAW[1:])
"""The same with requests from anybody untracked."""
ACCEPTS = (
    "-A INPUT -p icmp -m icmp --icmp-type 3 -m conntrack --ctstate INVALID -j ACCEPT",
    "-A INPUT -p icmp -m icmp --icmp-type 11 -m conntrack --ctstate INVALID -j ACCEPT",
    "-A INPUT -p icmp -m icmp --icmp-type 12 -m conntrack --ctstate INVALID -j ACCEPT",
    "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -m conntrack --ctstate UNTRACKED -j ACCEPT",
    "-A INPUT -s 192.168.0.17/32 -p tcp -m tcp --sport 11211 --dport 32768:60999 "
    "-m conntrack --ctstate UNTRACKED -j ACCEPT",
)


def text(raw: tuple[str, ...], accepts: tuple[str, ...]) -> str:
    """A rule set as iptables-save prints it."""
    table = "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", ""])
    return table + FILTER.replace("{accepts}", "".join(f"{rule}\n" for rule in accepts))


BEFORE = FILTER.replace("{accepts}", "")


def judged(after: str, before: str = BEFORE) -> Proof:
    """All obligations of a change of rule sets for `POLICY`."""
    return decide(read(before, "before"), read(after, "after"), parse_policy(POLICY, "policy"), LOCAL, PORTS)


def test_tight_rules_keep_every_obligation() -> None:
    """Both sides untracked, accepts tied to peers and ports, errors let in: all proved, the rest told in words."""
    found = judged(text(RAW, ACCEPTS))
    assert {ObligationStatus.PROVED} == {o.standing for o in found.obligations}
    assert [spec.name for spec in BY_SETS] == [o.name for o in found.obligations]
    assert any("source port 11211" in words for words in found.residual)


def test_a_match_that_nobody_knows_may_ask_the_state() -> None:
    """A module of somebody else's in front of the accepts: once the packets are untracked it may answer otherwise."""
    strange = "-A INPUT -i lo -j ACCEPT\n-A INPUT -m somebody --likes it -j DROP\n"
    before, after = (each.replace("-A INPUT -i lo -j ACCEPT\n", strange) for each in (BEFORE, text(RAW, ACCEPTS)))
    standings = {o.name: o.standing for o in judged(after, before).obligations}
    assert (ObligationStatus.NOT_DECIDED, ObligationStatus.PROVED) == (standings["delivered"], standings["two-sided"])


def test_nothing_is_proved_over_rules_that_were_not_read() -> None:
    """One part of the listing that nobody could read, before or after: every proof is off, and says why; what is broken
    stays broken."""
    rules, policy = read(BEFORE, "before"), parse_policy(POLICY, "policy")
    hidden = replace(rules, unread=("table ip nat was not read", "another"))
    found = decide(hidden, read(text(RAW, ACCEPTS), "after"), policy, LOCAL, PORTS)
    assert {(ObligationStatus.NOT_DECIDED, "not every rule could be read: table ip nat was not read (and 1 more)")} == {
        (o.standing, o.why) for o in found.obligations
    }
    broken = decide(rules, replace(read(text(RAW[:4], ACCEPTS), "after"), unread=("x",)), policy, LOCAL, PORTS)
    assert ObligationStatus.BROKEN in {o.standing for o in broken.obligations}


def test_what_stays_newly_admitted_is_told_with_how_far_it_reaches() -> None:
    """ICMP errors are the largest part, the web service next; each is told as packets, and by its peers and ports."""
    found = judged(text(RAW, ACCEPTS)).residual
    assert ["icmp, type 3, 11-12", "tcp, from 10.0.0.0/8, to 192.168.0.18, destination port 80"] == [
        found[0].split(":")[0], found[1].split(", flags")[0]
    ]  # fmt: skip
    assert ["any peer, inbound", "16,777,216 peers x any source port x 1 port here, inbound"] == [
        words.split(": ")[1] for words in found[:2]
    ]


NAT = """*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080
COMMIT
"""
HELPER = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j CT --helper ftp\nCOMMIT\n"
INVALID_OUT = "-A OUTPUT -m conntrack --ctstate INVALID -j DROP\nCOMMIT"
RESETS_OUT = "-A OUTPUT -p tcp -m tcp --tcp-flags RST RST -m conntrack --ctstate INVALID -j ACCEPT\n"

MUTANTS: dict[str, tuple[str, str, str]] = {
    "the answers' leg dropped": (text(RAW[:2] + RAW[3:], ACCEPTS), BEFORE, "two-sided"),
    "the loopback leg dropped": (text((*RAW[:4], RAW[5]), ACCEPTS), BEFORE, "two-sided"),
    "a leg behind an accept": (text(("-A PREROUTING -i eth0 -j ACCEPT", *RAW), ACCEPTS), BEFORE, "two-sided"),
    "the accept removed": (text(RAW, ACCEPTS[:3] + ACCEPTS[4:]), BEFORE, "delivered"),
    "the answers' accept removed": (text(RAW, ACCEPTS[:4]), BEFORE, "delivered"),
    "the accept behind the reject": (
        text(RAW, ACCEPTS[:3] + ACCEPTS[4:]).replace("unreachable\n", f"unreachable\n{ACCEPTS[3]}\n"),
        BEFORE, "delivered",
    ),
    "UNTRACKED accepted from anywhere": (
        text(WIDE, (*ACCEPTS, "-A INPUT -m conntrack --ctstate UNTRACKED -j ACCEPT")), BEFORE, "no-exposure",
    ),
    "the peer's pin removed": (
        text((RAW[0], RAW[1].replace("-s 192.168.0.17/32 ", ""), *RAW[2:]),
             (*ACCEPTS[:4], ACCEPTS[4].replace("-s 192.168.0.17/32 ", ""))), BEFORE, "no-exposure",
    ),
    "SYNs from the cache's port": (
        text((RAW[0], RAW[1].replace("! --syn ", ""), *RAW[2:]), ACCEPTS), BEFORE, "no-exposure",
    ),
    "the clients' range widened": (
        text(WIDE, (*ACCEPTS[:3], ACCEPTS[3].replace("10.0.0.0/8", "10.0.0.0/7"), ACCEPTS[4])), BEFORE, "no-exposure",
    ),
    "another service untracked": (
        text((*RAW, "-A PREROUTING -p tcp -m tcp --dport 22 -j CT --notrack"), ACCEPTS), BEFORE, "no-loss",
    ),
    "requests beside the policy untracked": (
        text((*RAW[:3], RAW[3].replace("11211", "11211:11212"), *RAW[4:]), ACCEPTS), BEFORE, "no-loss",
    ),
    "answers beside the policy untracked": (
        text((*RAW, "-A PREROUTING -p tcp -m tcp --sport 443 ! --syn -j CT --notrack"), ACCEPTS), BEFORE, "no-loss",
    ),
    "datagrams untracked one way": (
        text((*RAW, "-A OUTPUT -p udp -m udp --dport 53 -j CT --notrack"), ACCEPTS), BEFORE, "no-loss",
    ),
    "resets let out from every port": (
        text(RAW, ACCEPTS).replace("unreachable\nCOMMIT", f"unreachable\n{RESETS_OUT}{INVALID_OUT}"),
        BEFORE.replace("unreachable\nCOMMIT", f"unreachable\n{INVALID_OUT}"), "no-exposure",
    ),
    "answers to whom the service refuses": (
        text((*RAW[:2], RAW[2].replace("-d 10.0.0.0/8 ", ""), *RAW[3:]), ACCEPTS).replace(
            "unreachable\nCOMMIT", f"unreachable\n{INVALID_OUT}"
        ),
        BEFORE.replace("unreachable\nCOMMIT", f"unreachable\n{INVALID_OUT}"), "no-exposure",
    ),
    "the errors' accept removed": (text(RAW, ACCEPTS[1:]), BEFORE, "errors-return"),
    "INVALID dropped going out": (
        text(RAW, ACCEPTS).replace("unreachable\nCOMMIT", f"unreachable\n{INVALID_OUT}"),
        BEFORE.replace("unreachable\nCOMMIT", f"unreachable\n{INVALID_OUT}"), "answers-leave",
    ),
    "a redirect of the service": (text(RAW, ACCEPTS) + NAT, BEFORE + NAT, "nat-kept"),
    "a helper of the service": (
        text((*RAW, "-A PREROUTING -p tcp -m tcp --dport 80 -j CT --helper ftp"), ACCEPTS),
        BEFORE + HELPER, "helper-kept",
    ),
}  # fmt: skip
"""What was changed, to after, before, and the obligation that breaks."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_plan_is_told_with_a_packet(name: str) -> None:
    """Each change breaks its obligation, with a witness."""
    after, before, expected = MUTANTS[name]
    found = {o.name: o for o in judged(after, before).obligations}
    assert ObligationStatus.BROKEN is found[expected].standing
    assert found[expected].witness


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("the errors' accept removed", "icmp, type 3"), ("INVALID dropped going out", "icmp, type 3, 11-12")],
)
def test_which_errors_are_lost_is_said(name: str, kinds: str) -> None:
    """The types that no longer come or leave, whatever state an error may be in."""
    after, before, broken = MUTANTS[name]
    (lost,) = (o for o in judged(after, before).obligations if o.name == broken)
    assert f"dropped without an entry, let through with one: {kinds}" == lost.why


EXPOSING = [name for name, (_, _, broken) in MUTANTS.items() if broken == "no-exposure"]


@pytest.mark.parametrize("name", EXPOSING)
def test_the_witness_of_an_exposure_replays(name: str) -> None:
    """The packet is refused by the old rules and accepted by the new ones, packet by packet."""
    after, before, _ = MUTANTS[name]
    witnesses = [b.witness for b in judged(after, before).broken if b.name == "no-exposure"]
    assert witnesses
    for packet in witnesses:
        told = [simulate(read(rules, "rules"), packet).verdict for rules in (before, after)]
        assert (told[0] is Fate.ACCEPT, told[1]) == (False, Fate.ACCEPT)


CUTTING = {
    "a leg behind an accept": "delivered",
    "the accept removed": "delivered",
    "the answers' accept removed": "delivered",
    "the accept behind the reject": "delivered",
    "another service untracked": "no-loss",
    "requests beside the policy untracked": "no-loss",
    "answers beside the policy untracked": "no-loss",
    "datagrams untracked one way": "no-loss",
}
"""The changes that cut connections, and the obligation that tells so with the packets that came before."""


@pytest.mark.parametrize("name", CUTTING)
def test_the_witness_of_a_connection_replays(name: str) -> None:
    """A connection's packet that is shown as lost gets through by the old rules and not by the new ones."""
    after, before, _ = MUTANTS[name]
    lost = [b for b in judged(after, before).broken if b.earlier and b.name == CUTTING[name]]
    assert lost
    for broken in lost:
        packets = (*broken.earlier, broken.witness)
        told = [run(read(rules, "rules"), packets)[-1].verdict for rules in (before, after)]
        assert (told[0], told[1] is Fate.ACCEPT) == (Fate.ACCEPT, False), broken


def test_what_opens_or_translates_cuts_no_connection() -> None:
    """A change that lets more in, or that is told by its translation or helper, blames no packet of a connection."""
    blamed = {
        name: [b.name for b in judged(after, before).broken if b.earlier and b.name != "two-sided"]
        for name, (after, before, _) in MUTANTS.items()
        if name not in CUTTING and WIDE[0] not in after
    }
    assert {name: [] for name in blamed} == blamed
    assert 10 == len(blamed)


def test_a_connection_half_tracked_may_still_be_reset() -> None:
    """K14: with the answers alone untracked the entry waits for one; a reset is NEW there, an ACK INVALID."""
    found = judged(text(RAW[1:], ACCEPTS))
    lost = {b.witness.tcp_flags for b in found.broken if b.name == "delivered" and b.witness.dport == 80}
    assert {TcpFlag.ACK, TcpFlag.PSH | TcpFlag.ACK, TcpFlag.FIN | TcpFlag.ACK} == lost


def test_a_packet_that_hangs_on_an_unknown_match_is_not_decided() -> None:
    """Newly admitted only where `recent` says yes: that is no proof and no witness."""
    rule = "-A INPUT -p tcp -m tcp --dport 3306 -m recent --rcheck --name x --rsource -j ACCEPT"
    found = {o.name: o for o in judged(text(RAW, (*ACCEPTS, rule))).obligations}
    assert ObligationStatus.NOT_DECIDED is found["no-exposure"].standing
    assert "recent" in found["no-exposure"].why


def test_a_host_that_tells_only_its_loopback_is_not_proved_vacuously() -> None:
    """127.0.0.1 alone is no knowledge of the host's addresses: what is open to all is still found."""
    after, before, _ = MUTANTS["UNTRACKED accepted from anywhere"]
    loopback = Intervals.of(parse_address("127.0.0.1"))
    found = decide(read(before, "before"), read(after, "after"), parse_policy(POLICY, "policy"), loopback, PORTS)
    assert ObligationStatus.BROKEN is {o.name: o.standing for o in found.obligations}["no-exposure"]


def under_no_name(text_: str) -> str:
    """Without the rules' word that this host's end is its own address."""
    return text_.replace(" -m addrtype --src-type LOCAL", "")


def test_what_leaves_under_another_s_address_is_followed() -> None:
    """A transparent proxy's answers from port 80 would go untracked, the requests not: a connection is lost, and the
    witness is one to an address that is none of the host's; with the local source named, none is."""
    after = under_no_name(text(WIDE, ACCEPTS))
    foreign = [b for b in judged(after).broken if b.name == "no-loss" and b.earlier and not b.conditions]
    assert foreign
    for broken in foreign:
        packets = (*broken.earlier, broken.witness)
        assert parse_address("192.168.0.18") not in (packets[0].dst if packets[0].iif else packets[0].src,)
        told = [run(read(rules, "rules"), packets)[-1].verdict for rules in (BEFORE, after)]
        assert (told[0], told[1] is Fate.ACCEPT) == (Fate.ACCEPT, False), broken
    assert [] == [b for b in judged(text(RAW, ACCEPTS)).broken if b.earlier]


def test_the_host_s_own_connections_from_the_service_s_port_are_followed() -> None:
    """Requests from anybody go untracked, and the filter lets only some ask: what the host opens itself from port 80
    to others loses its answers; nobody can while a program listens there (K74), and without that it is not decided."""
    wide = text(WIDE, ACCEPTS)
    found = {o.name: o for o in judged(wide).obligations}["no-loss"]
    assert (ObligationStatus.NOT_DECIDED, "SYN/ACK") == (found.standing, found.witness.split()[1])
    policy = parse_policy(POLICY, "policy")
    listening = {Family.IPV4: Intervals.of(80)}
    told = decide(read(BEFORE, "before"), read(wide, "after"), policy, LOCAL, PORTS, listening=listening)
    assert {ObligationStatus.PROVED} == {o.standing for o in told.obligations}


TIME = b'[[untrack]]\ndirection = "inbound"\nprotocol = "udp"\nports = [123]\n'
TIME_BEFORE = BEFORE.replace("-p tcp -m tcp --dport 80", "-p udp -m udp --dport 123")
TIME_RAW = tuple(rule.replace("tcp", "udp").replace("port 80", "port 123").replace(" ! --syn", "") for rule in RAW)
TIME_ACCEPT = ACCEPTS[3].replace("tcp", "udp").replace("port 80", "port 123")


@pytest.mark.parametrize("narrow", [True, False])
def test_a_time_server_s_own_questions_are_followed(narrow: bool) -> None:
    """What it asks from port 123 is answered where only its clients' packets go untracked, and lost where all do."""
    raw = (TIME_RAW[0], TIME_RAW[2], *TIME_RAW[4:])
    raw = raw if narrow else tuple(r.replace("-s 10.0.0.0/8 ", "").replace("-d 10.0.0.0/8 ", "") for r in raw)
    after = text(raw, (*ACCEPTS[:3], TIME_ACCEPT)).replace("-p tcp -m tcp --dport 80", "-p udp -m udp --dport 123")
    told = decide(read(TIME_BEFORE, "before"), read(after, "after"), parse_policy(TIME, "policy"), LOCAL, PORTS)
    lost = [b for b in told.broken if b.name == "no-loss"]
    assert ([] if narrow else ["no-loss"]) == list(dict.fromkeys(b.name for b in told.broken))
    for broken in lost:
        packets = (*broken.earlier, broken.witness)
        assert 123 == packets[0].sport
        ways = [run(read(rules, "rules"), packets)[-1].verdict for rules in (TIME_BEFORE, after)]
        assert (ways[0], ways[1] is Fate.ACCEPT) == (Fate.ACCEPT, False)


DOCKER = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    "-A OUTPUT -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\nCOMMIT\n"
)


@pytest.mark.parametrize(
    ("listening", "expected"),
    [(Intervals(), ObligationStatus.NOT_DECIDED), (Intervals.of(80), ObligationStatus.PROVED)],
)
def test_what_a_host_opens_from_its_service_s_port_is_lost_only_where_nobody_listens(
    listening: Intervals, expected: ObligationStatus
) -> None:
    """K74: a connection from port 80 to a published port would lose its translation; a listener rules it out."""
    before, after = read(BEFORE + DOCKER, "before"), read(text(RAW, ACCEPTS) + DOCKER, "after")
    policy = parse_policy(POLICY, "policy")
    found = decide(before, after, policy, LOCAL, PORTS, listening={Family.IPV4: listening}).obligations
    assert expected is {o.name: o.standing for o in found}["nat-kept"]


KUBELET = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A OUTPUT -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination {}
COMMIT
*filter
:OUTPUT ACCEPT [0:0]
-A OUTPUT ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    ("target", "open_"), [("10.244.0.5:6443", []), ("127.0.0.1:80", ["nat-kept"])], ids=["elsewhere", "the service"]
)
def test_kubelet_s_drop_asks_nothing_of_a_service_that_no_rule_translates(target: str, open_: list[str]) -> None:
    """K4: a first packet to 127.0.0.0/8 that came by the nat chains untranslated is not DNAT: it was dropped before, as
    it is untracked. Where a rule sends others to the service, those lose their translation."""
    body = KUBELET.format(target)
    answers = "-A OUTPUT -o lo -p tcp -m tcp --sport 80 ! --syn -m conntrack --ctstate UNTRACKED -j ACCEPT\n"
    after = body.replace("-A OUTPUT !", f"{answers}-A OUTPUT !")
    raw = ["-A PREROUTING -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -j CT --notrack",
           "-A OUTPUT -p tcp -m tcp --sport 80 ! --syn -m addrtype --src-type LOCAL -j CT --notrack",
           "-A OUTPUT -o lo -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -j CT --notrack"]  # fmt: skip
    head = "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *raw, "COMMIT", ""])
    policy = parse_policy(POLICY.split(b"\n\n")[0], "policy")
    found = decide(read(body, "before"), read(head + after, "after"), policy, LOCAL, PORTS,
                   listening={Family.IPV4: Intervals.of(80)}).obligations  # fmt: skip
    assert open_ == [o.name for o in found if o.standing is not ObligationStatus.PROVED]


def test_what_comes_out_of_a_translation_may_be_dnat() -> None:
    """Forwarded packets that a rule sent elsewhere are DNAT: that their accept is gone is not proved to lose nobody."""
    accept = "-A FORWARD -m conntrack --ctstate DNAT -m state --state NEW -j ACCEPT\n"
    nat = NAT.replace(
        NAT.splitlines()[-2], "-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.9.0.2"
    )
    with_it = BEFORE.replace("-A INPUT -i lo", f"{accept}-A INPUT -i lo")
    after = text(RAW, ACCEPTS) + nat
    found = decide(read(with_it + nat, "before"), read(after, "after"), parse_policy(POLICY, "policy"), LOCAL, PORTS)
    (lost,) = (o for o in found.obligations if o.name == "no-loss")
    assert (ObligationStatus.NOT_DECIDED, True) == (lost.standing, lost.why.endswith("where `--ctstate DNAT` matches"))


TAILSCALE = "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -m mark --mark 0x40000/0xff0000 -j MASQUERADE\nCOMMIT\n"
MARKS = "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -o lo -j MARK --set-xmark 0x40000/0xff0000\nCOMMIT\n"
UNMARKED_OUT = BEFORE.replace(
    "COMMIT", "-A OUTPUT -m conntrack --ctstate UNTRACKED -m mark ! --mark 0x40000/0xff0000 -j DROP\nCOMMIT"
)
ONE_ADDRESS = BEFORE.replace(
    "-A INPUT -i lo -j ACCEPT", "-A INPUT -s 192.168.0.18/32 -i lo -j ACCEPT\n-A INPUT -i lo -j DROP"
)
LOCALNET = BEFORE.replace(
    "-A INPUT -i lo -j ACCEPT", "-A INPUT ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP\n-A INPUT -i lo -j ACCEPT"
)


@pytest.mark.parametrize(
    ("more", "host", "fine"),
    [(TAILSCALE, BEFORE, True), (TAILSCALE, UNMARKED_OUT, False),
     (TAILSCALE + MARKS, BEFORE, False), (TAILSCALE, ONE_ADDRESS, False), (TAILSCALE, LOCALNET, True),
     (TAILSCALE.replace("-m mark --mark 0x40000/0xff0000 ", "-o lo "), BEFORE, False)],
    ids=["by a program", "answers bear no mark", "by a rule", "admitted by its new address",
         "refused for its own", "without a mark"],
)  # fmt: skip
def test_a_source_that_a_program_has_masqueraded_round_lo_by_its_mark_is_remarked(
    more: str, host: str, fine: bool
) -> None:
    """Packets that only a program's own mark has masqueraded on lo go through untracked, too, under their own address:
    that is said, and so is what is refused under it if the program also binds to another address than it asks. Where a
    rule gives the mark, or the address decides who is let in, their translation is lost."""
    raw = "\n".join(["*raw", ":PREROUTING ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *RAW, "COMMIT", ""])
    accepts = "".join(f"{rule}\n" for rule in ACCEPTS)
    after = raw + host.replace("-A INPUT -m conntrack", f"{accepts}-A INPUT -m conntrack", 1)
    policy = parse_policy(POLICY, "policy")
    found = decide(read(host + more, "before"), read(after + more, "after"), policy, LOCAL, PORTS,
                   listening={Family.IPV4: Intervals.of(80)})  # fmt: skip
    expected = ObligationStatus.PROVED if fine else ObligationStatus.BROKEN
    assert expected is {o.name: o.standing for o in found.obligations}["nat-kept"]
    told = ["binds to another" in words for words in found.remarks if "marks them so" in words]
    assert not fine or told == [False, *([True] if host is LOCALNET else [])]
