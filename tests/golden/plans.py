"""Other people's hosts, a policy for each, and what the plan for it comes to: the rows that tests and the manual share.

Every refusal was checked by hand against the rules; the row says what stands in the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from conntrim.app.plan import elsewhere
from conntrim.core.model.address import Family, parse_address
from conntrim.core.model.facts import Era, HostFacts
from conntrim.core.model.intervals import Intervals
from conntrim.core.model.plan import ObligationStatus, Plan
from conntrim.core.model.policy import Policy
from conntrim.core.model.protocol import Protocol
from conntrim.core.model.ruleset import Ruleset, TableFamily
from conntrim.core.model.service import Direction
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.ruleset import read
from conntrim.core.plan.compile import Request, compile_plan

ADDRESSES = ("192.0.2.1", "2001:db8::1")
"""What the hosts are called, unless their own rules say otherwise."""
SERVER, SERVER6 = "198.51.100.17", "2001:db8:c::17"


@dataclass(frozen=True, slots=True)
class Host:
    """One file of the corpus and the services planned on it: `in tcp/80,443; out tcp/11211 198.51.100.17`.

    `refused` names the obligations that are not proved, `why` what stands in the way, in our own words.
    """

    file: str
    services: str
    refused: str = ""
    why: str = ""
    addresses: tuple[str, ...] = ADDRESSES

    @property
    def name(self) -> str:
        """A short name for test runs."""
        return f"{self.file.removesuffix('.save').removesuffix('.json')[-40:]} {self.services}"

    @property
    def policy(self) -> Policy:
        """The services as a policy."""
        return parse_policy("".join(_entries(self.services)).encode(), "services")

    def facts(self) -> HostFacts:
        """What is known of the host beside its rules."""
        told = elsewhere(self.file, Era.NF, Intervals.of(*(parse_address(a) for a in self.addresses)))
        served = [
            e.ports for e in self.policy.untrack if e.direction is Direction.INBOUND and e.protocol == Protocol.TCP
        ]
        return replace(told, listening=dict.fromkeys(Family, Intervals.union_of(r for p in served for r in p.ranges)))

    def ruleset(self, corpus: Path) -> Ruleset:
        """Its rules."""
        family = TableFamily.IP6 if self.file.startswith("ip6__") else TableFamily.IP
        folder = "iptables" if self.file.endswith(".save") else "nft"
        return read((corpus / folder / self.file).read_text(encoding="utf-8"), self.file, family)

    def plan(self, corpus: Path) -> Plan:
        """The plan for it, made from the file."""
        return compile_plan(Request(self.policy, self.ruleset(corpus), self.facts()))


def _entries(services: str) -> Iterator[str]:
    for service in services.split("; "):
        way, name, *peer = service.split()
        protocol, _, ports = name.partition("/")
        ports = ", ".join(p if p.isdigit() else f'"{p}"' for p in ports.split(","))
        yield f'[[untrack]]\ndirection = "{way}bound"\nprotocol = "{protocol}"\nports = [{ports}]\n'
        yield f'{"from" if way == "in" else "to"} = ["{peer[0]}"]\n' if peer else ""


def not_proved(plan: Plan) -> str:
    """The obligations of a plan that no kernel was asked about and that are not proved."""
    return " ".join(o.name for o in plan.obligations if o.standing is not ObligationStatus.PROVED and o.name != "loads")


CACHE, CACHE6 = f"out tcp/11211 {SERVER}", f"out tcp/11211 {SERVER6}"
HOSTS = (
    Host("ip4__Ringofsaturn_com__iptables-save.save", f"in tcp/80,443; {CACHE}"),
    Host("ip4__Synology_Diskstation_DS414__iptables-save_jun_2015_cleanup.save", "in tcp/22"),
    Host(
        "ip4__config_internal_office_fw__iptables-save.anonymized.save",
        "in tcp/443; in udp/123",
        "nat-kept",
        "Line 23 translates whatever goes to 172.16.0.0/26, a time server's own questions from port 123 too; untracked "
        "they would leave under another address.",
    ),
    Host("ip4__config_kornwall__iptables-save.save", "in udp/123"),
    Host("ip4__config_random_srv__iptables-save.save", "in tcp/22; in udp/123"),
    Host("ip4__config_vsrv__iptables-save.txt.save", "in tcp/25,80"),
    Host(
        "ip4__config_vsrv__iptables-save.txt.save",
        CACHE,
        "nat-kept",
        "Line 6 masquerades for 10.0.0.0/8; those of its hosts that ask the same cache would lose their answers.",
    ),
    Host("ip4__configs_corny_docker__dfwfw__dockermynet.dfwfw.save", "in tcp/22"),
    Host(
        "ip4__configs_medium-sized-company__iptables-save.iptables_mainfw_30.01.2016.save",
        "in tcp/80",
    ),
    Host(
        "ip4__configs_psa__team_a__iptables-save.2016-03-02.save",
        "in tcp/80,443",
        "no-exposure",
        "Clients may ask from their ports 80 and 443 alone (lines 26, 27): untracked answers would leave for any port.",
    ),
    Host("ip4__configs_psa__team_a__psa2_iptables-save.2015-11-14.save", "in tcp/80"),
    Host("ip4__configs_psa__team_c__iptables-save.2015-12-01.save", "in tcp/22"),
    Host("ip4__configs_serverfault__758088.txt.save", "in tcp/80", addresses=("192.0.2.1", "172.17.0.1")),
    Host(
        "ip4__configs_serverfault__765855.txt.save",
        "in tcp/80",
        "no-ct-dependence",
        "Several uplinks, told apart by marks that are kept in the entries (CONNMARK, line 43): without an "
        "entry answers leave by another one.",
    ),
    Host(
        "ip4__configs_serverfault__769294.txt.save",
        "in tcp/443",
        "no-ct-dependence",
        "Line 40 marks what comes out of the tunnels, behind an accept of what is ESTABLISHED: opening packets today, "
        "every packet then, and what routes by that mark is in no rule set.",
    ),
    Host("ip4__configs_srvs_ufw__server1-iptables-save.save", f"in tcp/80,443; {CACHE}"),
    Host("ip4__configs_ugent__iptables-save.v1.4.21.save", "in tcp/80,443; in udp/53"),
    Host("ip4__found_online__lafibre.info__iptable-save.txt.save", "in tcp/80"),
    Host("ip4__found_online__pastebin.com_2hux32dS__iptables-save.save", "in tcp/80"),
    Host(
        "ip4__found_online__pastebin.com_2hux32dS__iptables-save.save",
        "in udp/53",
        "nat-kept",
        "Line 6 masquerades for the networks behind it. A client asking from a port below 512 may get port 53 "
        "(K44), and its answers would not be turned back. `--to-ports 1024-65535` there would settle it.",
    ),
    Host("ip4__found_online__rimuhosting.com__script.sh.save", f"in tcp/80; {CACHE}"),
    Host(
        "ip4__found_online__tptp.cc__iptables.save.txt.save",
        "in tcp/80",
        "no-exposure no-ct-dependence",
        "Line 24 limits NEW packets by `recent`; a copy for untracked ones would count for itself, and "
        "without one nobody limits them.",
    ),
    Host("ip4__majek_dump_vpn__vpn__iptables.up.rules.save", "in tcp/443"),
    Host(
        "ip4__medium-sized-company__iptables-save.save",
        "in tcp/25",
    ),
    Host("ip4__openvpn.eu__iptables-save.save", "in tcp/80"),
    Host("ip4__pastebin.com_bbWXHaTn__iptables-save.save", "in tcp/80,443"),
    Host(
        "ip4__sargon__iptables-save.txt.save",
        "in tcp/22",
        "no-ct-dependence",
        "Line 98 drops a source with three packets a minute (`recent`): first packets today, every packet of "
        "a session then.",
    ),
    Host(
        "ip4__TUM_Net__iptables_25.07.2014.save",
        "in tcp/80",
        "no-exposure no-ct-dependence",
        "Line 104 accepts whatever is UNTRACKED, from anybody, while port 80 is open to some: the hole of "
        "K20. Narrow that line first. It also stands before the list of line 105, which would see nobody any more.",
    ),
    Host("ip6__Synology_Diskstation_DS414__ip6tables-save_jul_2016.save", "in tcp/80,443"),
    Host("ip6__configs_ipv6_server__mailserver.save", "in tcp/25"),
    Host("0x8100_handytools__Linux_nft_nft.d_10-input.json", f"in tcp/80; {CACHE}; {CACHE6}"),
    Host("161sam_Pentest-Home-Lab-SBCs__wireless-core_etc_nftables_lab_00-base.json", f"in tcp/22; {CACHE}"),
    Host(
        "Alphadelta14_nftables__tests_shell_testcases_nft-f_dumps_sample-ruleset.json",
        "in tcp/22",
        "two-sided delivered no-exposure no-loss nat-kept helper-kept errors-return answers-leave no-ct-dependence "
        "fragments guard-expired falls-back",
        "Anonymous chains, which this nft lists as raw text, may hold any rule (K38), and a verdict map by state sends "
        "each packet through chains that count, return and go on: which copies would be needed is not decided.",
    ),
    Host("BasisResearch_verified-nftables__ruleset.json", f"in tcp/80,443; {CACHE}"),
    Host("BayKeremm_linfo2347-network-attacks__filters_normal_op_http.json", "in tcp/80"),
    Host("MargoPas_Linux_labs__lab_3_nftables_3_filter_input_80.json", "in tcp/80"),
    Host("MatthewCash_nixos-config__systems_mango_nixos_firewall_ruleset.json", f"in tcp/22; {CACHE}"),
    Host("MatthewCash_nixos-config__systems_nixvm_nixos_firewall_ruleset.json", f"in tcp/80; {CACHE}"),
    Host("MikeHorn-git_dotfiles__dot_etc_nftables.conf.tmpl.json", "in tcp/80,443"),
    Host("OUH-MESHLab_BrainlabMirror__systoleos_etc_nftables.conf.json", "in tcp/22"),
    Host(
        "OUH-MESHLab_BrainlabMirror__systoleos_etc_nftables.conf.json",
        "in tcp/104",
        "nat-kept",
        "The service's own port is redirected to another.",
    ),
    Host(
        "QubesOS_qubes-core-agent-linux__network_qubes-ipv4.json",
        f"{CACHE}",
        "nat-kept",
        "It masquerades for whom it forwards, but by interfaces of group 2: those that ask the same cache would lose "
        "their answers, and the group of an interface is in no rule set.",
    ),
    Host("Shigehiro_Linux_tips_2023__RHEL8_nftables_no_conntrack_main.json", "in udp/53"),
    Host("Tomassone_Universidad__Esercitazioni_SI_NFT_tables_11_06_2021_ruleset.json", "in tcp/80"),
    Host("allvpv_dotfiles__lumber_simple.nftables.conf.json", f"in tcp/80,443; {CACHE}"),
    Host("arch-yunus_Firewall-Fundamentals-Lab__lab_nftables_rules.json", f"in tcp/80,443; {CACHE}"),
    Host("eas1804_eas1804.github.io__Linux_OpenVPN_nftables.conf.json", "in tcp/443"),
    Host(
        "eas1804_eas1804.github.io__Linux_OpenVPN_nftables.conf.json",
        "in udp/123",
        "nat-kept",
        "It masquerades for VPN clients, and an NTP client does ask from port 123: its answers would not be "
        "turned back (K44).",
    ),
    Host("emmiebyte_nixos__machines_aarch64_arm_ruleset.json", "in tcp/80,443"),
    Host("greenpau_cni-plugins__assets_nftables_worker_config.json", "in tcp/22"),
    Host("grezap_nexus-infra-lakehouse__packer_lakehouse-minio-node_files_nftables.conf.json", "in tcp/9000"),
    Host("hyperpolymath_wordpress-tools__resurrect_sdp_ipv6-firewall.json", "in tcp/53; in udp/53"),
    Host("kennyballou_cfg.nix__eligos_nftables-rules.json", "in tcp/22"),
    Host(
        "kennyballou_cfg.nix__services_nftables-rules.json",
        "in udp/53",
        "nat-kept",
        "It masquerades for containers; one that asks from a port below 512 may get port 53 (K44).",
    ),
    Host("kennyballou_dotfiles__systems_bard_nftables-rules.json", "in udp/53; in tcp/8080"),
    Host("kofuk_t__hotspot-drop-lan.json", "in udp/53"),
    Host("krisbalintona_guix-config__files_nftables_sublation.json", "in tcp/80,443"),
    Host("lgoette_nixos__machines_lamafarm_ruleset.json", "in tcp/80,443"),
    Host(
        "nix-community_nur-combined__repos_eh5_machines_r2s_files_nftables.json",
        "in udp/53",
        "no-loss nat-kept",
        "Queries to a resolver elsewhere are redirected to port 53 here; untracked answers would leave under "
        "this host's own address (K45). It serves by one interface only, and what it asks itself from port 53 by "
        "another would lose its answers.",
    ),
    Host("rotkonetworks_networking__backup_nftables_bkk06.json", "in tcp/80,443"),
    Host("sej7278_virt-installs__alma8cis_ansible_roles_common_files_nftables_cis.json", f"in tcp/22; {CACHE}"),
    Host("weirdNox_dotfiles__other_nftables.conf.base.json", "in tcp/80"),
    Host("wikimedia_operations-puppet__modules_profile_files_firewall_base.json", f"in tcp/443; {CACHE}"),
    Host("xkr-512_secure-debian-web-platform__configs_nftables_nftables.conf.srv-core.json", f"in tcp/8080; {CACHE}"),
)


ORIGINS = {
    "iptables": "diekmann/net-network, diekmann/Iptables_Semantics",
    "nft": "BasisResearch/verified-nftables",
}
PAGE = """# Plans on real hosts

