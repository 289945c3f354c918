"""nft and iptables of three Debian releases on one kernel: rows, strangers' files, packets, a plan, a live host.

What other releases list of the same rules, and what they refuse, is K139 to K142.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from random import Random

import pytest

from conntrim.core.emit.iptables import restore_text
from conntrim.core.model.errors import HostError
from conntrim.core.model.normal import normal
from conntrim.core.model.plan import Batch
from conntrim.core.model.ruleset import Dialect, Ruleset, TableFamily
from conntrim.core.parse.nft.document import read_nft
from conntrim.core.parse.policy import parse_policy
from conntrim.core.parse.xt.options import MATCHES, TARGETS
from conntrim.core.parse.xt.save import read_listing, read_save
from conntrim.core.rollout.record import Guard
from conntrim.host import programs
from conntrim.host.clock import HostClock
from conntrim.host.listing import KernelListing
from conntrim.host.trial_load import complaint
from conntrim.lab.expect import KERNEL
from conntrim.lab.generate import ruleset
from conntrim.lab.netns import LabHost, lab_host
from conntrim.lab.oracle import consulting
from conntrim.lab.talk import dialogues
from conntrim.lab.truth import judged
from tests.golden.nft_rows import nft_rows, table_of
from tests.golden.rows import ROWS, Row, chain_of, rows
from tests.lab.planning import WEB, WEB_POLICY, facts
from tests.lab.releases import RELEASES, Release
from tests.lab.test_changes import RULES, differing
from tests.lab.test_corpus_iptables import BACK_ENDS, files
from tests.lab.test_rows import FOREIGN, HOOK, LOST, OLD, PROGRAMS, loads_alone

ALL = bool(os.environ.get("CONNTRIM_VERSIONS"))
"""CONNTRIM_VERSIONS=all: this machine's own release too, each stranger's file, more packets."""
EVERY, RULESETS, PACKETS = (1, 60, 20_000) if ALL else (25, 12, 2_400)


@pytest.fixture(
    scope="module", params=[each for each in RELEASES if ALL or not each.here()], ids=lambda release: release.suite
)
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    """A release, whose programs the lab runs meanwhile."""
    found: Release = request.param
    with programs.preferring(found.programs()):
        yield found


def test_its_versions_are_those_that_are_meant(release: Release) -> None:
    """Each of the programs runs, with its own libraries, and is the release's."""
    nft, iptables = programs.run(["nft", "--version"]), programs.run(["iptables-save", "--version"])
    legacy = programs.run(["ip6tables-legacy-restore", "--version"])
    assert [f"v{release.nft}", f"v{release.iptables}"] == [nft.split()[1], iptables.split()[1]]
    assert ("(nf_tables)", f"v{release.iptables}", "(legacy)") == (iptables.split()[2], *legacy.split()[1:])


# --- rows -----------------------------------------------------------------------------------------------------------


EXTENSION = re.compile(r"lib(xt|ipt|ip6t)_(\w+)\.so")
NO_EXTENSIONS = frozenset({"standard", "NAT"})
"""Libraries that hold others: verdicts and chains, the translations."""


def test_every_extension_and_option_is_known(release: Release) -> None:
    """What the release's own help says of each of its matches and targets stands in our grammar, else it is named."""
    (folder,) = Path(release.programs()).parent.glob("tree/usr/lib/*/xtables")
    unknown: list[str] = []
    for found in filter(None, map(EXTENSION.fullmatch, sorted(path.name for path in folder.iterdir()))):
        family, name = found.groups()
        kind, grammar = ("-j", TARGETS) if name[0].isupper() else ("-m", MATCHES)
        if name in NO_EXTENSIONS:
            continue
        ended = programs.attempt(["ip6tables" if family == "ip6t" else "iptables", kind, name, "--help"])
        if "Couldn't load" in ended.errors:
            continue  # 1.8.7 has a library of ipvs that it cannot load
        own = ended.output[ended.output.index("--version") :].partition("\n")[2]
        options = set(re.findall(r"--([a-z0-9][a-z0-9-]+)", own))
        unknown += [name] if name not in grammar else sorted(f"{name} {o}" for o in options - set(grammar[name]))
    assert unknown == []


