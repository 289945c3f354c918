"""What a proof rests on beside the rules, changed behind a plan's back: addresses, settings, host, sets that fill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conntrim import wiring
from conntrim.host.netns import entered
from conntrim.lab.netns import LabHost, bridged, lab_host
from conntrim.store.journal import JournalFile
from tests.lab.planning import WEB_POLICY, serve
from tests.lab.test_rollout_plans import SwiftOperator, load_firewall

KINDS = ("iptables", "legacy", "nft")
VIP = "192.168.0.77"
DNAT = {
    "nft": "table ip nat {{ chain pre {{ type nat hook prerouting priority -100; "
    "ip daddr {0} tcp dport 80 dnat to 192.168.0.17; }}; }}\n",
    "xt": "*nat\n-A PREROUTING -d {0} -p tcp --dport 80 -j DNAT --to-destination 192.168.0.17\nCOMMIT\n",
}
LIMIT = {
    "nft": "insert rule inet filter input tcp dport 80 ct count over 50 drop\n",
    "xt": "*filter\n-I INPUT -p tcp --dport 80 -m connlimit --connlimit-above 50 -j DROP\nCOMMIT\n",
}


def feed(host: LabHost, kind: str, texts: dict[str, str], *words: str) -> None:
    """Rules beside those that are there."""
    if kind == "nft":
        host.run("nft", "-f", "-", text=texts["nft"].format(*words))
    else:
        program = "iptables-legacy-restore" if kind == "legacy" else "iptables-nft-restore"
        host.run(program, "--noflush", text=texts["xt"].format(*words))


@pytest.fixture(params=KINDS)
def web(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SwiftOperator, str]]:
    """The document's web host with a DNAT for an address that it does not have, and somebody at its command line."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    with bridged(["web=18"]) as hosts:
        load_firewall(hosts["web"], request.param)
        feed(hosts["web"], request.param, DNAT, VIP)
        serve(hosts["web"], 80)
        yield SwiftOperator(hosts["web"], tmp_path), request.param


def planned(operator: SwiftOperator) -> str:
    """A plan of its policy, as a directory."""
    made = str(operator.directory / "plan")
    told = operator.does("plan", "--policy", str(operator.directory / "web.toml"), "-o", made)
    assert told.returncode == 0, told.stdout
    return made


def test_status_proves_again_what_the_host_is_now(web: tuple[SwiftOperator, str]) -> None:
    """An address that its DNAT waits for, clients' ports, a rule that asks entries: broken, not decided, or proved."""
    operator, kind = web
    host, made = operator.host, planned(operator)
    for verb in (("apply", made), ("confirm",)):
        assert operator.does(*verb).returncode == 0
    assert operator.does("status").returncode == 0

    host.run("ip", "addr", "add", f"{VIP}/24", "dev", "eth0")
    told = operator.does("status")
    assert told.returncode == 1, told.stdout
    assert f"Changed around our rules: address {VIP} is new" in told.stdout
    assert "No longer so: nat-kept is broken" in told.stdout
    assert "obligations are broken now" in told.stdout.splitlines()[0]
    host.run("ip", "addr", "del", f"{VIP}/24", "dev", "eth0")

    host.run("ip", "addr", "add", "192.168.0.19/24", "dev", "eth0")
    told = operator.does("status")
    assert (told.returncode, "Proved again for the present rules: nothing" in told.stdout) == (0, True), told.stdout
    host.run("ip", "addr", "del", "192.168.0.19/24", "dev", "eth0")

    host.sysctl("net.ipv4.ip_local_port_range", "20000 60999")
    told = operator.does("status")
    assert (told.returncode, "two-sided is broken" in told.stdout) == (1, True), told.stdout
    host.sysctl("net.ipv4.ip_local_port_range", "32768 60999")

    feed(host, kind, LIMIT)
    told = operator.does("status")
    assert (told.returncode, "Not decided any more: no-ct-dependence" in told.stdout) == (1, True), told.stdout
    assert "Proved again" not in told.stdout


def test_status_looks_again_where_nobody_listens_any_more(web: tuple[SwiftOperator, str]) -> None:
    """K74: what keeps programs from opening connections from the service's port is part of the proof: it is asked anew,
    and still holds where the rules name the clients."""
    operator, _ = web
    for verb in (("apply", planned(operator)), ("confirm",)):
        assert operator.does(*verb).returncode == 0
    server = operator.host.daemons[-1]
    server.kill()
    server.wait()
    told = operator.does("status")
    assert "no program listens at IPV4 tcp/80 any more" in " ".join(told.stdout.split()), told.stdout
    assert (told.returncode, "Proved again" in told.stdout) == (0, True), told.stdout
    serve(operator.host, 80)
    assert operator.does("status").returncode == 0


