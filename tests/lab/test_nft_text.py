"""nft's own text, loaded by nft into a namespace of our own: what is read, what is refused, and what stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from conntrim.cli.main import run
from conntrim.core.model.errors import InputError
from conntrim.core.model.normal import normal
from conntrim.core.model.ruleset import Interface
from conntrim.core.parse.ruleset import read
from conntrim.host.rulesets import FileRulesets
from tests.golden.forms import FORMS, judged
from tests.golden.test_forms import NFT_TEXT

CONF = """\
#!/usr/sbin/nft -f
flush ruleset
define wan = upstream0
define lans = { lan0, lan1 }
include "./parts/*.nft"
include "beside.nft"
table inet filter {
\tset guests { type ipv4_addr; flags timeout; elements = { 192.0.2.1 timeout 1h } }
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tiif lo accept
\t\tiif $wan ip saddr @guests drop
\t\tiif $lans accept
\t\tiif { dmz0, "dmz1.5" } tcp dport 22 accept
\t\tiif 7 accept
\t}
}
"""


def refused(path: Path, text: str) -> str:
    """What is said of a file with that text."""
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        FileRulesets([str(path)]).read()
    return str(caught.value).removeprefix(f"{path.parent}/")


def test_a_configuration_with_what_it_defines_and_includes(tmp_path: Path) -> None:
    """Variables, includes beside the file, interfaces that this machine lacks, time-outs: as nft has them there."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/a.nft").write_text("table ip part {\n chain c {\n iif wlan9 accept\n }\n}\n")
    (tmp_path / "beside.nft").write_text("table ip beside {\n}\n")
    conf = tmp_path / "nftables.conf"
    conf.write_text(CONF)
    ruleset = FileRulesets([str(conf)]).read()
    assert [table.name for table in ruleset.tables] == ["part", "beside", "filter"]
    asked = [m for chain in ruleset.tables[2].chains for rule in chain.rules for m in rule.matches]
    assert [match.names for match in asked if isinstance(match, Interface)] == [
        ("lo",), ("upstream0",), ("lan0", "lan1"), ("dmz0", "dmz1.5"), ("7",),
    ]  # fmt: skip
    assert ruleset.remarks == (f"{conf}: what it includes was looked for on this machine",)


def test_a_table_with_flags_is_read_as_one(tmp_path: Path) -> None:
    """K130: nft may not tell a dormant table's flag; then nothing is decided. A table that is awake has none."""
    for flags, told in ((" flags dormant\n", True), ("", False)):
        conf = tmp_path / "nftables.conf"
        conf.write_text(f"table inet asleep {{\n{flags} chain c {{\n  type filter hook input priority 0\n }}\n}}\n")
        found = FileRulesets([str(conf)]).read()
        assert found.tables[0].dormant or any("may be dormant" in why for why in found.unread) is told


@pytest.mark.parametrize("name", sorted(NFT_TEXT))
def test_a_form_of_nft_is_read_as_it_was(name: str) -> None:
    """The golden files of nft's own text, loaded by this machine's nft."""
    path = FORMS / f"{name}.txt"
    ruleset = FileRulesets([str(path)]).read()
    remarks = tuple(remark.replace(f"{FORMS}/", "") for remark in ruleset.remarks)
    wanted, actual = judged(name, replace(ruleset, remarks=remarks))
    assert actual.splitlines() == wanted.splitlines()


def test_pasted_listings_keep_their_dialects(tmp_path: Path) -> None:
    """One file with a session's output: iptables-save and nft's text behind it."""
    path = tmp_path / "session"
    path.write_text("$ sudo iptables-save\n*raw\nCOMMIT\n$ sudo nft list ruleset\ntable inet own {\n}\n$\n")
    assert [(t.name, str(t.dialect)) for t in FileRulesets([str(path)]).read().tables] == [
        ("raw", "iptables-nft"), ("own", "nftables"),
    ]  # fmt: skip


