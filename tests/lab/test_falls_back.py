"""What becomes of a service's connections when its rules fall back: the plan's list, held to the kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.app.plan import Inputs, make_plan
from conntrim.app.rollout import apply, clean, confirm, rollback
from conntrim.app.rollout_run import Ports
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.parse.policy import parse_policy
from conntrim.core.plan.own import fingerprint
from conntrim.core.rollout.alive import BE_LIBERAL, TCP_COLUMNS
from conntrim.core.rollout.stale import stale
from conntrim.host.addresses import local_addresses, local_ports
from conntrim.host.flows import KernelFlows
from conntrim.lab.netns import LabHost, bridged
from tests.lab.connections import CLIENT, OTHER, SERVER, Connection, Server, closed, fates
from tests.lab.falling import listed
from tests.lab.planning import CACHE, WEB, WEB_POLICY
from tests.lab.test_rollout import until

POLICY = (
    WEB_POLICY.decode()
    + """
[[untrack]]
direction = "inbound"
protocol = "udp"
ports = [53]

[[untrack]]
direction = "outbound"
protocol = "udp"
ports = [53]
to = ["192.168.0.17"]
"""
)
LO, E = "-i lo -j ACCEPT", "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT"
NEW = "-p {} -m {} --dport {} -m conntrack --ctstate NEW -j ACCEPT"
ACCEPTS = (NEW.format("tcp", "tcp", 80), NEW.format("udp", "udp", 53))
NOT_SYN = "-p tcp ! --syn -m conntrack --ctstate NEW -j DROP"
ASKING = (NEW.format("tcp", "tcp", 11211), NEW.format("udp", "udp", 53))


def xt(inputs: tuple[str, ...], outputs: tuple[str, ...] = (), policy: str = "ACCEPT") -> str:
    """An iptables filter whose INPUT drops the rest."""
    rules = "".join(f"-A INPUT {rule}\n" for rule in inputs) + "".join(f"-A OUTPUT {rule}\n" for rule in outputs)
    return f"*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT {policy} [0:0]\n{rules}COMMIT\n"


def nft(inputs: str, outputs: str = "", policy: str = "accept") -> str:
    """The same in nft's words."""
    return (
        "table inet filter {\n chain input { type filter hook input priority 0; policy drop;\n"
        f"  iif lo accept\n{inputs}\n }}\n chain output {{ type filter hook output priority 0; policy {policy};\n"
        f"  oif lo accept\n{outputs}\n }}\n}}\n"
    )


NFT_E, NFT_NEW = "ct state established,related accept\n", "tcp dport 80 ct state new accept\nudp dport 53 accept\n"
NFT_NOT_SYN = "tcp flags & (fin | syn | rst | ack) != syn ct state new drop\n"
SHAPES: dict[str, tuple[str, str, bool]] = {
    "usual": ("iptables-nft-restore", xt((LO, E, *ACCEPTS)), True),
    "usual, legacy": ("iptables-legacy-restore", xt((LO, E, *ACCEPTS)), True),
    "usual, nft": ("nft", nft(NFT_E + NFT_NEW), True),
    "no new ones but by SYN": ("iptables-nft-restore", xt((LO, NOT_SYN, E, *ACCEPTS)), True),
    "no new ones but by SYN, nft": ("nft", nft(NFT_NOT_SYN + NFT_E + NFT_NEW), True),
    "output by entry": ("iptables-nft-restore", xt((LO, E, *ACCEPTS), ("-o lo -j ACCEPT", E, *ASKING), "DROP"), True),
    "no invalid ones out": (
        "iptables-nft-restore",
        xt((LO, E, *ACCEPTS), ("-m conntrack --ctstate INVALID -j DROP",)),
        True,
    ),
    "not loose": ("iptables-nft-restore", xt((LO, E, *ACCEPTS)), False),
    "by reset": ("iptables-nft-restore", xt((LO, E, *ACCEPTS, "-p tcp -j REJECT --reject-with tcp-reset")), True),
}
TRIAL, LONG, TICK = 3.0, 120.0, 0.05


