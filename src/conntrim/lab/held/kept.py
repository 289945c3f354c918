"""A disagreement kept as a small file: rules, dialogues, and what was wrong. Readable, and put on trial again for ever.

```
# said to be the same, and a dialogue is treated otherwise
kind: said to be the same, and a dialogue is treated otherwise | rule deleted, to itself, tcp
status: open
change: rule deleted / ip filter / INPUT / -i lo || -j ACCEPT
talk: tcp / loopback / IPV4 / host 127.0.0.1 20004 / host 127.0.0.1 80
== iptables-restore
*filter
...
```

`status` is `open` as long as the verb is wrong, then `mended`. `strict: yes` where `nf_conntrack_tcp_loose` is 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from conntrim.core.model.address import Family, format_address, parse_address
from conntrim.core.model.errors import InputError
from conntrim.lab.case import MARK
from conntrim.lab.held.mutation import Change, Mutation
from conntrim.lab.held.rules import fitting
from conntrim.lab.held.talks import KINDS, LONE, Dialogue, End, alone, made
from conntrim.lab.held.trial import Exhibit
from conntrim.lab.script import Block, Line, Script, Sheet

OPEN, MENDED = "open", "mended"
PROGRAMS = {"iptables-restore": "ip", "ip6tables-restore": "ip6", "nft": ""}


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """One file: the kind of disagreement, whether it is still there, the exhibit, words about it."""

    kind: str
    status: str
    exhibit: Exhibit
    words: tuple[str, ...] = ()


def format_kept(kept: KeptTrial) -> str:
    """The file's text."""
    shown = kept.exhibit
    lines = [f"# {line}" for word in kept.words for line in word.splitlines()]
    lines += [f"kind: {kept.kind}", f"status: {kept.status}"]
    lines += ["strict: yes"] if shown.strict else []
    lines += [f"change: {_change(shown.mutation)}"] if shown.mutation else []
    lines += [f"talk: {talk_text(each)}" for each in shown.dialogues]
    texts = [f"{MARK}{b.program}\n{b.text}" for b in shown.script.batches() if b.program in PROGRAMS]
    return "\n".join([*lines, *texts])


def parse_kept(text: str, source: str) -> KeptTrial:
    """The opposite of `format_kept`; InputError where it is none."""
    head, *parts = text.split(f"\n{MARK}")
    said = [line.partition(": ") for line in head.splitlines() if line and not line.startswith("#")]
    values = {name: value for name, _, value in said}
    try:
        talks = tuple(parse_talk(value) for name, _, value in said if name == "talk")
        mutation = _parse_change(values["change"]) if "change" in values else None
        script = script_of([tuple(part.split("\n", 1)) for part in parts])
        shown = Exhibit(script, values.get("strict") == "yes", tuple(fitting(script, talks)), mutation)
        words = tuple(line.removeprefix("# ") for line in head.splitlines() if line.startswith("#"))
        return KeptTrial(values["kind"], values["status"], shown, words)
    except (KeyError, ValueError, IndexError) as error:
        raise InputError(source, f"no kept trial: {error}") from error


def talk_text(talk: Dialogue) -> str:
    """A dialogue as one line."""
    ends = (f"{e.place} {format_address(e.address)} {e.port}" for e in (talk.a, talk.b))
    return " / ".join([talk.kind, talk.path, talk.family.name, *ends])


def parse_talk(text: str) -> Dialogue:
    """The opposite of `talk_text`; ValueError, KeyError where it is none."""
    kind, path, family, a, b = text.split(" / ")
    ends = [End(place, parse_address(address), int(port)) for place, address, port in (x.split() for x in (a, b))]
    if kind not in KINDS and kind not in LONE:
        raise ValueError(f"no kind of dialogue: {kind}")
    base = alone(kind, path, Family[family], (0, 0)) if kind in LONE else made(kind, path, Family[family], port=0)
    return replace(base, a=ends[0], b=ends[1])


def _change(mutation: Mutation) -> str:
    parts = [mutation.change, " ".join(mutation.sheet), mutation.block, _line(mutation.line)]
    return " / ".join([*parts, *([_line(mutation.other)] if mutation.other else [])])


def _line(line: Line) -> str:
    return " || ".join((*line.matches, line.effect))


def _parse_change(text: str) -> Mutation:
    change, sheet, block, *lines = text.split(" / ")
    family, _, name = sheet.partition(" ")
    line, *other = [Line(tuple(each.split(" || ")[:-1]), each.split(" || ")[-1]) for each in lines]
    return Mutation(Change(change), (family, name), block, line, other[0] if other else None)


# --- rules ----------------------------------------------------------------------------------------------------------


def script_of(parts: Sequence[tuple[str, ...]]) -> Script:
    """A script from texts by program: iptables-save's, or nft's as scripts write it."""
    program = "nft" if parts and parts[0][0] == "nft" else "iptables-restore"
    sheets = []
    for name, text in parts:
        sheets += list(_nft(text) if name == "nft" else _xt(text, PROGRAMS[name]))
    return Script(program, tuple(sheets))


def _xt(text: str, family: str) -> Iterator[Sheet]:
    name, heads, rules = "", {}, {}  # type: str, dict[str, str], dict[str, list[Line]]
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if line.startswith("*"):
            name, heads, rules = line[1:], {}, {}
        elif line.startswith(":"):
            heads[word[1:]] = rest.split()[0]
        elif word == "-A":
            chain, _, rule = rest.partition(" ")
            heads.setdefault(chain, "ACCEPT")
            rules.setdefault(chain, []).append(xt_line(rule))
        elif line == "COMMIT":
            yield Sheet(family, name, tuple(Block(c, head, tuple(rules.get(c, ()))) for c, head in heads.items()))


def xt_line(rule: str) -> Line:
    """One rule without its chain: what it matches as one piece, and its target."""
    cut = max(f" {rule}".rfind(" -j "), f" {rule}".rfind(" -g "))
    if cut < 0:
        return Line((rule,) if rule else ())
    matches = rule[: max(cut - 1, 0)].strip()
    return Line((matches,) if matches else (), f" {rule}"[cut + 1 :].strip())


def _nft(text: str) -> Iterator[Sheet]:
    lines = iter(text.splitlines())
    for line in lines:
        if line.startswith("table "):
            _, family, name, _ = line.split()
            yield _nft_table(lines, family, name)


def _nft_table(lines: Iterator[str], family: str, name: str) -> Sheet:
    sets, blocks = [], []
    for line in lines:
        if line == "}":
            break
        body = []
        for inner in lines:
            if inner == " }":
                break
            body.append(inner)
        if line.startswith(" chain "):
            head = body.pop(0).strip() if body and body[0].strip().startswith("type ") else ""
            blocks.append(Block(line.split()[1], head, tuple(nft_line(each.strip()) for each in body)))
        else:
            sets.append("\n".join([line.strip(), *body, " }"]))
    return Sheet(family, name, tuple(blocks), tuple(sets))


def nft_line(rule: str) -> Line:
    """One rule: from `notrack` on its effect, so that it can be made inert; else all of it."""
    words = rule.split()
    if "notrack" not in words:
        return Line((), rule)
    at = words.index("notrack")
    return Line(tuple(filter(None, [" ".join(words[:at])])), " ".join(words[at:]))