def test_a_plan_is_stale_where_what_its_proofs_used_has_changed(web: tuple[SwiftOperator, str]) -> None:
    """An address more, or another tcp_loose: refused with its name; as before again: loaded."""
    operator, _ = web
    host, made = operator.host, planned(operator)
    host.run("ip", "addr", "add", f"{VIP}/24", "dev", "eth0")
    told = operator.does("apply", made)
    assert (told.returncode, f"address {VIP} is new" in told.stdout) == (1, True), told.stdout
    host.run("ip", "addr", "del", f"{VIP}/24", "dev", "eth0")
    host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 0)
    told = operator.does("apply", made)
    assert (told.returncode, "nf_conntrack_tcp_loose is 0, was 1" in told.stdout) == (1, True), told.stdout
    host.sysctl("net.netfilter.nf_conntrack_tcp_loose", 1)
    assert operator.does("apply", made).returncode == 0
    host.run("ip", "addr", "add", f"{VIP}/24", "dev", "eth0")
    told = operator.does("confirm")
    assert (told.returncode, f"address {VIP} is new" in told.stdout) == (1, True), told.stdout
    assert operator.does("rollback").returncode == 0


FILLING = {
    "nft": "table inet seen {{ set s {{ type ipv4_addr; flags dynamic; }}; map m {{ type ipv4_addr : verdict; flags "
    "timeout; }}; chain in {{ type filter hook input priority 5; udp dport 7 ip saddr vmap @m; "
    "udp dport 9 add @s {{ ip saddr }}; }}; }}\n",
    "xt": "*filter\n-I INPUT -p udp --dport 9 -j SET --add-set seen src\nCOMMIT\n*mangle\n"
    "-A INPUT -p udp --dport 7 -m set --match-set seen src -j DROP\nCOMMIT\n",
}


def test_what_fills_itself_makes_no_plan_stale(web: tuple[SwiftOperator, str]) -> None:
    """A set that a rule adds to, in its own table or another, and elements with a time-out may come and go."""
    operator, kind = web
    host = operator.host
    if kind != "nft":
        host.run("ipset", "create", "seen", "hash:ip")
    feed(host, kind, FILLING)
    made = planned(operator)
    if kind == "nft":
        host.run("nft", "add", "element", "inet", "seen", "s", "{ 192.0.2.7 }")
        host.run("nft", "add", "element", "inet", "seen", "m", "{ 192.0.2.8 timeout 1h : drop }")
    else:
        host.run("ipset", "add", "seen", "192.0.2.7")
    told = operator.does("apply", made)
    assert told.returncode == 0, told.stdout


def test_a_plan_of_one_namespace_is_refused_in_another(tmp_path: Path) -> None:
    """Two hosts with the same rules and addresses: the plan names its own, and loads there only."""
    (tmp_path / "web.toml").write_bytes(WEB_POLICY)
    (tmp_path / "other").mkdir()
    with lab_host("blue") as blue, lab_host("green") as green:
        for host in (blue, green):
            load_firewall(host, "nft")
            host.run("ip", "link", "set", "lo", "up")
            serve(host, 80)
        mine, other = SwiftOperator(blue, tmp_path), SwiftOperator(green, tmp_path / "other")
        made = planned(mine)
        told = other.does("apply", made)
        assert told.returncode == 1, told.stdout
        said = " ".join(told.stdout.split())
        assert f"this plan was made for namespace {blue.name} of host" in said
        assert f"and this is namespace {green.name} of host" in said
        assert mine.does("apply", made).returncode == 0


def test_a_namespace_that_was_entered_is_the_one_that_is_named(host: LabHost, tmp_path: Path) -> None:
    """Under `ip netns exec` the journal is the namespace's own, and nothing is written into the host's files."""
    named = wiring.rollout(host.name, str(tmp_path))
    with entered(host.name):
        inside = wiring.rollout(None, str(tmp_path))
    outside = wiring.rollout(None, str(tmp_path))
    paths = [journal.path for p in (named, inside, outside) if isinstance(journal := p.journal, JournalFile)]
    assert [f"{tmp_path}/netns-{host.name}.json"] * 2 == paths[:2]
    assert paths[2] not in paths[:2]
    assert ["", ""] == [ports.default_root for ports in (named, inside)]
