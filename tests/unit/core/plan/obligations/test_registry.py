"""The obligations: proved where nothing stands in the way, and what breaks each."""

import pytest

from conntrim.core.model.facts import Era
from conntrim.core.model.plan import ObligationStatus
from conntrim.core.model.ruleset import Base, Chain, Dialect, Ruleset, Table, TableFamily
from conntrim.core.model.service import Hook
from conntrim.core.plan.obligations.registry import NAMES, UNTRACKING
from conntrim.core.plan.own_rules import free_priority
from conntrim.lab.layouts.layout import HOST4
from conntrim.lab.layouts.registry import drawn
from tests.unit.core.plan.planning import CACHE, INBOUND, OUTBOUND, WEB, facts, filtered, obligation, plan

PLAIN = filtered(
    "-i lo -j ACCEPT",
    "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT",
    "-p tcp -m tcp --dport 8080 -m conntrack --ctstate NEW -j ACCEPT",
    "-p udp -m udp --dport 53 -m conntrack --ctstate NEW -j ACCEPT",
)
FORWARDING = PLAIN.replace(":FORWARD DROP", ":FORWARD ACCEPT")
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{}COMMIT\n"
MASQUERADE = "-A POSTROUTING -o eth0 -j MASQUERADE\n"
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"

BREAKING = {
    "dnat": (WEB, NAT.format("-A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n"), "nat-kept"),
    "snat": (CACHE, NAT.format(MASQUERADE), "nat-kept"),
    "inner port": (WEB, NAT.format("-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80\n"), "nat-kept"),
    "to us": (
        WEB,
        NAT.format("-A PREROUTING -d 192.168.0.18 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80\n"),
        "nat-kept",
    ),
    "our own's": (WEB, NAT.format("-A OUTPUT -d 192.168.0.18 -p tcp -j REDIRECT --to-ports 80\n"), "nat-kept"),
    "gateway": (INBOUND.format("udp", 53), NAT.format(MASQUERADE), "nat-kept"),
    "gateway to the cache": (CACHE, NAT.format("-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\n"), "nat-kept"),
    "gateway's few ports": (
        INBOUND.format("tcp", 8080),
        NAT.format("-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 8000-8099\n"),
        "nat-kept",
    ),
    "docker": (
        WEB,
        NAT.replace(":OUTPUT", ":DOCKER - [0:0]\n:OUTPUT").format(
            "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n"
            "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80\n"
        ),
        "nat-kept",
    ),
    "helper": (WEB, RAW.format("-A PREROUTING -p tcp -m tcp --dport 80 -j CT --helper ftp\n"), "helper-kept"),
    "helper's port": (INBOUND.format("tcp", 21), "", "helper-kept"),
    "connmark": (WEB, MANGLE.format("-A PREROUTING -j CONNMARK --restore-mark\n"), "no-ct-dependence"),
    "connbytes": (
        WEB,
        MANGLE.format("-A INPUT -m connbytes --connbytes 5 --connbytes-mode bytes --connbytes-dir both -j DROP\n"),
        "no-ct-dependence",
    ),
}  # fmt: skip

UNKNOWABLE = {"helper's port", "connmark", "connbytes"}


def test_plain_host_is_proved_but_for_loading() -> None:
    """On the usual stateful filter everything is proved; whether the texts load is the kernel's word."""
    made = plan(WEB + CACHE, PLAIN)
    assert {"loads"} == {o.name for o in made.obligations if o.standing is not ObligationStatus.PROVED}
    assert [name for name in NAMES if name in UNTRACKING] == [o.name for o in made.obligations]


@pytest.mark.parametrize("name", BREAKING)
def test_what_stands_in_the_way_is_named(name: str) -> None:
    """NAT and helpers on a leg's way break the obligation that suffers; what depends on a helper that may be loaded or
    on entries that will not exist is not decided."""
    policy, table, expected = BREAKING[name]
    made = plan(policy, FORWARDING + table)
    standing = ObligationStatus.NOT_DECIDED if name in UNKNOWABLE else ObligationStatus.BROKEN
    assert standing is obligation(made, expected).standing


