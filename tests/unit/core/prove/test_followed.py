"""Translations followed to what comes out: a port published, a service added, a target changed, a way closed behind."""

import pytest

from conntrim.core.model.address import parse_prefix
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.service import Direction
from conntrim.core.parse.ruleset import read
from conntrim.core.prove.compare import Comparison, compare
from conntrim.core.prove.populations import Population

FILTER = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n{}COMMIT\n"
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{}COMMIT\n"
PUBLISHED = "-A PREROUTING -d 198.51.100.4/32 -p tcp -m tcp --dport {} -j DNAT --to-destination {}\n"
LET_IN = "-A FORWARD -d {}/32 ! -i br7 -o br7 -p tcp -m tcp --dport {} -j ACCEPT\n"
ESTABLISHED = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
LOCAL = Intervals.union_of([parse_prefix("198.51.100.4")])


def compared(before: str, after: str) -> Comparison:
    """Two rule sets of a host whose address is known."""
    return compare(read(before, "before"), read(after, "after"), LOCAL)


def reached(found: Comparison) -> list[tuple[Direction, bool, tuple[str, ...]]]:
    """Who newly reaches what, or no longer does."""
    return [(d.direction, d.admitted, d.to) for d in found.differences if d.population is Population.TRANSLATED]


ONE = NAT.format(PUBLISHED.format(7080, "10.77.0.5:80")) + FILTER.format(LET_IN.format("10.77.0.5", 80))


def test_a_port_is_published() -> None:
    """The translation and the accept behind it together: who comes for the host's port newly reaches the container."""
    empty = NAT.format("") + FILTER.format("")
    found = compared(empty, ONE)
    assert (found.undecided, reached(found)) == ((), [(Direction.INBOUND, True, ("10.77.0.5:80",))])
    (new,) = [d for d in found.differences if d.population is Population.TRANSLATED]
    assert new.regions[0].words == "tcp, in by eth0, to 198.51.100.4, destination port 7080, flags SYN, ACK"
    back = compared(ONE, empty)
    assert (back.undecided, reached(back)) == ((), [(Direction.INBOUND, False, ("10.77.0.5:80",))])


@pytest.mark.parametrize(
    "missing",
    [NAT.format("") + ONE[ONE.index("*filter") :], ONE[: ONE.index("*filter")] + FILTER.format("")],
    ids=["the translation", "the accept behind it"],
)
def test_half_of_it_reaches_nothing(missing: str) -> None:
    """Either half by itself lets nobody in, and the other one newly does."""
    assert (Direction.INBOUND, True, ("10.77.0.5:80",)) in reached(compared(missing, ONE))


def test_another_target() -> None:
    """A port that leads elsewhere: the new target is reached, the old one no longer."""
    accepts = FILTER.format(LET_IN.format("10.77.0.5", 80) + LET_IN.format("10.77.0.6", 80))
    one, other = (NAT.format(PUBLISHED.format(7080, f"10.77.0.{n}:80")) + accepts for n in (5, 6))
    assert reached(compared(one, other)) == [
        (Direction.INBOUND, True, ("10.77.0.6:80",)), (Direction.INBOUND, False, ("10.77.0.5:80",)),
    ]  # fmt: skip


def test_a_translation_that_leads_nowhere_is_told() -> None:
    """Packets that are dropped wherever they are sent: nobody reaches anything, but they are translated otherwise."""
    dropped = FILTER.replace(":INPUT ACCEPT", ":INPUT DROP").format("")
    found = compared(NAT.format("") + dropped, NAT.format(PUBLISHED.format(7080, "10.77.0.5:80")) + dropped)
    assert (reached(found), found.undecided) == ([], ())
    assert any("translate different packets by dnat to 10.77.0.5:80" in what for what in found.others)


def test_later_packets_of_a_translated_connection_are_followed() -> None:
    """A mark by the old destination, asked of ESTABLISHED packets behind the translation: no first packet shows it."""
    mark = "-A PREROUTING -d 198.51.100.4/32 -j MARK --set-xmark 0x6/0xffffffff\n"
    mark = f"*mangle\n:PREROUTING ACCEPT [0:0]\n{mark}COMMIT\n"
    late = "-A FORWARD -m mark --mark 0x6 -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
    first = LET_IN.format("10.77.0.5", 80)
    one, other = (
        mark + NAT.format(PUBLISHED.format(7080, "10.77.0.5:80")) + FILTER.format(first + r) for r in (late, "")
    )
    assert any("packets of connections are let through otherwise" in what for what in compared(one, other).others)


