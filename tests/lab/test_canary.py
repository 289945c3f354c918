"""A trial of some clients: whom it is for goes untracked, everybody else's entries and connections are as they were."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from conntrim.host.netns import entered
from conntrim.lab.gateway import LAN, RULES, SERVER6, echo_server, gateway
from conntrim.lab.netns import LabHost, bridged
from tests.lab.commands import WEB as POLICY
from tests.lab.commands import conntrim
from tests.lab.planning import WEB
from tests.lab.test_client_limits import OPEN, listed, planned, run
from tests.lab.test_rollout import until
from tests.lab.test_rollout_plans import FIREWALLS, Operator, SwiftOperator, listing, load_firewall
from tests.lab.test_service_timeouts import HOST, left
from tests.lab.test_service_timeouts import POLICY as SHORTER

INSIDE, OUTSIDE = "192.168.0.47", "192.168.0.20"
SOME = "192.168.0.32/28"
SHARED = "one client in 16 (addresses whose last 4 bits are ones)"
FAMILIES = {"ipv4": (WEB, INSIDE, OUTSIDE), "ipv6": ("fd00::18", "fd00::2f", "fd00::20")}
"""The web host's address, and those of a client inside and of one outside, of the same two hosts."""
WAYS = {"clients": (("--clients", SOME), SOME), "share": (("--share", "10%"), SHARED)}
"""How some are chosen, and what is said of it."""


class Site:
    """A web host, a client inside the share and one outside; `opened` are their connections, kept alive."""

    def __init__(self, web: LabHost, clients: dict[str, LabHost], server: str = WEB) -> None:
        self.web, self.clients, self.server = web, clients, server
        self.opened: dict[str, list[socket.socket]] = {client: [] for client in clients}

    def connects(self, client: str) -> None:
        """One connection more of a client, used."""
        with entered(self.clients[client].name):
            mine = socket.create_connection((self.server, 80), timeout=3)
        self.opened[client].append(mine)
        assert echoes(mine)

    def failed(self) -> int:
        """How many of all connections no longer carry a word there and back."""
        return sum(not echoes(each) for mine in self.opened.values() for each in mine)

    def entries(self, client: str) -> int:
        """The entries of a client's connections to the web server."""
        ends = " ".join(
            f"{end}={ip_address(address).exploded}" for end, address in (("src", client), ("dst", self.server))
        )
        with entered(self.web.name), open("/proc/thread-self/net/nf_conntrack", encoding="ascii") as table:
            return len(re.findall(rf"ESTABLISHED {ends} sport=\d+ dport=80 ", table.read()))

    def counted(self) -> tuple[int, ...]:
        """The entries of the client inside and of the other, and how many of all connections failed."""
        return (*map(self.entries, self.clients), self.failed())


def echoes(mine: socket.socket) -> bool:
    """Whether a word comes back."""
    try:
        mine.sendall(b"word")
        return mine.recv(16) == b"word"
    except OSError:
        return False


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """The three hosts, over IPv4 unless the test names the other family."""
    server, *clients = FAMILIES[getattr(request, "param", "ipv4")]
    with bridged(["inside=47", "outside=20", "web=18"]) as hosts:
        for host, address in zip(("web", "inside", "outside"), FAMILIES["ipv6"], strict=True):
            hosts[host].run("ip", "address", "add", f"{address}/64", "dev", "eth0", "nodad")
        echo_server(hosts["web"], 80)
        made = Site(hosts["web"], dict(zip(clients, (hosts["inside"], hosts["outside"]), strict=True)), server)
        yield made
        for each in (mine for opened in made.opened.values() for mine in opened):
            each.close()