INNOCENT = {
    "other port": NAT.format("-A PREROUTING -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 8081\n"),
    "another host's": NAT.format("-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n"),
    "containers": NAT.format("-A POSTROUTING -s 172.17.0.0/16 ! -d 192.168.0.0/16 ! -o docker0 -j MASQUERADE\n"),
    "udp": NAT.format("-A PREROUTING -p udp -j REDIRECT --to-ports 53\n"),
}
PORTS = {
    "": ObligationStatus.BROKEN,
    " --to-ports 1024-65535": ObligationStatus.PROVED,
    " --to-ports 50-99": ObligationStatus.BROKEN,
}


@pytest.mark.parametrize("ports", PORTS)
def test_ports_of_its_own_keep_a_gateway_s_clients_apart(ports: str) -> None:
    """K44: a gateway's client keeps its port or gets one of its class, unless the rule names others."""
    rule = f"-A POSTROUTING -o eth0 -p udp -j MASQUERADE{ports}\n"
    made = plan(INBOUND.format("udp", 53), FORWARDING + NAT.format(rule))
    assert PORTS[ports] is obligation(made, "nat-kept").standing


@pytest.mark.parametrize(("port", "standing"), [(514, ObligationStatus.BROKEN), (700, ObligationStatus.BROKEN)])
def test_a_gateway_s_client_keeps_a_port_that_none_is_given(port: int, standing: ObligationStatus) -> None:
    """K44: a source port from 512 to 599 is given to nobody, and kept by who has it."""
    accept = f"-A INPUT -p udp -m udp --dport {port} -j ACCEPT\nCOMMIT"
    made = plan(INBOUND.format("udp", port), FORWARDING.replace("COMMIT", accept) + NAT.format(MASQUERADE))
    assert standing is obligation(made, "nat-kept").standing


CHANCES = {
    "kept or given": (MASQUERADE, 1, "if one keeps or is given just that port"),
    "from thousands": ("-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 1024-65535\n", 1, "just that port"),
    "from others": ("-A POSTROUTING -o eth0 -p tcp -j MASQUERADE --to-ports 20000-60000\n", 0, ""),
}


@pytest.mark.parametrize("name", CHANCES)
def test_one_of_thousands_is_remarked_upon(name: str) -> None:
    """K44: a gateway's TCP client has a service's port by chance alone: listed, where its rule can give that port."""
    rule, count, words = CHANCES[name]
    made = plan(INBOUND.format("tcp", 8080), FORWARDING + NAT.format(rule))
    assert ObligationStatus.PROVED is obligation(made, "nat-kept").standing
    told = [remark for remark in made.remarks if "may translate" in remark]
    assert count == len(told)
    assert all(words in remark for remark in told)


def test_every_rule_that_may_take_a_port_by_chance_is_remarked_upon() -> None:
    """Of what loses its answers by chance some is told of each rule, also where destinations are translated before: the
    second rule of POSTROUTING sees only what the second of PREROUTING leads out by eth1."""
    rules = (
        "-A PREROUTING -d 192.168.0.30/32 -j DNAT --to-destination 10.1.0.1\n"
        "-A PREROUTING -d 192.168.0.31/32 -j DNAT --to-destination 10.2.0.1\n"
        "-A POSTROUTING -d 10.1.0.0/16 -j MASQUERADE\n"
        "-A POSTROUTING -d 10.2.0.0/16 -j MASQUERADE\n"
    )
    made = plan(INBOUND.format("tcp", 8080), FORWARDING + NAT.format(rules))
    assert 2 == len([remark for remark in made.remarks if "just that port" in remark])
    assert ObligationStatus.PROVED is obligation(made, "nat-kept").standing