CLUSTER = NAT.replace(":POSTROUTING", ":SVC-A - [0:0]\n:SVC-B - [0:0]\n:MASQ - [0:0]\n:POSTROUTING").format(
    "-A MASQ -j MARK --set-xmark 0x4000/0x4000\n-A PREROUTING -j {0}\n-A OUTPUT -j {0}\n"
    "-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n{1}"
)
SERVICE = (
    "-A {0} ! -s 10.60.0.0/16 -d 10.50.0.{1}/32 -p tcp -m tcp --dport 90 -j MASQ\n"
    "-A {0} -d 10.50.0.{1}/32 -p tcp -m tcp --dport 90 -m statistic --mode random --probability 0.50000000000 -j DNAT "
    "--to-destination 10.60.{1}.1:9090\n"
    "-A {0} -d 10.50.0.{1}/32 -p tcp -m tcp --dport 90 -j DNAT --to-destination 10.60.{1}.2:9090\n"
)


def test_a_service_is_added() -> None:
    """A cluster's service with two ends by chance: both are newly reached by whoever asks for it, and nothing is open;
    the service that was there costs nothing and is not told."""
    pods = FILTER.format("-A FORWARD -d 10.60.0.0/16 -j ACCEPT\n" + ESTABLISHED)
    one, other = (
        CLUSTER.format("SVC-A", SERVICE.format("SVC-A", 1) + more) + pods for more in ("", SERVICE.format("SVC-A", 2))
    )
    found = compared(one, other)
    ends = ("10.60.2.1:9090", "10.60.2.2:9090")
    assert found.undecided == ()
    assert reached(found) == [(d, True, ends) for d in (Direction.FORWARDED, Direction.OUTBOUND)]
    assert compared(other, other).same


LOOKED_UP = "-A PREROUTING -d 10.90.0.0/16 -j NETMAP --to 10.91.0.0/16\n"


def test_a_target_that_goes_by_the_old_destination_is_not_decided() -> None:
    """NETMAP keeps part of the destination: what may come out where the rules differ is not decided, by name."""
    one, other = (NAT.format(LOOKED_UP) + FILTER.format(r) for r in ("-A FORWARD -d 10.91.0.7/32 -j ACCEPT\n", ""))
    assert any("what comes out of netmap" in why for why in compared(one, other).undecided)
    assert compared(one, one).same


def test_what_comes_back_by_lo_enters_no_nat_chain() -> None:
    """K133: the host's own packets round lo have their entry when they come to PREROUTING and INPUT."""
    rule = "-A PREROUTING -i lo -p tcp -m tcp --dport 7080 -j DNAT --to-destination 10.77.0.5:80\n"
    assert compared(NAT.format(rule), NAT.format("")).same
    source = NAT.format("-A INPUT -i lo -p tcp -m tcp --dport 7080 -j SNAT --to-source 10.77.0.5\n")
    assert compared(source, NAT.format("")).same


def test_a_mark_restored_twice_is_one_mark() -> None:
    """What an entry holds is the same thing at each reading, until somebody writes to it."""
    table = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n{}COMMIT\n"
    restores, writes = "-A {} -j CONNMARK --restore-mark\n", "-A PREROUTING -j CONNMARK --set-xmark 0x3/0xffffffff\n"
    marked = "-A INPUT -m mark --mark 0x3 -j DROP\n"
    once = table.format(restores.format("PREROUTING") + marked)
    twice = table.format(restores.format("PREROUTING") + restores.format("INPUT") + marked)
    assert not any(d.regions for d in compared(once, twice).differences)
    behind, before = (
        table.format(first + second + marked)
        for first, second in ((writes, restores.format("PREROUTING")), (restores.format("PREROUTING"), writes))
    )
    assert not compared(behind, before).same
