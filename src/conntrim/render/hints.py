"""Commands that texts advise, with the options that the operator gave: without them they would be about another
namespace, or another journal."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

_VERB = re.compile(r"\bconntrim (apply|confirm|rollback|status|plan)\b")


@dataclass(frozen=True, slots=True)
class Options:
    """What was given on the command line, "" what was not."""

    netns: str = ""
    state: str = ""
    root: str = ""

    def of(self, verb: str) -> str:
        """Those that a verb takes, each behind a space."""
        taken = {"--netns": self.netns, "--state": self.state if verb != "plan" else ""}
        taken |= {"--root": self.root} if verb == "confirm" else {}
        return "".join(f" {option} {shlex.quote(value)}" for option, value in taken.items() if value)

    def hinted(self, text: str) -> str:
        """A text with these options behind each verb of ours that it names, unless it gives them itself."""
        told = self.netns and f"--netns {shlex.quote(self.netns)}"
        return text if told and told in text else _VERB.sub(lambda found: found[0] + self.of(found[1]), text)
