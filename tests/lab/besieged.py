"""The host under torture: its firewall, an operator logged in, services, a stranger; what holds whatever died."""

from __future__ import annotations

import re
import socket
import struct
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import StringIO
from itertools import count
from pathlib import Path

from conntrim import wiring
from conntrim.app.reviewed import reviewed
from conntrim.app.rollout import apply, confirm, rollback
from conntrim.app.rollout_run import Ports
from conntrim.cli.main import run
from conntrim.core.model.address import parse_prefix
from conntrim.core.model.circumstances import Circumstances
from conntrim.core.model.digest import digest
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ARMED, FileChange, Plan
from conntrim.core.model.ruleset import InSet, Match, OpaqueMatch, Rule, Ruleset, Table
from conntrim.core.model.share import Share
from conntrim.core.plan.canary import Some
from conntrim.core.prove.compare import compare
from conntrim.host.ct_timeouts import CtTimeouts
from conntrim.host.flows import KernelFlows
from conntrim.host.listing import KernelListing
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged
from conntrim.render.compare import compare_text
from conntrim.store.plans import read_plan
from tests.lab.connections import CLIENT, SERVER, Connection, Server, fates
from tests.lab.falling import listed
from tests.lab.planning import CACHE, WEB, WEB_POLICY, nft_without_timeouts
from tests.lab.test_rollout_plans import FIREWALLS, listing, load_firewall

SSH, HTTP, CLOSED = 22, 80, 3306
OLD_NFT = ", nft without time-outs"
KINDS = (*FIREWALLS, *(f"{kind}{OLD_NFT}" for kind in ("iptables", "legacy")))
"""Dialects; where nft has no `ct timeout`, rules in raw name policies of ctnetlink."""
LASTS = 600
SHORTER = (
    WEB_POLICY
    + f"""
[[timeout]]
direction = "inbound"
protocol = "tcp"
ports = [{SSH}]
seconds = {{ established = {LASTS} }}
""".encode()
)
"""Fewer services, and time-outs for ssh."""
POLICY = (
    SHORTER
    + b"""
[[untrack]]
direction = "outbound"
protocol = "udp"
ports = [53]
to = ["192.168.0.17"]
"""
)
CLIENT_HOST = "client=31"
"""Its address ends in five ones: it is in every share that the sieges try."""
SOME = {
    "iptables": Some(Intervals.of(parse_prefix("192.168.0.31"))),
    "legacy": Some(Intervals.of(parse_prefix("192.168.0.0/25")), Share(2)),
    "nft": Some(share=Share(2)),
}
"""For whom a plan is tried before it is tried for all, by dialect: the client is one of them, the cache is not."""
STRANGE = (11211, 80, 0)
"""Source ports from which a stranger tries the closed port: the two that a careless NOTRACK opens, and any."""
TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"
PERSISTED, OLD, NEW = "/etc/web.rules", "old\n", "new\n"
PATIENCE = 5.0
"""Seconds after which a connection counts as broken."""


def acting(ruleset: Ruleset, now: datetime, empty_lists: Collection[str]) -> Ruleset:
    """What of a rule set still acts: without rules whose date has passed or whose guarding set or list is empty."""
    return replace(ruleset, tables=tuple(_acting(table, now, empty_lists) for table in ruleset.tables))


def _acting(table: Table, now: datetime, empty_lists: Collection[str]) -> Table:
    empty = {s.name for s in table.sets if s.name == ARMED and not s.elements}.union(empty_lists)
    chains = (replace(c, rules=tuple(r for r in c.rules if not _inert(r, empty, now))) for c in table.chains)
    return replace(table, chains=tuple(chains), sets=tuple(s for s in table.sets if s.name not in empty))


def _inert(rule: Rule, empty: Collection[str], now: datetime) -> bool:
    return any(_never(match, empty, now) for match in rule.matches)


def _never(match: Match, empty: Collection[str], now: datetime) -> bool:
    if isinstance(match, InSet):
        return match.set_name in empty
    if not isinstance(match, OpaqueMatch):
        return False
    date, name = re.search(r"--datestop (\S+)", match.text), re.search(r"--name (\S+)", match.text)
    over = date is not None and datetime.fromisoformat(f"{date[1]}+00:00") < now.replace(microsecond=0)
    return over or (name is not None and name[1] in empty)