def on_trial(site: Site, place: Path, *words: str, way: str = "clients") -> Operator:
    """A plan of the web server for everybody, on trial for some, with a connection of each client from before it."""
    for client in site.opened:
        site.connects(client)
    operator = SwiftOperator(site.web, place)
    (place / "web.toml").write_text(POLICY)
    does(operator, "plan", "--policy", str(place / "web.toml"), "-o", str(place / "plan"))
    chosen, told = WAYS[way]
    said = " ".join(does(operator, "apply", str(place / "plan"), *chosen, *words).split())
    assert "is on trial for some clients" in said
    assert f"Clients that take part: {told}; all others go on as before Untracked: inbound tcp/80 from {told}" in said
    return operator


def does(operator: Operator, *words: str) -> str:
    """A verb that succeeds; its output."""
    done = operator.does(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.parametrize(
    ("site", "way"), [("ipv4", "clients"), ("ipv4", "share"), ("ipv6", "share")], indirect=["site"]
)
@pytest.mark.parametrize("kind", list(FIREWALLS))
def test_a_canary_is_followed_by_the_whole_and_nothing_fails(site: Site, tmp_path: Path, kind: str, way: str) -> None:
    """Who is inside opens connections without an entry, who is outside gets one for each. A confirm is refused and
    changes nothing; the whole plan takes the canary's place, is kept and undone, and no connection fails."""
    load_firewall(site.web, kind)
    neighbours(site, kind)
    before = listing(site.web)
    operator = on_trial(site, tmp_path, way=way)
    for client in site.opened:
        site.connects(client)
    assert site.counted() == (1, 2, 0)
    refused = operator.does("confirm")
    assert refused.returncode == 1
    assert f"on trial for {WAYS[way][1]} alone" in " ".join(refused.stdout.split())
    assert "is on trial for some clients" in does(operator, "status")
    assert operator.does("apply", str(tmp_path / "plan"), "--dry-run").returncode == 1
    assert "is on trial, " in does(operator, "apply", str(tmp_path / "plan"))
    kept = site.counted()
    for client in site.opened:
        site.connects(client)
    assert site.counted() == kept
    does(operator, "confirm")
    assert site.counted() == (0, 0, 0)
    does(operator, "rollback")
    assert (listing(site.web), site.failed()) == (before, 0)


def neighbours(site: Site, kind: str) -> None:
    """nft's rules of the document know nothing of IPv6: neighbours may be asked for."""
    if kind == "nft":
        site.web.run("nft", "insert", "rule", "inet", "filter", "input", "meta", "l4proto", "ipv6-icmp", "accept")


@pytest.mark.parametrize(
    ("site", "kind", "way"),
    [
        *(("ipv4", kind, "clients") for kind in FIREWALLS),
        ("ipv4", "nft", "share"),
        *(("ipv6", kind, "share") for kind in FIREWALLS),
    ],
    indirect=["site"],
)
def test_a_canary_expires(site: Site, tmp_path: Path, kind: str, way: str) -> None:
    """When its time is over new connections of all clients have entries again, and none of those open fails: a server
    that lets new connections in takes up those that its clients go on with."""
    load_firewall(site.web, kind)
    neighbours(site, kind)
    operator = on_trial(site, tmp_path, "--trial", "10s", way=way)
    for client in site.opened:
        site.connects(client)
    assert site.counted() == (1, 2, 0)
    assert until(lambda: "is over" in operator.does("status").stdout)
    inside, outside = site.opened

    def tracked_again() -> bool:  # a status says it half a second before, when no confirm is begun any more
        site.connects(inside)
        return site.entries(inside) > 1

    assert until(tracked_again)
    assert site.failed() == 0
    assert (site.entries(inside), site.entries(outside)) == (len(site.opened[inside]), 2)
    does(operator, "status", "--clean")
    assert site.failed() == 0


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_a_canary_of_a_replacement_leaves_the_confirmed_plan(tmp_path: Path, kind: str) -> None:
    """A plan that is to replace a confirmed one is tried with some clients, then with all. What goes back goes back to
    the confirmed one, whose rules are as they were."""
    with bridged(["web=18"]) as hosts:
        load_firewall(hosts["web"], kind)
        bare, operator = listing(hosts["web"]), SwiftOperator(hosts["web"], tmp_path)
        plans = {"first": POLICY, "second": POLICY.replace("80]", "80, 22]")}

        def made(name: str) -> str:
            (tmp_path / f"{name}.toml").write_text(plans[name])
            does(operator, "plan", "--policy", str(tmp_path / f"{name}.toml"), "-o", str(tmp_path / name))
            return str(tmp_path / name)

        does(operator, "apply", made("first"))
        does(operator, "confirm")
        first, second = listing(hosts["web"]), made("second")
        for then in ([], ["apply", second]):
            assert "on trial for some clients" in does(operator, "apply", second, "--clients", SOME)
            if then:
                assert "is on trial, " in does(operator, *then)
            assert "is confirmed" in does(operator, "rollback").splitlines()[0]
            assert listing(hosts["web"]) == first
        does(operator, "apply", second)
        does(operator, "confirm")
        does(operator, "rollback")
        does(operator, "rollback")
        assert listing(hosts["web"]) == bare


@pytest.mark.parametrize("chosen", [("--clients", f"{LAN}.3"), ("--share", "50%")])
@pytest.mark.parametrize("dialect", RULES)
def test_other_cures_are_narrowed_as_well(tmp_path: Path, dialect: str, chosen: tuple[str, str]) -> None:
    """On a gateway the time-outs and the limit reach the client that is named, or whose address ends in a one, and not
    its neighbour."""
    with gateway(2) as gate:
        gate.load(dialect)
        before = listed(gate)
        planned(gate, tmp_path, f"{SHORTER}\n{OPEN}")
        run(gate, tmp_path, "apply", str(tmp_path / "plan"), *chosen)
        assert (gate.connects(f"{LAN}.3", 1, 443), left(gate, 443)) == (1, [600])
        assert (gate.connects(f"{LAN}.2", 1, 443), left(gate, 443)) == (1, [600, HOST])
        assert (gate.connects(f"{LAN}.3", 40), gate.connects(f"{LAN}.2", 40)) == (29, 40)
        if "--share" in chosen:
            gate.clients.run("ip", "address", "add", "fd09:1::3/16", "dev", "eth0", "nodad")
            assert (gate.connects("fd09:1::3", 1, 443, SERVER6), left(gate, 443)) == (1, [600, 600, HOST])
            assert (gate.connects("fd09:1::2", 1, 443, SERVER6), left(gate, 443)) == (1, [600, 600, HOST, HOST])
        run(gate, tmp_path, "rollback")
        assert (gate.alive(gate.opened), listed(gate)) == (len(gate.opened), before)


def test_clients_that_no_service_has_are_refused(tmp_path: Path) -> None:
    """Bad input: exit code 2, and nothing is loaded. Nor is a canary kept unattended."""
    with bridged(["web=18"]) as hosts:
        load_firewall(hosts["web"], "nft")
        (tmp_path / "web.toml").write_text(POLICY + 'from = ["10.0.0.0/8"]\n')
        place = str(tmp_path / "plan")
        assert conntrim(hosts["web"], "plan", "--policy", str(tmp_path / "web.toml"), "-o", place).returncode == 0
        apply = "apply", place, "--state", str(tmp_path / "state")
        nobody = conntrim(hosts["web"], *apply, "--clients", "192.168.0.0/16")
        assert (nobody.returncode, b"no service of the plan has clients there" in nobody.stderr) == (2, True)
        for some in (("--clients", "10.1.0.0/16"), ("--share", "10%")):
            kept = conntrim(hosts["web"], *apply, *some, "--yes", "--probe", f"{WEB}:80")
            assert (kept.returncode, b"a trial of some clients is not kept" in kept.stderr) == (2, True)
        for wrong in ("100%", "0.3%", "10", "half"):
            none = conntrim(hosts["web"], *apply, "--share", wrong)
            assert (none.returncode, b"is no share from 0.4% to below 100%" in none.stderr) == (2, True)
        assert "conntrim" not in listing(hosts["web"])