def test_what_the_host_opens_from_the_service_s_port_is_told_once() -> None:
    """K74: two rules translate what this host opens from port 8080, as nobody does who listens there: one of them is
    said, and the obligation is open."""
    rules = "".join(f"-A OUTPUT -d 10.{n}.0.1/32 -j DNAT --to-destination 10.{n}.0.2\n" for n in (1, 2))
    nobody = facts("192.168.0.18", listening=())
    found = obligation(plan(INBOUND.format("tcp", 8080), PLAIN + NAT.format(rules), nobody), "nat-kept")
    assert ObligationStatus.NOT_DECIDED is found.standing
    assert ("10.1.0.1" in found.why, "more)" in found.why) == (True, False)


def test_who_binds_to_another_address_is_remarked_upon() -> None:
    """K143: of a host with two addresses masquerading changes only what a program binds to the other one."""
    made = plan(CACHE, PLAIN + NAT.format(MASQUERADE), facts("192.168.0.18", "10.9.0.1"))
    assert ObligationStatus.PROVED is obligation(made, "nat-kept").standing
    assert any("where a program binds to another address" in remark for remark in made.remarks)


def test_zone_set_after_the_plan_s_own_rule_changes_nothing() -> None:
    """The plan's rule is raw's first; iptables leaves a packet untracked that a zone is given to afterwards (K10)."""
    made = plan(WEB, PLAIN + RAW.format("-A PREROUTING -i eth0 -j CT --zone 5\n"))
    assert ObligationStatus.PROVED is obligation(made, "two-sided").standing


@pytest.mark.parametrize("name", INNOCENT)
def test_nat_of_others_is_no_obstacle(name: str) -> None:
    """NAT rules for other ports, hosts and protocols leave nat-kept proved."""
    assert ObligationStatus.PROVED is obligation(plan(WEB + CACHE, FORWARDING + INNOCENT[name]), "nat-kept").standing


def test_what_nat_takes_on_lo_stays_tracked() -> None:
    """Docker's own address on the bridge, masqueraded even on lo: the plan lets it return, and the rest is proved."""
    rule = NAT.format("-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n")
    made = plan(WEB, FORWARDING + rule, facts("192.168.0.18", "172.17.0.1"))
    assert {"loads"} == {o.name for o in made.obligations if o.standing is not ObligationStatus.PROVED}
    returning = [c.rule.split(" -m comment")[0] for c in made.changes if c.rule.endswith("-j RETURN")]
    assert returning == [
        "-s 172.17.0.1/32 -o lo -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL",
        "-d 172.17.0.1/32 -o lo -p tcp -m tcp --sport 80 ! --tcp-flags FIN,SYN,RST,ACK SYN "
        "-m addrtype --src-type LOCAL",
    ]


def test_an_address_that_the_host_has_at_times_is_planned_for() -> None:
    """A rule that redirects what goes to a VRRP address: without it in the policy it is nobody's, with it nat-kept is
    broken."""
    rule = NAT.format("-A PREROUTING -d 192.168.0.99/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n")
    assert ObligationStatus.PROVED is obligation(plan(WEB, FORWARDING + rule), "nat-kept").standing
    own = 'own_addresses = ["192.168.0.99"]\n' + WEB
    assert ObligationStatus.BROKEN is obligation(plan(own, FORWARDING + rule), "nat-kept").standing


def test_a_refusing_reset_comes_to_no_nat_chain_of_output() -> None:
    """K144, K145: kube-proxy's nat chains mark packets in OUTPUT; the resets about the service are none of them."""
    host = facts(HOST4, "10.244.0.1", listening=(5432,))
    made = plan(INBOUND.format("tcp", 5432), drawn("kube-proxy", 31).ip, host)
    assert ObligationStatus.PROVED is obligation(made, "no-ct-dependence").standing


LO_KEPT = {
    "inbound": WEB + "keep_lo_tracked = true\n",
    "outbound": OUTBOUND.format("tcp", 11211, "192.168.0.18") + "keep_lo_tracked = true\n",
}


