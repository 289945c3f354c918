"""Reads this kernel's rule sets: iptables-save of both back ends, nft, ipset."""

from __future__ import annotations

from conntrim.app.ports.listing import Listing
from conntrim.core.model.digest import digest
from conntrim.core.model.errors import HostError
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel
from conntrim.host import programs

SAVES: tuple[tuple[str, TableFamily, Dialect], ...] = (
    ("iptables-legacy-save", TableFamily.IP, Dialect.IPTABLES_LEGACY),
    ("ip6tables-legacy-save", TableFamily.IP6, Dialect.IPTABLES_LEGACY),
    ("iptables-nft-save", TableFamily.IP, Dialect.IPTABLES_NFT),
    ("ip6tables-nft-save", TableFamily.IP6, Dialect.IPTABLES_NFT),
)
"""One back end's tables are invisible to the other's save (K37)."""

SINGLE: tuple[tuple[str, TableFamily], ...] = (
    ("iptables-save", TableFamily.IP),
    ("ip6tables-save", TableFamily.IP6),
)
"""Hosts with one back end only have only these; what they print names it."""

REFUSED = ("ermission denied", "not permitted", "must be root")


class KernelListing:
    """`RulesetListing` of this kernel."""

    def read(self, netns: str | None = None) -> Listing:
        """All tables of a namespace; what could not be asked is a remark, a missing permission a HostError."""
        remarks: list[str] = []
        saves = [
            Save(program, family, dialect, text)
            for program, family, dialect in SAVES
            if (text := _output(program, netns=netns, remarks=remarks)) is not None
        ]
        if not saves:
            for program, family in SINGLE:
                text = _output(program, netns=netns, remarks=remarks)
                if text is not None:
                    back_end = Dialect.IPTABLES_NFT if "nf_tables" in text else Dialect.IPTABLES_LEGACY
                    saves.append(Save(program, family, back_end, text))
        nft = _output("nft", "-j", "list", "ruleset", netns=netns, remarks=remarks)
        if nft is None:
            remarks.append("nft is not installed: tables of nftables, if there are any, were not read")
        found = read_kernel(saves, nft, _output("ipset", "save", netns=netns, remarks=remarks))
        ruleset = Ruleset(found.tables, (*remarks, *found.remarks), found.ipsets)
        return Listing(ruleset, digest(ruleset))


def _output(*argv: str, netns: str | None, remarks: list[str]) -> str | None:
    """What a program prints; None where it is not installed or this kernel has nothing for it."""
    if programs.find(argv[0]) is None:
        return None
    try:
        return programs.run(argv, netns=netns)
    except HostError as error:
        if any(word in error.detail for word in REFUSED):
            raise HostError(error.command, error.detail, advice="run as root") from error
        remarks.append(str(error))
        return None
