"""nft's own text, a language that only nft reads: loaded into an empty network namespace of our own and listed as JSON.

The file is anybody's, nft runs as root: it may include any file, a device without an end too. So time, memory and
output are bounded, and what nft quotes of an included file is not shown. The namespace has no name: it goes with us.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from conntrim.core.model.errors import HostError, InputError
from conntrim.core.model.raw_text import bytes_of, text_of
from conntrim.core.parse.nft.devices import ARGV, lacks_devices, with_devices
from conntrim.host import programs
from conntrim.host.netns import fresh

ADVICE = "give me `nft -j list ruleset` of its host"
SECONDS, SECONDS_A_MIB = 3.5, 20.0
"""What nft may take: a FIFO that is included has no end at all, and 10,000 rules (a MiB) take two seconds."""
MEMORY = 512 << 20
OUTPUT = 32 << 20
KINDS = ("dummy", "bridge")
"""Interfaces that come alone: the other end of a pair would have a number that a rule may name."""
ROUNDS = 20
"""Attempts, each with interfaces that the one before has missed."""
MOST_DEVICES = 256
FIRST_INDEX = 1_000_000
"""Of our interfaces: a rule may name another host's by its number, which is to stay a number in the listing."""

_ERROR = re.compile(
    r"^(?P<file>.+?):(?P<line>\d+):(?P<first>\d+)-(?P<last>\d+): Error: (?P<said>.*)\n(?P<shown>.*)", re.M
)
_DEVICES = re.compile(r'\bdevices?\s*=?\s*(\{[^}]*\}|"[^"\n]*"|[\w.@$-]+)')
_DEVICE = re.compile(r"[A-Za-z0-9_.@:+-]{1,15}")
_XT = re.compile(r"^[^#\n]*\bxt (?:match|target) ", re.M)
_TABLE = re.compile(r"^table ([^{\n]+?)\s*\{", re.M)


def listed(text: str, source: str) -> str:
    """What `nft -j list ruleset` says of it; InputError in one line where nft does not take it, or may not be asked."""
    refuse_xt(text, source)
    refuse_without(programs.find("nft"), os.geteuid(), source)
    try:
        with fresh() as netns:
            return _Loading(text, source, netns).listed()
    except HostError as error:
        raise InputError(source, f"this is nft's own text, and {error}", advice=ADVICE) from error


def refuse_without(program: str | None, user: int, source: str) -> None:
    """InputError where nft is not there, or may not load anything."""
    if program is None or user != 0:
        why = "is not installed" if program is None else "needs root for it"
        raise InputError(source, f"this is nft's own text, which only nft reads, and nft {why}", advice=ADVICE)


def refuse_xt(text: str, source: str) -> None:
    """nft prints iptables' matches as `xt match "recent"`, without what they ask, and does not take that again."""
    if found := _XT.search(text):
        table = [each[1] for each in _TABLE.finditer(text, 0, found.start())][-1:]
        what = f"table {table[0]} holds" if table else "it holds"
        message = f"{what} rules of iptables, of which nft's text tells the names only"
        line = text.count("\n", 0, found.start()) + 1
        raise InputError(source, message, line=line, advice="give me iptables-save and `nft -j list ruleset`")


@dataclass(slots=True)
class _Loading:
    """One text being loaded into a namespace."""

    text: str
    source: str
    netns: str
    devices: int = 0

    def listed(self) -> str:
        """Load it, with the interfaces that its rules name, and list it."""
        made = {"lo"}
        for _ in range(ROUNDS):
            ended = self.run("nft", "-I", self.directory(), "-f", "-", text=f"{self.text}\n")
            if ended.code == 0:
                listing = self.run("nft", "-j", "list", "ruleset").output
                return with_devices(listing, self.run(*ARGV).output) if lacks_devices(listing) else listing
            missing = {name for name in self.missing(ended.errors) if _DEVICE.fullmatch(name)} - made
            if not missing or len(made | missing) > MOST_DEVICES:
                break
            made |= missing
            self.make(sorted(missing))
        raise self.complaint(ended)

    def directory(self) -> str:
        """Where the file stands: includes are looked for from there."""
        return os.path.dirname(os.path.abspath(self.source)) if os.path.exists(self.source) else os.getcwd()

    def run(self, *argv: str, text: str | None = None) -> programs.Ended:
        """A program in the namespace, within bounds."""
        seconds = round(SECONDS + SECONDS_A_MIB * len(self.text) / (1 << 20), 1)
        bounds = programs.Bounds(self.directory(), MEMORY, OUTPUT)
        return programs.attempt(argv, text=text, netns=self.netns, timeout=seconds, bounds=bounds)

    def missing(self, errors: str) -> Iterator[str]:
        """The interfaces that nft or the kernel did not find."""
        for found in _ERROR.finditer(errors):
            if found["said"] == "Interface does not exist":
                shown = found["shown"] or self.line(int(found["line"]))  # nft 0.9.8 shows no line of its standard input
                name = text_of(bytes_of(shown)[int(found["first"]) - 1 : int(found["last"])])
                yield from self.defined(name.strip('"'))
            elif found["said"].endswith("No such file or directory"):
                for said in _DEVICES.findall(self.text):
                    for name in re.findall(r"[^\s{},\"]+", said):
                        yield from self.defined(name)

    def defined(self, name: str) -> list[str]:
        """What a variable stands for, as far as it is defined in the file itself."""
        if name[:1] != "$":
            return [name]
        found = re.search(rf"\bdefine\s+{re.escape(name[1:])}\s*=\s*(\{{[^}}]*\}}|[^\n;#]*)", self.text)
        return re.findall(r"[^\s{},\"$]+", found[1]) if found else []

    def make(self, names: list[str]) -> None:
        """Interfaces without anything behind them, of the first kind that this kernel has; HostError where of none."""
        lines = [f"link add name {name} index {FIRST_INDEX + self.devices + n}" for n, name in enumerate(names)]
        self.devices += len(names)
        for kind in KINDS:
            text = "".join(f"{line} type {kind}\n" for line in lines)
            ended = programs.attempt(["ip", "-batch", "-"], text=text, netns=self.netns)
            if ended.code == 0:
                return
        raise HostError("ip link add", f"no interface {names[0]} can be made: {ended.errors.strip()}")

    def line(self, number: int) -> str:
        """A line of the text, empty behind its end."""
        return next(iter(self.text.split("\n")[number - 1 : number]), "")

    def complaint(self, ended: programs.Ended) -> InputError:
        """nft's first error: of the file itself with its line, of an included one without what stands there."""
        found = _ERROR.search(ended.errors)
        if found is None:
            first = next((line for line in ended.errors.split("\n") if line.strip()), f"it ended with {ended.code}")
            return InputError(self.source, f"nft does not take it: {first}", advice=ADVICE)
        line = int(found["line"])
        if found["file"] not in ("/dev/stdin", "-"):
            said = re.sub(r"'[^']*'", "a word", found["said"])
            return InputError(self.source, f"nft does not take {found['file']}, line {line}: {said}", advice=ADVICE)
        statement = " ".join(self.line(line).split())[:80] or "its end"
        message = f"nft does not take `{statement}`: {found['said']}"
        return InputError(self.source, message, line=line, advice=ADVICE)