@pytest.mark.parametrize("name", LO_KEPT)
def test_what_goes_over_lo_may_stay_tracked(name: str) -> None:
    """With `keep_lo_tracked` both directions over lo return before the plan's rules: proved, and nothing is added."""
    made = plan(LO_KEPT[name], PLAIN)
    assert {"loads"} == {o.name for o in made.obligations if o.standing is not ObligationStatus.PROVED}
    on_lo = [c.rule for c in made.changes if " -o lo " in f" {c.rule}" or " -i lo " in f" {c.rule}"]
    assert ["RETURN"] * 2 == [rule.rpartition(" ")[2] for rule in on_lo]
    assert all('lo tracked"' in rule for rule in on_lo)


def test_what_the_filter_stops_is_not_translated() -> None:
    """A gateway that forwards nothing has no clients, whatever its NAT rules say."""
    rule = NAT.format("-A POSTROUTING -o eth0 -p udp -j MASQUERADE\n")
    assert ObligationStatus.PROVED is obligation(plan(INBOUND.format("udp", 53), PLAIN + rule), "nat-kept").standing


def test_raw_s_priority_is_left_to_others() -> None:
    """K2: where chains of the operator's hang at raw's priority, the plan's own hang at a free one before it."""
    chains = (Chain("a", (), Base("filter", Hook.PREROUTING, -300)), Chain("b", (), Base("filter", Hook.OUTPUT, -301)))
    assert -302 == free_priority(Ruleset((Table(Dialect.NFTABLES, TableFamily.INET, "base", chains),)))
    assert -300 == free_priority(Ruleset())


def test_no_user_of_conntrack_no_difference() -> None:
    """Where nothing uses conntrack (K5) nobody can tell an untracked fragment from another: proved, and said so."""
    stateless = filtered("-p tcp -m tcp --dport 80 -j ACCEPT")
    found = obligation(plan(WEB, stateless), "fragments")
    assert ObligationStatus.PROVED is found.standing
    assert found.why.endswith("nothing uses it for IPV4")


def test_old_era_has_no_guard() -> None:
    """2.6 kernels cannot expire a rule: the plan says so, and writes the words they know."""
    made = plan(WEB, PLAIN, facts("192.168.0.18", era=Era.IP))
    assert ObligationStatus.BROKEN is obligation(made, "guard-expired").standing
    text = "".join(b.text for b in made.trial)
    assert "-j NOTRACK" in text
    assert "-m state --state UNTRACKED" in text
    assert "datestop" not in text
    assert {"iptables-restore"} == {b.program for b in made.trial}


def test_a_question_that_nobody_comes_to_is_no_dependence() -> None:
    """A rule that asks the entry stands in the way only where packets of the service come to it."""
    asking = "-p tcp -m tcp --dport 80 -m connbytes --connbytes 5 --connbytes-mode bytes --connbytes-dir both -j DROP"
    accept = "-p tcp -m tcp --dport 80 -j ACCEPT"
    for rules, standing in (
        ((asking, accept), ObligationStatus.NOT_DECIDED),
        ((accept, asking), ObligationStatus.PROVED),
    ):
        assert standing is obligation(plan(WEB, filtered(*rules)), "no-ct-dependence").standing


def test_marks_that_nobody_sets_exempt_nothing() -> None:
    """kube-proxy masquerades what carries its mark: connections over lo that carry none go untracked all the same."""
    rule = NAT.replace(":OUTPUT", ":KUBE - [0:0]\n:OUTPUT").format(
        "-A POSTROUTING -j KUBE\n-A KUBE -m mark ! --mark 0x4000/0x4000 -j RETURN\n-A KUBE -j MASQUERADE\n"
    )
    made = plan(WEB, PLAIN + rule)
    assert ObligationStatus.PROVED is obligation(made, "two-sided").standing
    assert [] == [c for c in made.changes if c.rule.endswith("-j RETURN")]