Rule sets that their owners published, a service that each of them admits, and what `conntrim plan` makes of it. The
tests plan each row again (`CONNTRIM_HOSTS=all`, else a share of them) and load every proved plan of that share into a
kernel; this page is made from their rows. The rules themselves are not ours to print: iptables files come from
{iptables}, nft files from the repositories in their names, collected by
{nft}.

*Proved* means all obligations, `loads` by a kernel. A refusal names the obligations that stay open, and what
stands in the way was read in the rules. Hosts are taken to be 192.0.2.1 and 2001:db8::1, servers are 198.51.100.17 and
2001:db8:c::17; at each TCP port that is planned for, a program is taken to listen on all addresses (K74).

{proved} of {all} plans are proved, on {hosts} hosts.

When the page was begun (commit 92a7cce) they were 50, and five rows were others. Two that were refused are proved: the
mail and the web host of medium-sized-company, whose port-scan list a plan now keeps meeting opening packets only. Three
that were proved are refused, rightly: what the office firewall's translation and the tunnels' marks do to untracked
packets was not asked then, nor which ports answers leave for (team_a's of March 2016).

Of 35 small rule sets that were made after strangers' questions (of Docker, Kubernetes, csf, firewalld, Tailscale; with
marks, maps, SYNPROXY, counting matches), with one inbound service where the rules let it in, and `loads` left out, for
which no kernel was asked:

| service | let in by | proved at 92a7cce | proved now |
| --- | --- | --- | --- |
| tcp/22 | 31 | 21 | 26 |
| tcp/80 | 18 | 11 | 14 |
| tcp/443 | 21 | 13 | 17 |
| udp/53 | 17 | 11 | 9 |

What was proved then and is not any more is refused rightly: what the host itself asks from port 53 of those who may not
ask it was not looked at, nor rules that take some of a datagram's fragments in front of reassembly (K117). Time-outs of
an inbound or of a forwarded service are proved on 33 of the 35, a limit of forwarded traffic on 34; there was neither
then.

| host | services | plan | why not |
| --- | --- | --- | --- |
"""


def dialect_of(file: str) -> str:
    """iptables or nft."""
    return "iptables" if file.endswith(".save") else "nft"


def page(hosts: tuple[Host, ...]) -> str:
    """The manual's page."""
    proved = [h for h in hosts if not h.refused]
    top = PAGE.format(proved=len(proved), all=len(hosts), hosts=len({h.file for h in proved}), **ORIGINS)
    return top + "".join(
        f"| `{h.file}` | {h.services} | {h.refused.replace(' ', ', ') or 'proved'} | {h.why} |\n" for h in hosts
    )