@dataclass
class Besieged:
    """A client and a web host, both ends of the operator's session in our hands; `before` is its rule set at rest.

    `servers` are the services that go untracked: asked of the web host, and by it of its cache.
    """

    client: LabHost
    web: LabHost
    plan: Plan
    place: Path
    listening: dict[int, socket.socket]
    listed: str
    before: Ruleset
    servers: tuple[Server, ...] = ()
    following: Plan | None = None
    """The plan that takes the first one's place, made beside it."""
    some: Plan | None = None
    """The first plan for some clients, `SOME`."""
    outside: LabHost | None = None
    """A client that is none of those."""
    session: list[socket.socket] = field(default_factory=list)
    sources: Iterator[int] = field(default_factory=lambda: count(12_000))
    """Source ports that no other connection of the client ever has: what names one there is that connection's."""
    _same: dict[str, str] = field(default_factory=dict)

    def ports(self, name: str) -> Ports:
        """What the verbs work with, with a journal and files of its own."""
        root = self.place / name
        (root / "etc").mkdir(parents=True, exist_ok=True)
        (root / PERSISTED[1:]).write_text(OLD)
        return wiring.rollout(self.web.name, str(root / "state"), str(root))

    def as_before(self, name: str) -> None:
        """Listing, file and sysctl are what they were before the plan; AssertionError."""
        assert listing(self.web) == self.listed
        assert (self.place / name / PERSISTED[1:]).read_text() == OLD
        assert self.web.run("sysctl", "-n", TIME_WAIT).strip() == "120"
        assert CtTimeouts(self.web.name).listed() == ()

    def means_the_same(self) -> None:
        """What acts of the rule set now is, by the proof over all packets, what acted before; AssertionError."""
        now = acting(KernelListing().read(self.web.name).ruleset, datetime.now(UTC), self.empty_lists())
        key = digest(now)
        if key not in self._same:
            found = compare(self.before, now)
            self._same[key] = "" if found.same else compare_text(found)
        assert not self._same[key], self._same[key]

    def empty_lists(self) -> list[str]:
        """The lists of `-m recent` that hold no address."""
        with entered(self.web.name):
            return [file.name for file in Path("/proc/thread-self/net/xt_recent").glob("*") if not file.read_text()]

    def not_locked_out(self) -> None:
        """The open session answers, a new one can be opened, the service answers, the closed port stays closed."""
        if not self.session:
            self.session = [*self.connected(SSH)]
        said(*self.session)
        for port in (SSH, HTTP):
            near, far = self.connected(port)
            said(near, far)
            near.close()
            far.close()
        assert [self.gets_in(source) for source in STRANGE] == [False] * len(STRANGE)

    def opened(self, name: str) -> list[Connection]:
        """A connection of every service for each end that may speak first when it is tried."""
        return [server.open(name, first) for server in self.servers for first in (CLIENT, SERVER)]

    def unlisted(self, opened: list[Connection], protocol: str = "", plan: Plan | None = None) -> list[Connection]:
        """Those of them, without an entry, that a plan (the first one) does not list as lost; the others of a protocol
        are closed."""
        found = []
        for one in opened:
            if protocol in one.service and listed(plan or self.plan, one.service, one.first):
                one.close()
            else:
                found.append(one)
        return found

    def connected(
        self, port: int, source: int = 0, client: LabHost | None = None
    ) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        with entered((client or self.client).name):
            near = socket.create_connection((WEB, port), PATIENCE, ("", source) if source else None)
        self.listening[port].settimeout(PATIENCE)
        far, _ = self.listening[port].accept()
        far.settimeout(PATIENCE)
        return near, far

    def gets_in(self, source: int) -> bool:
        """Does a connection from that source port reach the closed port?"""
        with entered(self.client.name), socket.socket() as probe:
            probe.settimeout(1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            probe.bind(("", source))
            return probe.connect_ex((WEB, CLOSED)) == 0

    def tracked(self, client: LabHost | None = None, *, flipping: bool = False) -> bool:
        """Does a connection to the service, told by its source port, make an entry? Then one to ssh has the host's
        time-outs, and else the plan's; AssertionError. `flipping`: a confirm ended between the flips of two back ends,
        and time-outs may be over until it goes on."""
        tracked, ssh = (self._seconds(port, client) for port in (HTTP, SSH))
        short = [each <= LASTS for each in ssh]
        assert short == [not tracked] or (flipping and short == [False]), (tracked, ssh)
        return bool(tracked)

    def _seconds(self, port: int, client: LabHost | None) -> list[int]:
        """Seconds left of the entries of a new connection, which says nothing."""
        source = next(self.sources)
        near, far = self.connected(port, source, client)
        found: list[int] = []
        for block in KernelFlows(self.web.name).blocks(frozenset({"sport", "dport", "timeout"})):
            found += block.timeout[(block.sport == source) | (block.dport == source)].tolist()
        near.close()
        far.close()
        return found


def said(one: socket.socket, other: socket.socket) -> None:
    """Data goes both ways; AssertionError, or OSError where the connection is broken."""
    for near, far in ((one, other), (other, one)):
        near.sendall(b"still here?")
        assert far.recv(100) == b"still here?"


@contextmanager
def besieged(
    kind: str, plan: Plan | None = None, following: Plan | None = None, some: Plan | None = None
) -> Iterator[Besieged]:
    """The document's web host in one dialect, its plan made by the command unless given; all goes with the context."""
    with (
        tempfile.TemporaryDirectory(prefix="conntrim-torture-") as place,
        bridged([CLIENT_HOST, "web=18", "cache=17"]) as hosts,
        ExitStack() as stack,
    ):
        web, dialect = hosts["web"], kind.removesuffix(OLD_NFT)
        if kind != dialect:
            stack.enter_context(nft_without_timeouts(Path(place) / "nft"))
        load_firewall(web, dialect)
        # Each refused stranger is answered: the kernel would send one such error a second (icmp_ratelimit).
        web.sysctl("net.ipv4.icmp_ratelimit", 0)
        for which in ("", "_stream"):  # silent ones must not end by themselves on a slow machine
            web.sysctl(f"net.netfilter.nf_conntrack_udp_timeout{which}", 300)
        with entered(web.name):
            listening = {p: stack.enter_context(socket.create_server((WEB, p))) for p in (SSH, HTTP, CLOSED)}
        if plan is None:
            plan = _planned(web, Path(place), POLICY)
            some = _for_some(web, Path(place), SOME[dialect])
        before = KernelListing().read(web.name).ruleset
        servers = _servers(hosts["client"], web, hosts["cache"], listening[HTTP])
        for server in servers:
            server.listen(stack)
        made = Besieged(
            hosts["client"], web, plan, Path(place), listening, listing(web), before, servers, following, some,
            hosts["cache"],
        )  # fmt: skip
        made.not_locked_out()
        try:
            yield made
        finally:
            for end in made.session:
                end.close()


def _servers(client: LabHost, web: LabHost, cache: LabHost, http: socket.socket) -> tuple[Server, ...]:
    return (
        Server("inbound tcp/80", web, client, WEB, HTTP, listening=http),
        Server("outbound tcp/11211", cache, web, CACHE, 11211),
        Server("outbound udp/53", cache, web, CACHE, 53, datagrams=True),
    )


def lost(opened: list[Connection]) -> list[str]:
    """The names of those that do not go on when one end speaks and the other answers."""
    return [f"{one.name} {fate}" for one, fate in zip(opened, fates(opened), strict=True) if fate]


def planned_beside(host: Besieged) -> Plan:
    """The plan of fewer services, made while the host's first one is confirmed; nothing of it is left."""
    made = host.ports("beside")
    assert [apply(made, host.plan, 60).answer, confirm(made).answer] == ["armed", "confirmed"]
    plan = _planned(host.web, host.place, SHORTER)
    assert rollback(made).answer == "rolled back"
    return plan


def _planned(web: LabHost, place: Path, wanted: bytes) -> Plan:
    """For whatever host: the next ones are made alike."""
    policy, made = place / "web.toml", place / "plan"
    policy.write_bytes(wanted)
    argv, out, errors = ["plan", "--policy", str(policy), "--netns", web.name, "-o", str(made)], StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            code = run(argv)  # in this process, which may see another nft than others
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert code == 0, out.getvalue() + errors.getvalue()
    files = (FileChange(PERSISTED, NEW),)
    return replace(
        read_plan(str(made)), files=files, settings={TIME_WAIT: 17}, circumstances=Circumstances()
    )  # fmt: skip


def _for_some(web: LabHost, place: Path, some: Some) -> Plan:
    """The plan that was made last, for some clients alone."""
    fresh = wiring.rollout(web.name, str(place / "state")).freshness
    plan = reviewed(wiring.plans().read(str(place / "plan")), wiring.live(web.name), fresh, some)
    return replace(plan, circumstances=Circumstances())
