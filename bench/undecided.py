"""How often a verb does not decide, and why: on every rule set of some folders, one in a file of its own.

    python -m bench.undecided [explain|check|compare] FOLDER...
    PYTHONPATH=OTHER/src python bench/undecided.py [VERB] FOLDER...     (what another version says)

`explain` (the one that is asked by default): ssh (tcp/22) asked by a client from outside by eth0. `compare`: the rule
set against itself with one rule taken out, the middle one of those that accept or refuse.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

# fmt: off
ASKED = [
    "-p", "tcp", "-s", "198.51.100.7", "--sport", "40000", "-d", "192.0.2.1", "--dport", "22", "-i", "eth0",
    "--local", "192.0.2.1", "--connection", "--json",
]
# fmt: on
KINDS = {".save", ".json", ".rules"}
ENDS = re.compile(r"-A .*-j (?:ACCEPT|DROP|REJECT)\b")
DECIDING = ("accept", "drop", "reject")

Said = tuple[str, list[str]]
"""The answer in a word, and what is not decided."""


def reason(question: str) -> str:
    """The kind of a question: without what is of one rule only."""
    question = re.sub(r"\S*/\S*", "", question)  # a file and a line of it
    said = re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`", "...", question)
    return re.sub(r"\d[\w.:/-]*", "N", said.split(";")[0].split(":")[0]).strip()


def told(verb: str, *arguments: str) -> dict[str, Any] | str:
    """What a verb says as JSON; in words where it refuses."""
    done = CliRunner().invoke(importlib.import_module(f"conntrim.cli.{verb}").command, [*arguments])
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return " ".join(done.output.split())[-160:] or repr(done.exception)
    return found


def explain(path: Path) -> Said:
    """The verdict on one connection."""
    said = told("explain", *ASKED, "--ruleset", str(path))
    if isinstance(said, str):
        return "refused", [said]
    said = said.get("explanation", said)
    return said["verdict"], [q for packet in said["packets"] for q in packet["undecided"]]


def check(path: Path) -> Said:
    """Whether all was looked at."""
    said = told("check", "--json", str(path))
    if isinstance(said, str):
        return "refused", [said]
    return ("not decided" if said["undecided"] else "decided"), said["undecided"]


def compare(path: Path) -> Said:
    """Whether it is known what one rule does."""
    after = _shortened(path)
    if after is None:
        return "no such rule", []
    with tempfile.TemporaryDirectory() as there:
        other = Path(there) / path.name
        other.write_text(after)
        said = told("compare", "--json", str(path), str(other))
    if isinstance(said, str):
        return "refused", [said]
    return ("not decided" if said["undecided"] else "decided"), said["undecided"]


def _shortened(path: Path) -> str | None:
    """The rule set without the middle one of its rules that accept or refuse."""
    text = path.read_text(errors="replace")
    if path.suffix == ".json":
        return _without_one(text)
    lines = text.splitlines(keepends=True)
    ends = [at for at, line in enumerate(lines) if ENDS.match(line)]
    if not ends:
        return None
    del lines[ends[len(ends) // 2]]
    return "".join(lines)


def _without_one(text: str) -> str | None:
    try:
        listing = json.loads(text)
    except ValueError:
        return None
    objects = listing.get("nftables", [])
    ends = [at for at, each in enumerate(objects) if any(k in DECIDING for k in _last(each))]
    if not ends:
        return None
    del objects[ends[len(ends) // 2]]
    return json.dumps(listing)


def _last(listed: dict[str, Any]) -> list[str]:
    """The words of a rule's last statement."""
    statements = listed.get("rule", {}).get("expr", [])
    return list(statements[-1]) if statements and isinstance(statements[-1], dict) else []


VERBS: dict[str, Callable[[Path], Said]] = {"explain": explain, "check": check, "compare": compare}


def run(verb: str, folders: list[Path]) -> None:
    """Ask them all, print the share and the reasons."""
    answers: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for path in sorted(p for folder in folders for p in folder.rglob("*") if p.suffix in KINDS):
        answer, questions = VERBS[verb](path)
        answers[answer] += 1
        if answer in ("not decided", "refused"):
            reasons[f"{answer}: {reason(questions[0]) if questions else '?'}"] += 1
            print(f"{path.name}: {answer}: {questions[:1]}", file=sys.stderr, flush=True)
    asked = sum(answers.values()) - answers["refused"] - answers["no such rule"]
    print(f"{verb}: {asked} rule sets, not decided {answers['not decided']} "
          f"({100 * answers['not decided'] / max(asked, 1):.0f} %)")  # fmt: skip
    print("  ".join(f"{answer} {count}" for answer, count in answers.most_common()))
    for why, count in reasons.most_common():
        print(f"{count:4} {why}")


if __name__ == "__main__":
    named = sys.argv[1] if sys.argv[1:] and sys.argv[1] in VERBS else "explain"
    run(named, [Path(each) for each in sys.argv[1 + (sys.argv[1:2] == [named]) :]])
