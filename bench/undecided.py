"""How often `explain --connection` does not decide, and why: one service on every rule set of some folders.

    python -m bench.undecided FOLDER...
    PYTHONPATH=OTHER/src python bench/undecided.py FOLDER...     (what another version says)

The service is ssh (tcp/22) asked by a client from outside by eth0; each rule set stands in a file of its own.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from conntrim.cli.explain import command

# fmt: off
ASKED = [
    "-p", "tcp", "-s", "198.51.100.7", "--sport", "40000", "-d", "192.0.2.1", "--dport", "22", "-i", "eth0",
    "--local", "192.0.2.1", "--connection", "--json",
]
# fmt: on
KINDS = {".save", ".json", ".rules"}


def reason(question: str) -> str:
    """The kind of a question: without what is of one rule only."""
    said = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "...", question)
    return re.sub(r"\d[\w.:/-]*", "N", said.split(";")[0].split(":")[0]).strip()


def asked(path: Path) -> tuple[str, list[str]]:
    """The verdict on one rule set, and what is not decided."""
    done = CliRunner().invoke(command, [*ASKED, "--ruleset", str(path)])
    try:
        told = json.loads(done.stdout)
    except ValueError:
        return "refused", [" ".join(done.output.split())[-160:] or repr(done.exception)]
    told = told.get("explanation", told)
    return told["verdict"], [q for packet in told["packets"] for q in packet["undecided"]]


def run(folders: list[Path]) -> None:
    """Ask them all, print the share and the reasons."""
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in KINDS):
        verdict, questions = asked(path)
        verdicts[verdict] += 1
        if verdict in ("not decided", "refused"):
            reasons[f"{verdict}: {reason(questions[0]) if questions else '?'}"] += 1
            print(f"{path.name}: {verdict}: {questions[:1]}", file=sys.stderr)
    total = sum(verdicts.values())
    print(f"{total} rule sets, not decided {verdicts['not decided']} ({100 * verdicts['not decided'] / total:.0f} %)")
    print("  ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common()))
    for why, count in reasons.most_common():
        print(f"{count:4} {why}")


if __name__ == "__main__":
    run([Path(each) for each in sys.argv[1:]])