@dataclass
class Site:
    """The web host with its clients and its cache, a plan, and what the verbs work with."""

    web: LabHost
    servers: dict[str, Server]
    plan: Plan
    made: Ports

    def opened(self, name: str, firsts: tuple[str, ...] = (CLIENT, SERVER)) -> list[Connection]:
        """A connection of every service for each end that may speak first."""
        return [server.open(name, first) for server in self.servers.values() for first in firsts]

    def over(self) -> None:
        """Wait until the trial has expired on both clocks."""
        guard = self.made.journal.read().guard
        assert guard is not None

        def reached() -> bool:
            now = self.made.clock.now()
            # The kernel's seconds go on with its tick, a moment after the clock's.
            return now.wall >= guard.wall + TICK and now.since_boot >= guard.since_boot + TICK

        assert until(reached)

    def tracked_of(self, plan: Plan) -> int:
        """Entries of a plan's services."""
        local, ports = local_addresses(self.web.name), local_ports(self.web.name)
        blocks = KernelFlows(self.web.name).blocks(TCP_COLUMNS)
        return sum(int(stale(block, plan.services(), local, ports).sum()) for block in blocks)

    def liberal(self) -> int:
        """Entries with the flag in either direction."""
        blocks = KernelFlows(self.web.name).blocks(TCP_COLUMNS)
        return sum(int((((b.tcp_flags | b.reply_tcp_flags) >> 8 & BE_LIBERAL) != 0).sum()) for b in blocks)


@contextmanager
def site(shape: str, place: Path) -> Iterator[Site]:
    """A host of this shape, its plan made and proved."""
    program, text, loose = SHAPES[shape]
    with bridged(["client=20", "web=18", "cache=17"]) as hosts, ExitStack() as stack:
        web, client, cache = hosts["web"], hosts["client"], hosts["cache"]
        web.sysctl("net.netfilter.nf_conntrack_tcp_loose", int(loose))
        web.run(program, *(["-f", "-"] if program == "nft" else []), text=text)
        servers = {
            "inbound tcp/80": Server("inbound tcp/80", web, client, WEB, 80),
            "outbound tcp/11211": Server("outbound tcp/11211", cache, web, CACHE, 11211),
            "inbound udp/53": Server("inbound udp/53", web, client, WEB, 53, datagrams=True),
            "outbound udp/53": Server("outbound udp/53", cache, web, CACHE, 53, datagrams=True),
        }
        for server in servers.values():
            server.listen(stack)
        ruleset = wiring.listing().read(web.name).ruleset
        facts = wiring.facts().read(web.name)
        inputs = Inputs(
            ruleset, fingerprint(ruleset), facts, policy=parse_policy(POLICY.encode(), "policy"),
            check=wiring.batch_check(web.name),
        )  # fmt: skip
        plan = make_plan(inputs).plan
        assert plan.status() is ObligationStatus.PROVED, plan.obligations
        yield Site(web, servers, plan, wiring.rollout(web.name, str(place / "state"), str(place)))


def ends_late(plan: Plan, service: str, first: str) -> bool:
    """Whether the plan says that the other end does not learn of a close."""
    late = f": connections opened while untracked that the {first} closes next end late"
    return any(c.startswith(service) and late in c and not re.search("on lo:|IPv6", c) for c in plan.costs)


def told(connections: list[Connection], plan: Plan) -> dict[str, str]:
    """What the plan's list says of each."""
    return {one.name: listed(plan, one.service, one.first) for one in connections}


def played(connections: list[Connection]) -> dict[str, str]:
    """What the kernel does with each; a datagram is not sent again by anybody, so what comes late is lost."""
    seen = zip(connections, fates(connections), strict=True)
    return {one.name: fate if "tcp" in one.service or not fate else "lost" for one, fate in seen}


def all_go_on(connections: list[Connection]) -> dict[str, str]:
    """No fate for any of them."""
    return {one.name: "" for one in connections}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not re.search("legacy|invalid", shape)])
