"""The files from which a boot loads rules, by who loads them; and the unit that loads ours where nobody else would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conntrim.core.model.ct_timeout import TimeoutPolicy
from conntrim.core.model.plan import OWN_NFT_TABLES, POLICIES, FileChange

UNIT = "conntrim.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
WANTED_PATH = "/etc/systemd/system/multi-user.target.d/conntrim.conf"
"""A drop-in with `Wants=` switches the unit on and is a plain file, unlike the link of `systemctl enable`."""
OWN_FILES = {"nft": "/etc/conntrim/untrack.nft", "ip": "/etc/conntrim/untrack.v4", "ip6": "/etc/conntrim/untrack.v6"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A file that a boot loads: `service` loads it; `whole`: it is all that there is afterwards."""

    service: str
    family: str
    path: str
    whole: bool = True


KINDS = (
    Kind("netfilter-persistent", "ip", "/etc/iptables/rules.v4"),
    Kind("netfilter-persistent", "ip6", "/etc/iptables/rules.v6"),
    Kind("iptables", "ip", "/etc/sysconfig/iptables"),
    Kind("ip6tables", "ip6", "/etc/sysconfig/ip6tables"),
    Kind("iptables", "ip", "/etc/iptables/rules-save"),
    Kind("ip6tables", "ip6", "/etc/iptables/rules6-save"),
    Kind("ufw", "ip", "/etc/ufw/before.rules", whole=False),
    Kind("ufw", "ip6", "/etc/ufw/before6.rules", whole=False),
    Kind("nftables", "nft", "/etc/nftables.conf"),
    Kind("nftables", "nft", "/etc/sysconfig/nftables.conf"),
    Kind("nftables", "nft", "/etc/nftables.nft"),
)
"""Debian's, RHEL's and Alpine's files, and ufw's, which is loaded over chains that ufw has made."""


@dataclass(frozen=True, slots=True)
class Store:
    """Such a file on this host, with what it says now."""

    kind: Kind
    text: str


def family_of(program: str) -> str:
    """`nft`, or which of the two iptables families a restore program is of."""
    return "nft" if program == "nft" else "ip6" if program.startswith("ip6") else "ip"


@dataclass(frozen=True, slots=True)
class UnitLoad:
    """What the unit loads with one program, and the batches that take it out again; `policies` are nfct's lines that
    make the time-out policies which the rules name."""

    program: str
    text: str
    undo: str = ""
    policies: tuple[TimeoutPolicy, ...] = ()

    @property
    def path(self) -> str:
        """Where the text is kept."""
        return OWN_FILES[family_of(self.program)]


UNIT_TEXT = """\
# Written by conntrim; conntrim rollback takes it out.
[Unit]
Description=Services that go without connection tracking (conntrim)
After=nftables.service firewalld.service ufw.service netfilter-persistent.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
{lines}
"""
WANTED_TEXT = f"# Written by conntrim.\n[Unit]\nWants={UNIT}\n"


def unit_files(loads: Sequence[UnitLoad], found: dict[str, str]) -> tuple[FileChange, ...]:
    """The unit, what switches it on, and what it loads; `found` are the programs' absolute paths."""
    if not loads:
        return ()
    texts = [FileChange(load.path, load.text) for load in loads]
    texts += [FileChange(f"{load.path}.undo", load.undo) for load in loads if load.undo]
    unit = UNIT_TEXT.format(lines="\n".join(_lines(loads, found)))
    return (*texts, FileChange(UNIT_PATH, unit), FileChange(WANTED_PATH, WANTED_TEXT))


def _lines(loads: Iterable[UnitLoad], found: dict[str, str]) -> Iterable[str]:
    for load in loads:
        program = found[load.program]
        if load.program == "nft":
            yield f"ExecStart={program} -f {load.path}"
            yield f"ExecReload={program} -f {load.path}"
            for table in (f"{family} {name}" for family, name in OWN_NFT_TABLES):
                if f"table {table} {{" in load.text:
                    yield f"ExecStop=-{program} delete table {table}"
        else:
            # The dash: where nothing is loaded yet there is nothing to take out, and that is fine.
            undo = f"-{program} --noflush --wait=10 {load.path}.undo"
            yield f"ExecStartPre={undo}"
            yield from (f"ExecStartPre=-{_nfct(each, found)}" for each in load.policies)
            yield f"ExecStart={program} --noflush --wait=10 {load.path}"
            yield f"ExecStop={undo}"
            yield from (f"ExecStop=-{_nfct(TimeoutPolicy(each.name), found)}" for each in load.policies)


def _nfct(policy: TimeoutPolicy, found: dict[str, str]) -> str:
    return f"{found[POLICIES]}{str(policy).removeprefix(POLICIES)}"