def xt_rows(release: Release) -> list[Row]:
    """The rows that its iptables is to take and to list as the same rules."""
    skipped = (*FOREIGN, *OLD, *LOST)
    every = (row for path in sorted(ROWS.glob("ip*tables.t")) for row in rows(path))
    return [
        row for row in every
        if row.verdict == "ok" and not row.rule.startswith(skipped) and not row.rule.endswith(release.other or ("\n",))
    ]  # fmt: skip


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_rows_of_iptables(host: LabHost, release: Release, back_end: str) -> None:
    """Every row loads, each in a chain of its own, and is listed as the rule that it is."""
    different, found = [], xt_rows(release)
    for (family, name), group in groupby(found, lambda row: (row.family, row.table)):
        loaded = list(enumerate(group))
        lines = [f":c{n} - [0:0]\n" for n, _ in loaded] + [f"-A c{n} {row.rule}\n" for n, row in loaded]
        program = f"{PROGRAMS[family]}-{back_end}"
        host.run(f"{program}-restore", text=f"*{name}\n:user - [0:0]\n{''.join(lines)}COMMIT\n")
        listing = read_listing(host.run(f"{program}-save", "-t", name), "kernel", family, BACK_ENDS[back_end])
        for n, row in loaded:
            ours = chain_of(read_save(row.save(), "row", family), row.chain)
            different += [row.rule] if ours.rules != chain_of(listing, f"c{n}").rules else []
    assert [] == different
    assert len(found) > 200


def test_rows_of_nft(host: LabHost, release: Release) -> None:
    """The canonical text of every row loads, each in a table of its own, and is listed as its rule is read."""
    found = [
        row for row in nft_rows(ROWS / "nft.t")
        if loads_alone(row) and not row.canonical.endswith(release.other or ("\n",))
    ]  # fmt: skip
    texts = (
        f"table {row.family} t{n} {{\nchain user {{\n}}\nchain c {{\n{HOOK}\n{body}\n}}\n}}\n"
        for n, row in enumerate(found)
        for body in ["\n".join(row.canonical.split(" || "))]
    )
    host.run("nft", "-f", "-", text="".join(texts))
    listed = {t.name: t for t in normal(read_nft(host.run("nft", "-j", "list", "ruleset"), "kernel")).tables}
    different = []
    for n, row in enumerate(found):
        ours, theirs = normal(Ruleset((table_of(row.family, row.json),))).tables[0], listed[f"t{n}"]
        different += [row.rule] if (ours.chains, ours.sets) != (theirs.chains, theirs.sets) else []
    assert [] == different
    assert len(found) > 150


# --- what strangers have ----------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_strangers_files_of_iptables_are_what_it_lists(corpus: Path, release: Release) -> None:
    """A file, its listing after loading, and the listing of what we write of it are the same rules."""
    compared = 0
    for (path, family, program), back_end in [(f, b) for f in files(corpus)[::EVERY] for b in BACK_ENDS]:
        text = path.read_text(encoding="utf-8")
        with lab_host("theirs") as theirs, lab_host("ours") as ours:
            try:
                theirs.run(f"{program}-{back_end}-restore", text=text)
            except HostError:
                continue
            dialect = BACK_ENDS[back_end]
            kernel = normal(read_listing(theirs.run(f"{program}-{back_end}-save"), path.name, family, dialect))
            ours.run(f"{program}-{back_end}-restore", text=restore_text(kernel, dialect, family))
            again = normal(read_listing(ours.run(f"{program}-{back_end}-save"), path.name, family, dialect))
        meant = read_save(text, path.name, family)
        rules = {(t.name, c.name): c.rules for t in kernel.tables for c in t.chains}
        assert {(t.name, c.name): c.rules for t in meant.tables for c in t.chains} == rules, path.name
        assert kernel == again, path.name
        compared += 1
    assert compared > 40 // EVERY


@pytest.mark.corpus
def test_strangers_files_of_nft_mean_the_same_by_every_release(corpus: Path, release: Release) -> None:
    """What it lists of a file that it loads is read as what nft 1.0.6 listed of it."""
    different, compared = [], 0
    for path in sorted((corpus / "nft").glob("*.nft"))[::EVERY]:
        with lab_host("theirs") as host:
            try:
                host.run("nft", "-f", "-", text=path.read_text(encoding="utf-8"))
            except HostError:
                continue
            now = normal(read_nft(host.run("nft", "-j", "list", "ruleset"), path.name))
        then = normal(read_nft(path.with_suffix(".json").read_text(encoding="utf-8"), path.name))
        rules = [[(c.name, c.rules) for t in each.tables for c in t.chains] for each in (then, now)]
        different += [path.name] if rules[0] != rules[1] and release.nft not in OTHERS.get(path.name, ()) else []
        compared += 1
    assert [] == different
    assert compared > 40 // EVERY


