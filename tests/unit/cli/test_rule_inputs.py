"""Rule-set files that are no rule sets, or anybody's: one clear line, within bounds, and nothing that steers."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conntrim.cli.main import run
from tests.unit.cli.hostile import FAKE, STEER
from tests.unit.core.parse.nft.commanding import CHAIN, TABLE, document, named, rule

MEMORY, SECONDS = 512 << 20, 5
"""Of address space and of processor time; what a bad file may take of either is well below."""

PACKET = "-p tcp -s 198.51.100.7 --sport 40000 -d 192.0.2.1 --dport 80 -i eth0"
VERBS: dict[str, Callable[[str], list[str]]] = {
    "explain": lambda path: ["explain", *PACKET.split(), "--ruleset", path],
    "check": lambda path: ["check", path],
    "compare": lambda path: ["compare", path, path],
}

SAVE = b"*filter\n:INPUT ACCEPT [0:0]\n"
BAD: dict[str, Callable[[], bytes]] = {
    "JSON nested deeper": lambda: b'{"nftables":' + b"[" * 100_000,
    "deeper than any listing": lambda: b'{"nftables":[{"rule":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}]}",
    "JSON of more than": lambda: b'{"nftables":' + b"[" * 2_000_000,
    "a shape that nft does not print": lambda: b'{"nftables":[{"rule":' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}]}",
    "objects or": lambda: b'{"nftables":[' + b"{}," * 8_000_000 + b"{}]}",
    "values": lambda: b'{"nftables":[' + b"1," * 9_000_000 + b"1]}",
    "no JSON: Unterminated string": lambda: b'{"nftables": [{"table": {"fam',
    "no JSON: Expecting": lambda: b'{"nftables": [{"table": ',
    "no COMMIT": lambda: SAVE + b"-A INPUT -p tc",
    "more than 32 MiB": lambda: SAVE + b"-A INPUT -j ACCEPT\n" * 2_000_000,
    "more than 400,000 lines": lambda: SAVE + b"-A INPUT -j ACCEPT\n" * 500_000 + b"COMMIT\n",
    "lines (wanted": lambda: b"\n" * 20_000_000,
    "a line of": lambda: SAVE + b"-A INPUT -m comment --comment " + b"x" * 9_000_000 + b"\nCOMMIT\n",
    "no UTF-8": lambda: SAVE + b"-A INPUT -m comment --comment caf\xe9 -j ACCEPT\nCOMMIT\n",
    "UTF-16": lambda: SAVE.decode().encode("utf-16"),
    "this is no text": lambda: b"\x7fELF\1\1" + b"\0" * 1000,
    "is nothing of a rule set": lambda: b"fo\x1bo\n" * 1000,
    "no rules in it": lambda: b"",
    "of its 3 members": lambda: (
        b"Name: a\nType: hash:ip\nHeader: family inet\nNumber of entries: 3\nMembers:\n10.0.0.1"
    ),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_file_is_one_clear_line_within_bounds(tmp_path: Path, message: str) -> None:
    """Nested, huge, cut off, of another encoding: half a gigabyte and some seconds of processor suffice to say so."""
    path = tmp_path / "rules"
    path.write_bytes(BAD[message]())

    def frugal() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    argv = [sys.executable, "-m", "conntrim", *VERBS["explain"](str(path))]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, preexec_fn=frugal)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert message in done.stderr
    assert done.stderr.startswith(f"conntrim: {path}")


LINE = STEER.replace("\r", "")
HOSTILE = {
    "iptables -S": (
        f"-P INPUT DROP\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n-N e{STEER[:5]}\n"
        f"-A INPUT -i e{STEER[:6]}0 -j e{STEER[:5]}\n"
        f'-A INPUT -m comment --comment "{LINE}" -m set --match-set "s{LINE}" src -j RTP{STEER[:4]}\n'
    ),
    "an unknown target": f'*filter\n-A INPUT -m comment --comment "{LINE}" -j RTPENGINE --id "{LINE}"\nCOMMIT\n',
    "an unknown table": f"*raw\nCOMMIT\n*x\n{LINE}\nCOMMIT\n",
    "commands": document(
        TABLE, CHAIN, {"add": rule(80, comment=FAKE)}, {"add": named("chain", FAKE)},
        {"add": named("set", FAKE, type=FAKE)},
        {"add": {"rule": {**rule(80)["rule"], "expr": [{FAKE: FAKE}, {"jump": {"target": FAKE}}]}}},
    ),
    "a command that fails": document(TABLE, {"delete": named("chain", FAKE)}),
    "an unknown family": json.dumps({"nftables": [{"table": {"family": FAKE, "name": FAKE}}]}),
    "ipset list": (
        f"*filter\n-A INPUT -m set --match-set s{STEER[:6]} src -j DROP\nCOMMIT\n"
        f"Name: s{STEER[:6]}\nType: hash:ip\nHeader: family inet\nNumber of entries: 1\nMembers:\n"
        f'10.0.0.1 comment "{LINE}"\n'
    ),
    "no rule set": f"{LINE}\n",
    "a session": f"root@fw:~# iptables -F {LINE}\n*raw\nCOMMIT\nroot@fw:~# iptables -F {LINE}\n",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("form", HOSTILE)
def test_a_strangers_names_do_not_steer(
    form: str, verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Names and comments in each form are shown spelt out, in answers and in errors."""
    path = tmp_path / "rules"
    path.write_text(HOSTILE[form], encoding="utf-8", newline="")
    try:
        code = run(VERBS[verb](str(path)))
    except SystemExit as error:
        code = int(error.code or 0)
    said = capfd.readouterr()
    assert {c for c in said.out + said.err if not c.isprintable()} <= {"\n"}
    assert "a bug of ours" not in said.err
    assert code in (0, 1, 2)
    assert said.err.count("\n") == (code == 2)


@pytest.mark.parametrize("verb", VERBS)
def test_chains_that_jump_ten_thousand_deep_are_borne(
    verb: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No kernel follows so many; what hangs on the deepest is not decided, and said in one line."""
    chains = "".join(f":c{i} - [0:0]\n" for i in range(10_000))
    jumps = "".join(f"-A c{i} -j c{i + 1}\n" for i in range(9_999))
    path = tmp_path / "rules"
    path.write_text(f"*filter\n:INPUT ACCEPT [0:0]\n{chains}-A INPUT -j c0\n{jumps}-A c9999 -j DROP\nCOMMIT\n")
    code = run(VERBS[verb](str(path)))
    said = capfd.readouterr()
    assert "a bug of ours" not in said.err
    assert (1, True) == (code, said.out.startswith("not decided")) if verb == "explain" else code in (0, 1)