def test_what_expiry_costs_is_what_the_plan_lists(tmp_path: Path, shape: str) -> None:
    """Open before, talking or silent: each goes on. Opened during: exactly those that are not listed do."""
    with site(shape, tmp_path) as here:
        talking, silent = here.opened("open before and talking"), here.opened("open before and silent")
        assert apply(here.made, here.plan, TRIAL).answer == "armed"
        for one in talking:
            one.grows()
        during = here.opened("opened during")
        closing = [one for one in here.opened("closed next") if "tcp" in one.service]
        closing = [one for one in closing if listed(here.plan, one.service, one.first) != "cut"]
        here.over()
        late = [one.name for one, seen in zip(closing, closed(closing), strict=True) if not seen]
        assert late == [one.name for one in closing if ends_late(here.plan, one.service, one.first)]
        expected = all_go_on(talking + silent) | told(during, here.plan)
        assert expected == played(talking + silent + during)


@pytest.mark.parametrize(
    ("shape", "kept"),
    [("usual", True), ("usual, nft", True), ("usual, legacy", False), ("no new ones but by SYN", True),
     ("no new ones but by SYN, nft", False), ("not loose", False), ("not loose", True)],
)  # fmt: skip
def test_a_rollback_cuts_no_connection(tmp_path: Path, shape: str, kept: bool) -> None:
    """Whoever speaks next, over TCP: open before or opened during, all go on; no entry keeps the flag."""
    with site(shape, tmp_path) as here:
        here.servers = {name: server for name, server in here.servers.items() if "tcp" in name}
        talking, silent = here.opened("open before and talking"), here.opened("open before and silent")
        assert apply(here.made, here.plan, LONG).answer == "armed"
        during = here.opened("opened during")
        if kept:
            assert confirm(here.made).answer == "confirmed"
        for one in talking + during:
            one.grows()
        assert rollback(here.made).answer == "rolled back"
        assert here.liberal() == 0
        everyone = talking + silent + during
        assert all_go_on(everyone) == played(everyone)
        for one in everyone:  # with windows that are looked at again
            one.grows()
        assert here.liberal() == 0


def test_expiry_leaves_flags_that_a_clean_takes_away(tmp_path: Path) -> None:
    """Nobody alive clears them; the next run does, and the connection goes on throughout."""
    with site("usual", tmp_path) as here:
        (one,) = [here.servers["inbound tcp/80"].open("open before", CLIENT)]
        assert apply(here.made, here.plan, TRIAL).answer == "armed"
        one.grows()
        here.over()
        one.grows()
        assert here.liberal() == 1
        assert clean(here.made).exit_code == 0
        assert here.liberal() == 0
        one.grows()


def test_entries_outlive_the_trial(tmp_path: Path) -> None:
    """Answered datagrams and connections whose entries are about to end get the trial's time, none gets less."""
    with site("usual", tmp_path) as here:
        here.web.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", 50)
        opened = [*here.opened("open before", (CLIENT,))]
        here.web.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", 432_000)
        opened.append(here.servers["inbound tcp/80"].open("long", CLIENT))
        assert apply(here.made, here.plan, 90.0).answer == "armed"
        left = sorted(int(t) for b in KernelFlows(here.web.name).blocks(TCP_COLUMNS) for t in b.timeout)
        assert (len(left), left[0] > 90, left[-1] > 400_000) == (5, True, True)


def test_a_connection_being_opened_when_the_trial_begins_goes_on(tmp_path: Path) -> None:
    """Its SYN made an entry, its SYN/ACK goes untracked: the entry does not call what follows INVALID."""
    with site("no invalid ones out", tmp_path) as here:
        server = here.servers["outbound tcp/11211"]
        drop = ("OUTPUT", "-p", "tcp", "--sport", "11211", "--tcp-flags", "SYN,ACK", "SYN,ACK", "-j", "DROP")
        server.host.run("iptables-nft", "-I", *drop)
        opening = partial(server.open, "being opened", SERVER)
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(opening)
            assert until(lambda: any(len(b) for b in KernelFlows(here.web.name).blocks(TCP_COLUMNS)))
            assert apply(here.made, here.plan, 5.0).answer == "armed"
            server.host.run("iptables-nft", "-D", *drop)
            one = made.result(30)
        here.over()
        assert [""] == fates([one])
        assert OTHER[one.first] == CLIENT