OTHERS: dict[str, tuple[str, ...]] = {
    "Alphadelta14_nftables__tests_shell_testcases_nft-f_dumps_sample-ruleset.nft": ("0.9.8", "1.1.3"),
}
"""Listed in other words: a chain without a name is text in JSON (K38), and 1.1.3 writes `tcp flags` otherwise."""


# --- packets, plans, hosts --------------------------------------------------------------------------------------------


def test_model_and_kernel_agree_about_what_it_loads(release: Release) -> None:
    """2,400 packets over 12 rule sets: no dialogue differs, and few rule sets have words that it does not know."""
    packets = undecided = refused = 0
    with consulting(release.suite) as oracle:
        for index in range(RULESETS):
            random = Random(f"versions:{index}")
            script, talks = ruleset(random), dialogues(random, PACKETS // RULESETS)
            try:
                found = judged(oracle, script, talks, KERNEL, peers=True)
            except HostError:
                refused += 1
                oracle.unload()
                continue
            assert all(each.agreed for each in found.judgements), script.batches()
            packets += sum(len(each.packets) for each in found.judgements)
            undecided += sum(len(each.packets) - len(each.believed.traces) for each in found.judgements)
    assert PACKETS // RULESETS * (RULESETS - refused) == packets
    assert undecided < packets // 20
    assert refused <= RULESETS // 4 * (release.nft == "0.9.8")


@pytest.mark.parametrize("rules", ["iptables-nft", "iptables-legacy", "nftables"])
def test_a_plan_is_what_it_lists(host: LabHost, release: Release, rules: str) -> None:
    """It takes each text of a plan, trial and guard included, and lists what the change says (K141)."""
    for program, text in RULES[rules].items():
        host.run(*([program, "-f", "-"] if program == "nft" else [program]), text=text)
    assert [] == differing(host, parse_policy(WEB_POLICY, "policy"), facts(WEB, listening=(80, 11211)))


SAVED = "*filter\n-A INPUT -m recent --name ssh --rcheck -j DROP\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n"


def test_a_live_host_is_read_in_full(host: LabHost, release: Release) -> None:
    """Rules of iptables-nft are those of that back end, whatever its save calls itself (K139), with nft's word."""
    host.run("iptables-nft-restore", text=SAVED)
    host.run("iptables-legacy-restore", text=SAVED.replace("filter", "mangle"))
    found = KernelListing().read(host.name).ruleset
    used = {t.name: t.dialect for t in found.tables if any(chain.rules for chain in t.chains)}
    assert ((), {"filter": Dialect.IPTABLES_NFT, "mangle": Dialect.IPTABLES_LEGACY}) == (found.unread, used)
    table = next(t for t in found.tables if (t.family, t.name) == (TableFamily.IP, "filter"))
    assert chain_of(read_save(SAVED, "save"), "INPUT").rules == next(c.rules for c in table.chains if c.name == "INPUT")


@pytest.mark.parametrize(
    ("masked", "kept"), [("10.0.0.15/255.0.0.15", False), ("0.0.0.15/0.0.0.15", False), ("::f/::f", False),
                         ("192.168.0.15/255.255.255.15", True), ("10.0.0.0/8", True)],
)  # fmt: skip
def test_k127_a_mask_that_it_widens_is_told(host: LabHost, release: Release, masked: str, kept: bool) -> None:
    """1.8.7's nft back end loads whole bytes up to the first that is zero, and none where that is the first: a trial
    load sees both. Those after it load what is written, and legacy always has."""
    families = "ip6tables" if ":" in masked else "iptables"
    rule = f"*raw\n:CONNTRIM-X - [0:0]\n-A CONNTRIM-X -s {masked} -p tcp -j CT --notrack\nCOMMIT\n"
    guard = Guard.starting(HostClock().now(), 60)
    old = release.iptables == "1.8.7" and not kept
    for back_end, lost in (("nft", old), ("legacy", False)):
        said = complaint(Batch(f"{families}-{back_end}-restore", rule), host.name, guard)
        assert bool(said) == lost, said
