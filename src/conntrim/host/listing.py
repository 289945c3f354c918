"""Reads this kernel's rule sets: iptables-save of both back ends, nft, ipset; and sees that nothing is left out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from conntrim.app.ports.listing import Listing
from conntrim.core.model.digest import digest
from conntrim.core.model.errors import HostError
from conntrim.core.model.record import Listed
from conntrim.core.model.ruleset import XT_HOOKS, Dialect, Ruleset, TableFamily
from conntrim.core.parse.kernel import Save, read_kernel
from conntrim.core.parse.nft.devices import ARGV, lacks_devices, with_devices
from conntrim.host import programs
from conntrim.host.nf_tables import generation, legacy_names, table_names

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

NFT = Dialect.IPTABLES_NFT
TRIES = 3
"""Readings while somebody else changes rules in between."""

REFUSED = ("ermission denied", "not permitted", "must be root")


class KernelListing:
    """`RulesetListing` of this kernel."""

    def read(self, netns: str | None = None) -> Listing:
        """All tables of a namespace; what could not be read is `unread`, a missing permission a HostError."""
        for _ in range(TRIES):
            before = generation(netns)
            found = _Reading(netns).ruleset()
            if before == generation(netns):
                return Listing(found, digest(found))
        why = f"the rules changed during each of {TRIES} readings: the listings of two programs may not fit"
        return Listing(replace(found, unread=(*found.unread, why)), digest(found))


def texts(netns: str | None) -> list[Listed]:
    """What all those programs print, for a record: the saves by program, family and dialect, `nft` and `ipset`."""
    reading = _Reading(netns)
    found = [Listed(f"{save.program} {save.family} {save.dialect}", save.text) for save in reading.saves()]
    for argv in (("nft", "-j", "list", "ruleset"), ("ipset", "save")):
        text = reading.output(*argv)
        found += [] if text is None else [Listed(argv[0], text)]
    return found


@dataclass(slots=True)
class _Reading:
    """One reading of all programs."""

    netns: str | None
    remarks: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def ruleset(self) -> Ruleset:
        """Everything that they list."""
        nft = self.output("nft", "-j", "list", "ruleset")
        if nft is not None and lacks_devices(nft):
            nft = with_devices(nft, self.output(*ARGV) or "")
        if nft is None and (names := table_names(self.netns)):
            why = "is not installed" if programs.find("nft") is None else "failed"
            tables = ", ".join(names)
            self.unread.append(f"nft {why}, and no save tells what nft itself put into {tables}: install nftables")
        found = read_kernel(self.saves(), nft, self.output("ipset", "save"))
        return replace(
            found,
            remarks=(*dict.fromkeys(self.remarks), *found.remarks),
            unread=(*dict.fromkeys(self.unread), *found.unread),
        )

    def saves(self) -> list[Save]:
        """What the save programs print."""
        saves = [made for each in SAVES if (made := self.save(*each))]
        if not any(programs.find(program) for program, _, _ in SAVES):
            for program, family in SINGLE:
                version = self.output(program, "--version") or ""
                made = self.save(program, family, NFT if "nf_tables" in version else Dialect.IPTABLES_LEGACY)
                saves += [made] if made else []
        seen = {save.family for save in saves if save.dialect is Dialect.IPTABLES_LEGACY}
        for name in legacy_names(self.netns):
            if TableFamily(name.split()[0]) not in seen:
                self.unread.append(f"table {name} of iptables-legacy was not read: its save program is not there")
        return saves

    def save(self, program: str, family: TableFamily, dialect: Dialect) -> Save | None:
        """One program's save; where it fails as a whole, of each table that it can tell by itself."""
        if programs.find(program) is None:
            return None
        try:
            return Save(program, family, dialect, self.run(program))
        except HostError as error:
            self.failed(error)
        texts = []
        there = [name.split()[1] for name in legacy_names(self.netns) if name.startswith(f"{family} ")]
        for table in there if dialect is Dialect.IPTABLES_LEGACY else XT_HOOKS:  # a save of legacy's makes the table
            try:
                texts.append(self.run(program, "-t", table))
            except HostError as error:
                # What nft lists it tells itself (read_kernel); of a legacy table nobody else tells anything.
                self.failed(error)
                if dialect is Dialect.IPTABLES_LEGACY:
                    self.unread.append(f"table {family} {table} of iptables-legacy was not read: {error}")
        return Save(program, family, dialect, "".join(texts))

    def output(self, *argv: str) -> str | None:
        """What a program prints; None where it is not installed or this kernel has nothing for it."""
        if programs.find(argv[0]) is None:
            return None
        try:
            return self.run(*argv)
        except HostError as error:
            self.failed(error)
            return None

    def run(self, *argv: str) -> str:
        """A program's output; HostError with what to do where it may not be asked."""
        try:
            return programs.run(argv, netns=self.netns)
        except HostError as error:
            if any(word in error.detail for word in REFUSED):
                raise NotAllowedError(error.command, error.detail, advice="run as root") from error
            raise

    def failed(self, error: HostError) -> None:
        """A remark; what must not be asked at all ends the reading."""
        if isinstance(error, NotAllowedError):
            raise error
        self.remarks.append(" ".join(str(error).split()))


class NotAllowedError(HostError):
    """This user may not list rules."""