def test_edits_of_a_text_name_no_handles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handles that rules get in a namespace of ours are other rules' on their host: `nft -a` may have said
    40 there. An edit names such a rule by its number in its chain, and is told as a line of the file, not as a command.
    """
    monkeypatch.chdir(tmp_path)
    Path("nftables.conf").write_text(
        "table inet fw {\n\tset spare { type ipv4_addr; }\n"
        "\tchain pre { type filter hook prerouting priority raw; udp dport 53 notrack; } # handle 40\n"
        "\tchain out { type filter hook output priority raw; udp sport 53 notrack; } # handle 41\n"
        "\tchain in { type filter hook input priority 0; policy drop; udp dport 53 accept; ct state invalid drop;"
        " ip protocol icmp accept; }\n}\n"
    )
    assert run(["check", "--json", "nftables.conf"]) == 1
    edits = [e for f in json.loads(capsys.readouterr().out)["findings"] for e in f["edits"]]
    assert {e["place"]["within"] for e in edits} == {"inet fw in rule 2"}
    run(["check", "nftables.conf"])
    said = capsys.readouterr().out
    assert "-> put before nftables.conf inet fw in rule 2\n     icmp type 3 accept\n" in said
    assert "handle" not in said
    assert "nft '" not in said


@pytest.mark.corpus
def test_strangers_configurations_are_what_nft_lists_of_them(corpus: Path) -> None:
    """Each of the corpus' files of nft text is read as the listing that nft printed after loading it: but for the
    device of an ingress chain, which the text has and the listing leaves out (K137)."""
    different = []
    paths = sorted((corpus / "nft").glob("*.nft"))
    for path in paths:
        listing = path.with_suffix(".json").read_text(encoding="utf-8")
        ours = normal(FileRulesets([str(path)]).read()).tables
        different += [] if ours == normal(read(listing, path.name)).tables else [path.name]
    assert different == ["KaseiHaku_Software__V2Ray_TransparentProxy_nftables_nftablesRuleset.nft"]
    assert len(paths) > 50


REFUSED = {
    "table ip t { chain c {\n iif ../../etc accept\n}\n}\n": "f:2: nft does not take `iif ../../etc accept`: ",
    "table ip t {\n flowtable x { hook ingress priority 0; devices = { lo }; }\n}\n":
        "f:2: nft does not take `flowtable x { hook ingress priority 0; devices = { lo }; }`: ",
    'include "./none"\n': 'f:1: nft does not take `include "./none"`: File not found: ./none',
    "\ntable ip t {": "f:3: nft does not take `its end`: ",
    'include "/dev/zero"\n': "f: this is nft's own text, and nft",
}  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_what_nft_refuses_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    """The first error, with the statement; what this kernel lacks (a flowtable), what has no end."""
    said = refused(tmp_path / "f", text)
    assert said.startswith(REFUSED[text])
    assert said.endswith("(give me `nft -j list ruleset` of its host)")


def test_what_an_included_file_holds_is_not_shown(tmp_path: Path) -> None:
    """nft quotes the line that it does not understand, and runs as root: any file could be read by it."""
    (tmp_path / "secret").write_text("root:hidden:20228\n$hidden\n")
    said = refused(tmp_path / "f", f'include "{tmp_path}/secret"\n')
    assert "hidden" not in said
    assert f"nft does not take {tmp_path}/secret, line 1: " in said


def test_nothing_stays_behind_a_killed_reader(tmp_path: Path) -> None:
    """The namespace has no name, and nft dies with us: kill -9 amid a load leaves neither."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    conf = tmp_path / "f"
    conf.write_text(f'include "{fifo}"\n')
    code = f"from conntrim.host.rulesets import FileRulesets; FileRulesets([{str(conf)!r}]).read()"
    there = namespaces()
    with subprocess.Popen([sys.executable, "-c", code]) as reader:
        until(lambda: namespaces() - there)
        reader.send_signal(signal.SIGKILL)
    until(lambda: not namespaces() - there)


def namespaces() -> set[int]:
    """The network namespaces of all processes named nft."""
    found = set()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            if comm.read_text() == "nft\n":
                found.add((comm.parent / "ns/net").stat().st_ino)
    return found


def until(reached: Callable[[], object]) -> None:
    """Poll for a state, with a limit."""
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)
